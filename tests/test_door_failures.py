"""Environments of users' own that fail during a run: what is left, and what is closed."""

import json

import numpy as np
import pytest
from misbehaving import SMALL, opened, place
from stopping import stopped_after

import edgerl
from edgerl.envs import resumable
from edgerl.envs.door import Door
from edgerl.errors import EnvError, EnvFailed, EpisodeLost
from edgerl.runs import tensor_file


@pytest.mark.parametrize(
    ("name", "method", "call", "step"),
    [
        ("Plain", "step", 40, 39),
        pytest.param("Plain", "reset", 5, 28, marks=pytest.mark.long),  # the first call is before step 0
        ("Saving", "step", 40, 39),
        pytest.param("Saving", "reset", 5, 28, marks=pytest.mark.long),
        ("Saving", "state", 3, 50),  # the first call is before step 0, the second at it
        pytest.param("Saving", "state", 4, 60, marks=pytest.mark.long),
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


def test_a_step_that_fails_right_after_a_checkpoint_is_got_past(mine, tmp_path):
    mine.faults["step"] = 40
    config = edgerl.configure(env="mine:Plain", **SMALL | {"checkpoint_every": 39})
    with pytest.raises(EnvFailed, match=r"^step 39: "):
        edgerl.train(config, tmp_path / "run")
    resumed = edgerl.train(config, tmp_path / "run", resume=True)
    assert (resumed["status"], resumed["episodes_restarted"]) == ("finished", 1)


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


NO_STATES = {
    "a list": ({"window": [1]}, {}),
    "an array of objects": ({"seen": np.array([None])}, {}),
    "an array of text": ({"seen": np.array(["a"])}, {}),
    "complex numbers": ({"seen": np.zeros(2, complex)}, {}),
    "bytes in the other order": ({"seen": np.zeros(2, np.dtype(np.float32).newbyteorder())}, {}),
    "a numbered array": ({3: np.zeros(2)}, {}),
    "an object": ({}, {"age": object()}),
    "no number": ({}, {"age": float("nan")}),
    "a numbered value": ({}, {"seen": [{"at": ({3: 1},)}]}),
    "nothing": None,
}


def test_a_state_that_no_checkpoint_holds_is_a_failure(mine, tmp_path, monkeypatch):
    for state in NO_STATES.values():
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


@pytest.mark.parametrize("method", ["reset", "step", "state", "restore", "render", "close"])
def test_an_iterator_that_is_used_up_is_a_failure_as_any_other(method, mine, monkeypatch):
    def used_up(*arguments):
        next(iter(()))

    env = opened("Saving")
    arguments = {"step": (0,), "restore": env.state()}.get(method, ())
    monkeypatch.setattr(env.env, method, used_up, raising=False)
    with pytest.raises(EnvFailed, match=rf"^plain failed: {method}\(\) raised StopIteration \("):
        getattr(env, method)(*arguments)


def test_all_numbers_that_a_checkpoint_holds_may_be_of_a_state(mine, monkeypatch):
    arrays = {kind: np.zeros(2, kind) for kind in tensor_file._NAMES.values()}
    monkeypatch.setattr(mine.Saving, "state", lambda self: (arrays, {"seen": (1, 2)}))
    env = opened("Saving")
    env.reset()
    assert env.state()[0].keys() == {"window", *arrays}


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
