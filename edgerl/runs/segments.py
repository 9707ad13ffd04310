"""The replay of checkpoints in segments: files of parts of its arena, each written once and shared by checkpoints.

`segments/<SHA-256 of the file>`, beside the checkpoints' folders. A manifest lists the pieces of its span. A file is
never changed; it is removed once no checkpoint that is kept names it.
"""

import re
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgerl.errors import CheckpointError
from edgerl.runs.files import digest, make_folder, sync
from edgerl.types import Array
from memory_budget.changes import Changes, Span

FOLDER = "segments"
_NAME = re.compile(r"[0-9a-f]{64}")


class Piece(NamedTuple):
    """The bytes [start, stop) of an arena, in the file of this SHA-256."""

    start: int
    stop: int
    sha256: str


class Layout(NamedTuple):
    """The bytes [start, stop) of an arena, and the pieces that together cover them, in order."""

    start: int
    stop: int
    pieces: list[Piece]


@dataclass(frozen=True)
class Held:
    """What a durable checkpoint holds of an arena: pieces by segment, as they were at a time of the arena's clock."""

    changes: Changes
    clock: int
    pieces: dict[int, Piece]

    @staticmethod
    def of(layout: Layout, changes: Changes) -> "Held":
        """What was read into the arena just now."""
        return Held(changes, changes.clock, {piece.start // changes.segment: piece for piece in layout.pieces})

    def unchanged(self, segment: int, start: int, stop: int) -> Piece | None:
        """The piece that still holds the bytes [start, stop) of a segment, if there is one."""
        piece = self.pieces.get(segment)
        if piece is None or self.changes.written(segment) > self.clock:
            return None
        return piece if piece.start <= start and stop <= piece.stop else None


class Draft:
    """The segments of a span: those that a durable checkpoint holds, and new files of all others.

    Once it is made, the arena may change. `nbytes`: of the new files.
    """

    def __init__(self, part: Path, folder: Path, span: Span, held: Held | None) -> None:
        """`part`: a folder for files that have no names yet; `folder`: of the checkpoints. Raises OSError."""
        self.span, self.clock, self._segments = span, span.changes.clock, folder / FOLDER
        self._pieces: dict[int, Piece] = {}
        self._new: dict[int, tuple[Path, int, int]] = {}
        size, known = span.changes.segment, held if held is not None and held.changes is span.changes else None
        for segment in range(span.start // size, -(-span.stop // size) if span.nbytes else 0):
            start, stop = max(span.start, segment * size), min(span.stop, (segment + 1) * size)
            piece = known.unchanged(segment, start, stop) if known else None
            if piece is not None and _is_there(self._segments, piece):
                self._pieces[segment] = piece
            else:
                file = part / f"{span.name}.{segment}.segment"
                file.write_bytes(span.arena[start:stop].data)
                self._new[segment] = file, start, stop
        self.nbytes = sum(stop - start for _, start, stop in self._new.values())

    def complete(self) -> Held:
        """Make the new files durable, under their names; raises OSError."""
        make_folder(self._segments)
        for segment, (file, start, stop) in self._new.items():
            self._pieces[segment] = Piece(start, stop, digest(file))
        for file, _, _ in self._new.values():
            sync(file)
        for segment, (file, _, _) in self._new.items():
            file.rename(self._segments / self._pieces[segment].sha256)
        sync(self._segments)
        return Held(self.span.changes, self.clock, self._pieces)

    def described(self) -> dict[str, Any]:
        """What the manifest says of this span, once it is complete."""
        span, pieces = self.span, sorted(self._pieces.values())
        return {"start": span.start, "stop": span.stop, "pieces": [list(piece) for piece in pieces]}


def layouts(values: dict[str, Any]) -> dict[str, Layout]:
    """The layouts in a manifest, by the name of the array; none if it is of an older format.

    Raises KeyError, TypeError or ValueError if it is malformed.
    """
    named = {}
    for name, entry in values.get("segments", {}).items():
        pieces = [Piece(*piece) for piece in entry["pieces"]]
        layout, end = Layout(entry["start"], entry["stop"], pieces), entry["start"]
        for piece in pieces:
            if not _NAME.fullmatch(piece.sha256) or not piece.start <= end < piece.stop:
                raise ValueError(f"the pieces of {name} are not in order")
            end = piece.stop
        if end < layout.stop:
            raise ValueError(f"the pieces of {name} do not cover it")
        named[name] = layout
    return named


def check(folder: Path, layout: Layout) -> None:
    """Read all files of a layout; raises CheckpointError for one that is damaged, OSError if one is missing."""
    for piece in layout.pieces:
        file = folder / FOLDER / piece.sha256
        if digest(file) != piece.sha256 or file.stat().st_size != piece.stop - piece.start:
            raise CheckpointError(f"{file} is damaged: its checksum differs")


def read(folder: Path, layout: Layout, into: Array) -> None:
    """Read the bytes of a layout into an array, without a copy; raises CheckpointError if the sizes differ."""
    target = into.view(np.uint8).reshape(-1).data
    if len(target) != layout.stop - layout.start:
        raise CheckpointError(f"{folder / FOLDER} does not hold {len(target)} bytes")
    end = layout.start
    for piece in layout.pieces:
        start, end = end, min(piece.stop, layout.stop)
        with (folder / FOLDER / piece.sha256).open("rb", buffering=0) as stream:
            stream.seek(start - piece.start)
            read_fully(stream, target[start - layout.start : end - layout.start])


def read_fully(stream: FileIO, target: memoryview) -> None:
    """Fill `target` from an unbuffered stream; raises CheckpointError if the file ends before."""
    done = 0
    while done < len(target) and (count := stream.readinto(target[done:])):
        done += count
    if done < len(target):
        raise CheckpointError(f"{stream.name} does not hold {len(target)} bytes")


def copy(source: Path, folder: Path, wanted: Iterable[Layout]) -> None:
    """Copy the files of layouts from one folder of checkpoints to another, and make them durable; raises OSError."""
    names = sorted({piece.sha256 for layout in wanted for piece in layout.pieces})
    if not names:
        return
    own = folder / FOLDER
    make_folder(own)
    for name in names:
        shutil.copyfile(source / FOLDER / name, own / name)
    for path in (*(own / name for name in names), own):
        sync(path)


def keep_only(folder: Path, kept: Collection[str]) -> None:
    """Remove all files of segments but those of these names; raises OSError."""
    for file in (folder / FOLDER).glob("*"):
        if file.name not in kept:
            file.unlink()


def _is_there(segments: Path, piece: Piece) -> bool:
    """Whether the file of a piece is there, and whole by its length: a folder may lose files while a run goes on."""
    try:
        return (segments / piece.sha256).stat().st_size == piece.stop - piece.start
    except OSError:
        return False
