"""Policies in 8 bits: what they say of themselves, that they are played as any policy, and what is refused."""

import json
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import pytest
from cases import quick
from disk import files_end_at
from steered import UNCROPPED

import edgerl
import edgerl_run
import runtime.int8
from edgerl.envs.base import random_action
from edgerl.envs.simulator import scaled
from edgerl.experiments.export import int8
from edgerl.output.messages import figure
from edgerl.training.evaluate import evaluate_run
from memory_budget import format_bytes

CATCH = {"env": "toy/catch", "budget": "1.5MB", "threads": 1, "steps": 120, "learn_start": 30, "hidden": 8}
CATCH |= {"batch_size": 4, "eval_every": 0, "checkpoint_every": 0, "freeze_at": "never"}
STEERED = CATCH | UNCROPPED | {"budget": "3MB", "steps": 36, "batch_size": 2}
RUNS = {
    "rainbow": CATCH,
    "rainbow frozen": CATCH | {"freeze_at": 80},
    "dqn": CATCH | {"algo": "dqn"},
    "rainbow, impala": CATCH | {"encoder": "impala", "steps": 32},
    "sac": STEERED | {"algo": "sac"},
    "curl frozen": STEERED | {"algo": "curl", "freeze_at": 33},
}
QUICK = ["rainbow frozen", "sac"]


@pytest.fixture
def few(few, monkeypatch):
    """Calibrate on few windows too."""
    monkeypatch.setattr(int8, "WINDOWS", 60)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder in which temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def said_in(file):
    """The metadata of a policy file, which is its only entry."""
    (entry,) = onnx.load(file).metadata_props
    assert entry.key == "edgerl"
    return json.loads(entry.value, parse_constant=lambda word: pytest.fail(f"{word} is not strict JSON"))


def signature(file):
    """The names, types and shapes of a model's inputs and outputs."""
    session = onnxruntime.InferenceSession(file)
    return [(value.name, value.type, value.shape) for value in (*session.get_inputs(), *session.get_outputs())]


def test_sizes_agreement_and_scores_are_printed_and_in_the_file(trained, tmp_path, program):
    folder, file, float_file = trained("rainbow frozen"), tmp_path / "small.onnx", tmp_path / "policy.onnx"
    code, text, warnings = program("export", folder, "--int8", "--out", file, "--episodes", 3)
    assert code == 0
    edgerl.export(folder, float_file)
    said, float_said = said_in(file), said_in(float_file)
    figures = said.pop("int8")
    assert said == float_said
    assert (figures["calibration_windows"], figures["windows"], figures["within"]) == (256, 1024, None)
    assert figures["nbytes"] == {"float": float_file.stat().st_size, "int8": file.stat().st_size}
    assert figures["nbytes"]["int8"] < figures["nbytes"]["float"] / 2
    scored = evaluate_run(folder, episodes=3, seed=0, threads=1, say=print)
    assert {"env": "toy/catch", "step": 120, **figures["scores"]["float"]} == scored
    assert (len(figures["scores"]["int8"]["scores"]), figures["seed"]) == (3, 0)
    assert 0.9 <= figures["agreement"] <= 1
    assert len(warnings) == (figures["agreement"] < 0.99)
    assert f"int8 takes the same action on {figures['agreement']:.1%} of 1,024 windows (calibrated on 256 ot" in text
    assert f"small.onnx ({format_bytes(file.stat().st_size)}; the float policy: " in text
    assert f"score in 3 games, seed 0: float {figure(scored['mean'])} +- " in text


@pytest.mark.parametrize("name", quick(RUNS, *QUICK))
@pytest.mark.usefixtures("few")
def test_it_is_valid_and_the_runner_plays_it_as_any_policy(name, trained, tmp_path):
    file, float_file = tmp_path / "small.onnx", tmp_path / "policy.onnx"
    written, figures = int8.export_int8(trained(name), file, episodes=1)
    edgerl.export(trained(name), float_file)
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version <= 8, model.opset_import[0].version <= 17) == (True, True)
    assert {each.domain for each in model.opset_import} == {""}
    assert signature(file) == signature(float_file)
    held = {array.data_type for array in model.graph.initializer if array.name.endswith("weight_quantized")}
    assert held == {onnx.TensorProto.INT8}
    small, large = edgerl_run.Player(file), edgerl_run.Player(float_file)
    assert small.about["int8"]["nbytes"]["int8"] == written.nbytes == figures.nbytes["int8"]
    rng = np.random.default_rng(3)
    env = edgerl.make_env(RUNS[name]["env"], rng)
    timestep = env.reset()
    for _ in range(5):
        frame = env.render() if env.spec.continuous else timestep.window[-1]
        action, other = small.act(frame), large.act(frame)
        assert type(action) is type(other)
        if env.spec.continuous:
            np.testing.assert_allclose(action, other, atol=0.2)
        else:
            np.testing.assert_allclose(small.values, large.values, atol=0.3)
        timestep = env.step(random_action(env, rng))


@pytest.mark.usefixtures("few")
def test_two_exports_are_the_same_bytes(trained, tmp_path):
    for name in ("one", "two"):
        int8.export_int8(trained("dqn"), tmp_path / name, episodes=1)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.usefixtures("few")
def test_an_action_that_is_a_vector_agrees_within_a_share_of_its_range(trained, tmp_path, program):
    file = tmp_path / "small.onnx"
    code, text, _ = program("export", trained("sac"), "--int8", "--out", file, "--episodes", 1)
    assert code == 0
    assert "int8 takes an action within 1% of the range on " in text
    assert said_in(file)["int8"]["within"] == 0.01


def test_agreement_is_a_share_of_rows():
    assert int8.agreement(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1]), None) == 0.75
    bounds = np.array([-2.0, 0.0]), np.array([2.0, 1.0])
    own = np.zeros((4, 2))
    given = np.array([[0.039, 0.009], [0.041, 0], [0, -0.011], [-0.039, 0]])
    assert int8.agreement(own, given, bounds) == 0.5


def test_it_acts_in_the_agents_units(trained, tmp_path, few):
    """An environment of the program takes actions in [-1, 1], the file gives them between its own bounds."""
    edgerl.export(trained("sac"), tmp_path / "policy.onnx")
    bounds = np.float32([-2]), np.float32([2])
    actor = int8._Actor(runtime.Session(tmp_path / "policy.onnx"), bounds)
    policy = edgerl.load(trained("sac"))
    window = np.random.default_rng(0).integers(0, 256, (policy.spec.history, *policy.spec.frame), np.uint8)
    own = policy.act(window)
    acted = actor.act(policy.representation.see(window), explore=False)
    assert acted.dtype == np.float32
    np.testing.assert_allclose(acted, own, atol=1e-5)
    assert not np.allclose(scaled(own, *bounds), own)


@pytest.mark.usefixtures("few")
def test_too_few_equal_actions_are_said_plainly_and_the_file_is_written(trained, tmp_path, program, monkeypatch):
    monkeypatch.setattr(int8, "agreement", lambda own, given, bounds: 1013 / 1024)
    code, _, lines = program("export", trained("dqn"), "--int8", "--out", tmp_path / "small.onnx", "--episodes", 1)
    assert code == 0
    assert lines == ["edgerl: --int8: it agrees on 98.9% of the windows, below 99%; compare the scores"]
    assert (tmp_path / "small.onnx").exists()


@pytest.mark.parametrize(("options", "words"), [
    (["--int8", "--episodes", "0"], "--episodes: 0 is below 1"),
    (["--episodes", "3"], "--episodes: only --int8 plays games"),
])  # fmt: skip
def test_games_are_counted_from_one_and_only_played_for_int8(options, words, tmp_path, program):
    assert program("export", tmp_path / "no run", *options) == (2, "", [f"edgerl: {words}"])


def test_the_package_onnx_is_asked_for_in_one_line(trained, tmp_path, program, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    file = tmp_path / "small.onnx"
    said = program("export", trained("dqn"), "--int8", "--out", file)
    assert said == (2, "", ["edgerl: --int8: needs the package onnx: pip install onnx"])
    assert not file.exists()


@pytest.mark.usefixtures("few")
def test_a_disk_without_room_for_temporary_files_leaves_nothing(trained, tmp_path, temporary, program):
    with files_end_at(10_000):
        said = program("export", trained("dqn"), "--int8", "--out", tmp_path / "small.onnx", "--episodes", 1)
    assert said == (2, "", ["edgerl: --int8: its temporary files cannot be written: File too large"])
    assert list(temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == [temporary]


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("module", "name"), [(runtime.int8, "_reader"), (int8, "play_with")])
@pytest.mark.usefixtures("few")
def test_an_interruption_leaves_nothing(module, name, trained, tmp_path, temporary, program, monkeypatch):
    monkeypatch.setattr(module, name, interrupt)
    said = program("export", trained("dqn"), "--int8", "--out", tmp_path / "small.onnx", "--episodes", 1)
    assert said == (130, "", ["edgerl: interrupted"])
    assert list(temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == [temporary]
