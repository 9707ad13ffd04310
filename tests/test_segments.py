"""Checkpoints that share segments hold what a full copy holds, wherever the program is killed; and what they write."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import quick
from saved_replays import CODECS, Run, append, build, freeze, full, named_by, nothing_stray

from edgerl.runs.checkpoint import newest
from edgerl.runs.saver import Saver
from memory_budget import changes
from memory_budget.changes import Changes


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    """Small replays then have several dozens of segments."""
    monkeypatch.setattr(changes, "SMALLEST_SEGMENT", changes.PAGE)


class Kills:
    """While it is on: a copy of the folder before some of the operations that change it, as a kill would leave it."""

    def __init__(self, folder, copies, rng, share):
        self.folder, self.copies, self.rng, self.share = folder, copies, rng, share
        self.on, self.taken = False, []
        sys.addaudithook(self.hook)

    def hook(self, event, arguments):
        changing = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if self.on and changing and self.rng.random() < self.share:
            self.on = False
            self.taken.append(shutil.copytree(self.folder, self.copies / str(len(self.taken))))
            self.on = True


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("seed", quick(range(8), 0))
def test_wherever_a_run_is_killed_it_goes_on_from_what_a_full_copy_holds(seed, codec, tmp_path):
    rng = np.random.default_rng(seed)
    run = Run(tmp_path / "checkpoint", codec, build(codec), Saver(tmp_path / "checkpoint"))
    kills = Kills(run.folder, tmp_path, np.random.default_rng(seed), share=0.2)
    freeze_at = int(rng.integers(2, 12))
    for number in range(14):
        append(run.replay, int(rng.choice([1, 20, 150, 700])), rng)
        run.saver.folder.mkdir(exist_ok=True)
        if number == freeze_at:
            freeze(run.replay)
            run.frozen = True
        before, kills.on = run.step, bool(run.step)
        first = len(kills.taken)
        replace = run.step > 1 and rng.random() < 0.2
        run.save(replace=replace)
        kills.on = False
        for left in kills.taken[first:]:
            saved = newest(left)
            assert saved.values["step"] in (before - replace, before, run.step)
            assert saved.passed == []
            run.read(saved)
        run.read(newest(run.folder))
        nothing_stray(run.folder)
        if rng.random() < 0.3:
            run = run.resume(run.folder)
    assert len(kills.taken) > 30
    for left in kills.taken[::5]:
        other = run.resume(left)
        append(other.replay, 30, rng)
        other.copies.pop(other.step + 1, None)
        other.save()
        other.read(newest(left))
        nothing_stray(left)


@pytest.fixture(params=CODECS)
def run(request, tmp_path):
    """A run whose replay is full, and saved."""
    return full(tmp_path / "checkpoint", request.param)


@pytest.mark.parametrize("codec", CODECS)
def test_a_replay_without_rows_is_saved_and_gone_on_from(codec, tmp_path):
    run = Run(tmp_path / "checkpoint", codec, build(codec), Saver(tmp_path / "checkpoint"))
    run.save()
    assert newest(run.folder).values["step"] == run.step
    run = run.resume(run.folder)
    append(run.replay, 30, np.random.default_rng(0))
    run.save()
    run.read(newest(run.folder))


def test_a_manifest_is_renamed_once_all_it_names_is_durable_and_nothing_goes_before(run, monkeypatch):
    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not tell which file is synced")
    append(run.replay, 300, np.random.default_rng(1))
    run.save()
    older, synced, did = run.folder / "000000001", set(), []
    fsync, rename, rmtree, unlink = os.fsync, Path.rename, shutil.rmtree, Path.unlink

    def note_sync(descriptor):
        synced.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def note_rename(path, target):
        if path in synced:
            synced.add(target)
        synced.discard(target.parent)
        if target.parent == run.folder:
            files = {run.folder / "segments" / name for name in named_by(path)}
            assert {*path.iterdir(), path, run.folder / "segments", *(files - before)} <= synced
            did.append("rename")
        return rename(path, target)

    def note_removal(remove):
        def removing(path, *arguments, **options):
            if Path(path).exists() and ".part" not in str(path):
                assert did[0] == "rename"
                assert run.folder in synced
                did.append("removal")
            return remove(path, *arguments, **options)

        return removing

    before = set((run.folder / "segments").iterdir())
    append(run.replay, 300, np.random.default_rng(0))
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    monkeypatch.setattr(shutil, "rmtree", note_removal(rmtree))
    monkeypatch.setattr(Path, "unlink", note_removal(unlink))
    run.save()
    assert did.count("rename") == 1
    assert did.count("removal") > 2
    assert not older.exists()
    assert not before <= set((run.folder / "segments").iterdir())


@pytest.mark.parametrize("codec", CODECS)
def test_a_checkpoint_writes_the_new_rows_and_at_most_two_segments_more(codec, tmp_path, monkeypatch):
    """A scaled-down replay of 70 MB: as many segments, and as large a part of its rows is new."""
    monkeypatch.setattr(changes, "PAGE", 64)
    monkeypatch.setattr(changes, "SMALLEST_SEGMENT", 64)
    folder, rng = tmp_path / "checkpoint", np.random.default_rng(0)
    frozen, budget = codec == "raw", 1_000_000
    replay = build(codec, budget=budget, frozen=frozen)
    run = Run(folder, codec, replay, Saver(folder), frozen=frozen, budget=budget)
    while not run.replay.ring.wrapped:
        append(run.replay, 500, rng)
    run.save()
    size, whole = run.replay.ring.changes.segment, run.replay.spans[0].nbytes
    assert 100 <= len(newest(folder).layouts[run.replay.spans[0].name].pieces) <= 256
    for part in (30, 30, 3):
        old, rows = {file.name for file in (folder / "segments").iterdir()}, run.replay.ring.size // part
        append(run.replay, rows, rng)
        run.save()
        new = [file.stat().st_size for file in (folder / "segments").iterdir() if file.name not in old]
        appended = rows * run.replay.bytes_per_row
        assert sum(new) <= 1.3 * appended + 2 * size
        assert sum(new) < 0.6 * whole
    run.read(newest(folder))


@pytest.mark.parametrize("nbytes", [1, 4096, 1_500_000, 70_000_000, 4 * 10**9])
def test_an_arena_has_at_most_256_segments_and_none_below_64_kib(nbytes, monkeypatch):
    monkeypatch.setattr(changes, "SMALLEST_SEGMENT", 2**16)
    found = Changes(nbytes)
    assert found.segment >= 2**16
    assert found.segment % 4096 == 0
    assert -(-nbytes // found.segment) <= 256
    assert found.segment <= max(2**16, nbytes / 256 + 4096)


def test_changes_know_which_segments_were_written_after_a_time():
    noted = Changes(10 * 4096)
    noted.note(0, 10 * 4096)
    time = noted.clock
    noted.note(2 * 4096 - 1, 2 * 4096)
    noted.note(5 * 4096, 7 * 4096 + 1)
    assert [number for number in range(10) if noted.written(number) > time] == [1, 5, 6, 7]
