"""Checkpoints: `checkpoint/<9-digit step>/` with weights.safetensors and state.json, written whole or not at all."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import safetensors.numpy
from safetensors import SafetensorError

from edgerl.types import Array

FORMAT, KEPT = 1, 2


class CheckpointError(ValueError):
    """No checkpoint that can be read; the message is one line."""


def save(folder: Path, step: int, arrays: dict[str, Array], values: dict[str, Any]) -> Path:
    """Write a checkpoint of `arrays` and JSON `values`; returns its folder. The two newest are kept.

    Everything is written beside its place, synced, and then renamed: a crash leaves the older ones whole.
    """
    place = folder / f"{step:09d}"
    if place.exists():
        return place
    folder.mkdir(exist_ok=True)
    writing = folder / f".{place.name}.part"
    shutil.rmtree(writing, ignore_errors=True)
    try:
        writing.mkdir()
        weights = writing / "weights.safetensors"
        safetensors.numpy.save_file(arrays, weights)
        manifest = {"format": FORMAT, "step": step, "sha256": {weights.name: _digest(weights)}, **values}
        (writing / "state.json").write_text(json.dumps(manifest, indent=1))
        for file in (*writing.iterdir(), writing):
            _sync(file)
        writing.rename(place)
        _sync(folder)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    for old in _steps(folder)[:-KEPT]:
        shutil.rmtree(old)
    return place


def newest(folder: Path) -> tuple[Path, dict[str, Array], dict[str, Any], list[str]]:
    """The newest whole checkpoint: its folder, arrays, values, and a line for each damaged one passed over.

    Raises CheckpointError where there is none.
    """
    passed: list[str] = []
    for place in reversed(_steps(folder)):
        try:
            return place, *_read(place), passed
        except CheckpointError as error:
            passed.append(str(error))
    if passed:
        raise CheckpointError(passed[0])
    raise CheckpointError(f"{folder} holds no checkpoint")


def _read(place: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    try:
        values: dict[str, Any] = json.loads((place / "state.json").read_text())
        if values["format"] != FORMAT:
            raise CheckpointError(f"{place} has format {values['format']}, this edgerl reads {FORMAT}")
        for name, digest in values["sha256"].items():
            if _digest(place / name) != digest:
                raise CheckpointError(f"{place / name} is damaged: its checksum differs")
        return safetensors.numpy.load_file(place / "weights.safetensors"), values
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{place} is damaged: {error}") from None


def _steps(folder: Path) -> list[Path]:
    return sorted(place for place in folder.glob("[0-9]" * 9) if place.is_dir())


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
