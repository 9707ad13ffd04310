"""Checkpoints: `checkpoint/<9-digit step>/`, written whole or not at all.

weights.safetensors holds the named arrays, each `<name>.raw` the bytes of one large array, state.json everything else
and the checksums of all.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.errors import CheckpointError
from edgerl.runs import tensor_file
from edgerl.runs.files import digest, name_file, sync
from edgerl.types import Array

FORMAT, KEPT = 2, 2
ENV = "env."  # what the names of the environment's arrays begin with


def save(
    folder: Path, step: int, arrays: dict[str, Array], values: dict[str, Any], raw: Mapping[str, Array] | None = None
) -> Path:
    """Write a checkpoint of `arrays`, JSON `values` and large `raw` arrays (no copies); returns its folder.

    The two newest are kept.

    Everything is written beside its place, synced, and then renamed: a crash leaves the older ones whole. Raises
    OSError, naming the checkpoint's folder, where the disk refuses it.
    """
    place = folder / f"{step:09d}"
    if place.exists():
        return place
    writing = folder / f".{place.name}.part"
    shutil.rmtree(writing, ignore_errors=True)
    try:
        folder.mkdir(exist_ok=True)
        writing.mkdir()
        tensor_file.write(writing / "weights.safetensors", arrays)
        for name, array in (raw or {}).items():
            (writing / f"{name}.raw").write_bytes(array.view(np.uint8).data)
        digests = {file.name: digest(file) for file in sorted(writing.iterdir())}
        manifest = {"format": FORMAT, "step": step, "sha256": digests, **values}
        (writing / "state.json").write_text(json.dumps({"checksum": _checksum(manifest), **manifest}, indent=1))
        for file in (*writing.iterdir(), writing):
            sync(file)
        writing.rename(place)
        sync(folder)
    except BaseException as error:
        shutil.rmtree(writing, ignore_errors=True)
        name_file(error, place)
        raise
    for old in places(folder)[:-KEPT]:
        shutil.rmtree(old)
    return place


@dataclass(frozen=True)
class Saved:
    """A checkpoint as it was read: its folder, arrays and values; `passed`: a line for each damaged newer one."""

    place: Path
    arrays: dict[str, Array]
    values: dict[str, Any]
    passed: list[str]

    @property
    def agent_arrays(self) -> dict[str, Array]:
        return {name: array for name, array in self.arrays.items() if not name.startswith(ENV)}

    @property
    def env_arrays(self) -> dict[str, Array]:
        return {name.removeprefix(ENV): array for name, array in self.arrays.items() if name.startswith(ENV)}

    def check(self, identity: dict[str, Any]) -> None:
        """Raise CheckpointError where this checkpoint is of a run of another `Config.identity`."""
        for name, own in identity.items():
            if (theirs := self.values["identity"].get(name)) != own:
                raise CheckpointError(f"{self.place} is of another run: its {name} is {theirs}, not {own}")

    def of_another_run(self, error: Exception) -> CheckpointError:
        """The error to raise where this checkpoint does not fit its folder's configuration, for this reason."""
        if isinstance(error, CheckpointError):
            return error
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])  # torch's first line only announces it
        return CheckpointError(f"{self.place} is of another run: {reason}")

    def read_raw(self, name: str, into: Array) -> None:
        """Read a raw array straight into `into`, bytes for bytes; raises CheckpointError where the size is another."""
        target, file = into.view(np.uint8).reshape(-1).data, self.place / f"{name}.raw"
        with file.open("rb", buffering=0) as stream:
            done = 0
            while done < len(target) and (count := stream.readinto(target[done:])):
                done += count
            if done < len(target) or stream.read(1):
                raise CheckpointError(f"{file} does not hold {len(target)} bytes")


def newest(folder: Path) -> Saved:
    """The newest whole checkpoint of a run's checkpoint folder.

    Raises CheckpointError where there is none, or where it is whole but of another format: nothing is wrong with that
    one, so it is not passed over.
    """
    passed: list[str] = []
    for place in reversed(places(folder)):
        try:
            values = _read_values(place)
            if values["format"] == FORMAT:
                return Saved(place, _read_arrays(place, values), values, passed)
        except (OSError, KeyError, TypeError, ValueError) as error:
            passed.append(str(error) if isinstance(error, CheckpointError) else f"{place} is damaged: {error}")
            continue
        raise CheckpointError(f"{place} has format {values['format']}, this edgerl reads {FORMAT}")
    if passed:
        raise CheckpointError(passed[0])
    raise CheckpointError(f"{folder} holds no checkpoint")


def places(folder: Path) -> list[Path]:
    """The checkpoints in a folder, whole or not, the newest last."""
    return sorted(place for place in folder.glob("[0-9]" * 9) if place.is_dir())


def exists(folder: Path) -> bool:
    """Whether a run's checkpoint folder holds any checkpoint, whole or not."""
    return bool(places(folder))


def discard_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps: damaged ones, which a resumed run will write anew."""
    for place in places(folder):
        if int(place.name) > step:
            shutil.rmtree(place)


def _read_values(place: Path) -> dict[str, Any]:
    """What state.json holds; CheckpointError, or what reading raises, where it is damaged."""
    values: dict[str, Any] = json.loads((place / "state.json").read_text())
    if not isinstance(values, dict):
        raise CheckpointError(f"{place / 'state.json'} is damaged: it holds no table")
    if values.pop("checksum") != _checksum(values):
        raise CheckpointError(f"{place / 'state.json'} is damaged: its checksum differs")
    return values


def _read_arrays(place: Path, values: dict[str, Any]) -> dict[str, Array]:
    """The named arrays, once every file is what `values` says it was; errors as in `_read_values`."""
    for name, expected in values["sha256"].items():
        if digest(place / name) != expected:
            raise CheckpointError(f"{place / name} is damaged: its checksum differs")
    return tensor_file.read(place / "weights.safetensors")


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
