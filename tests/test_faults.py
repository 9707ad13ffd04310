"""A disk that refuses: full, read-only, failing in the middle. What a run says then, what it leaves, what exit code."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cases import quick
from disk import files_end_at
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from edgerl import configure
from edgerl.errors import TrainingError
from edgerl.runs import saver
from edgerl.runs.checkpoint import newest, places
from edgerl.runs.metrics import Metrics
from edgerl.training import resume, train
from edgerl.training.loop import TrainingLoop

NUMBERS = {"budget": "1.5MB", "threads": 1, "hidden": 8, "eval_every": 0, "steps": 60, "checkpoint_every": 20}
TRAIN = ["train", "--env", "toy/catch", "--freeze-at", "never"]
TRAIN += [f"--set={name}={value}" for name, value in NUMBERS.items()]
FULL = os.strerror(errno.ENOSPC)
needs_full = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")


@pytest.fixture
def program(program):
    """Run `edgerl ARGS` in this process, where a test can break things; returns exit code and lines on stderr."""

    def call(*arguments):
        code, _, lines = program(*arguments)
        return code, lines

    return call


def tiny(**settings):
    """A Config of a run with checkpoints at 0, 20, 40 and 60 and updates from 30 on."""
    return configure(**{"env": "toy/catch", "freeze_at": "never", "learn_start": 30} | NUMBERS | settings)


@contextlib.contextmanager
def failing(owner, name, number):
    """`owner.name` fails with this errno; what writes a file leaves a part of it."""

    def fail(*arguments, **_):
        if name.startswith("write_"):
            with open(arguments[0], "wb") as file:
                file.write(bytes(100))
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, fail)
        yield


FAULTS = {
    "the weights stop in the middle": (lambda: files_end_at(500_000), errno.EFBIG),
    "no space for the rows": (lambda: failing(Path, "write_bytes", errno.ENOSPC), errno.ENOSPC),
    "no space for the manifest": (lambda: failing(Path, "write_text", errno.ENOSPC), errno.ENOSPC),
    "a read-only file system": (lambda: failing(Path, "mkdir", errno.EROFS), errno.EROFS),
    "a sync that fails": (lambda: failing(os, "fsync", errno.EIO), errno.EIO),
    "a rename that fails": (lambda: failing(Path, "rename", errno.ENOSPC), errno.ENOSPC),
}


def refuse_at(monkeypatch, step, fault):
    """The disk has this fault during all of `resume.save` at `step`; returns how the system calls it."""
    save, (make, number) = resume.save, FAULTS[fault]

    def save_or_fail(parts, state, **options):
        with make() if state.step == step else contextlib.nullcontext():
            save(parts, state, **options)
            resume.settle(parts, state)  # what is left of it to do meets the fault too

    monkeypatch.setattr(resume, "save", save_or_fail)
    return os.strerror(number)


def whole(folder):
    """The steps of a run's checkpoints, newest first: each is read and taken away, and there is nothing else."""
    steps = []
    left = {place.name for place in (folder / "checkpoint").iterdir()} - {"segments"}
    assert left == {place.name for place in places(folder / "checkpoint")}
    while places(folder / "checkpoint"):
        saved = newest(folder / "checkpoint")
        assert saved.passed == []
        steps.append(saved.values["step"])
        shutil.rmtree(saved.place)
    return steps


@pytest.mark.parametrize("fault", quick(FAULTS, "the weights stop in the middle", "a read-only file system"))
def test_a_run_goes_on_without_a_checkpoint_on_the_way(fault, program, monkeypatch, tmp_path):
    reason = refuse_at(monkeypatch, 40, fault)
    code, lines = program(*TRAIN, "--out", tmp_path / "run")
    assert code == 0
    assert [line for line in lines if "checkpoint" in line] == [f"edgerl: step 40: no checkpoint: {reason}; going on"]
    assert json.loads((tmp_path / "run/summary.json").read_text())["checkpoint"] == "checkpoint/000000060"
    assert whole(tmp_path / "run") == [60, 20]


@pytest.mark.parametrize("fault", quick(FAULTS, "no space for the rows", "a sync that fails"))
def test_a_run_without_its_first_checkpoint_fails_in_one_line_and_leaves_nothing(fault, program, monkeypatch, tmp_path):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        reason = refuse_at(patch, 0, fault)
        assert failed(program(*TRAIN, "--quiet", "--out", folder), reason) == f"{folder / 'checkpoint/000000000'}"
    assert list(tmp_path.iterdir()) == []
    assert program(*TRAIN, "--quiet", "--out", folder) == (0, [])  # once the disk is well again


@pytest.mark.parametrize("fault", quick(FAULTS, "no space for the manifest", "a rename that fails"))
def test_a_run_without_its_last_checkpoint_fails_in_one_line(fault, program, monkeypatch, tmp_path):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        reason = refuse_at(patch, 60, fault)
        assert failed(program(*TRAIN, "--quiet", "--out", folder), reason) == f"{folder / 'checkpoint/000000060'}"
    assert json.loads((folder / "summary.json").read_text())["status"] == "failed"
    assert {place.name for place in folder.glob("checkpoint/[0-9]*")} == {"000000020", "000000040"}
    assert program("train", "--resume", folder, "--quiet") == (0, [])  # once the disk is well again
    assert whole(folder) == [60, 40]


def failed(ended, reason):
    """What a run that failed for this reason names: all else that it says is that metrics are not logged."""
    code, lines = ended
    (line,) = [line for line in lines if line != f"edgerl: metrics not logged: {reason}; going on"]
    assert (code, line.endswith(f": {reason}")) == (1, True)
    return line.removeprefix("edgerl: ").removesuffix(f": {reason}")


def test_older_checkpoints_that_cannot_be_removed_stay_and_the_run_goes_on(program, monkeypatch, tmp_path):
    def refuse(folder):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(saver, "prune", refuse)
    code, lines = program(*TRAIN, "--out", tmp_path / "run")
    told = [
        f"edgerl: step {step}: older checkpoints stay: {os.strerror(errno.EIO)}; going on" for step in (0, 20, 40, 60)
    ]
    assert (code, [line for line in lines if "older checkpoints" in line]) == (0, told)
    assert json.loads((tmp_path / "run/summary.json").read_text())["checkpoint"] == "checkpoint/000000060"
    assert whole(tmp_path / "run") == [60, 40, 20, 0]


FILL = """
import contextlib, sys
from pathlib import Path
from edgerl.commands.app import main
from edgerl.training.loop import TrainingLoop
report, filler = TrainingLoop.report, Path(sys.argv[-1]).with_name("filler")
def fill(loop):
    report(loop)
    if loop.state.step == 30:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    if loop.state.step == 50:
        filler.unlink()
TrainingLoop.report = fill
main()
"""


def test_a_real_disk_that_is_full_for_a_while(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=16m tmpfs {disk}"
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*inside, mount], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a small file system")
    script = f'{mount} && "$@" && cp -r {disk}/run {tmp_path}'
    command = [*inside, script, "sh", sys.executable, "-c", FILL, *TRAIN, "--out", str(disk / "run")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"edgerl: step 40: no checkpoint: {FULL}; going on" in ended.stderr.splitlines()
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines][-1] == 60
    assert whole(tmp_path / "run") == [60, 20]


@needs_full
def test_a_run_goes_on_without_metrics_and_says_so_once(capsys, tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    assert train.train(tiny(), tmp_path, resume=True)["status"] == "finished"
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgerl:")]
    assert lines == [f"edgerl: metrics not logged: {FULL}; going on"]
    assert len(events(tmp_path)) > 5
    assert whole(tmp_path) == [60, 40]


def events(folder):
    (file,) = folder.glob("events.*")
    return [event for event in EventFileLoader(str(file)).Load() if event.HasField("summary")]


@pytest.mark.parametrize("pattern", ["metrics.jsonl", "events.*"])
def test_metrics_that_stop_in_the_middle_leave_whole_records_and_come_back(pattern, capsys, tmp_path):
    metrics = Metrics(tmp_path)
    metrics.write(1, {"loss": 0.5})
    (file,) = tmp_path.glob(pattern)
    with files_end_at(file.stat().st_size + 10):
        metrics.write(2, {"loss": 0.25})
        metrics.write(2, {"loss": 0.25})
    metrics.write(3, {"loss": 0.125})
    lines = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert (lines if pattern == "metrics.jsonl" else [event.step for event in events(tmp_path)]) == [1, 3]
    assert metrics.sync() == (tmp_path / "metrics.jsonl").stat().st_size
    assert capsys.readouterr().err == f"edgerl: metrics not logged: {os.strerror(errno.EFBIG)}; going on\n"


def test_the_seconds_of_a_run_leave_out_the_time_between_a_stop_and_a_resume(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "time": 100.0, "seconds": 50.0}\n{"step": 2, "time": 110.0, "seconds": 60.0}\n')
    metrics = Metrics(tmp_path)
    metrics.cut(len(file.read_text().splitlines()[0]) + 1, 1)
    metrics.write(2, {})
    kept, new = (json.loads(line)["seconds"] for line in file.read_text().splitlines())
    assert kept == 50.0
    assert 50.0 <= new < 60.0


def begun(folder, config, full):
    """A run that has not come to a checkpoint; there is no space for this one of its files."""
    folder.mkdir()
    (folder / "config.toml").write_text(config.to_toml())
    (folder / f".{full}.part").symlink_to("/dev/full")  # where the file is written before it is renamed
    return folder


@needs_full
@pytest.mark.parametrize("full", ["config.toml", "encoder.onnx", "summary.json"])
def test_no_space_for_a_file_of_a_run_is_one_line_and_leaves_no_part_of_it(full, program, tmp_path):
    folder = begun(tmp_path / "run", tiny(freeze_at=30, learn_start=20), full)
    assert program("train", "--resume", folder, "--quiet") == (1, [f"edgerl: {folder / full}: {FULL}"])
    left = {file.name for file in folder.iterdir() if not file.name.startswith("events")} - {".lock", "metrics.jsonl"}
    expected = {"config.toml": set(), "encoder.onnx": {"summary.json"}, "summary.json": {"encoder.onnx"}}[full]
    assert left == ({"config.toml"} if full == "config.toml" else {"config.toml", "checkpoint", *expected})
    assert (folder / "config.toml").read_text().endswith(tiny(freeze_at=30, learn_start=20).to_toml())
    if full != "config.toml":
        assert newest(folder / "checkpoint").values["step"] == (20 if full == "encoder.onnx" else 60)
    assert program("train", "--resume", folder, "--quiet") == (0, [])  # with space again
    assert whole(folder) == [60, 40]


@needs_full
def test_what_ended_a_run_is_told_where_there_is_no_space_for_its_summary(program, monkeypatch, tmp_path):
    def fail(_):
        raise TrainingError("the loss is nan at step 7")

    monkeypatch.setattr(TrainingLoop, "interact", fail)
    code, lines = program("train", "--resume", begun(tmp_path / "run", tiny(), "summary.json"))
    assert (code, lines[-2:]) == (1, [f"no summary.json: {FULL}", "edgerl: the loss is nan at step 7"])


@pytest.mark.parametrize("refused", ["mkdir", "touch"])
def test_a_run_folder_on_a_read_only_file_system_is_refused(refused, program, tmp_path):
    out = tmp_path / "run"
    if refused == "touch":  # it is there, and empty
        out.mkdir()
    with failing(Path, refused, errno.EROFS):
        ended = program(*TRAIN, "--quiet", "--out", out)
    assert ended == (2, [f"edgerl: --out: {out} cannot be written: {os.strerror(errno.EROFS)}"])
    assert list(tmp_path.rglob("*")) == ([out] if refused == "touch" else [])


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="this system has no /sys")
def test_a_run_folder_where_nobody_can_write_is_refused(program):
    code, lines = program(*TRAIN, "--quiet", "--out", "/sys/run")
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("edgerl: --out: /sys/run cannot be written: ")


@needs_full
@pytest.mark.parametrize("taker", quick(["a full disk", "a closed pipe"], "a full disk"))
def test_a_run_whose_messages_nobody_takes_goes_on(taker, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed, Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "edgerl", *TRAIN, "--out", str(tmp_path / "run")]
        stderr = full if taker == "a full disk" else closed
        assert subprocess.run(command, stderr=stderr, check=False).returncode == 0
    assert whole(tmp_path / "run") == [60, 40]
