"""Environments of users' own and the signals that end a run: both are asked to end, and neither handles for both."""

import signal

import pytest
from misbehaving import SMALL
from stopping import stopped_after

import edgerl
from edgerl.runs.signals import Interruption, handle_again, handling


@pytest.fixture(autouse=True)
def handler():
    """Ctrl-C is the test's again, whatever an environment has made of it."""
    kept = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, kept)


def test_an_environment_that_ends_with_the_ctrl_c_has_not_failed(mine, tmp_path, capsys):
    config = edgerl.configure(env="mine:Interrupting", **SMALL)
    ended = edgerl.train(config, tmp_path / "run", quiet=False)
    assert (ended["status"], ended["steps"], ended["checkpoint"]) == ("interrupted", 39, "checkpoint/000000039")
    said = capsys.readouterr().err
    assert "step 39: plain failed: step() raised EOFError: the simulator has ended (mine.py, line " in said
    assert "), as the run was interrupted\n" in said
    mine.calls.clear()
    resumed = edgerl.train(config, tmp_path / "run", resume=True)
    assert (resumed["status"], resumed["steps"], resumed["episodes_restarted"]) == ("finished", 60, 1)


def test_one_that_cannot_be_closed_after_the_ctrl_c_has_not_failed(mine, tmp_path):
    mine.faults["close"] = 1
    with stopped_after(30):
        ended = edgerl.train(edgerl.configure(env="mine:Plain", **SMALL), tmp_path / "run")
    assert (ended["status"], ended["checkpoint"]) == ("interrupted", "checkpoint/000000030")


@pytest.mark.parametrize("step", [22, 30])
def test_one_that_handles_ctrl_c_itself_does_not_take_it_from_the_run(step, mine, tmp_path):
    config = edgerl.configure(env="mine:Handling", **SMALL | {"eval_every": 20})
    with stopped_after(step):
        ended = edgerl.train(config, tmp_path / "run")
    assert (ended["status"], ended["steps"]) == ("interrupted", step)


def test_a_signal_that_arrives_while_handlers_are_taken_back_is_handled_once(monkeypatch):
    getsignal, stopped = signal.getsignal, []
    handler = Interruption(lambda: stopped.append(True))

    def interrupted(number):
        if not stopped:
            handler(signal.SIGINT, None)
        return getsignal(number)

    with handling(handler):
        monkeypatch.setattr(signal, "getsignal", interrupted)
        handle_again()
        handle_again()
        assert getsignal(signal.SIGINT) is signal.default_int_handler  # a second Ctrl-C ends the program
        assert getsignal(signal.SIGTERM) is handler
