"""What a process may take: the smallest of the memory limits, and the cores, of its control groups (Linux)."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

LIMIT_FILES = ("memory.max", "memory.high", "memory.limit_in_bytes")  # of a group: v2, v2, v1
_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def cgroup_bytes() -> int | None:
    """The tightest memory limit of this process's control groups (v2 memory.max and memory.high, v1), or None."""
    return lowest(folder / name for folder in groups("memory") for name in LIMIT_FILES)


def lowest(files: Iterable[Path]) -> int | None:
    """The smallest limit in files that hold one each; None if none of them does. Above 2^60 there is no limit (v1)."""
    values = map(numbers, files)
    return min((value[0] for value in values if value and value[0] < 2**60), default=None)


def cgroup_cores() -> float | None:
    """How many cores' time the control groups leave this process (v2 cpu.max, v1 cpu.cfs_quota_us), or None."""
    quotas = []
    for folder in groups("cpu"):
        quotas.append(numbers(folder / "cpu.max"))
        quotas.append(numbers(folder / "cpu.cfs_quota_us") + numbers(folder / "cpu.cfs_period_us"))
    return min((quota[0] / quota[1] for quota in quotas if len(quota) == 2 and min(quota) > 0), default=None)


def groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control groups, from its own up to the root, that a controller may limit."""
    for controllers, path in _memberships():
        if controllers and controller not in controllers:
            continue
        base = _ROOT / controller if controllers else _ROOT
        outside = ".." in path.split("/")  # outside this namespace, where no path below the root leads
        group = base if outside else base / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(base))


def own_files(name: str) -> Iterator[Path]:
    """Where a file of this process's own v2 group may lie; in a hybrid of v1 and v2 that is below "unified"."""
    for controllers, path in _memberships():
        if not controllers and ".." not in path.split("/"):
            yield from (base / path.lstrip("/") / name for base in (_ROOT, _ROOT / "unified"))


def _memberships() -> Iterator[tuple[list[str], str]]:
    """This process's control groups: the controllers of each (v2: none) and its path below the root."""
    try:
        lines = os.fsdecode(_MEMBERSHIP.read_bytes()).split("\n")
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path.startswith("/"):
            yield controllers.split(",") if controllers else [], path


def numbers(file: Path) -> list[int]:
    """The whole numbers in a file; none if it is not there, or says "max"."""
    try:
        return [int(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []


def smallest(**limits: int | None) -> tuple[int | None, str]:
    """The smallest of these limits in bytes and its name; (None, "") if there is none."""
    known = {name: value for name, value in limits.items() if value is not None}
    if not known:
        return None, ""
    name = min(known, key=known.__getitem__)
    return known[name], name
