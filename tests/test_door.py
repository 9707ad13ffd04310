"""Environments of users' own that misbehave: what the door lets in, what it refuses, and what a failure leaves."""

import importlib
import json
import sys

import numpy as np
import pytest
import safetensors.numpy
from stopping import stopped_after

import edgerl
from edgerl.envs import resumable, suites
from edgerl.envs.door import Door
from edgerl.errors import EnvError, EnvFailed, EpisodeLost
from edgerl.types import TimeStep

MODULE = """
import sys

import numpy as np

from edgerl.envs import EnvSpec
from edgerl.types import TimeStep

made, closed, calls = [], [], []
faults = {}  # by method: at which of its calls it fails
once = []  # filled while the only instance of Once exists


class Plain:
    \"\"\"Episodes of seven steps, of which each counts one.\"\"\"

    spec = EnvSpec(frame=(84, 84), history=2, actions=2, repeat=1)
    actions, name = 2, "plain"

    def __init__(self, rng):
        made.append(self)
        self.rng, self.window, self.age = rng, np.zeros((2, 84, 84), np.uint8), 0

    def reset(self):
        self.count("reset")
        self.age, self.window[:] = 0, 0
        return TimeStep(self.window, 0.0, False, False, False)

    def step(self, action):
        self.count("step")
        self.age += 1
        self.window[0] = self.window[1]
        self.window[1] = 20 * self.age + 10 * action + self.rng.integers(10)
        return TimeStep(self.window, 1.0, self.age == 7, False, self.age == 7)

    def close(self):
        closed.append(self)
        self.count("close")

    def count(self, method):
        calls.append(method)
        if calls.count(method) == faults.get(method):
            raise ValueError(f"no more {method}\\nof two lines")  # the line that is named


class Saving(Plain):
    def state(self):
        self.count("state")
        return {"window": self.window}, {"age": self.age, "rng": self.rng.bit_generator.state}

    def restore(self, arrays, values):
        self.count("restore")
        self.window[:] = arrays["window"]
        self.age, self.rng.bit_generator.state = values["age"], values["rng"]


class Once(Plain):
    def __init__(self, rng):
        if once:
            raise OSError("the camera is in use")
        super().__init__(rng)
        once.append(self)

    def close(self):
        super().close()
        once.remove(self)


class Endless(Plain):
    def step(self, action):
        return super().step(action)._replace(terminated=False, over=False)


class Unnamed(Plain):
    name = property(lambda self: (_ for _ in ()).throw(AttributeError("name")))


class ManyActions(Plain):
    spec, actions = Plain.spec._replace(actions=300), 300


class NoAction(Plain):
    spec, actions = Plain.spec._replace(actions=0), 0


class OtherActions(Plain):
    actions = 3


class FlatSpec(Plain):
    spec = Plain.spec._replace(frame=84)


class FloatWindow(Plain):
    def __init__(self, rng):
        super().__init__(rng)
        self.window = np.zeros((2, 84, 84), np.float32)


class SmallWindow(Plain):
    def __init__(self, rng):
        super().__init__(rng)
        self.window = np.zeros((2, 80, 80), np.uint8)


class Five(Plain):
    def step(self, action):
        window, reward, terminated, truncated, _ = super().step(action)
        return window, reward, terminated, truncated, {}


class ResetOfTwo(Plain):
    def reset(self):
        return super().reset().window, {}


class Huge(Plain):
    def step(self, action):
        return super().step(action)._replace(reward=1e308)


class Misspelt(Plain):
    def __init__(self, rng):
        self.rmg.integers(2)  # the line that is named


class Leaving(Plain):
    def __init__(self, rng):
        sys.exit(0)  # the line that is named


class Quitting(Plain):
    def step(self, action):
        if calls.count("step") == 39:
            sys.exit(0)
        return super().step(action)
"""
SMALL = {"budget": 3_000_000, "threads": 1, "steps": 60, "freeze_at": "never", "learn_start": 20, "batch_size": 4}
SMALL |= {"algo": "rainbow", "hidden": 8, "eval_every": 0, "checkpoint_every": 0, "eval_episodes": 2}
TIMED = ("checksum", "metrics_bytes", "sha256", "segments")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The module of environments, new for each test."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("mine")
    del sys.modules["mine"]


def opened(name):
    return suites.make(f"mine:{name}", np.random.default_rng(0), training=True)


def place(statement):
    """Where a statement stands in the module, as an error names it."""
    lines = MODULE.splitlines()
    return f"(mine.py, line {next(n for n, line in enumerate(lines, 1) if line.strip().startswith(statement))})"


def left(folder, step):
    """All that a run leaves at this step, without timings."""
    file = folder / "checkpoint" / f"{step:09d}"
    state = json.loads((file / "state.json").read_text())
    return safetensors.numpy.load_file(file / "weights.safetensors"), {
        name: value for name, value in state.items() if name not in TIMED
    }


def assert_same(folder, other, step):
    (arrays, values), (others, other_values) = left(folder, step), left(other, step)
    assert values == other_values
    assert arrays.keys() == others.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ManyActions", "its spec has 300 actions; allowed are 256 at most"),
        ("NoAction", "its spec has actions = 0; allowed is a whole number from 1"),
        ("OtherActions", "it has 3 actions, its spec 2"),
        ("FlatSpec", "its spec's frame is 84; allowed is (H, W) or (C, H, W)"),
        ("FloatWindow", "the window is float32 [2, 84, 84]; allowed is uint8 [2, 84, 84]"),
        ("SmallWindow", "the window is uint8 [2, 80, 80]; allowed is uint8 [2, 84, 84]"),
        ("Five", "step() gave a tuple of 5, as Gymnasium's environments do, not a TimeStep(window, reward"),
        ("ResetOfTwo", "reset() gave a tuple of 2, as Gymnasium's environments do, not a TimeStep(window, reward"),
        ("Huge", "the reward is 1e+308; allowed is a number that float32 holds"),
        ("Misspelt", f"AttributeError: 'Misspelt' object has no attribute 'rmg' {place('self.rmg')}"),
        ("Leaving", f"SystemExit: 0 {place('sys.exit')}"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_before_step_0_and_closed(name, line, mine, program, tmp_path):
    settings = ("--budget", "3MB", "--freeze-at", "never", "--steps", 100, "--eval-every", 50)
    code, _, lines = program("train", "--env", f"mine:{name}", *settings, "--out", tmp_path / "run")
    assert (code, len(lines)) == (2, 1), lines
    assert line in lines[0]
    assert not (tmp_path / "run").exists()
    assert set(mine.closed) == set(mine.made)


def test_a_first_reset_that_fails_is_refused_before_step_0(mine, program, tmp_path):
    mine.faults["reset"] = 1
    code, _, lines = program("train", "--env", "mine:Plain", "--budget", "3MB", "--out", tmp_path / "run")
    assert code == 2
    assert lines[-1].endswith(f"plain failed: reset() raised ValueError: no more reset of two lines {place('raise V')}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "reward"),
    [(1, 1.0), (np.float32(0.5), 0.5), (np.int64(-3), -3.0), (np.array([2.0]), 2.0), (np.array(7), 7.0), (True, 1.0)],
)
def test_a_number_of_any_kind_is_a_reward(given, reward, mine, monkeypatch):
    env, step = opened("Plain"), mine.Plain.step
    monkeypatch.setattr(mine.Plain, "step", lambda self, action: step(self, action)._replace(reward=given))
    env.reset()
    timestep = env.step(0)
    assert (timestep.reward, type(timestep.reward)) == (reward, float)


@pytest.mark.parametrize("given", [True, np.bool_(True), 1, 1.0, np.array([True]), np.uint8(1)])
def test_a_flag_of_any_kind_is_true_or_false(given, mine, monkeypatch):
    env, step = opened("Plain"), mine.Plain.step
    flags = {"terminated": given, "over": given, "truncated": given * 0}
    monkeypatch.setattr(mine.Plain, "step", lambda self, action: step(self, action)._replace(**flags))
    env.reset()
    assert [flag for flag in env.step(0)[2:] if isinstance(flag, bool)] == [True, False, True]


@pytest.mark.parametrize(
    ("field", "given", "line"),
    [
        *(("reward", value, f"the reward is {value!r}; allowed is") for value in (None, "1.0", [1.0, 2.0], 1e39, 1j)),
        *(("reward", float(value), f"the reward is {value}; allowed is") for value in ("nan", "inf", "-inf")),
        *(("terminated", value, f"terminated is {value!r}; allowed is") for value in (None, 2, "no", [True, False])),
        ("over", float("nan"), "over is nan; allowed is True or False"),
        ("window", None, "the window is a NoneType; allowed is uint8"),
        ("window", np.zeros((2, 84, 84)), "the window is float64 [2, 84, 84]; allowed is uint8"),
        ("window", np.zeros((4, 84, 84), np.uint8), "the window is uint8 [4, 84, 84]; allowed is uint8 [2, 84, 84]"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line(field, given, line, mine, monkeypatch):
    env, step = opened("Plain"), mine.Plain.step
    monkeypatch.setattr(mine.Plain, "step", lambda self, action: step(self, action)._replace(**{field: given}))
    env.reset()
    with pytest.raises(EnvFailed) as failed:
        env.step(0)
    assert str(failed.value).startswith(f"plain failed: {line}")
    assert "\n" not in str(failed.value)


def test_what_is_right_passes_as_it_is(mine):
    given = TimeStep(np.zeros((2, 84, 84), np.uint8), 1.0, False, False, False)
    env = opened("Plain")
    env.env.step = lambda action: given
    assert env.step(0) is given
    assert env.window is given.window


@pytest.mark.parametrize(
    ("name", "method", "call", "step"),
    [
        ("Plain", "step", 40, 39),
        ("Plain", "reset", 5, 28),  # the first call is before step 0
        ("Saving", "step", 40, 39),
        ("Saving", "reset", 5, 28),
        ("Saving", "state", 2, 50),  # the first call is at step 0
        ("Saving", "state", 3, 60),
        ("Plain", "close", 1, 60),
    ],
)
def test_a_failure_leaves_the_last_whole_step_a_line_and_a_traceback(name, method, call, step, mine, tmp_path):
    mine.faults[method] = call
    config = edgerl.configure(env=f"mine:{name}", **SMALL | {"checkpoint_every": 50})
    with pytest.raises(EnvFailed) as failed:
        edgerl.train(config, tmp_path / "run")
    line, file = str(failed.value), tmp_path / "run/environment-error.txt"
    raised = f"{method}() raised ValueError: no more {method} of two lines {place('raise V')}"
    assert line.startswith(f"step {step}: plain failed: {raised}")
    assert "\n" not in line
    assert f"the whole traceback is in {file}" in line
    assert file.read_text().startswith("Traceback (most recent call last)")
    assert file.read_text().endswith(f"no more {method}\nof two lines\n")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["status"], summary["steps"], summary["replay"]["rows"]) == (
        "failed",
        step,
        step + (method == "step"),  # the episode that failed is cut off, with a row of its own
    )
    assert summary["checkpoint"] == f"checkpoint/{step:09d}"
    assert mine.made == mine.closed

    resumed = edgerl.train(config, tmp_path / "run", resume=True)
    assert (resumed["status"], resumed["steps"]) == ("finished", 60)
    assert resumed["episodes_restarted"] == (method == "step")
    assert not file.exists()


def test_one_that_ends_the_program_is_a_failure_too(mine, program, tmp_path):
    (tmp_path / "settings.toml").write_text(edgerl.configure(env="mine:Quitting", **SMALL).to_toml())
    code, _, lines = program("train", "--config", tmp_path / "settings.toml", "--quiet", "--out", tmp_path / "run")
    assert (code, len(lines)) == (1, 1), lines
    assert lines[0].startswith("edgerl: step 39: plain failed: step() raised SystemExit: 0 (mine.py, line ")
    assert lines[0].endswith(f"; go on with --resume {tmp_path / 'run'}")
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "failed"
    assert (tmp_path / "run/checkpoint/000000039").is_dir()


def test_a_restore_that_fails_leaves_the_checkpoint_to_go_on_from(mine, tmp_path):
    config = edgerl.configure(env="mine:Saving", **SMALL)
    with stopped_after(30):
        edgerl.train(config, tmp_path / "run")
    mine.faults["restore"] = 1
    with pytest.raises(EnvFailed, match=r"restore\(\) raised ValueError"):
        edgerl.train(config, tmp_path / "run", resume=True)
    assert (tmp_path / "run/environment-error.txt").exists()
    assert edgerl.train(config, tmp_path / "run", resume=True)["status"] == "finished"


def test_a_state_that_no_checkpoint_holds_is_a_failure(mine, tmp_path, monkeypatch):
    for state in (({"window": [1]}, {}), ({}, {"age": object()}), ({}, {"age": float("nan")}), None):
        monkeypatch.setattr(mine.Saving, "state", lambda self, state=state: state)
        env = opened("Saving")
        env.reset()
        with pytest.raises(EnvFailed, match=r"state\(\) raised"):
            env.state()
        arrays, values = env.state()  # of what has failed: the checkpoint is written all the same
        with pytest.raises(EpisodeLost, match=r"state\(\) raised"):
            opened("Saving").restore(arrays, json.loads(json.dumps(values)))


def test_what_is_no_exception_and_what_cannot_say_what_it_is_are_failures_too(mine):
    class Odd(BaseException):
        def __str__(self):
            raise ValueError

    def odd(action):
        raise Odd

    env = opened("Plain")
    env.env.step = odd
    with pytest.raises(EnvFailed, match=r"^plain failed: step\(\) raised Odd \("):
        env.step(0)


def test_ctrl_c_within_the_environment_passes(mine):
    def interrupted(action):
        raise KeyboardInterrupt

    env = opened("Plain")
    env.env.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        env.step(0)


def test_one_without_a_name_is_called_as_the_option_calls_it(mine, tmp_path, capsys):
    config = edgerl.configure(env="mine:Unnamed", **SMALL | {"steps": 30})
    assert edgerl.train(config, tmp_path / "run", quiet=False)["env"] == "mine:Unnamed"
    assert "mine:Unnamed: the environment has no name of its own; --env names it\n" in capsys.readouterr().err


def test_what_exists_once_is_evaluated_between_two_of_its_episodes(mine, tmp_path, capsys):
    """A run of 60 steps whose episodes end at 7, 14, ...: evaluations of 20, 40 and 60 are played at 21, 42 and 60."""
    config = edgerl.configure(env="mine:Once", **SMALL | {"eval_every": 20})
    whole = edgerl.train(config, tmp_path / "whole", quiet=False)
    said = [line for line in capsys.readouterr().err.splitlines() if "training environment" in line]
    assert len(said) == 1
    assert said[0].startswith("evaluations are played on the training environment, after an episode: ")
    assert "OSError: the camera is in use (mine.py, line" in said[0]
    assert [(entry["step"], entry["mean"]) for entry in whole["returns"]] == [(21, 7.0), (42, 7.0), (60, 7.0)]
    assert whole["training"]["games"] == 8
    assert whole["replay"]["rows"] == 60 + 1  # the last episode was cut off for the last evaluation
    assert mine.once == []
    with stopped_after(24):
        edgerl.train(config, tmp_path / "parts")
    edgerl.train(config, tmp_path / "parts", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts", 60)


def test_an_evaluation_on_the_training_environment_is_played_again_if_it_was_interrupted(mine, tmp_path):
    config = edgerl.configure(env="mine:Once", **SMALL | {"eval_every": 20})
    edgerl.train(config, tmp_path / "whole")
    with stopped_after(21):
        assert edgerl.train(config, tmp_path / "parts")["returns"] == []
    edgerl.train(config, tmp_path / "parts", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts", 60)


def test_evaluations_on_the_training_environment_do_not_change_training(mine, tmp_path):
    for name, every in (("with", 20), ("without", 0)):
        edgerl.train(edgerl.configure(env="mine:Once", **SMALL | {"eval_every": every, "until": 56}), tmp_path / name)
    arrays, others = left(tmp_path / "with", 56)[0], left(tmp_path / "without", 56)[0]
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []


def test_a_game_without_an_end_is_cut_and_counts(mine, tmp_path, program):
    settings = SMALL | {"steps": 30, "eval_every": 30, "eval_max_steps": 12}
    ended = edgerl.train(edgerl.configure(env="mine:Endless", **settings), tmp_path / "run")
    (result,) = ended["returns"]
    assert (result["scores"], result["cut"]) == ([12.0, 12.0], 2)
    code, out, _ = program("eval", tmp_path / "run", "--episodes", 3, "--eval-max-steps", 5)
    assert code == 0
    assert "score 5 +- 0 (5 to 5)" in out
    assert "3 of 3 games were cut at their longest (--eval-max-steps)" in out
    code, _, lines = program("eval", tmp_path / "run", "--eval-max-steps", 0)
    assert (code, lines) == (2, ["edgerl: --eval-max-steps: 0 is below 1"])
    assert set(mine.made) == set(mine.closed)


@pytest.mark.parametrize("ending", ["finished", "interrupted", "failed", "refused"])
def test_every_environment_is_closed_at_every_end(ending, mine, tmp_path):
    mine.faults |= {"step": 50} if ending == "failed" else {}
    settings = SMALL | {"eval_every": 20} | ({"process_limit": 1_000_000} if ending == "refused" else {})
    config = edgerl.configure(env="mine:Plain", **settings)
    if ending == "finished":
        assert edgerl.train(config, tmp_path / "run")["status"] == ending
    elif ending == "interrupted":
        with stopped_after(30):
            assert edgerl.train(config, tmp_path / "run")["status"] == ending
    else:
        with pytest.raises((EnvFailed, edgerl.ConfigError)):
            edgerl.train(config, tmp_path / "run")
    assert len(mine.made) == {"finished": 5, "interrupted": 3, "failed": 3, "refused": 1}[ending]
    assert sorted(map(id, mine.closed)) == sorted(map(id, mine.made))  # each once


def test_the_actions_of_an_episode_without_an_end_are_kept_up_to_a_limit(mine, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(resumable, "LONGEST", 30)
    env = opened("Endless")
    env.reset()
    for _ in range(30):
        env.step(1)
    assert env.state()[0]["taken"].tolist() == [1] * 30
    for _ in range(10):
        env.step(1)
    assert len(env.env._taken) == 31
    assert len(env.state()[0]["taken"]) == 0
    config = edgerl.configure(env="mine:Endless", **SMALL)
    with stopped_after(40):
        edgerl.train(config, tmp_path / "run")
    resumed = edgerl.train(config, tmp_path / "run", resume=True, quiet=False)
    assert (resumed["status"], resumed["episodes_restarted"]) == ("finished", 1)
    said = "the episode under way starts again: it had more than 30 steps, and no more are played again"
    assert said in capsys.readouterr().err


def test_one_that_is_made_again_stands_where_it_stood(mine):
    env = opened("Once")
    env.reset()
    for action in (1, 0, 1):
        env.step(action)
    (arrays, values), window = env.state(), env.window.copy()
    env.close()
    env.open()
    env.restore(arrays, values)
    np.testing.assert_array_equal(env.window, window)
    assert (len(mine.made), len(mine.closed)) == (2, 1)


def test_ctrl_c_in_the_making_passes_and_an_environment_error_keeps_its_words():
    def interrupted():
        raise KeyboardInterrupt

    def refused():
        raise EnvError("--env: no such camera")

    with pytest.raises(KeyboardInterrupt):
        Door(interrupted, np.random.default_rng(0), "mine:make")
    with pytest.raises(EnvError, match=r"^--env: no such camera$"):
        Door(refused, np.random.default_rng(0), "mine:make")
