"""Tiny runs to be disturbed, how they end undisturbed, and whether a disturbed one comes to the same end."""

import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgerl.errors import CheckpointError
from edgerl.replay.buffer import row_dtype
from edgerl.replay.latents import latent_field
from edgerl.replay.representation import pixel_field
from edgerl.runs import checkpoint
from faults import child, disk, power

STEPS, FREEZE_AT, INTERVAL = 90, 52, 15
OPTIONS = ["--env=toy/catch", "--budget=400KB", "--threads=1", f"--steps={STEPS}", "--eval-every=0"]
OPTIONS += [f"--checkpoint-every={INTERVAL}", "--quiet"]
OPTIONS += [f"--set={name}={value}" for name, value in {"hidden": 8, "learn_start": 20, "batch_size": 4}.items()]
FROZEN = f"--freeze-at={FREEZE_AT}"
STORES = {  # the replay wraps in each: 56 frames fit, and fewer than 90 lz4 frames or latents
    "raw, then float32": [FROZEN, "--set=snapshot_every=30"],
    "lz4, then uint8": [FROZEN, "--set=pixel_codec=lz4", "--set=latent_dtype=uint8"],
    "raw": ["--freeze-at=never"],
    "with torch": [FROZEN, "--engine=torch"],
}
BEGINNINGS = {"start": 0, "early": 37, "late": 71}  # the step of a run that is resumed
PATIENCE = 120  # seconds
TIMED = {"time", "seconds", "freeze/seconds", "throughput/steps_per_s", "memory/rss_bytes", "memory/tree_peak_bytes"}
TIMED |= {"checkpoint/bytes"}
ACTION = np.dtype(np.uint8)


class Ended(NamedTuple):
    """How a program ended: its exit code, negative for a signal, and the lines that it printed."""

    code: int
    said: list[str]

    @property
    def told(self) -> str:
        """Why it ended, in one line; "a traceback" if it was not told in one."""
        lines = [line for line in self.said if line]
        if self.code == child.INTERNAL or any("Traceback" in line for line in lines):
            return "a traceback"
        return lines[-1] if lines else ""


@dataclass
class Trial:
    """One run in a folder of its own, and what disturbs the program that works on it."""

    place: Path
    store: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """The run folder."""
        return self.place / "all" / "run"

    @property
    def root(self) -> Path:
        """What lies below is watched: the run folder is made here."""
        return self.place / "all"

    def prepare(self, beginning: Path | None) -> disk.Fields:
        """A new place with this run folder, or with none; returns the control file's fields."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.root.mkdir(parents=True)
        if beginning is not None:
            shutil.copytree(beginning, self.out)
        fields = disk.control(self.place / "control")
        fields.root, fields.kinds = os.fsencode(self.root), disk.CHANGING
        return fields

    @property
    def words(self) -> list[str]:
        """What starts or resumes the run: one without settings is started again."""
        if (self.out / "config.toml").exists():
            return ["train", "--resume", str(self.out), "--quiet"]
        return ["train", *OPTIONS, *STORES[self.store], "--out", str(self.out)]

    def begin(self, words: list[str] | None = None, said: str = "said") -> int:
        """Start the program with the faults of the control file; returns its process number."""
        return child.forked(words or self.words, self.place / "control", self.place / said, self.environment)

    def end(self, number: int, said: str = "said") -> Ended:
        """Wait for a program; one that takes longer than PATIENCE is killed, and has failed."""
        deadline = time.monotonic() + PATIENCE
        while (waited := os.waitpid(number, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(number, signal.SIGKILL)
                os.waitpid(number, 0)
                return Ended(child.INTERNAL, [f"it ran for more than {PATIENCE} s"])
            time.sleep(0.002)
        return Ended(os.waitstatus_to_exitcode(waited[1]), (self.place / said).read_text().splitlines())

    @property
    def exporting(self) -> list[str]:
        """What exports the run's policy beside its folder."""
        return ["export", str(self.out), "--out", str(self.root / "policy.onnx"), "--force"]

    def finish(self, words: list[str] | None = None) -> Ended:
        """Go on without faults, to the end of the run, or of another command."""
        fields = disk.control(self.place / "control")
        fields.action, fields.kinds, fields.line, fields.log, fields.clock = disk.Action.NOTHING, 0, 0, b"", 0
        self.environment = {}
        if not (self.out / "config.toml").exists():
            shutil.rmtree(self.out, ignore_errors=True)
        return self.end(self.begin(words))

    def close(self) -> None:
        """Remove the place."""
        shutil.rmtree(self.place, ignore_errors=True)


def newest(out: Path) -> int:
    """The step of the newest whole checkpoint; -1 if there is none."""
    try:
        return int(checkpoint.newest(out / "checkpoint").values["step"])
    except CheckpointError:
        return -1


def outcome(out: Path) -> dict[str, Any]:
    """All that a finished run leaves, but for times, as names with digests or values."""
    place = out / "checkpoint" / f"{STEPS:09d}"
    saved = checkpoint.newest(out / "checkpoint")
    summary = json.loads((out / "summary.json").read_text())
    trainer = saved.values["trainer"] | {"rss_around_freeze": None}
    report = dict.fromkeys(("seconds", "peak_extra_bytes"), None)
    trainer["freeze_report"] = trainer["freeze_report"] and trainer["freeze_report"] | report
    left = {name: saved.values[name] for name in ("identity", "agent", "env", "replay")} | {"trainer": trainer}
    left |= {f"array {name}": digest(array) for name, array in saved.arrays.items()}
    left |= {f"file {file.name}": digest(file.read_bytes()) for file in sorted(place.glob("*.raw"))}
    for name, layout in saved.layouts.items():
        rows = np.zeros(layout.stop - layout.start, np.uint8)
        saved.read_raw(name, rows)
        left |= {f"rows {column}": digest(values) for column, values in columns(name, rows, summary["codec"]).items()}
    left["status"], left["steps"] = summary["status"], summary["steps"]
    left["snapshots"] = {file.name: digest(file.read_bytes()) for file in sorted((out / "snapshots").glob("*"))}
    left["encoder"] = digest((out / "encoder.onnx").read_bytes()) if (out / "encoder.onnx").exists() else ""
    left["metrics"] = logged(out)
    return left


def columns(name: str, rows: Any, codec: str) -> Mapping[str, Any]:
    """The columns of rows, without the padding between rows, which may differ."""
    if codec == "lz4":
        return {name: rows}
    table = rows.view(row_dtype(pixel_field((84, 84)) if codec == "raw" else latent_field((576,), codec), ACTION))
    return {column: np.ascontiguousarray(table[column]) for column in table.dtype.names}


def digest(value: Any) -> str:
    """The SHA-256 of bytes or of an array."""
    return hashlib.sha256(value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes()).hexdigest()


def logged(out: Path) -> list[dict[str, Any]]:
    """The metrics, but for times and the ledger, which each process has its own of; a damaged line is kept as it is."""
    lines = [_line(text) for text in (out / "metrics.jsonl").read_bytes().splitlines()]
    kept = [{n: v for n, v in line.items() if n not in TIMED and not n.startswith("ledger/")} for line in lines]
    return [line for line in kept if line.keys() != {"step"}]


def _line(text: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        return {"damaged": text.hex()}


def differences(left: dict[str, Any], expected: dict[str, Any], *, metrics: bool) -> list[str]:
    """What differs, by name. Without `metrics`: lines of metrics and snapshots may be missing, as the disk refused."""
    names = {*left, *expected} - {"metrics"} - ({"snapshots"} if not metrics else set())
    differing = [name for name in sorted(names) if left.get(name) != expected.get(name)]
    lines = expected["metrics"] if metrics else [line for line in expected["metrics"] if line in left["metrics"]]
    return differing + ["metrics"] * (left["metrics"] != lines)


class Lab:
    """A folder to work in, how runs end there undisturbed, and run folders to begin with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._expected, self._counts = folder, dict[str, dict[str, Any]](), dict[str, int]()
        self._operations: dict[str, list[power.Operation]] = {}
        self._exported: dict[str, tuple[int, bytes]] = {}
        self._seconds: dict[str, float] = {}

    def trial(self, store: str) -> Trial:
        """A new trial; its place is made by `prepare`."""
        return Trial(self.folder / "trial", store)

    def whole(self, store: str) -> Path:
        """The folder of an undisturbed run that has finished."""
        return self._made(store, STEPS)

    def beginning(self, store: str, name: str) -> Path | None:
        """The folder of a run that was interrupted at a step of BEGINNINGS; None for step 0."""
        return self._made(store, BEGINNINGS[name]) if BEGINNINGS[name] else None

    def _made(self, store: str, step: int) -> Path:
        place = self.folder / f"{store} {step}".replace(", ", "-").replace(" ", "-")
        if not place.exists():
            trial = Trial(self.folder / "made", store)
            trial.prepare(None)
            if step < STEPS:
                trial.environment = {child.EVENT: "interrupt", child.STEP: str(step)}
            ended = trial.end(trial.begin())
            if ended.code != (130 if step < STEPS else 0):
                raise SystemExit(f"the undisturbed run failed with exit code {ended.code}: {ended.told}")
            trial.out.rename(place)
            trial.close()
        return place

    def expected(self, store: str) -> dict[str, Any]:
        """What the undisturbed run left."""
        if store not in self._expected:
            self._expected[store] = outcome(self.whole(store))
        return self._expected[store]

    def operations(self, store: str, name: str) -> list[power.Operation]:
        """What an undisturbed run from this beginning does to files, with the bytes."""
        key = f"{store} {name}"
        if key not in self._operations:
            trial, log = self.trial(store), self.folder / "log"
            log.unlink(missing_ok=True)
            trial.prepare(self.beginning(store, name)).log = os.fsencode(log)
            trial.end(trial.begin())
            self._operations[key] = power.read(log)
        return self._operations[key]

    def lines(self, trial: Trial, phase: str, name: str) -> int:
        """How many lines of Python a phase has in a run of this beginning."""
        key = f"{trial.store} {name} {phase}"
        if key not in self._counts:
            fields = trial.prepare(self.beginning(trial.store, name))
            trial.end(trial.begin())
            self._counts[key] = int(fields.lines)
        if self._counts[key] == 0:
            raise LookupError(f"no line of {phase} was traced")
        return self._counts[key]

    def exported(self, trial: Trial, counted: str) -> tuple[int, bytes]:
        """How many lines, or operations on files, an export has; and the file."""
        key = f"{trial.store} {counted}"
        if key not in self._exported:
            fields = trial.prepare(self.whole(trial.store))
            trial.end(trial.begin(trial.exporting))
            count = int(fields.lines if counted == "lines" else fields.operations)
            self._exported[key] = count, (trial.root / "policy.onnx").read_bytes()
        return self._exported[key]

    def seconds(self, store: str, name: str) -> float:
        """How long a run from this beginning takes, about."""
        key = f"{store} {name}"
        if key not in self._seconds:
            trial, began = self.trial(store), time.monotonic()
            trial.prepare(self.beginning(store, name))
            trial.end(trial.begin())
            self._seconds[key] = time.monotonic() - began
        return self._seconds[key]
