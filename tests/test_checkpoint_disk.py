"""A disk that is full or fails while a checkpoint is written leaves the older ones whole."""

import errno
import os
import re
import shutil
from pathlib import Path

import pytest
from test_checkpoint import VALUES, arrays_of, same, saved_twice

from edgerl.runs import tensor_file
from edgerl.runs.checkpoint import newest, save


@pytest.fixture
def folder(tmp_path):
    return saved_twice(tmp_path / "checkpoint")


def disk_full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing_call(number, real):
    """`real`, whose call `number` (from 0) finds the disk full."""
    calls = iter(range(100))
    return lambda *arguments: disk_full() if next(calls) == number else real(*arguments)


def untouched(folder):
    """Steps 1 and 2 are as they were written, and nothing half-written lies beside them."""
    assert not [place for place in folder.iterdir() if not re.fullmatch(r"\d{9}", place.name)]
    for step in (1, 2):
        alone = folder.parent / f"only-{step}"
        shutil.copytree(folder / f"{step:09d}", alone / f"{step:09d}", dirs_exist_ok=True)
        assert same(newest(alone).arrays, arrays_of(step))


@pytest.mark.parametrize("step", [3, 4])
def test_weights_that_cannot_be_written_leave_the_older_checkpoints_whole(folder, monkeypatch, step):
    def write_half(file, arrays):
        Path(file).write_bytes(b"half")
        disk_full()

    monkeypatch.setattr(tensor_file, "write", write_half)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        save(folder, step, arrays_of(step), VALUES)
    untouched(folder)
    assert len(list(folder.iterdir())) == 2
    monkeypatch.undo()
    save(folder, step, arrays_of(step), VALUES)  # and with space again it works
    assert same(newest(folder).arrays, arrays_of(step))


@pytest.mark.parametrize("call", range(4))
def test_a_sync_that_fails_leaves_the_older_checkpoints_whole(folder, monkeypatch, call):
    monkeypatch.setattr(os, "fsync", failing_call(call, os.fsync))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        save(folder, 3, arrays_of(3), VALUES)
    untouched(folder)
    found = newest(folder)
    assert same(found.arrays, arrays_of(found.values["step"]))


def test_weights_and_manifest_are_synced_before_they_are_renamed(tmp_path, monkeypatch):
    done, fsync, rename = [], os.fsync, Path.rename

    def note_sync(descriptor):
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def note_rename(path, target):
        done.append("rename")
        return rename(path, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not tell which file is synced")
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    save(tmp_path / "checkpoint", 3, arrays_of(3), VALUES)
    before, after = done[: done.index("rename")], done[done.index("rename") + 1 :]
    assert before[0] == tmp_path.name  # the folder of checkpoints is new in it
    assert sorted(before[1:]) == [".000000003.part", "state.json", "weights.safetensors"]
    assert after == ["checkpoint"]


def test_what_a_crash_left_half_written_is_ignored_and_replaced(folder):
    part = folder / ".000000003.part"
    part.mkdir()
    (part / "weights.safetensors").write_bytes(b"half")
    assert newest(folder).place.name == "000000002"
    save(folder, 3, arrays_of(3), VALUES)
    assert not part.exists()
    assert same(newest(folder).arrays, arrays_of(3))
