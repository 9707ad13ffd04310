"""A run's folder: its default name, whether it can be written, and its lock."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgerl import reading
from edgerl.config.settings import Config
from edgerl.errors import ConfigError
from edgerl.runs.files import sync

LOCK = ".lock"


@contextmanager
def folder_of(config: Config, chosen: Path | None) -> Iterator[Path]:
    """The run folder that is `chosen`, or runs/<env>__<algo>__<seed>__<time>, the environment's slash as a dash.

    The latter is made here and is nobody else's: a run of the same second has one that ends in -2. It goes again if the
    block leaves it empty. Raises ConfigError if it cannot be written.
    """
    if chosen is not None:
        yield chosen
        return
    run = config.run
    name = f"{run.env.replace('/', '-')}__{run.algo}__{run.seed}__{time.strftime('%Y%m%d-%H%M%S')}"
    parent = Path("runs")
    created = [] if parent.exists() else [parent]
    try:
        folder = _make_free(parent, name)
        created.insert(0, folder)
        _sync_entries(created)
        yield folder
    finally:
        _remove_empty(created)


def _make_free(parent: Path, name: str) -> Path:
    """Make a new folder of that name, or of the first name-2, name-3 ... that is free."""
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
    _check_alone(folder, allowed=())


def _check_alone(folder: Path, allowed: Collection[str] = (LOCK,)) -> None:
    """Raise ConfigError if there is anything else in a folder than what is allowed, or if it is no folder."""
    try:
        if folder.exists() and any(place.name not in allowed for place in folder.iterdir()):
            raise ConfigError(f"--out: {folder} is not empty; name a new folder or an empty one")
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be written: {error.strerror}") from None


@contextmanager
def new_folder(folder: Path, has_begun: Callable[[], bool]) -> Iterator[int]:
    """Make a new run's folder with its parents, and lock it; gives the lock's descriptor, as `locked` does.

    If the block fails before the run `has_begun`, all that was made goes again, and so does what is in the folder.
    Raises ConfigError if the folder cannot be written.
    """
    check_folder(folder)
    created = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        _make_writable(folder)
        _sync_entries(created)
        with locked(folder) as lock:
            _check_alone(folder)  # another process may have trained in it until now
            try:
                yield lock
            except BaseException:
                if not has_begun():
                    _empty(folder)
                raise
    finally:
        _remove_empty(created)


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be written: {error.strerror}") from None


def _sync_entries(folders: Iterable[Path]) -> None:
    """Make durable that these folders are there, where whoever runs this may read the folders they lie in."""
    with suppress(OSError):
        for place in folders:
            sync(place.parent)


def _empty(folder: Path) -> None:
    """Remove all that is in a folder, its lock last, as far as the disk lets it be."""
    with suppress(OSError):
        for place in sorted(folder.iterdir(), key=lambda place: place.name == LOCK):
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink()


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of these folders that are empty, in this order."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def locked(folder: Path, busy: str = "process trains", *, adopted: int | None = None) -> Iterator[int]:
    """Lock a folder, and give the lock's descriptor. `adopted`: that of a lock which this process has already.

    Raises ConfigError if it cannot be written, or another process has locked it (`busy`: what that process does).
    """
    try:
        opened = open(folder / LOCK if adopted is None else adopted, "a", opener=reading.here)  # noqa: SIM115
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from None
    with opened as lock:
        os.set_inheritable(lock.fileno(), False)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{folder}: another {busy} in this folder") from None
        yield lock.fileno()


def held(folder: Path) -> bool:
    """Whether a process trains in a run folder."""
    try:
        with open(folder / LOCK, opener=reading.here) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
