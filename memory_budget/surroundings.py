"""What limits this process from outside, read while it runs: its control groups, and stalls for memory (Linux)."""

from pathlib import Path
from typing import NamedTuple

from memory_budget import limits

_MACHINE = Path("/proc/pressure/memory")


class Group(NamedTuple):
    """A control group: the bytes that it `held` and cannot give back, and its `limit`."""

    held: int
    limit: int


class Surroundings:
    """The control groups with a memory limit that this process is in, and how long work stalls for memory.

    `read` reads them again, as both change from outside: `groups`; `stall`, the percentage of the last ten seconds in
    which nothing ran because all waited for memory ("full" of pressure stall information), 0 where the kernel does not
    tell; `stall_file`, where it stands. Groups are searched again once in RESCAN readings.
    """

    RESCAN = 10  # readings

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.stall = 0.0
        self.stall_file = _MACHINE
        self._folders: list[Path] = []
        self._readings = 0

    def read(self) -> None:
        """Read all of them now."""
        if self._readings % self.RESCAN == 0:
            folders = limits.groups("memory")
            self._folders = [
                folder for folder in folders if any((folder / name).exists() for name in limits.LIMIT_FILES)
            ]
            self.stall_file = next(filter(Path.exists, limits.own_files("memory.pressure")), _MACHINE)
        self._readings += 1
        limited = [(folder, limit) for folder in self._folders if (limit := _limit(folder)) is not None]
        self.groups = [Group(held_bytes(folder), limit) for folder, limit in limited]
        self.stall = full_stall(self.stall_file)


def _limit(folder: Path) -> int | None:
    """The smallest limit of this control group in bytes; None if it has none."""
    return limits.lowest(folder / name for name in limits.LIMIT_FILES)


def held_bytes(folder: Path) -> int:
    """Bytes of a control group that the kernel cannot take back from it to make room, swapped ones included.

    All that is charged to it, less the pages of files: these are on the disk, and the kernel drops or writes them
    before it kills. A file system in memory (tmpfs) counts in full. What was swapped out counts, as it comes back when
    it is touched. 0 if the group does not tell.
    """
    stat = _named_numbers(folder / "memory.stat")
    first = _number(folder / "memory.memsw.usage_in_bytes") or _number(folder / "memory.usage_in_bytes")  # v1
    charged = first or _number(folder / "memory.current") + _number(folder / "memory.swap.current")
    prefix = "total_" if "total_active_file" in stat else ""  # v1: of the groups below it too, as what is charged
    given_back = [stat.get(f"{prefix}{name}", 0) for name in ("active_file", "inactive_file", "slab_reclaimable")]
    return max(0, charged - sum(given_back))


def full_stall(file: Path) -> float:
    """`avg10` of the line "full" in a file of pressure stall information, in percent; 0 if it cannot be read."""
    try:
        words = next(line for line in file.read_text().splitlines() if line.startswith("full ")).split()
        return float(words[1].removeprefix("avg10="))
    except (OSError, ValueError, LookupError, StopIteration):
        return 0.0


def _number(file: Path) -> int:
    return next(iter(limits.numbers(file)), 0)


def _named_numbers(file: Path) -> dict[str, int]:
    """The numbers in a file of lines such as "active_file 4096"; none if it cannot be read."""
    try:
        return {name: int(number) for name, number in map(str.split, file.read_text().splitlines())}
    except (OSError, ValueError):
        return {}
