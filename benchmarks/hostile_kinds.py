"""The kinds of files that edgerl reads from others: a real one of each, how it is mutated, who reads it."""

import contextlib
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mutations
import numpy as np
import tomli_w

import device_profiles
import edgerl
import edgerl_run
from edgerl.config import resolve
from edgerl.config.arguments import arguments
from edgerl.config.toml import load
from edgerl.envs import suites
from edgerl.experiments.export.metadata import KEY
from edgerl.experiments.reports import write
from edgerl.experiments.sweeps import manifest
from edgerl.planning import plan_report
from edgerl.runs import checkpoint, snapshots
from edgerl.runs.files import digest
from edgerl.training.policy import Policy
from runtime import Session, model_file

SETTINGS = {"env": "toy/catch", "budget": "1.5MB", "threads": 1, "hidden": 8, "learn_start": 20, "steps": 60}
SETTINGS |= {"freeze_at": 30, "checkpoint_every": 20, "eval_every": 30, "eval_episodes": 1, "snapshot_every": 30}
CHECKPOINT = "run/checkpoint/000000060"
COUNTED = ("inputs", "refused", "accepted", "tracebacks", "outside", "code")
ABOUT: list[str] = []  # what the real policy says of itself
Mutation = Callable[[bytes, random.Random], bytes]


@dataclass
class Kind:
    """One kind of file: where it lies in a folder, how it is mutated, who reads it; `share`: of all inputs."""

    name: str
    share: float
    files: list[str]
    mutate: Mutation
    read: Callable[[Path], Any]
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    largest: int = 0  # bytes of a hostile file
    usual: int = 0  # bytes that reading the real file takes at most
    memory: int = 0  # bytes that reading a hostile file takes more, at most
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)


def real_files(folder: Path) -> None:
    """A finished run with all files that a run can leave, a sweep of it, a policy and a device's profile."""
    run = folder / "run"
    edgerl.train(edgerl.configure(**SETTINGS), run)
    settings = (run / "config.toml").read_text()
    (run / "config.toml").write_text(settings.partition("\n")[2])  # its seal would refuse every change
    edgerl.export(run, folder / "policy.onnx")
    for events in run.glob("events.*"):
        events.unlink()
    for older in checkpoint.places(run / "checkpoint")[:-1]:
        shutil.rmtree(older)
    checkpoint.collect(run / "checkpoint")
    scores = [{"from": 0, "to": 30, "score": 0.9}]
    layer = {"name": "conv1", "part": "stem", "neurons": 32, "datapoints": 6, "untrained": 0.7, "scores": scores}
    analysis = {
        "frozen_at": 30, "gap": 30, "layers": [layer | {"dead": [{"step": 0, "share": 0.1}]}],
        "observations": {"played_by_step": 60, "random_actions": 0.2, "windows": 9, "episodes": 2, "crops": 1},
        "attention": {"layer": "conv1", "moved": [{"from": 0, "to": 30, "moved": 0.1}]},
        "rule": {"similarity": 0.9, "movement": 0.1}, "safe": {"step": 30, "known": True, "text": "settled"},
        "notes": ["a note"],
    }  # fmt: skip
    (run / "analysis.json").write_text(json.dumps(analysis))
    (run / "attention.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    options = tuple(arguments(load(run / "config.toml")))
    cells = (manifest.Cell("a cell", "run", "toy/catch", "short", 0, options, 60, 1, 10**8),)
    manifest.write(manifest.Sweep(None, 1.0, None, cells), folder)
    origin = {"source": "measured", "kind": "sourced"}
    table = {
        "title": "A board", "platform": "linux", **origin, "ram": {"value": 1.0, "unit": "GB"},
        "clusters": [{"core": "A53", "count": 4, "clock": 1.2, "flop_per_cycle": 8}],
        "modes": {"5w": {"power": {"value": 5, "unit": "W", **origin}}},
    }  # fmt: skip
    (folder / "board.toml").write_text(tomli_w.dumps(table))
    ABOUT[:] = [Session(folder / "policy.onnx").metadata[KEY]]


def kinds() -> list[Kind]:
    """Every kind of file that edgerl reads, with its readers; shares follow from what an input costs."""
    weights, state = f"{CHECKPOINT}/weights.safetensors", f"{CHECKPOINT}/state.json"
    snapshot = "run/snapshots/000000060.safetensors"
    every = ["run/config.toml", "run/summary.json", "run/metrics.jsonl", "run/analysis.json", "run/encoder.onnx"]
    others = ["run/attention.png", "sweep.json", snapshot, weights, state]
    return [
        Kind("config.toml", 0.2, every[:1], mutations.toml, lambda folder: arguments(load(folder / every[0]))),
        Kind("plan --config", 0.05, every[:1], mutations.toml, _plan),
        Kind("device profile", 0.15, ["board.toml"], mutations.toml, _read_device),
        Kind("sweep.json", 0.15, ["sweep.json"], mutations.json_file, _read_sweep),
        Kind("summary.json", 0.08, every[1:2], mutations.json_file, _report),
        Kind("metrics.jsonl", 0.04, every[2:3], mutations.json_lines, _report),
        Kind("analysis.json", 0.05, every[3:4], mutations.json_file, _report),
        Kind("snapshot", 0.1, [snapshot], _tensors, lambda folder: snapshots.read(folder / snapshot)),
        Kind("ONNX weights", 0.08, every[4:5], mutations.damaged, lambda folder: model_file.weights(folder / every[4])),
        Kind("ONNX session", 0.02, every[4:5], mutations.damaged, _session),
        Kind("policy.onnx", 0.03, ["policy.onnx"], _policy, _play),
        Kind("checkpoint", 0.03, [weights, state], _signed, lambda folder: Policy(folder / "run")),
        Kind("no such file", 0.02, every + others, mutations.damaged, all_readers),
    ]


def _plan(folder: Path) -> None:
    """What `edgerl plan --config` does with a file, before it prints."""
    said = {"device": "never"}  # a file may name a device's profile anywhere, as --device does
    chosen, _ = resolve.started(said, folder / "run/config.toml", [])
    plan_report.report(chosen, suites.describe(chosen.run.env, chosen.run.env_options), None)


def _read_device(folder: Path) -> None:
    device_profiles.read(folder / "board.toml")


def _read_sweep(folder: Path) -> None:
    manifest.read(folder)
    write.write([folder], folder / "report.md")


def _report(folder: Path) -> None:
    for form in ("md", "json"):
        write.write([folder / "run"], folder / f"report.{form}")


def _session(folder: Path) -> None:
    file = folder / "run/encoder.onnx"
    with contextlib.suppress(Exception):  # ONNX Runtime's own errors, which the program's readers put in one line
        Session(file)


def _play(folder: Path) -> None:
    player = edgerl_run.Player(folder / "policy.onnx")
    player.act(np.zeros((84, 84), np.uint8))


def all_readers(folder: Path) -> None:
    """Every reader, one after the other; the first refusal is that of all."""
    _read_device(folder)
    _read_sweep(folder)
    _report(folder)
    Policy(folder / "run")
    for file in snapshots.files(folder / "run").values():
        snapshots.read(file)
    model_file.weights(folder / "run/encoder.onnx")


def _tensors(content: bytes, rng: random.Random) -> bytes:
    """A mutation of a safetensors file: of its bytes, or of the values in its header, whose length is made right."""
    if rng.random() < 0.4:
        return mutations.damaged(content, rng)
    length = int.from_bytes(content[:8], "little")
    header = mutations.json_file(content[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def _policy(content: bytes, rng: random.Random) -> bytes:
    """A mutation of a policy: of its bytes, or of what it says of itself."""
    if rng.random() < 0.4:
        return mutations.damaged(content, rng)
    entries = {KEY: ABOUT[0]}
    said = mutations.json_file(entries[KEY].encode(), rng).decode(errors="replace")
    return model_file.with_metadata(content, {KEY: said})


def _signed(content: bytes, rng: random.Random) -> bytes:
    """A mutation of a checkpoint's file; a whole state.json is given the right checksum, as its maker would."""
    if not content.startswith(b"{"):
        return _tensors(content, rng)
    content = mutations.json_file(content, rng)
    with contextlib.suppress(ValueError, RecursionError, AttributeError):
        values = json.loads(content)
        values.pop("checksum", None)
        checksum = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        return json.dumps({"checksum": checksum, **values}).encode()
    return content


def sign(folder: Path) -> None:
    """Give a checkpoint's state.json the checksum of its other file, as whoever changed that would."""
    place = folder / CHECKPOINT
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        values = json.loads((place / "state.json").read_text())
        values["sha256"]["weights.safetensors"] = digest(place / "weights.safetensors")
        del values["checksum"]
        checksum = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        (place / "state.json").write_text(json.dumps({"checksum": checksum, **values}))
