"""Training on a GPU: one seed is one run, a resumed run is the uninterrupted one, and updates are those of a CPU.

Skipped where there is no GPU.

One command, on a machine with one: `python -m pytest -n 0 tests/test_accelerator.py`.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch
from gymnasium import Env, register, spaces
from stopping import stopped_after
from test_agents_of_before import CASES as AGENTS
from test_agents_of_before import test_200_updates_go_the_way_of_autograd as go_the_way_of_autograd

from edgerl import configure, load
from edgerl.agents.build import make_agent
from edgerl.agents.torch_encoder import tensors
from edgerl.agents.torch_encoder.stem import FrozenStem
from edgerl.training.train import train
from runtime import Session
from runtime.export import export

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SHORT = {
    "budget": "5MB",
    "steps": 260,
    "freeze_at": 180,
    "learn_start": 40,
    "eval_every": 0,
    "checkpoint_every": 0,
    "threads": 1,
}
CASES = {
    "rainbow": {},
    "dqn": {"algo": "dqn"},
    "curl": {"env": "gym/Drift-v0", "algo": "curl", "batch_size": 16},
    "sac": {"env": "gym/Drift-v0", "algo": "sac", "batch_size": 16},
    "frames stay": {"encoder": "canonical"},
    "frames stay, of which crops are drawn": {"env": "gym/Drift-v0", "algo": "curl", "batch_size": 16, "cut": "conv1"},
    "the first layer alone": {"cut": "conv1"},
}


class Drift(Env):
    """A square that two forces push over a coloured picture; it should stay in the middle."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = spaces.Box(0, 255, (48, 48, 3), np.uint8)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.age = self.np_random.uniform(8, 40, 2), 0
        return self.render(), {}

    def step(self, action):
        self.place, self.age = np.clip(self.place + 3 * action, 8, 40), self.age + 1
        return self.render(), -float(abs(self.place - 24).max()) / 16, False, self.age == 50, {}

    def render(self):
        picture = np.full((48, 48, 3), (40, 80, 120), np.uint8)
        top, left = self.place.astype(int)
        picture[top - 4 : top + 4, left - 4 : left + 4] = (250, 200, 30)
        return picture


register("Drift-v0", Drift)


def config(case, **changes):
    return configure(accelerator="cuda", **{"env": "toy/catch"} | SHORT | CASES[case] | changes)


def final(folder):
    """Weights, moments and priorities of a finished run: what every row that was stored and sampled went into."""
    place = folder / json.loads((folder / "summary.json").read_text())["checkpoint"]
    arrays = safetensors.numpy.load_file(place / "weights.safetensors")
    return arrays | {file.name: np.fromfile(file, np.uint8) for file in place.glob("priorities.raw")}


def differing(one, other):
    assert one.keys() == other.keys()
    return [name for name in one if not np.array_equal(one[name], other[name])]


@pytest.mark.parametrize("case", CASES)
def test_one_seed_is_one_run(case, tmp_path):
    for name in ("one", "other"):
        assert train(config(case), tmp_path / name, quiet=True)["status"] == "finished"
    assert differing(final(tmp_path / "one"), final(tmp_path / "other")) == []


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stop", [120, 180, 220])
def test_a_resumed_run_is_the_uninterrupted_one(case, stop, tmp_path):
    train(config(case), tmp_path / "whole", quiet=True)
    with stopped_after(stop):
        assert train(config(case), tmp_path / "parts", quiet=True)["steps"] == stop
    train(config(case), tmp_path / "parts", resume=True, quiet=True)
    assert differing(final(tmp_path / "whole"), final(tmp_path / "parts")) == []


def test_another_seed_is_another_run(tmp_path):
    for seed in (0, 1):
        train(config("rainbow", seed=seed), tmp_path / str(seed), quiet=True)
    assert differing(final(tmp_path / "0"), final(tmp_path / "1")) != []


@pytest.fixture
def in_float64():
    """The GPU's engine in float64; what is left behind a cut stays there."""
    engine = tensors.engine("cuda", 1, lambda engine, layers: engine)

    def array(array):
        return engine.array(array.astype(np.float64) if array.dtype == np.float32 else array)

    doubled = replace(engine, array=array, frozen=lambda layers: doubled)
    return doubled


@pytest.mark.parametrize(("algo", "encoder", "cut"), AGENTS)
def test_updates_go_the_way_of_autograd_on_a_cpu(algo, encoder, cut, in_float64):
    assert in_float64.name == "cuda"
    go_the_way_of_autograd(in_float64, algo, encoder, cut)


@pytest.mark.parametrize("case", ["rainbow", "curl"])
def test_what_is_left_behind_the_freeze_stays_on_the_gpu(case):
    window, actions = ((9, 40, 40), 2) if case == "curl" else ((4, 84, 84), 3)
    chosen = config(case, hidden=16)
    made = make_agent(chosen, window, actions, np.random.default_rng(0))
    before = made.nbytes()["networks"]
    made.freeze(chosen.agent.cut)
    assert made.engine.name == "cuda"
    assert made.needs_torch
    assert 0 < made.nbytes()["networks"] < before


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("frames stay")])
def test_frames_that_stay_are_encoded_on_the_gpu(case, tmp_path):
    found = train(config(case), tmp_path / "run", quiet=True)
    assert (found["store"], found["freeze"]["provider"]) == ("pixels", "torch on cuda")
    policy = load(tmp_path / "run")
    window = np.zeros((policy.spec.history, *policy.spec.frame), np.uint8)
    latent = policy.representation.see(window)
    assert latent.device.type == "cuda"
    policy.act(window)


@pytest.mark.parametrize("encoder", ["canonical", "impala"])
def test_the_frozen_stem_there_gives_what_onnx_runtime_gives(encoder):
    chosen, window = config("rainbow", encoder=encoder), (4, 84, 84)
    graph = make_agent(chosen, window, 3, np.random.default_rng(0)).stem(chosen.agent.cut).graph
    windows = np.random.default_rng(1).integers(0, 256, (64, *window), np.uint8)
    expected = Session(export(graph))(windows)
    latents = FrozenStem(graph, torch.device("cuda"))(windows).cpu().numpy()
    np.testing.assert_allclose(latents, expected, rtol=0, atol=2e-3 * expected.max())  # TF32 has ten bits


def test_what_it_trained_acts_on_a_cpu_machine_too(tmp_path):
    train(config("rainbow"), tmp_path / "run", quiet=True)
    text = (tmp_path / "run/config.toml").read_text().partition("\n")[2]  # without its seal
    window = np.random.default_rng(0).integers(0, 256, (4, 84, 84), np.uint8)
    action = load(tmp_path / "run").act(window)
    (tmp_path / "run/config.toml").write_text(text.replace('accelerator = "cuda"', 'accelerator = "cpu"'))
    assert load(tmp_path / "run").act(window) == action
