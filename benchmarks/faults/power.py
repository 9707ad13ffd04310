"""A power cut, as ALICE simulates it: from a log of what a program did to files, what a disk may hold after a cut.

What was synced is there. Of all else, the disk may hold any part: of a file's bytes those that were written, none, or
every second block, with zeros in between; of the entries of folders (made, renamed, removed) those up to some time, as
a journal keeps them, or any, as POSIX permits. Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.
"""

import os
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from faults.disk import Kind

HEAD = struct.Struct("<6q")
BLOCK = 4096  # bytes that reach the disk as a whole
LOSSES = ("nothing", "bytes", "bytes and the newest entries", "bytes and any entries")


class Operation(NamedTuple):
    """A line of the log. `offset`: of a write, or a file's new length; of OPEN whether the file was emptied.

    `step`: of the run at that time; `target`: where RENAME puts the file; `content`: what WRITE wrote.
    """

    kind: Kind
    offset: int
    step: int
    path: Path
    target: Path
    content: bytes


def read(log: Path) -> list[Operation]:
    """The operations in a log, in order."""
    operations, text, at = [], log.read_bytes(), 0
    while at < len(text):
        kind, offset, step, *lengths = HEAD.unpack_from(text, at)
        at += HEAD.size
        parts = []
        for length in lengths if kind == Kind.WRITE else lengths[:2]:
            parts.append(text[at : at + length])
            at += length
        path, target = (Path(os.fsdecode(part)) for part in parts[:2])
        operations.append(Operation(Kind(kind), offset, step, path, target, b"".join(parts[2:])))
    return operations


@dataclass(eq=False)
class File:
    """A file or folder of the log: bytes and entries that are durable, and the changes of bytes that are not."""

    is_folder: bool = False
    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)  # offset and bytes; None: the new length
    entries: dict[str, "File"] = field(default_factory=dict)

    def kept(self, keeps: Callable[[], bool]) -> bytes:
        """The durable bytes, with the changes that the disk `keeps`, each asked for, in blocks."""
        text = bytearray(self.durable)
        for offset, content in self.unsynced:
            if content is None:
                if keeps():
                    text[:] = text[:offset].ljust(offset, b"\0")
                continue
            for start in range(0, len(content), BLOCK):
                if keeps():
                    part, at = content[start : start + BLOCK], offset + start
                    text[:] = text.ljust(at, b"\0")
                    text[at : at + len(part)] = part
        return bytes(text)


class Entry(NamedTuple):
    """A change of entries: removed from the folder `source`, and put into `target`, at once."""

    source: tuple[File, str] | None
    target: tuple[File, str] | None
    file: File


class Disk:
    """What was done to the files below a folder, up to a cut. The entries of folders are as the program sees them."""

    def __init__(self, root: Path) -> None:
        """Begin with what is in the folder, all durable."""
        self._root, self._top = root, _scanned(root)
        self._first = _entries(self._top)
        self._changes, self._synced = list[Entry](), list[bool]()

    def _find(self, path: Path) -> tuple[File, str]:
        """The folder that holds a path's entry, and the entry's name."""
        folder = self._top
        for name in path.relative_to(self._root).parts[:-1]:
            folder = folder.entries[name]
        return folder, path.name

    def apply(self, operation: Operation) -> None:
        """Do what a line of the log says."""
        if operation.kind == Kind.MAP:
            return
        if operation.path == self._root:
            if operation.kind == Kind.SYNC:
                self._sync_entries(self._top)
            return
        folder, name = self._find(operation.path)
        file = folder.entries.get(name)
        if operation.kind in (Kind.OPEN, Kind.MKDIR):
            if file is None:
                self._change(Entry(None, (folder, name), File(operation.kind == Kind.MKDIR)))
            elif operation.offset and not file.is_folder:
                file.unsynced.append((0, None))
        elif operation.kind == Kind.RENAME and file is not None:
            self._change(Entry((folder, name), self._find(operation.target), file))
        elif operation.kind == Kind.UNLINK and file is not None:
            self._change(Entry((folder, name), None, file))
        elif operation.kind == Kind.SYNC and file is not None:
            file.durable, file.unsynced = bytearray(file.kept(lambda: True)), []
            self._sync_entries(file)
        elif file is not None:
            file.unsynced.append((operation.offset, operation.content if operation.kind == Kind.WRITE else None))

    def _change(self, entry: Entry) -> None:
        self._changes.append(entry)
        self._synced.append(False)
        _apply(entry)

    def _sync_entries(self, folder: File) -> None:
        """What was done to a folder's entries is durable; a renaming is so once either of its folders is."""
        for number, entry in enumerate(self._changes):
            if any(place is not None and place[0] is folder for place in (entry.source, entry.target)):
                self._synced[number] = True

    def write(self, place: Path, losses: str, rng: random.Random) -> None:
        """Write to a new folder what the disk may hold, with these LOSSES; nothing can be applied after that."""
        for entry in self._changes:
            entry.file.entries.clear()
        for folder, entries in self._first.items():
            folder.entries = entries
        newest = max((number + 1 for number, synced in enumerate(self._synced) if synced), default=0)
        until = rng.randint(newest, len(self._changes)) if losses == LOSSES[2] else len(self._changes)
        likelihood = rng.choice([0, 0.5, 0.9])
        for number, entry in enumerate(self._changes):
            kept = rng.random() < likelihood if losses == LOSSES[3] else number < until
            if self._synced[number] or kept:
                _apply(entry)
        _write(self._top, place, (lambda: True) if losses == LOSSES[0] else lambda: rng.random() < likelihood)


def _apply(entry: Entry) -> None:
    if entry.source is not None and entry.source[0].entries.get(entry.source[1]) is entry.file:
        del entry.source[0].entries[entry.source[1]]
    if entry.target is not None:
        entry.target[0].entries[entry.target[1]] = entry.file


def _scanned(root: Path) -> File:
    """A folder as it is."""
    if not root.is_dir():
        return File(durable=bytearray(root.read_bytes()))
    return File(is_folder=True, entries={path.name: _scanned(path) for path in root.iterdir()})


def _entries(folder: File) -> dict[File, dict[str, File]]:
    """The entries of a folder and of all below it."""
    entries = {folder: dict(folder.entries)}
    for file in folder.entries.values():
        if file.is_folder:
            entries |= _entries(file)
    return entries


def _write(folder: File, place: Path, keeps: Callable[[], bool]) -> None:
    place.mkdir()
    for name, file in folder.entries.items():
        if file.is_folder:
            _write(file, place / name, keeps)
        else:
            (place / name).write_bytes(file.kept(keeps))
