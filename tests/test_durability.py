"""Short versions of benchmarks/durability.py: faults on real programs, and what a disk may hold after a power cut."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from faults import disk, kinds
from faults.disk import Kind
from faults.power import LOSSES, Disk, Operation

from edgerl import configure
from edgerl.runs.checkpoint import exists
from edgerl.training import resume, train

BENCHMARK = Path(__file__).parents[1] / "benchmarks/durability.py"
needs_preloading = pytest.mark.skipif(disk.missing() is not None, reason=f"nothing is preloaded: {disk.missing()}")
SHORT = ["operation:3", "power:4", "ENOSPC:3", "flip:27"]


def faults(*options, results):
    """Run the benchmark; returns its lines of results."""
    command = [sys.executable, str(BENCHMARK), *map(str, options), "--results", str(results)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return lines, ended.stdout


@needs_preloading
def test_a_run_comes_through_some_faults_to_the_same_bits(tmp_path):
    chosen = [word for name in SHORT for word in ("--only", name)]
    lines, said = faults(*chosen, results=tmp_path / "results")
    assert [f"{line['kind']}:{line['number']}" for line in lines] == SHORT
    assert {line["outcome"] for line in lines} <= {"survived", "refused"}
    assert f"| {kinds.KILLS['power'].title} | 1 | 1 | 0 |" in said


@needs_preloading
@pytest.mark.long
def test_a_run_comes_through_every_kind_of_fault(tmp_path):
    others = kinds.faults(seconds=1).keys() - {"memory"}  # which needs a control group
    options = ("--kills", len(kinds.KILLS), "--faults", len(others), "--stop-seconds", 1, "--without", "memory")
    lines, _ = faults(*options, results=tmp_path / "results")
    assert {line["kind"] for line in lines} == kinds.KILLS.keys() | others
    again, _ = faults(*options, results=tmp_path / "results")
    assert again == lines  # nothing is done twice


def did(kind, path, data=b"", other="", offset=0):
    return Operation(Kind[kind], offset, 0, Path(path), Path(other), data)


def after_cut(tmp_path, operations, losses, seed=0):
    """The files that a disk holds after these operations and a power cut, with their bytes."""
    root = tmp_path / "before"
    root.mkdir(exist_ok=True)
    (root / "old").write_bytes(b"old")
    cut = Disk(root)
    for operation in operations:
        cut.apply(operation._replace(path=root / operation.path, target=root / operation.target))
    place = tmp_path / f"after-{losses}-{seed}-{len(operations)}"
    cut.write(place, losses, random.Random(seed))  # noqa: S311
    return {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*") if file.is_file()}


WRITTEN = [did("OPEN", "part", offset=1), did("WRITE", "part", bytes([7]) * 9000)]
REPLACED = [*WRITTEN, did("SYNC", "part"), did("RENAME", "part", other="old"), did("SYNC", ".")]


@pytest.mark.parametrize("losses", LOSSES)
def test_what_was_synced_is_there_after_a_power_cut(losses, tmp_path):
    for seed in range(20):
        assert after_cut(tmp_path, REPLACED, losses, seed) == {"old": bytes([7]) * 9000}


def test_what_was_not_synced_may_be_lost_in_part(tmp_path):
    def ends(operations, losses):
        return [after_cut(tmp_path, operations, losses, seed) for seed in range(40)]

    torn = {found["part"] for found in ends(WRITTEN, "bytes")}
    assert {b"", bytes([7]) * 9000, bytes([7]) * 4096, bytes(4096) + bytes([7]) * 4096} <= torn
    assert all(found["old"] == b"old" for found in ends(WRITTEN, "bytes and any entries"))
    renamed = [found["old"] for found in ends(REPLACED[:-1], "bytes and any entries")]
    assert set(renamed) == {b"old", bytes([7]) * 9000}
    unsynced = {found["old"] for found in ends([*WRITTEN, REPLACED[3]], "bytes and the newest entries")}
    assert {b"old", b"", bytes([7]) * 9000} <= unsynced
    assert after_cut(tmp_path, WRITTEN, "nothing") == {"old": b"old", "part": bytes([7]) * 9000}


def test_what_lies_in_a_folder_that_was_not_synced_may_be_lost_with_it(tmp_path):
    made = [did("MKDIR", "new"), *(step._replace(path=Path("new/part")) for step in WRITTEN), did("SYNC", "new/part")]
    made.append(did("SYNC", "new"))
    found = [after_cut(tmp_path, made, "bytes and any entries", seed).keys() for seed in range(40)]
    assert {"old"} in found
    assert {"old", "new/part"} in found


def test_the_folders_of_a_run_are_durable_once_its_first_checkpoint_is(tmp_path, monkeypatch):
    """Else a disk may lose them with all that was synced in them."""
    synced, entries, fsync = [], {}, os.fsync

    def note(descriptor):
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if place.is_dir():
            entries[place] = set(os.listdir(place))
        fsync(descriptor)

    def settle(parts, *arguments, **options):
        if exists(parts.folder / "checkpoint") and not synced:
            synced.append({place: names.copy() for place, names in entries.items()})
        return settled(parts, *arguments, **options)

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not tell which file is synced")
    settled, run = resume.settle, tmp_path / "new/run"
    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(resume, "settle", settle)
    config = configure(env="toy/catch", budget="1.5MB", threads=1, hidden=8, steps=4, eval_every=0, freeze_at="never")
    train.train(config, run, quiet=True)
    (seen,) = synced
    expected = {tmp_path: "new", tmp_path / "new": "run", run: "checkpoint", run / "checkpoint": "segments"}
    assert [name for place, name in expected.items() if name not in seen.get(place, ())] == []
