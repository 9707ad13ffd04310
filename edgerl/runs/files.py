"""Files that are written whole or not at all, and their checksums."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(file: Path, data: bytes) -> None:
    """Write bytes to a file, as `whole` does."""
    write_pieces(file, [data])


def write_pieces(file: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file from its pieces, as `whole` does; one piece at a time is in memory."""
    with whole(file) as part, part.open("wb") as stream:
        for piece in pieces:
            stream.write(piece)


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Write a file so that a crash leaves the old one or the new one. The block writes the path it is given.

    That temporary file is synced, then renamed, and the folder is synced.

    Raises OSError, naming the file, where the disk refuses it.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        yield part
        sync(part)
        part.rename(file)
        sync(file.parent)
    except BaseException as error:
        part.unlink(missing_ok=True)
        name_file(error, file)
        raise


def name_file(error: BaseException, place: Path) -> None:
    """Make an OSError name the file to be written, `place`, instead of the temporary one beside it."""
    if isinstance(error, OSError):
        error.filename, error.filename2 = str(place), None


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Bring a file or a folder's entries to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
