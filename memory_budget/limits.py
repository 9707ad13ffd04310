"""What a process may hold: the smallest of the limit given, the device's and the control group's (Linux)."""

import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def cgroup_bytes() -> int | None:
    """The tightest memory limit of this process's control groups (v2 memory.max and memory.high, v1), or None."""
    values = []
    try:
        lines = os.fsdecode(_MEMBERSHIP.read_bytes()).split("\n")
    except OSError:
        return None
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/") or (controllers and "memory" not in controllers.split(",")):
            continue
        base = _ROOT / "memory" if controllers else _ROOT
        outside = ".." in path.split("/")  # outside this namespace, where no path below the root leads
        group = base if outside else base / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(base):
                break
            for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
                values.append(_read(folder / name))
    limits = [value for value in values if value is not None and value < 2**60]
    return min(limits, default=None)


def _read(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def smallest(**limits: int | None) -> tuple[int | None, str]:
    """The smallest of these limits in bytes and its name; (None, "") if there is none."""
    known = {name: value for name, value in limits.items() if value is not None}
    if not known:
        return None, ""
    name = min(known, key=known.__getitem__)
    return known[name], name
