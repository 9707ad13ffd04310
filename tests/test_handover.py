"""When a run hands over to another program, what starts that, and what is not meant for it."""

import json
import os
import sys
from types import SimpleNamespace

import pytest

from edgerl.training import handover


def test_when_torch_is_idle(monkeypatch):
    def idle(launcher=("edgerl",), keep_torch=False, accelerator="cpu", needs_torch=False):
        run = SimpleNamespace(keep_torch=keep_torch, accelerator=accelerator)
        agent = SimpleNamespace(needs_torch=needs_torch)
        return handover.torch_is_idle(SimpleNamespace(launcher=launcher, agent=agent, config=SimpleNamespace(run=run)))

    assert idle()
    assert idle(accelerator="auto")
    assert not idle(launcher=None)
    assert not idle(keep_torch=True)
    assert not idle(accelerator="cuda")
    assert not idle(needs_torch=True)
    monkeypatch.delitem(sys.modules, "torch")
    assert not idle()


def test_a_program_starts_again_as_it_was_started(monkeypatch):
    for started, own, words in (
        (["python", "/venv/bin/edgerl", "train", "--quiet"], ["train", "--quiet"], ["/venv/bin/edgerl"]),
        (["python", "-P", "-m", "edgerl", "train"], ["train"], ["-P", "-m", "edgerl"]),
    ):
        monkeypatch.setattr(sys, "orig_argv", started)
        monkeypatch.setattr(sys, "argv", ["edgerl", *own])
        assert handover.launcher() == [sys.executable, *words]
    monkeypatch.setattr(sys, "orig_argv", ["python", "mine.py"])  # a script that calls the program's main
    assert handover.launcher() is None


FOREIGN = {"another process": {"pid": 1}, "another run": {"folder": "/elsewhere"}, "another version": {"more": 1}}


@pytest.mark.parametrize("case", [*FOREIGN, "no JSON", "no table"])
def test_what_was_handed_to_another_is_ignored(case, tmp_path, monkeypatch):
    own = {"pid": os.getpid(), "folder": str(tmp_path), "lock": 0, "signals": 0, "began": 0.0, "held": 0, "baseline": 0}
    own |= {"peak": 0, "step": 0, "tenths": 0, "metrics": {}}
    text = {"no JSON": "{", "no table": "[1]"}.get(case) or json.dumps(own | FOREIGN[case])
    monkeypatch.setenv(handover.VARIABLE, text)
    with handover.received(tmp_path) as handed:
        assert handed is None
    assert handover.VARIABLE not in os.environ
