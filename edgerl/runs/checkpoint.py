"""Checkpoints: `checkpoint/<9-digit step>/`, written whole or not at all.

weights.safetensors holds the named arrays, every `<name>.raw` the bytes of one large array, state.json all other values
and the checksums of the files. The replay lies in files that checkpoints share (see `segments`).
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgerl import reading
from edgerl.errors import CheckpointError
from edgerl.reading import COUNT, NAME, TEXT, Each
from edgerl.runs import segments, tensor_file
from edgerl.runs.files import digest, making_folder, name_file
from edgerl.runs.segments import Held
from edgerl.types import Array
from memory_budget.changes import Span

FORMAT, READABLE, KEPT = 3, (2, 3), 2  # format 2 has the replay in one file, beside the others
MOST_BYTES = 64 * 2**30  # of a file: as large a replay as a machine holds
SHAPE = {"format": COUNT, "step": COUNT, "sha256": Each(TEXT)}  # of state.json, as far as files are found by it
ENV, SETTLING = "env.", "settling."  # prefixes of the arrays that are not the agent's


@dataclass(frozen=True)
class Contents:
    """What a checkpoint is to hold: named arrays, JSON values, large raw arrays, and the spans of the replay's rows."""

    arrays: dict[str, Array]
    values: dict[str, Any]
    raw: Mapping[str, Array] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()


class Draft:
    """A checkpoint whose files are written, but neither durable nor valid yet. Once it is made, contents may change.

    `nbytes`: written, the manifest aside.
    """

    def __init__(self, folder: Path, step: int, contents: Contents, held: Mapping[str, Held] | None = None) -> None:
        """Write the files into a temporary folder; `held`: what an older checkpoint holds of the spans, by name.

        Raises OSError, naming the checkpoint's folder, if the disk refuses it.
        """
        self.place, self._step = folder / f"{step:09d}", step
        self._values: dict[str, Any] = json.loads(json.dumps(contents.values))
        with ExitStack() as stack:
            self._part = stack.enter_context(making_folder(self.place))
            tensor_file.write(self._part / "weights.safetensors", contents.arrays)
            for name, array in contents.raw.items():
                (self._part / f"{name}.raw").write_bytes(array.view(np.uint8).data)
            self._files = sorted(self._part.iterdir())
            self.nbytes = sum(file.stat().st_size for file in self._files)
            self._rows = [
                segments.Draft(self._part, folder, span, (held or {}).get(span.name)) for span in contents.spans
            ]
            self.nbytes += sum(rows.nbytes for rows in self._rows)
            self._stack = stack.pop_all()

    def complete(self) -> dict[str, Held]:
        """Make it durable and valid: all files are synced, then the folder is renamed; older checkpoints stay.

        Returns what it holds of the spans, by name. Raises OSError as the drafting did; nothing half-written stays.
        """
        try:
            with self._stack:
                held = {rows.span.name: rows.complete() for rows in self._rows}
                manifest = {
                    "format": FORMAT,
                    "step": self._step,
                    "sha256": {file.name: digest(file) for file in self._files},
                    "segments": {rows.span.name: rows.described() for rows in self._rows},
                }
                _write_values(self._part, manifest | self._values)
        except BaseException:
            with suppress(OSError):
                collect(self.place.parent)
            raise
        return held


def save(
    folder: Path,
    step: int,
    arrays: dict[str, Array],
    values: dict[str, Any],
    raw: Mapping[str, Array] | None = None,
    *,
    replace: bool = False,
) -> Path:
    """Write a checkpoint of `arrays`, JSON `values` and large `raw` arrays (no copies); returns its folder.

    The KEPT newest checkpoints are kept. All files are written to a temporary folder and synced, then the folder is
    renamed: a crash leaves the older checkpoints whole. Raises OSError, naming the checkpoint's folder, if the disk
    refuses it. One of the same step stays as it is, unless it is to be replaced.
    """
    place = folder / f"{step:09d}"
    if replace or not place.exists():
        Draft(folder, step, Contents(arrays, values, raw or {})).complete()
        prune(folder)
    return place


def prune(folder: Path) -> None:
    """Remove all but the KEPT newest checkpoints, once the newest is durable; raises OSError."""
    for old in places(folder)[:-KEPT]:
        _remove(old)
    collect(folder)


def _remove(place: Path) -> None:
    """Remove a checkpoint; raises OSError, naming its folder."""
    try:
        shutil.rmtree(place)
    except OSError as error:
        name_file(error, place)
        raise


def collect(folder: Path) -> None:
    """Remove what belongs to no checkpoint, unless a checkpoint cannot be read; raises OSError."""
    for part in folder.glob(f".{'[0-9]' * 9}.*"):  # of a save that was killed
        _remove(part)
    kept: set[str] = set()
    for place in places(folder):
        try:
            named = segments.layouts(_read_values(place)).values()
        except (OSError, KeyError, TypeError, ValueError):
            return  # what belongs to it is not known
        kept |= {piece.sha256 for layout in named for piece in layout.pieces}
    segments.keep_only(folder, kept)


def copy(saved: "Saved", folder: Path, values: dict[str, Any]) -> Path:
    """Write a checkpoint that was read into another run's `folder`, with these values; returns where.

    Its files are copied, not read. Raises OSError, naming the checkpoint's folder, if the disk refuses it.
    """
    place = folder / saved.place.name
    with making_folder(place) as part:
        for name in saved.values["sha256"]:
            shutil.copyfile(saved.place / name, part / name)
        segments.copy(saved.place.parent, folder, saved.layouts.values())
        _write_values(part, values)
    return place


def _write_values(part: Path, manifest: dict[str, Any]) -> None:
    """Write state.json into the folder `part`."""
    (part / "state.json").write_text(json.dumps({"checksum": _checksum(manifest), **manifest}, indent=1))


@dataclass(frozen=True)
class Saved:
    """A checkpoint as read: its folder, arrays and values. `passed`: a line for every damaged newer one passed over."""

    place: Path
    arrays: dict[str, Array]
    values: dict[str, Any]
    passed: list[str]

    @property
    def layouts(self) -> dict[str, segments.Layout]:
        """How the replay's rows lie in shared files, by the name of their array."""
        return segments.layouts(self.values)

    @property
    def for_training(self) -> bool:
        """Whether it holds only what other runs begin with: the networks, but no moments, replay and environment."""
        return bool(self.values.get("for_training"))

    @property
    def agent_arrays(self) -> dict[str, Array]:
        return {name: array for name, array in self.arrays.items() if not name.startswith((ENV, SETTLING))}

    @property
    def env_arrays(self) -> dict[str, Array]:
        return self._arrays_of(ENV)

    @property
    def settling_arrays(self) -> dict[str, Array]:
        return self._arrays_of(SETTLING)

    def _arrays_of(self, prefix: str) -> dict[str, Array]:
        return {name.removeprefix(prefix): array for name, array in self.arrays.items() if name.startswith(prefix)}

    def check(self, identity: dict[str, Any]) -> None:
        """Raise CheckpointError if this checkpoint belongs to a run with another `Config.identity`."""
        own = self.values["identity"]
        for name in {**identity, **own}:
            if (value := own.get(name)) != (expected := identity.get(name)):
                raise CheckpointError(f"{self.place} is of another run: its {name} is {value}, not {expected}")

    def of_another_run(self, error: Exception) -> CheckpointError:
        """The error to raise if this checkpoint does not fit its folder's configuration; `error` says why."""
        if isinstance(error, CheckpointError):
            return error
        reason = " ".join(str(error).split())
        return CheckpointError(f"{self.place} is of another run: {reason}")

    def read_raw(self, name: str, into: Array) -> None:
        """Read the bytes of a raw array into `into`, without a copy; raises CheckpointError if the sizes differ."""
        if name in self.layouts:
            segments.read(self.place.parent, self.layouts[name], into)
            return
        target = into.view(np.uint8).reshape(-1).data
        with (self.place / f"{name}.raw").open("rb", buffering=0) as stream:
            segments.read_fully(stream, target)
            if stream.read(1):
                raise CheckpointError(f"{stream.name} does not hold {len(target)} bytes")


def newest(folder: Path) -> Saved:
    """The newest whole checkpoint in a run's checkpoint folder; damaged newer ones are passed over.

    Raises CheckpointError if there is none, if the newest whole one has another format, which is not damaged and so is
    not passed over, and for what no run wrote: pipes, links that lead out of the folder, files of any size.
    """
    try:
        reading.check_files(folder, MOST_BYTES)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} cannot be read: {error}") from None
    passed: list[str] = []
    there = places(folder)
    for place in reversed(there):
        try:
            values = _read_values(place)
            if values["format"] in READABLE:
                return Saved(place, _read_arrays(place, values), values, passed)
        except Exception as error:  # whoever wrote it: its values may be of any type
            passed.append(str(error) if isinstance(error, CheckpointError) else f"{place} is damaged: {error}")
            continue
        raise CheckpointError(
            f"{place} has format {values['format']}, this edgerl reads {' and '.join(map(str, READABLE))}"
        )
    if there != places(folder):  # the run that trains there has removed them meanwhile
        return newest(folder)
    if passed:
        raise CheckpointError(passed[0])
    raise CheckpointError(f"{folder} holds no checkpoint")


def places(folder: Path) -> list[Path]:
    """The folders of the checkpoints in `folder`, whole or not, the newest last."""
    return sorted(place for place in folder.glob("[0-9]" * 9) if place.is_dir())


def exists(folder: Path) -> bool:
    """Whether a run's checkpoint folder holds any checkpoint, whole or not."""
    return bool(places(folder))


def discard_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps: they are damaged, and the resumed run writes them again."""
    for place in places(folder):
        if int(place.name) > step:
            _remove(place)


def _read_values(place: Path) -> dict[str, Any]:
    """The values in state.json; raises CheckpointError, or what reading raises, if it is damaged."""
    values = json.loads(reading.content(place / "state.json", reading.MOST_JSON))
    if not isinstance(values, dict):
        raise CheckpointError(f"{place / 'state.json'} is damaged: it holds no table")
    if values.pop("checksum") != _checksum(values):
        raise CheckpointError(f"{place / 'state.json'} is damaged: its checksum differs")
    wrong = reading.fault(values, SHAPE) or next((name for name in values["sha256"] if not NAME.holds(name)), None)
    if wrong is not None:
        raise CheckpointError(f"{place / 'state.json'} is damaged: {wrong}")
    return values


def _read_arrays(place: Path, values: dict[str, Any]) -> dict[str, Array]:
    """The named arrays, after checking every file against `values`; raises as `_read_values`."""
    for name, expected in values["sha256"].items():
        if digest(place / name) != expected:
            raise CheckpointError(f"{place / name} is damaged: its checksum differs")
    for layout in segments.layouts(values).values():
        segments.check(place.parent, layout)
    return tensor_file.read(place / "weights.safetensors")


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
