"""Exported policies act as the program does: every agent, frozen or not, behind any cut; or nothing is written."""

import hashlib
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from cases import quick
from traced_export import weights_last

import edgerl
import edgerl_run
from edgerl.envs.base import interface, random_action
from edgerl.envs.simulator import scaled
from edgerl.experiments.export import export as exporting
from edgerl.experiments.export import windows as windowing
from edgerl.replay import crops
from edgerl.runs import checkpoint
from edgerl.training.policy import Policy

CATCH = {"env": "toy/catch", "budget": "1.5MB", "threads": 1, "steps": 120, "learn_start": 30, "hidden": 8}
CATCH |= {"batch_size": 4, "eval_every": 60, "eval_episodes": 1, "checkpoint_every": 60, "freeze_at": "never"}
PENDULUM = CATCH | {"env": "gym/Pendulum-v1", "budget": "3MB", "steps": 36, "batch_size": 2, "eval_every": 0}
RUNS = {
    "rainbow": CATCH,
    "rainbow frozen": CATCH | {"freeze_at": 80},
    "rainbow cut early": CATCH | {"freeze_at": 80, "cut": "conv1"},
    "rainbow frozen at once": CATCH | {"freeze_at": 0},
    "rainbow without noise": CATCH | {"noisy": False},
    "rainbow, canonical, cut early": CATCH | {"encoder": "canonical", "freeze_at": 80, "cut": "conv2", "steps": 90},
    "rainbow, impala": CATCH | {"encoder": "impala", "steps": 34},
    "rainbow, impala, cut early": CATCH | {"encoder": "impala", "steps": 34, "freeze_at": 32, "cut": "block1"},
    "rainbow, frames behind the freeze": CATCH | {"freeze_at": 80, "store": "pixels"},
    "rainbow, frames compressed": CATCH | {"pixel_codec": "lz4"},
    "dqn": CATCH | {"algo": "dqn"},
    "dqn frozen": CATCH | {"algo": "dqn", "freeze_at": 80},
    "dqn cut early": CATCH | {"algo": "dqn", "freeze_at": 80, "cut": "conv1"},
    "curl": PENDULUM | {"algo": "curl"},
    "curl frozen": PENDULUM | {"algo": "curl", "freeze_at": 33},
    "sac": PENDULUM | {"algo": "sac"},
    "sac cut early": PENDULUM | {"algo": "sac", "freeze_at": 33, "cut": "conv4"},
}
FEW = 40  # windows, where a thousand of them would take long


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(exporting, "WINDOWS", FEW)


def played(policy, count, seed):
    """Windows [history, *frame] of games with many random actions."""
    rng = np.random.default_rng(seed)
    env, windows = edgerl.make_env(policy.config.run.env, rng), []
    timestep = env.reset()
    for _ in range(count):
        windows.append(timestep.window.copy())
        action = random_action(env, rng) if rng.random() < 0.5 else policy.act(timestep.window)
        timestep = env.step(action)
        if timestep.terminated or timestep.truncated:
            timestep = env.reset()
    return windows


def seen(windows, side=84):
    """The same as a runner gives them to a policy: [B, channels, side, side]."""
    together = np.stack(windows).reshape(len(windows), -1, *windows[0].shape[-2:])
    return np.ascontiguousarray(crops.centre(together, side))


def metadata(file):
    (entry,) = onnx.load(file).metadata_props
    assert entry.key == "edgerl"
    return json.loads(entry.value, parse_constant=lambda word: pytest.fail(f"{word} is not strict JSON"))


@pytest.mark.parametrize("name", quick(RUNS, "rainbow", "rainbow frozen", "curl frozen"))
@pytest.mark.usefixtures("few")
def test_an_exported_policy_acts_as_the_program_does(name, trained, tmp_path):
    file = tmp_path / "policy.onnx"
    parity = edgerl.export(trained(name), file)
    assert (parity["windows"], parity["other_actions"]) == (FEW, 0)
    assert parity["largest_difference"] < 1e-5
    session, policy = onnxruntime.InferenceSession(file), edgerl.load(trained(name))
    windows = played(policy, 30, seed=5)
    own = np.array([policy.act(window) for window in windows])
    together = dict(
        zip([out.name for out in session.get_outputs()], session.run(None, {"windows": seen(windows)}), strict=True)
    )
    alone = [session.run(["action"], {"windows": seen([window])})[0] for window in windows]
    if policy.spec.continuous:
        assert together["log_std"].shape == own.shape
        assert together["log_std"].dtype == together["action"].dtype == np.float32
        own, tolerance = scaled(own, np.float32([-2]), np.float32([2])), 1e-4
        assert (np.abs(together["action"]) <= 2).all()
    else:
        tolerance = 0
        assert together["values"].shape == (30, policy.spec.actions)
        assert together["action"].dtype == np.int64
        np.testing.assert_array_equal(together["values"].argmax(axis=1), together["action"])
    np.testing.assert_allclose(together["action"], own, rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.concatenate(alone), own, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", quick(RUNS, "rainbow", "dqn frozen", "curl frozen"))
def test_a_policy_has_the_networks_of_its_run_and_leaves_the_moments_where_they_are(name, trained):
    saved, (own, _) = checkpoint.newest(trained(name) / "checkpoint").agent_arrays, Policy(trained(name)).agent.state()
    moments = [array for key, array in own.items() if key.startswith("optimizer.")]
    assert moments
    assert not any(array.any() for array in moments)
    for key in own:
        if not key.startswith("optimizer."):
            np.testing.assert_array_equal(own[key], saved[key])


@pytest.mark.parametrize("name", ["rainbow frozen", "curl frozen"])
@pytest.mark.usefixtures("few")
def test_the_runner_plays_it_from_raw_frames_as_the_program_does(name, trained, tmp_path):
    """The runner sees what the environment draws: it resizes, turns to gray, stacks and crops by itself."""
    edgerl.export(trained(name), tmp_path / "policy.onnx")
    policy, player = edgerl.load(trained(name)), edgerl_run.Player(tmp_path / "policy.onnx")
    rng = np.random.default_rng(3)
    env = edgerl.make_env(policy.config.run.env, rng)
    timestep = env.reset()
    for _ in range(12):
        own = policy.act(timestep.window)
        action = player.act(env.render() if policy.spec.continuous else timestep.window[-1])
        if policy.spec.continuous:
            own = scaled(own, np.float32([-2]), np.float32([2]))
        np.testing.assert_allclose(action, own, atol=1e-4)
        timestep = env.step(random_action(env, rng))
        if timestep.terminated or timestep.truncated:
            timestep = env.reset()
            player.reset()


@pytest.mark.parametrize("name", ["rainbow cut early", pytest.param("rainbow, impala", marks=pytest.mark.long), "sac"])
@pytest.mark.usefixtures("few")
def test_the_file_is_valid_onnx_that_says_what_it_is(name, trained, tmp_path):
    file = tmp_path / "policy.onnx"
    edgerl.export(trained(name), file)
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert weights_last(model) == file.read_bytes()
    assert model.opset_import[0].version <= 17
    assert model.ir_version <= 8
    assert all(len(said.doc_string) > 20 for said in (model.graph, *model.graph.input, *model.graph.output))
    names = [node.name for node in model.graph.node]
    assert names == [node.output[0] for node in model.graph.node]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "cut", "shape"), [
    ("rainbow cut early", "conv1", [32, 16, 16]),
    ("curl frozen", "fc", [2, 50]),
])  # fmt: skip
def test_the_encoder_in_a_runs_folder_says_what_it_is(name, cut, shape, trained):
    file = trained(name) / "encoder.onnx"
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert weights_last(model) == file.read_bytes()
    (output,), (entry,) = model.graph.output, model.metadata_props
    assert (output.name, [axis.dim_value for axis in output.type.tensor_type.shape.dim[1:]]) == ("latents", shape)
    assert all(len(said.doc_string) > 20 for said in (model.graph, *model.graph.input, output))
    settings = edgerl.configure(**RUNS[name])
    said = {"format": 1, "env": settings.run.env, "algo": settings.run.algo, "encoder": settings.agent.encoder}
    assert (entry.key, json.loads(entry.value)) == ("edgerl_encoder", said | {"cut": cut})


def test_a_thousand_windows_are_compared_and_the_file_says_what_was_found(trained, tmp_path, program):
    folder, file = trained("rainbow frozen"), tmp_path / "policy.onnx"
    code, text, warnings = program("export", folder, "--out", file)
    assert (code, warnings) == (0, [])
    said, saved = metadata(file), folder / "checkpoint" / "000000120"
    parity = said.pop("parity")
    assert (parity["windows"], parity["other_actions"]) == (1000, 0)
    assert (
        f"compared over 1,000 windows: largest difference {parity['largest_difference']:.1e}, 0 other actions" in text
    )
    assert f"toy/catch, rainbow, step 120: {file} (" in text
    versions, scores, licence = said.pop("versions"), said.pop("scores"), said.pop("licence")
    assert versions["edgerl"] == edgerl.__version__
    assert "MIT" in licence
    summary = json.loads((folder / "summary.json").read_text())
    assert [score["step"] for score in scores] == [60, 120]
    assert scores == [
        {name: score[name] for name in ("step", "episodes", "mean", "std")} for score in summary["returns"]
    ]
    assert said == {
        "format": 1,
        "env": "toy/catch",
        "algo": "rainbow",
        "seed": 0,
        "steps": 120,
        "checkpoint_sha256": hashlib.sha256((saved / "weights.safetensors").read_bytes()).hexdigest(),
        "frame": {"height": 84, "width": 84, "colour": "gray", "resize": "none", "stored": [84, 84]},
        "window": {"frames": 4, "before_first": "zeros"},
        "environment": {"frame_skip": 1, "max_of_last_two": False, "observation": None, "most_steps": 27_000},
        "action": {"kind": "discrete", "count": 3, "meanings": ["left", "stay", "right"]},
    }


@pytest.mark.usefixtures("few")
def test_a_policy_whose_actions_are_vectors_says_their_bounds_and_its_crop(trained, tmp_path):
    edgerl.export(trained("sac"), tmp_path / "policy.onnx")
    said = metadata(tmp_path / "policy.onnx")
    assert said["action"] == {"kind": "continuous", "size": 1, "low": [-2.0], "high": [2.0]}
    assert said["frame"] == {"height": 84, "width": 84, "colour": "rgb", "resize": "area", "stored": [100, 100]}
    assert said["window"] == {"frames": 3, "before_first": "first"}


@pytest.mark.usefixtures("few")
def test_two_exports_of_a_run_are_the_same_bytes(trained, tmp_path):
    for name in ("one", "two"):
        edgerl.export(trained("rainbow frozen"), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def quick(policy, env, count):
    """The windows that an export would compare on; the action is always 0."""
    windows = []
    windowing.show_windows(policy, env, count, lambda window: windows.append(window.copy()) or 0)
    return windows


@pytest.mark.parametrize("name", ["rainbow", "rainbow, frames behind the freeze", "rainbow, frames compressed"])
def test_windows_are_those_of_the_replay_while_it_holds_frames(name, trained):
    policy = Policy(trained(name))
    count = 120 - policy.config.replay.n_step  # all rows that may start a window
    windows = np.stack(quick(policy, None, count))
    assert windows.shape == (count, 4, 84, 84)
    first = np.arange(count) % 6 == 0  # a game of toy/catch has six windows
    assert not windows[first, :-1].any()
    later = np.flatnonzero(~first)
    np.testing.assert_array_equal(windows[later, :-1], windows[later - 1, 1:])
    assert windows[:, -1].any(axis=(1, 2)).all()


def test_windows_are_played_if_the_replay_holds_too_few_or_latents_or_is_too_large(trained, monkeypatch):
    policy, env = Policy(trained("rainbow")), edgerl.make_env("toy/catch", np.random.default_rng(0))
    assert len(quick(policy, env, 121)) == 121
    assert len(quick(Policy(trained("rainbow frozen")), env, 20)) == 20
    stored = quick(policy, env, 20)
    monkeypatch.setattr(windowing.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 2_900_000}))
    assert not np.array_equal(quick(policy, env, 20), stored)


@pytest.mark.parametrize(("name", "facts"), [
    ("atari/qbert", ("linear", True, ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN"), None)),
    ("gym/CartPole-v1", ("area", False, None, None)),
    ("gym/Pendulum-v1", ("area", False, None, ([-2], [2]))),
    ("dmc/walker-walk", ("none", False, None, ([-1] * 6, [1] * 6))),
    ("toy/catch", ("none", False, ("left", "stay", "right"), None)),
    ("edgerl.envs.toy:Catch", ("none", False, ("left", "stay", "right"), None)),
])  # fmt: skip
def test_an_environment_says_what_lies_between_it_and_the_real_one(name, facts):
    own = interface(edgerl.make_env(name, np.random.default_rng(0)))
    resize, max_of_last_two, meanings, bounds = own[:4]
    assert own.observation == ("render" if name.startswith("gym/") else None)
    found = None if bounds is None else tuple(bound.tolist() for bound in bounds)
    assert (resize, max_of_last_two, meanings, found) == facts


def test_what_an_environment_does_not_say_is_taken_as_nothing():
    assert interface(object()) == ("none", False, None, None, None, None)
