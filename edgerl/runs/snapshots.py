"""Snapshots: the weights of encoder and heads during training, to be analysed afterwards (`edgerl analyze`).

`snapshots/<9-digit step>.safetensors`, written whole or not at all, hold the learned weights, without targets, moments
and CURL's contrast: before the freeze the whole network, after it the part right of the cut. The stem, which no longer
changes, is in the snapshot of T_f (taken just before the freeze) and in encoder.onnx.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgerl import reading
from edgerl.errors import CheckpointError
from edgerl.runs import tensor_file
from edgerl.runs.files import make_folder, writing_whole
from edgerl.types import Array


@dataclass(frozen=True)
class Snapshot:
    """An agent's weights at a step, by name; `cut`: the last frozen layer, None before the freeze."""

    step: int
    cut: str | None
    arrays: dict[str, Array]


def due(step: int, every: int, *, freezing: bool, done: bool, stride: int = 1) -> bool:
    """Whether one is due after `step`: at 0, every `every` steps (0: never), just before the freeze, and at the end.

    `stride`: how many steps are made at once; it is due after the first ones that reach a multiple.
    """
    return every > 0 and (step % every < stride or freezing or done)


def place(folder: Path, step: int) -> Path:
    """The path of a step's snapshot in a run folder."""
    return folder / "snapshots" / f"{step:09d}.safetensors"


def files(folder: Path) -> dict[int, Path]:
    """The paths of a run's snapshots by step, in order, whole or not."""
    paths = sorted((folder / "snapshots").glob("[0-9]" * 9 + ".safetensors"))
    return {int(path.name.partition(".")[0]): path for path in paths}


def save(folder: Path, snapshot: Snapshot) -> None:
    """Write a snapshot into a run folder, without copies in memory; raises OSError if the disk refuses it."""
    file = place(folder, snapshot.step)
    make_folder(file.parent)
    metadata = {"step": str(snapshot.step), "cut": snapshot.cut or "", "sha256": _digest(snapshot)}
    with writing_whole(file) as part:
        tensor_file.write(part, snapshot.arrays, metadata)


def copy(source: Path, folder: Path, steps: Iterable[int]) -> None:
    """Copy those of these steps that the run in `source` has.

    Raises CheckpointError for a damaged one, and OSError if the disk refuses one.
    """
    there = files(source)
    for step in sorted(there.keys() & set(steps)):
        save(folder, read(there[step]))


def read(file: Path) -> Snapshot:
    """A snapshot, its arrays mapped from the file; raises CheckpointError, naming the file, if it is damaged."""
    try:
        reading.inside(file.parents[1], f"{file.parent.name}/{file.name}")
        metadata, arrays = tensor_file.metadata(file), tensor_file.read(file)
        snapshot = Snapshot(int(metadata["step"]), metadata["cut"] or None, arrays)
        damage = "" if metadata["sha256"] == _digest(snapshot) else "its checksum differs"
    except (OSError, LookupError, TypeError, ValueError) as error:
        damage = f"{type(error).__name__}: {error}"
    if damage:
        raise CheckpointError(f"{file} is damaged: {damage}")
    return snapshot


def discard_after(folder: Path, step: int) -> None:
    """Remove the snapshots of later steps, which a resumed run writes again, and what a kill left half-written."""
    for later, file in files(folder).items():
        if later > step:
            file.unlink()
    for part in (folder / "snapshots").glob(".*.part"):
        part.unlink()


def _digest(snapshot: Snapshot) -> str:
    """The SHA-256 of step, cut, names and numbers, in hexadecimal."""
    sha256 = hashlib.sha256(f"{snapshot.step} {snapshot.cut}".encode())
    for name, array in sorted(snapshot.arrays.items()):
        sha256.update(name.encode())
        sha256.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return sha256.hexdigest()
