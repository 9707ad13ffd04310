"""Compiles disk.c, and steers it: which operation on which files meets which fault."""

import ctypes
import enum
import mmap
import os
import shutil
import subprocess
from pathlib import Path

VARIABLE = "FAULTS_CONTROL"  # names the control file to a program that is preloaded
SOURCE = Path(__file__).with_name("disk.c")
FOREVER = 2**62


class Kind(enum.IntFlag):
    """What a program does to files."""

    OPEN = 1
    WRITE = 2
    SYNC = 4
    RENAME = 8
    UNLINK = 16
    MKDIR = 32
    TRUNCATE = 64
    MAP = 128


CHANGING = Kind(127)  # all but MAP


class Action(enum.IntEnum):
    """What happens at an operation. KILL_AFTER: behind it, or in the middle of a write."""

    NOTHING, KILL_BEFORE, KILL_AFTER, FAIL, SHORTEN, STOP = range(6)


class Fields(ctypes.Structure):
    """The control file, as disk.c has it: numbers of operations, of lines (child.py), and steps of the run."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("operations", "first", "last", "action", "number", "kinds")),
        *((name, ctypes.c_int64) for name in ("hit", "hits", "clock", "step", "steps_saved", "lines", "line")),
        ("root", ctypes.c_char * 1024),
        ("log", ctypes.c_char * 1024),
    ]


def control(file: Path) -> Fields:
    """The fields in a control file, which is made if it is not there; processes that have it open share them."""
    if not file.exists():
        file.write_bytes(bytes(ctypes.sizeof(Fields)))
    with file.open("r+b") as stream:
        return Fields.from_buffer(mmap.mmap(stream.fileno(), ctypes.sizeof(Fields)))


def missing() -> str | None:
    """Why no library can be preloaded here; None if one can be."""
    if shutil.which("cc") is None:
        return "no C compiler"
    return None if os.uname().sysname == "Linux" else "not Linux"


def library(folder: Path) -> Path:
    """Compile disk.c into a folder; returns the library."""
    file = folder / "faults.so"
    subprocess.run(["cc", "-O2", "-Wall", "-shared", "-fPIC", "-pthread", "-o", file, SOURCE], check=True)  # noqa: S607
    return file


def begin(file: Path) -> None:
    """Have the library that this process was preloaded with act as its control file says."""
    os.environ[VARIABLE] = str(file)  # for the program that this process may become
    ctypes.CDLL(os.environ["LD_PRELOAD"]).faults_begin(os.fsencode(file))
