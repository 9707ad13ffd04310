"""Snapshots: the weights of encoder and heads as training went on, to be looked at afterwards (`edgerl analyze`).

`snapshots/<9-digit step>.safetensors`, written whole or not at all: what the agent learned, without targets, moments
and what only CURL's contrast has. Before the freeze that is the whole network, after it what lies right of the cut: the
stem, which no longer changes, is in the snapshot of T_f itself (taken just before the freeze), and in encoder.onnx.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgerl.errors import CheckpointError
from edgerl.runs import tensor_file
from edgerl.runs.files import whole
from edgerl.types import Array


@dataclass(frozen=True)
class Snapshot:
    """An agent's weights at a step, by name; `cut`: the last frozen layer, where it was frozen."""

    step: int
    cut: str | None
    arrays: dict[str, Array]


def due(step: int, every: int, *, freezing: bool, done: bool) -> bool:
    """Whether one is due after `step`: at 0, every `every` steps (0: never), just before the freeze, and at the end."""
    return every > 0 and (step % every == 0 or freezing or done)


def place(folder: Path, step: int) -> Path:
    """Where a run folder has its snapshot of a step."""
    return folder / "snapshots" / f"{step:09d}.safetensors"


def files(folder: Path) -> dict[int, Path]:
    """A run's snapshots by step, whole or not, in their order."""
    found = sorted((folder / "snapshots").glob("[0-9]" * 9 + ".safetensors"))
    return {int(file.name.partition(".")[0]): file for file in found}


def save(folder: Path, snapshot: Snapshot) -> None:
    """Write a snapshot into a run folder, without copies in memory; raises OSError where the disk refuses it."""
    file = place(folder, snapshot.step)
    file.parent.mkdir(exist_ok=True)
    words = {"step": str(snapshot.step), "cut": snapshot.cut or "", "sha256": _digest(snapshot)}
    with whole(file) as part:
        tensor_file.write(part, snapshot.arrays, words)


def read(file: Path) -> Snapshot:
    """A snapshot, its arrays mapped from the file; raises CheckpointError, naming the file, where it is damaged."""
    try:
        words, arrays = tensor_file.metadata(file), tensor_file.read(file)
        found = Snapshot(int(words["step"]), words["cut"] or None, arrays)
        damage = "" if words["sha256"] == _digest(found) else "its checksum differs"
    except (OSError, LookupError, TypeError, ValueError) as error:
        damage = f"{type(error).__name__}: {error}"
    if damage:
        raise CheckpointError(f"{file} is damaged: {damage}")
    return found


def discard_after(folder: Path, step: int) -> None:
    """Remove the snapshots of later steps, which a resumed run will write anew, and what a kill left half-written."""
    for later, file in files(folder).items():
        if later > step:
            file.unlink()
    for part in (folder / "snapshots").glob(".*.part"):
        part.unlink()


def _digest(snapshot: Snapshot) -> str:
    """The SHA-256 of step, cut, names and numbers, in hexadecimal."""
    found = hashlib.sha256(f"{snapshot.step} {snapshot.cut}".encode())
    for name, array in sorted(snapshot.arrays.items()):
        found.update(name.encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()
