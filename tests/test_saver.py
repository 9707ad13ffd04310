"""A checkpoint is made durable in a thread: what it holds does not depend on that, and no error is lost."""

import errno
import hashlib
import json
import os
import shutil
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from raw_arrays import raw_arrays
from saved_replays import CODECS, append, contents, copied, freeze, full, nothing_stray
from test_resume import final

from edgerl import configure
from edgerl.errors import TrainingError
from edgerl.runs import checkpoint
from edgerl.runs.checkpoint import Contents, newest
from edgerl.runs.files import digest
from edgerl.training import train
from edgerl.training.loop import TrainingLoop
from memory_budget import changes


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    """Small replays then have several dozens of segments."""
    monkeypatch.setattr(changes, "SMALLEST_SEGMENT", changes.PAGE)


@pytest.fixture(params=CODECS)
def run(request, tmp_path):
    """A run whose replay is full, and saved."""
    return full(tmp_path / "checkpoint", request.param)


def test_what_is_saved_is_what_was_there_when_it_began_whatever_happens_meanwhile(run, monkeypatch):
    disk, fsync, rng = threading.Event(), os.fsync, np.random.default_rng(0)
    append(run.replay, 40, rng)
    monkeypatch.setattr(os, "fsync", lambda descriptor: disk.wait(60) and fsync(descriptor))
    copy = copied(run.replay)
    arrays = {"weights": np.arange(3.0)}
    saved = contents(run.replay)
    run.saver.begin(2, Contents(arrays, saved.values, saved.raw, saved.spans), lambda: None)
    assert run.saver.writing
    assert newest(run.folder).values["step"] == 1
    arrays["weights"] += 1
    append(run.replay, 3000, rng)
    freeze(run.replay)
    append(run.replay, 100, rng)
    disk.set()
    run.saver.end()
    run.copies[2] = [(False, copy)]
    found = newest(run.folder)
    run.read(found)
    assert found.values["step"] == 2
    assert found.arrays["weights"].tolist() == [0, 1, 2]
    run.step, run.frozen = 2, True
    run.save()
    run.read(newest(run.folder))


def test_a_checkpoint_that_the_disk_refuses_in_the_thread_is_told_at_the_end_and_changes_nothing(run, monkeypatch):
    rng, before = np.random.default_rng(0), {file.name for file in (run.folder / "segments").iterdir()}
    append(run.replay, 40, rng)

    def refuse(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        assert run.saver.begin(2, contents(run.replay), lambda: None) > 0
        with pytest.raises(OSError, match=os.strerror(errno.EIO)) as refused:
            run.saver.end()
    assert refused.value.filename == str(run.folder / "000000002")
    assert run.saver.end() is None
    assert {file.name for file in (run.folder / "segments").iterdir()} == before
    append(run.replay, 5, rng)
    run.step = 2
    run.save()
    run.read(newest(run.folder))
    nothing_stray(run.folder)


def test_where_the_system_gives_no_thread_a_checkpoint_is_written_without(run, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    append(run.replay, 40, np.random.default_rng(0))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    run.save()
    assert run.saver.step == 0
    saved = newest(run.folder)
    assert saved.values["step"] == 2
    run.read(saved)


def test_an_interruption_of_the_wait_does_not_make_a_checkpoint_durable(run):
    """A second Ctrl-C comes while the run waits for its last checkpoint."""
    append(run.replay, 40, np.random.default_rng(0))
    disk, place = threading.Event(), run.folder / "000000002"
    run.saver.begin(2, contents(run.replay), lambda: disk.wait(60))
    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        run.saver.end()
    assert (run.saver.writing, place.exists()) == (True, False)
    threading.Timer(0.1, disk.set).start()
    assert run.saver.end() == place
    assert (run.saver.writing, place.exists()) == (False, True)


def test_segments_that_somebody_removed_are_written_again(run):
    for file in sorted((run.folder / "segments").iterdir())[::2]:
        file.unlink()
    run.save()
    run.read(newest(run.folder))


TINY = {"env": "toy/catch", "budget": "1.5MB", "threads": 1, "hidden": 8, "batch_size": 4, "eval_every": 0}
TINY |= {"steps": 60, "learn_start": 10, "checkpoint_every": 20, "freeze_at": "never"}


def test_a_run_that_fails_while_a_checkpoint_is_written_waits_for_it(tmp_path, monkeypatch):
    fsync, interact = os.fsync, TrainingLoop.interact

    def slow(descriptor):
        time.sleep(0.05)
        fsync(descriptor)

    def fail(loop):
        if loop.state.step == 21:
            assert loop.parts.saver.writing
            raise TrainingError("the loss is nan")
        if loop.state.step == 19:
            monkeypatch.setattr(os, "fsync", slow)
        interact(loop)

    monkeypatch.setattr(TrainingLoop, "interact", fail)
    with pytest.raises(TrainingError):
        train.train(configure(**TINY), tmp_path / "run", quiet=True)
    assert newest(tmp_path / "run/checkpoint").values["step"] == 20
    assert json.loads((tmp_path / "run/summary.json").read_text())["checkpoint"] == "checkpoint/000000020"


def of_format_2(place):
    """Make a checkpoint what an older version wrote: all in one folder, every large array in a file, no meters."""
    values = json.loads((place / "state.json").read_text()) | {"format": 2}
    for name, array in raw_arrays(place).items():
        array.tofile(place / f"{name}.raw")
        values["sha256"][f"{name}.raw"] = digest(place / f"{name}.raw")
    del values["checksum"], values["segments"], values["meters"]
    checksum = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    (place / "state.json").write_text(json.dumps({"checksum": checksum, **values}))


@pytest.mark.parametrize(
    "settings", [{"freeze_at": 30}, pytest.param({"pixel_codec": "lz4"}, marks=pytest.mark.long)], ids=str
)
def test_a_checkpoint_of_the_format_before_is_gone_on_from(settings, tmp_path):
    config = configure(**TINY | settings)
    train.train(config, tmp_path / "whole", quiet=True)
    begun = replace(config, run=replace(config.run, until=40))
    train.train(begun, tmp_path / "parts", quiet=True)
    for place in checkpoint.places(tmp_path / "parts/checkpoint"):
        of_format_2(place)
    shutil.rmtree(tmp_path / "parts/checkpoint/segments")
    train.train(config, tmp_path / "parts", resume=True, quiet=True)
    assert newest(tmp_path / "parts/checkpoint").values["format"] == 3
    (arrays, *others), (again, *others_again) = final(tmp_path / "whole", 60), final(tmp_path / "parts", 60)
    assert arrays.keys() == again.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
    assert others == others_again
