"""Starts that fail: whatever they fail of, they leave nothing behind, and the same start succeeds once it is mended."""

import errno
import importlib
import json
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from cases import quick
from stopping import stopped_after

import edgerl
from edgerl.errors import ConfigError, EnvError, FreezeError
from edgerl.runs import checkpoint, saver
from edgerl.training import freeze

MODULE = """
import sys

import numpy as np

from edgerl.envs.toy import Catch

errors = {}  # by method: what it raises


def fail(method):
    if method in errors:
        raise errors[method]


class Faulty(Catch):
    def __init__(self, rng):
        fail("__init__")
        super().__init__(rng)
        if "window" in errors:
            self.window = np.zeros(self.window.shape, np.float32)

    def reset(self):
        fail("reset")
        return super().reset()

    def restore(self, arrays, values):
        fail("restore")
        super().restore(arrays, values)
"""
SMALL = {"env": "faulty:Faulty", "algo": "rainbow", "budget": 3_000_000, "threads": 1, "steps": 60, "learn_start": 20}
SMALL |= {"freeze_at": "never", "batch_size": 4, "hidden": 8, "eval_every": 0, "checkpoint_every": 20}


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """The module of the environment, and a folder that is current, with room for temporary files beside it."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/faulty.py").write_text(MODULE)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "current").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    yield importlib.import_module("faulty")
    del sys.modules["faulty"]


def raising(method, error):
    """The environment's method raises this."""

    def begin(module, patch):
        module.errors[method] = error
        return {}

    return begin


def settings(**changed):
    """The run is configured like this."""
    return lambda module, patch: changed


def refusing(owner, name):
    """The disk refuses what this writes."""

    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")

    def begin(module, patch):
        patch.setattr(owner, name, refuse)
        return {}

    return begin


def parity_fails(module, patch):
    """ONNX Runtime does not agree with the trainer, whatever it gives."""
    patch.setattr(freeze, "TOLERANCE", -1.0)
    return {"freeze_at": 0}


# What begins the fault, given the module and a MonkeyPatch, and returns settings; and what the start then raises.
STARTS = {
    "the environment cannot be made": (raising("__init__", OSError("no camera")), EnvError),
    "the environment leaves as it is made": (raising("__init__", SystemExit(0)), EnvError),
    "Ctrl-C as the environment is made": (raising("__init__", KeyboardInterrupt()), KeyboardInterrupt),
    "the first reset fails": (raising("reset", ValueError("no ball")), EnvError),
    "Ctrl-C in the first reset": (raising("reset", KeyboardInterrupt()), KeyboardInterrupt),
    "the observation is refused": (raising("window", ValueError()), EnvError),
    "a budget below a batch": (settings(budget=1000), ConfigError),
    "a budget above the machine": (settings(budget=10**15), ConfigError),
    "a limit below the libraries": (settings(process_limit=50_000_000), ConfigError),
    "no run to begin with": (settings(encoder_from="nowhere"), ConfigError),
    "no place for the settings": (refusing(os, "fsync"), OSError),
    "no place for a file": (refusing(Path, "touch"), ConfigError),
    "no place for the first checkpoint": (refusing(saver, "Draft"), OSError),
    "parity fails at step 0": (parity_fails, FreezeError),
}


def tree(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def started_in_a_thread(config, out):
    """What `edgerl.train` raises in a thread of its own."""
    raised = []

    def start():
        try:
            edgerl.train(config, out)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    return raised[0]


SHOWN = ("the environment cannot be made", "Ctrl-C in the first reset", "a budget below a batch", "no place for a file")
SHOWN += ("no place for the first checkpoint", "the observation is refused")


@pytest.mark.parametrize("kind", quick(STARTS, *SHOWN))
def test_a_start_that_fails_leaves_nothing_and_what_was_there(kind, faulty, program, monkeypatch, tmp_path):
    fault, error = STARTS[kind]
    Path("there").mkdir()
    with monkeypatch.context() as patch:
        config = edgerl.configure(**SMALL | fault(faulty, patch))
        (tmp_path / "settings.toml").write_text(config.to_toml())
        before = tree(tmp_path)
        for out in ("there", "new/run", None):
            with pytest.raises(error):
                edgerl.train(config, out)
            assert tree(tmp_path) == before
        assert isinstance(started_in_a_thread(config, "new/run"), error)
        assert tree(tmp_path) == before
        code, _, lines = program("train", "--config", tmp_path / "settings.toml", "--quiet")
        assert (code in (1, 2, 130), len(lines)) == (True, 1), lines
        assert tree(tmp_path) == before
    faulty.errors.clear()
    assert edgerl.train(edgerl.configure(**SMALL), "new/run")["status"] == "finished"
    assert tree(Path("there")) == []


@pytest.mark.parametrize(
    "out", ["file", "file/run", f"new/{'long' * 100}", "link"], ids=["a file", "in a file", "too long", "a broken link"]
)
def test_a_folder_that_cannot_be_made_leaves_nothing(out, faulty, tmp_path):
    Path("file").write_text("a letter")
    Path("link").symlink_to("nowhere")
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match=r"^--out: .* cannot be written: "):
        edgerl.train(edgerl.configure(**SMALL), out)
    assert tree(tmp_path) == before
    assert Path("file").read_text() == "a letter"


def test_a_folder_that_holds_something_stays_as_it_is(faulty, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/letter").write_text("dear all")
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match="is not empty"):
        edgerl.train(edgerl.configure(**SMALL), tmp_path / "kept")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "option",
    [
        ("--encoder", "broken.toml"),
        ("--encoder", "none.toml"),
        ("--set", "hidden=many"),
        ("--device", "a_toaster"),
        ("--ort-provider", "an_abacus"),
    ],
)
def test_options_that_are_refused_leave_nothing(option, faulty, program, tmp_path):
    Path("broken.toml").write_text("layers = 3")
    before = tree(tmp_path)
    code, _, lines = program("train", "--env", "toy/catch", *option)
    assert (code, len(lines)) == (2, 1), lines
    assert tree(tmp_path) == before


def moving(path):
    """This is not where it is looked for."""

    def begin(module, patch):
        Path(path).rename("moved")
        return {}

    return begin


# What begins the fault, as above, and the exit code.
FORKS = {
    "no such run": (moving("source"), 2),
    "its metrics are gone": (moving("source/metrics.jsonl"), 1),
    "no place for its checkpoint": (refusing(checkpoint, "copy"), 1),
    "its episode cannot be restored": (raising("restore", ValueError("no")), 2),
}


@pytest.mark.parametrize("kind", quick(FORKS, "no such run", "no place for its checkpoint"))
def test_a_fork_that_cannot_begin_leaves_nothing(kind, faulty, program, monkeypatch, tmp_path):
    fault, expected = FORKS[kind]
    with stopped_after(30):
        edgerl.train(edgerl.configure(**SMALL), "source")
    shutil.copytree("source", "copy")
    with monkeypatch.context() as patch:
        fault(faulty, patch)
        before = tree(tmp_path)
        code, _, lines = program("train", "--fork", "source", "--freeze-at", 40, "--quiet", "--out", "new/run")
        assert (code, len(lines)) == (expected, 1), lines
        assert tree(tmp_path) == before
    faulty.errors.clear()
    shutil.copytree("copy", "source", dirs_exist_ok=True)
    code, _, lines = program("train", "--fork", "source", "--freeze-at", 40, "--quiet", "--out", "new/run")
    assert (code, lines) == (0, [])
    assert json.loads(Path("new/run/summary.json").read_text())["status"] == "finished"
