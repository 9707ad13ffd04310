"""Files and folders that are written whole or not at all, and checksums of files."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgerl import reading
from edgerl.errors import ConfigError

HOMES = ("config.toml", "sweep.json")  # a folder with one of these is a run's or a sweep's
# What is read there, and the folders of it.
NEEDED = (*HOMES, "summary.json", "metrics.jsonl", "encoder.onnx", "tracker.json", ".lock")
NEEDED_FOLDERS = ("checkpoint", "snapshots")


def check_output(option: str, file: Path) -> None:
    """Raise ConfigError, naming the option, if a user's output cannot go to this file; creates nothing.

    It replaces no folder, no device, and nothing that a run or a sweep needs.
    """
    try:
        folder = file.resolve().parent
        if file.is_dir():
            raise ConfigError(f"{option}: {file} is a folder; name a file")
        if not folder.is_dir():
            raise ConfigError(f"{option}: there is no folder {file.parent}")
        if file.exists() and not file.is_file():
            raise ConfigError(f"{option}: {file} is no regular file; name another")
        if not os.access(folder, os.W_OK):
            raise ConfigError(f"{option}: {file} cannot be written: {os.strerror(errno.EACCES)}")
        if _is_needed(file.resolve()):
            raise ConfigError(f"{option}: {file} is a file of the run or sweep there; name another")
    except OSError as error:
        raise ConfigError(f"{option}: {file} cannot be written: {error.strerror}") from None


def _is_needed(file: Path) -> bool:
    """Whether a file of this path, which leads through no link, is one that a run or a sweep needs."""
    inner = [place.parent for place in file.parents if place.name in NEEDED_FOLDERS]
    homes = [*inner, *([file.parent] if file.name in NEEDED else [])]
    return any((home / name).exists() for home in homes for name in HOMES)


def write_whole(file: Path, content: bytes) -> None:
    """Write bytes to a file, whole or not at all (see `writing_whole`)."""
    write_pieces(file, [content])


def write_pieces(file: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file from its pieces, whole or not at all; one piece at a time is in memory."""
    with writing_whole(file) as part, part.open("wb") as stream:
        for piece in pieces:
            stream.write(piece)


@contextmanager
def writing_whole(file: Path) -> Iterator[Path]:
    """Write a file so that a crash leaves the old one or the new one. The block writes to the path it is given.

    That temporary file is synced and renamed to `file`, and the folder is synced. Raises OSError, naming the file, if
    the disk refuses it.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        if part.is_symlink() and not part.is_char_device():
            part.unlink()  # the file that it leads to would be written over
        yield part
        sync(part)
        part.rename(file)
        sync(file.parent)
    except BaseException as error:
        part.unlink(missing_ok=True)
        name_file(error, file)
        raise


@contextmanager
def making_folder(place: Path) -> Iterator[Path]:
    """Make a folder of files so that a crash leaves the old one or the new one. The block fills the folder it is given.

    What is in that temporary folder is synced, then it is renamed to `place`; one that was there is renamed before,
    and removed (a crash between these two renames leaves neither in place). Raises OSError, naming `place`, if the
    disk refuses it.
    """
    part, replaced = (place.with_name(f".{place.name}.{kind}") for kind in ("part", "old"))
    for rest in (part, replaced):
        shutil.rmtree(rest, ignore_errors=True)
    try:
        make_folder(place.parent)
        part.mkdir()
        yield part
        for path in (*part.iterdir(), part):
            sync(path)
        if place.exists():
            place.rename(replaced)
        part.rename(place)
        sync(place.parent)
    except BaseException as error:
        if replaced.exists() and not place.exists():
            replaced.rename(place)
        shutil.rmtree(part, ignore_errors=True)
        name_file(error, place)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def make_folder(place: Path) -> None:
    """Make a folder, durably, in one that is there; nothing is done if it exists. Raises OSError."""
    try:
        place.mkdir()
    except FileExistsError:
        return
    sync(place.parent)


def name_file(error: BaseException, place: Path) -> None:
    """Make an OSError name the path to be written, `place`, not the temporary one beside it."""
    if isinstance(error, OSError):
        error.filename = str(place)
        del error.filename2  # set to None it would be shown


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; raises OSError, or ValueError for what is no regular file."""
    with reading.opened(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
