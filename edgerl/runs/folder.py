"""A run's folder: its default name, whether it can be written, and its lock."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgerl import reading
from edgerl.config.settings import Config
from edgerl.errors import ConfigError


@contextmanager
def folder_of(config: Config, given: Path | None) -> Iterator[Path]:
    """The run folder that is `given`, or runs/<env>__<algo>__<seed>__<time>, the environment's slash as a dash.

    The latter is made here and is nobody else's: a run of the same second has one that ends in -2. It goes again if the
    block leaves it empty. Raises ConfigError if it cannot be written.
    """
    if given is not None:
        yield given
        return
    run = config.run
    name = f"{run.env.replace('/', '-')}__{run.algo}__{run.seed}__{time.strftime('%Y%m%d-%H%M%S')}"
    folder = _made(Path("runs"), name)
    try:
        yield folder
    finally:
        with suppress(OSError):  # not empty
            folder.rmdir()
            folder.parent.rmdir()


def _made(parent: Path, name: str) -> Path:
    """A new folder of that name, or of the first name-2, name-3 ... that is free."""
    folder, number = parent / name, 1
    try:
        parent.mkdir(exist_ok=True)
        while True:
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                number += 1
                folder = parent / f"{name}-{number}"
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be written: {error.strerror}") from None


def check_folder(folder: Path) -> None:
    """Raise ConfigError if a run folder exists and is not empty, or is no folder; creates nothing."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"--out: {folder} is not empty; name a new folder or an empty one")
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be written: {error.strerror}") from None


def make_folder(folder: Path) -> None:
    """Create the run folder with its parents; raises ConfigError if it cannot be written."""
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be written: {error.strerror}") from None


@contextmanager
def locked(folder: Path, other: str = "process trains", *, adopted: int | None = None) -> Iterator[int]:
    """Lock a folder, and give the lock's descriptor. `adopted`: that of a lock which this process has already.

    Raises ConfigError if another process has locked it (`other`: what that process does).
    """
    with open(folder / ".lock" if adopted is None else adopted, "a", opener=reading.here) as lock:
        os.set_inheritable(lock.fileno(), False)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{folder}: another {other} in this folder") from None
        yield lock.fileno()


def held(folder: Path) -> bool:
    """Whether a process trains in a run folder."""
    try:
        with open(folder / ".lock", opener=reading.here) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
