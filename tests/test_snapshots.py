"""Snapshots: when they are taken, what is in them, that a resume leaves the same, and what damage and full disks do."""

import errno
import json
import os
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from cases import quick
from conftest import SNAPSHOTTED
from plain_sac import agent
from stopping import stopped_after

from edgerl import configure
from edgerl.agents.algorithms import learned
from edgerl.agents.build import make_agent
from edgerl.agents.layers.parameters import named_arrays
from edgerl.errors import CheckpointError
from edgerl.experiments.analysis.compare import load_snapshot
from edgerl.runs import snapshots
from edgerl.runs.snapshots import Snapshot
from edgerl.training import train

STEPS = [0, 40, 80, 110, 120, 160, 170]  # every 40; T_f; the end
FULL = os.strerror(errno.ENOSPC)
needs_full = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")


def tiny(**changes):
    """The configuration of the uninterrupted run."""
    return configure(env="toy/catch", **SNAPSHOTTED | changes)


def weights(folder, step):
    """A checkpoint's arrays that snapshots hold too."""
    arrays = safetensors.numpy.load_file(folder / "checkpoint" / f"{step:09d}" / "weights.safetensors")
    return {name: array for name, array in arrays.items() if name.startswith("online.")}


def contents(folder):
    """Every snapshot's bytes, by step."""
    return {step: file.read_bytes() for step, file in snapshots.files(folder).items()}


def test_when_they_are_due():
    def taken(every, freeze_at="never", end=10):
        return [n for n in range(end + 1) if snapshots.due(n, every, freezing=n == freeze_at, done=n == end)]

    assert taken(0, freeze_at=5) == []
    assert taken(4) == [0, 4, 8, 10]
    assert taken(5, freeze_at=3) == [0, 3, 5, 10]


def test_they_hold_what_the_agent_learned_and_are_logged_with_their_size(snapshotted):
    assert list(snapshots.files(snapshotted)) == STEPS
    for step, file in snapshots.files(snapshotted).items():
        found = snapshots.read(file)
        assert (found.step, found.cut) == (step, "conv2" if step > 110 else None)
        held = safetensors.numpy.load_file(file)  # the library's reader
        assert {name.split(".")[0] for name in held} == {"online"}
        assert any(".conv1." in name for name in held) == (step <= 110)
        assert all(np.array_equal(held[name], found.arrays[name]) for name in held)
    lines = [json.loads(line) for line in (snapshotted / "metrics.jsonl").read_text().splitlines()]
    logged = {line["step"]: line["snapshot/bytes"] for line in lines if "snapshot/bytes" in line}
    assert logged == {step: file.stat().st_size for step, file in snapshots.files(snapshotted).items()}


def test_the_last_one_is_the_last_checkpoints_and_the_stem_changes_until_the_freeze(snapshotted):
    last, final = weights(snapshotted, 170), snapshots.read(snapshots.place(snapshotted, 170)).arrays
    assert last.keys() == final.keys()
    assert all(np.array_equal(last[name], final[name]) for name in last)
    stems = [
        snapshots.read(snapshots.place(snapshotted, step)).arrays["online.encoder.conv1.weight"] for step in STEPS[:4]
    ]
    assert [not np.array_equal(one, other) for one, other in pairwise(stems)] == [True] * 3


def test_they_change_nothing_of_the_training(snapshotted, tmp_path):
    train.train(tiny(snapshot_every=0), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run/snapshots").exists()
    last, again = weights(snapshotted, 170), weights(tmp_path / "run", 170)
    assert all(np.array_equal(last[name], again[name]) for name in last)


@pytest.mark.parametrize("stop", quick([40, 100, 110, 130], 100, 110))
def test_a_resumed_run_leaves_the_same(stop, snapshotted, tmp_path):
    """Stopped at a snapshot, between two, at the freeze, and behind it."""
    with stopped_after(stop):
        train.train(tiny(), tmp_path / "run", quiet=True)
    assert list(contents(tmp_path / "run")) == [step for step in STEPS if step <= stop]
    train.train(tiny(), tmp_path / "run", resume=True, quiet=True)
    assert contents(tmp_path / "run") == contents(snapshotted)
    logged = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if "snapshot/bytes" in line] == STEPS


def test_those_later_than_the_checkpoint_a_run_resumes_from_are_written_anew(snapshotted, tmp_path):
    """As after a kill: the newest checkpoint is of step 150, and of the two later snapshots one is another's."""
    folder = tmp_path / "run"
    shutil.copytree(snapshotted, folder)
    shutil.rmtree(folder / "checkpoint/000000170")
    snapshots.place(folder, 170).unlink()
    shutil.copy(snapshots.place(folder, 0), snapshots.place(folder, 160))
    (folder / "snapshots/.000000165.safetensors.part").write_bytes(b"half")
    train.train(tiny(), folder, resume=True, quiet=True)
    assert contents(folder) == contents(snapshotted)
    assert list((folder / "snapshots").glob(".*")) == []


def test_how_often_may_change_at_resume(program, tmp_path):
    train.train(tiny(snapshot_every=0, steps=50, freeze_at="never"), tmp_path / "run", quiet=True)
    code, _, errors = program(
        "train", "--resume", tmp_path / "run", "--steps", 70, "--snapshot-every", 10, "--quiet"
    )  # fmt: skip
    assert (code, errors) == (0, [])
    assert list(snapshots.files(tmp_path / "run")) == [50, 60, 70]


def layers_of(networks):
    """What is trained of networks to act with, by network and layer."""
    for part in ("encoders", "actor", "critics"):
        for name, own in getattr(networks, part).parameters.items():
            yield part, name, own


def test_of_curl_targets_contrast_and_temperature_are_left_out():
    learner = agent()
    held = learned(learner.state()[0])
    names = named_arrays({f"net.{part}.{name}": own for part, name, own in layers_of(learner.net)})
    assert held.keys() == names.keys()
    learner.freeze("fc")
    assert {name.split(".")[1] for name in learned(learner.state()[0])} == {"actor", "critics"}


def test_an_agent_takes_them_over_with_their_cut(snapshotted):
    chosen = tiny()
    made = make_agent(chosen, (4, 84, 84), 3, np.random.default_rng(5))
    for step in (80, 110, 160):
        snapshot = snapshots.read(snapshots.place(snapshotted, step))
        load_snapshot(made, snapshot)
        assert made.cut == snapshot.cut
        held = learned(made.state()[0])
        assert held.keys() == snapshot.arrays.keys()
        assert all(np.array_equal(held[name], array) for name, array in snapshot.arrays.items())


@pytest.mark.parametrize("change", [{"hidden": 9}, {"encoder": "canonical"}, {"algo": "dqn"}])
def test_one_of_another_agent_is_refused(change, snapshotted):
    made = make_agent(tiny(**change), (4, 84, 84), 3, np.random.default_rng(0))
    with pytest.raises(CheckpointError, match=r"^the snapshot of step 40 is of another run: "):
        load_snapshot(made, snapshots.read(snapshots.place(snapshotted, 40)))


def test_a_damaged_one_is_named(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"online.a": rng.standard_normal((3, 4), np.float32), "online.b": np.arange(5), "online.c": np.array(2.0)}
    snapshots.save(tmp_path, Snapshot(7, "conv1", arrays))
    file = snapshots.place(tmp_path, 7)
    data = file.read_bytes()
    assert snapshots.read(file).cut == "conv1"
    cut = [data[:length] for length in (0, 4, 8, 60, len(data) - 1)]
    flipped = [data[:at] + bytes([data[at] ^ 32]) + data[at + 1 :] for at in range(0, len(data), 7)]
    for damaged in [*cut, *flipped, b"\xff" * 8 + data[8:], (2).to_bytes(8, "little") + b"[]" + data]:
        file.write_bytes(damaged)
        assert outcome(file, arrays) in ("named", "the same")  # a flipped bit may be one of the header's blanks
    file.write_bytes(cut[-1])
    assert outcome(file, arrays) == "named"


def outcome(file, arrays):
    """What reading a snapshot comes to."""
    try:
        found = snapshots.read(file)
    except CheckpointError as error:
        return "named" if re.fullmatch(f"{file} is damaged: .*", str(error)) else str(error)
    same = found.step == 7 and found.cut == "conv1" and found.arrays.keys() == arrays.keys()
    return (
        "the same" if same and all(np.array_equal(found.arrays[name], arrays[name]) for name in arrays) else "another"
    )


@needs_full
def test_a_run_goes_on_without_one_that_the_disk_refuses(program, tmp_path):
    folder = tmp_path / "run"
    (folder / "snapshots").mkdir(parents=True)
    (folder / "config.toml").write_text(tiny(steps=100, freeze_at="never").to_toml())
    (folder / "snapshots/.000000040.safetensors.part").symlink_to("/dev/full")
    code, _, errors = program("train", "--resume", folder, "--quiet")
    assert (code, errors) == (0, [f"edgerl: step 40: no snapshot: {FULL}; going on"])
    assert sorted(file.name for file in (folder / "snapshots").iterdir()) == [
        f"{step:09d}.safetensors" for step in (0, 80, 100)
    ]
