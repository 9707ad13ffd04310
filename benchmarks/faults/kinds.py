"""All kinds of faults: what they are called, what injects one, and how many of a hundred of them there are."""

import errno
import random
from collections.abc import Callable
from typing import NamedTuple

import limits

from faults import kills, refusals
from faults.result import FAILED, REFUSED, SURVIVED, Result
from faults.runs import Lab


class Kind(NamedTuple):
    """A kind of fault; `share`: how often it comes beside the others of its group."""

    title: str
    inject: Callable[[Lab, random.Random], Result]
    share: int


KILLS = {
    "operation": Kind("kill -9 at an operation on files", kills.at_an_operation, 30),
    "moment": Kind("kill -9 at any moment", kills.at_any_moment, 12),
    "saving": Kind("kill -9 at a line of saving", kills.at_a_line("saving"), 12),
    "converting": Kind("kill -9 at a line of converting at T_f", kills.at_a_line("converting"), 10),
    "resuming": Kind("kill -9 at a line of resuming", kills.at_a_line("resuming"), 10),
    "exporting": Kind("kill -9 in `edgerl export`", kills.exporting, 10),
    "shedding": Kind("kill -9 at a line of shedding torch", kills.at_a_line("shedding"), 2),
    "power": Kind("power cut", kills.power_cut, 30),
}


def faults(seconds: float) -> dict[str, Kind]:
    """The other faults; `seconds`: how long a program is stopped."""
    return {
        "ENOSPC": Kind("ENOSPC: the disk is full", refusals.refused_with(errno.ENOSPC), 12),
        "EIO": Kind("EIO: the disk fails", refusals.refused_with(errno.EIO), 12),
        "EROFS": Kind("EROFS: the disk is read-only", refusals.refused_with(errno.EROFS), 8),
        "EDQUOT": Kind("EDQUOT: the quota is used up", refusals.refused_with(errno.EDQUOT), 8),
        "short": Kind("short writes", refusals.short_writes, 8),
        "flip": Kind("a bit flipped in any file", refusals.damaged("flip"), 16),
        "cut": Kind("any file truncated", refusals.damaged("cut"), 16),
        "clock": Kind("clock set back by a year", refusals.clock_set_back, 6),
        "second": Kind("two processes on one folder", refusals.second_process, 6),
        "full": Kind("full temporary folder", refusals.full_temporary_folder, 4),
        "removed": Kind("run folder removed", refusals.removed_folder, 5),
        "stopped": Kind(f"SIGSTOP for {seconds:g} s", refusals.stopped(seconds), 1),
        "memory": Kind("memory limit lowered in a phase", memory_limit, 1),
    }


def memory_limit(lab: Lab, rng: random.Random) -> Result:
    """A control group's limit is lowered as a phase begins (limits.py): it finishes, or ends in order."""
    phase = rng.choice([name for name in limits.PHASES if name != "a stall"])
    share, of = rng.choice(limits.shares(phase))
    ended, detail = limits.run(phase, share, of), f"{phase}: {share} of what is {of}"
    if ended is None:
        raise SystemExit("a memory limit needs a control group; leave it out with --without memory")
    said = f"exit code {ended.code}: {ended.said}"
    if ended.kills or ended.code not in (0, 2, 3):
        return Result(FAILED, detail, said=said)
    return Result(REFUSED if ended.code else SURVIVED, detail, said=said)


def of_number(kinds: dict[str, Kind], number: int) -> str:
    """The kind of a fault by its number: the kinds take turns by their shares, evenly spread."""
    turns = sorted((turn / kind.share, name) for name, kind in kinds.items() for turn in range(kind.share))
    return turns[number % len(turns)][1]
