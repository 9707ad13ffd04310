"""Frames that stay on an accelerator: the frozen stem runs there. Here torch's CPU passes for the accelerator."""

import json

import numpy as np
import pytest
import torch
from cases import quick
from stopping import stopped_after
from test_accelerator import SHORT, differing, final

from edgerl import configure, load
from edgerl.agents import build
from edgerl.agents.build import make_agent
from edgerl.agents.rainbow import Rainbow
from edgerl.agents.sac import CurlSac
from edgerl.agents.torch_encoder import tensors
from edgerl.agents.torch_encoder.stem import FrozenStem
from edgerl.config import architectures
from edgerl.training.train import train
from runtime import CPU, Session
from runtime.export import export

DEVICE = torch.device("cpu")
WINDOW = (3, 44, 44)
CUTS = [(name, layer.name) for name in architectures.ENCODERS for layer in architectures.layers(name, WINDOW)]
CROPS = "two encoders, random crops"
RUNS = {  # what is trained, and by which agent
    "canonical": ({"env": "toy/catch", "encoder": "canonical"}, Rainbow),
    "the first layer alone": ({"env": "toy/catch", "cut": "conv1", "pixel_codec": "lz4"}, Rainbow),
    CROPS: ({"env": "gym/Drift-v0", "algo": "curl", "cut": "conv1"}, CurlSac),
}
TINY = SHORT | {"steps": 32, "freeze_at": 26, "learn_start": 22, "n_step": 2, "batch_size": 2, "hidden": 8}
every_run = pytest.mark.parametrize("case", quick(RUNS, "canonical", CROPS))


def accelerate(patch):
    """Have agents be made on an accelerator, which is the CPU."""
    patch.setattr(build, "_engine", lambda *_, **__: tensors.accelerated(DEVICE))


@pytest.fixture
def accelerated(monkeypatch):
    accelerate(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of the finished run of a case on the accelerator, trained once. To be read only."""
    folders = {}

    def finished(case):
        if case not in folders:
            folders[case] = tmp_path_factory.mktemp("whole") / "run"
            with pytest.MonkeyPatch.context() as patch:
                accelerate(patch)
                train(config(case), folders[case], quiet=True)
        return folders[case]

    return finished


def config(case, **changes):
    return configure(**TINY | RUNS[case][0] | changes)


@pytest.mark.parametrize(("name", "cut"), CUTS)
@pytest.mark.parametrize("algo", quick(["rainbow", "sac"], "rainbow"))
def test_its_latents_are_those_of_onnx_runtime(algo, name, cut):
    env = "dmc/walker-walk" if algo == "sac" else "atari/qbert"
    made = make_agent(configure(env=env, algo=algo, encoder=name, cut=cut), WINDOW, 3, np.random.default_rng(1))
    graph, windows = made.stem(cut).graph, np.random.default_rng(0).integers(0, 256, (5, *WINDOW), np.uint8)
    latents = FrozenStem(graph, DEVICE)(windows)
    assert isinstance(latents, torch.Tensor)
    assert latents.shape == (5, *graph.latent)
    np.testing.assert_allclose(latents.numpy(), Session(export(graph))(windows), rtol=0, atol=1e-5)


@every_run
def test_what_is_acted_on_and_learned_from_never_leaves_the_accelerator(case, accelerated, tmp_path, monkeypatch):
    kind, kinds = RUNS[case][1], []

    def noting(method, read):
        def noted(agent, given, **options):
            kinds.append((agent.cut is not None, type(read(given))))
            return method(agent, given, **options)

        return noted

    monkeypatch.setattr(kind, "act", noting(kind.act, lambda observation: observation))
    monkeypatch.setattr(kind, "update", noting(kind.update, lambda batch: batch.obs))
    found = train(config(case), tmp_path / "run", quiet=True)
    assert (found["store"], found["freeze"]["provider"]) == ("pixels", "torch on cpu")
    assert set(kinds) == {(False, np.ndarray), (True, torch.Tensor)}


@pytest.mark.parametrize(
    ("case", "stop"), [pytest.param("canonical", 24, marks=pytest.mark.long), ("the first layer alone", 26)]
)
def test_a_resumed_run_is_the_uninterrupted_one(case, stop, accelerated, whole, tmp_path):
    with stopped_after(stop):
        assert train(config(case), tmp_path / "parts", quiet=True)["steps"] == stop
    train(config(case), tmp_path / "parts", resume=True, quiet=True)
    assert differing(final(whole(case)), final(tmp_path / "parts")) == []


@pytest.mark.long
@every_run
def test_a_policy_acts_there_as_it_does_by_onnx_runtime(case, whole, monkeypatch):
    by_onnx = load(whole(case))
    accelerate(monkeypatch)
    there = load(whole(case))
    kinds = [type(policy.representation.stem.encode) for policy in (there, by_onnx)]
    assert kinds == [FrozenStem, Session]
    rng, shape = np.random.default_rng(0), (there.spec.history, *there.spec.frame)
    for _ in range(5):
        window = rng.integers(0, 256, shape, np.uint8)
        np.testing.assert_allclose(there.act(window), by_onnx.act(window), rtol=0, atol=1e-4)


def test_where_latents_are_stored_onnx_runtime_encodes_on_the_cpu(accelerated, tmp_path):
    found = train(config("canonical", encoder="data_efficient"), tmp_path / "run", quiet=True)
    assert (found["store"], found["freeze"]["provider"]) == ("latents", CPU)
    assert isinstance(load(tmp_path / "run").representation.stem.encode, Session)


def test_on_a_cpu_onnx_runtime_encodes(tmp_path):
    found = train(config("canonical", keep_torch=True), tmp_path / "run", quiet=True)
    assert (found["store"], found["freeze"]["provider"]) == ("pixels", CPU)


def test_the_line_of_the_freeze_says_what_encodes(accelerated, tmp_path, capfd):
    train(config("canonical"), tmp_path / "run")
    assert "of the trained encoder, by torch on cpu" in " ".join(capfd.readouterr().err.split())
    assert json.loads((tmp_path / "run/summary.json").read_text())["freeze"]["provider_passed_over"] is None
