"""A run's folder: its default name, whether it can be written, and its lock."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgerl.config.settings import Config
from edgerl.errors import ConfigError


def default_folder(config: Config) -> Path:
    """runs/<env>__<algo>__<seed>__<time>, the environment's slash as a dash."""
    run = config.run
    return Path("runs") / f"{run.env.replace('/', '-')}__{run.algo}__{run.seed}__{time.strftime('%Y%m%d-%H%M%S')}"


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
    with open(folder / ".lock" if adopted is None else adopted, "w") as lock:
        os.set_inheritable(lock.fileno(), False)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{folder}: another {other} in this folder") from None
        yield lock.fileno()


def held(folder: Path) -> bool:
    """Whether a process trains in a run folder."""
    try:
        with (folder / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
