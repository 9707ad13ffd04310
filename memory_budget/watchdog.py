"""Resident memory of this process and its children, read with psutil, and a thread that watches it."""

import contextlib
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from memory_budget.malloc import trim
from memory_budget.peak import status_bytes
from memory_budget.surroundings import Surroundings
from memory_budget.units import format_bytes

if TYPE_CHECKING:
    import psutil


def rss_bytes() -> int:
    """Resident bytes of this process."""
    import psutil  # here and below, not above: a plan reads no memory, and starts sooner without

    return int(psutil.Process().memory_info().rss)


def tree_bytes() -> int:
    """Resident bytes of this process, and what each of its children adds (in proportion if the system tells)."""
    return _Tree().read()


class _Tree:
    """This process and its children; they are listed once in RESCAN readings, as that reads all of /proc."""

    RESCAN = 10  # readings

    def __init__(self) -> None:
        self._children: list[psutil.Process] = []
        self._readings = 0

    def read(self) -> int:
        """Resident bytes now. If the children cannot be listed, the last list counts."""
        import psutil

        if self._readings % self.RESCAN == 0:
            # Anew: once the clock was set, psutil takes an old one for another process.
            self._process = psutil.Process()
            with contextlib.suppress(psutil.Error):
                self._children = self._process.children(recursive=True)
        self._readings += 1
        own = int(self._process.memory_info().rss) + swapped_bytes()
        return own + sum(map(_own_bytes, self._children))


def swapped_bytes() -> int:
    """Bytes of this process that are in swap: no room was won, as they come back when they are touched."""
    try:
        return status_bytes("VmSwap")
    except OSError:
        return 0


def _own_bytes(child: "psutil.Process") -> int:
    """A child's resident bytes, shared pages counted in part (PSS), and its swapped ones; 0 if it has ended."""
    import psutil

    try:
        memory = child.memory_full_info()
        return int(memory.pss + memory.swap)
    except (psutil.Error, AttributeError, OSError):
        with contextlib.suppress(psutil.Error):
            return int(child.memory_info().rss)
        return 0


class Fill(NamedTuple):
    """Who holds how many bytes of a limit."""

    holder: str
    held: int
    limit: int

    @property
    def words(self) -> str:
        """All of it, for people."""
        share = f"{self.held / self.limit:.0%} of the limit of {format_bytes(self.limit)}"
        return f"{self.holder} holds {format_bytes(self.held)}, {share}"


class Watchdog:
    """Reads the process tree's resident bytes `hertz` times a second, from a thread of its own.

    Three thresholds, as parts of a limit: `limit_bytes` (None: no limit) and, with `surroundings`, the limits of the
    control groups as they are at that moment. At WARN the user is warned, and at TRIM garbage is collected and free
    heap is given back, both by `relieve`, which the training loop calls. At LEAVE `exceeded` becomes true and stays
    true, `reason` says why, and the loop ends in order.

    Two readings are held against a control group's limit: the process tree's resident bytes, which the plan speaks of,
    and what the group as a whole cannot give back (see `held_bytes`), which decides whether the kernel kills.

    Work that stalls for memory counts too, whatever the readings: above STALL_TRIM percent as TRIM does, and above
    STALL_LEAVE for STALL_SECONDS as LEAVE does. It acts before systemd-oomd would kill (60% for 30 s).

    `peak`: the highest reading in bytes. Use as a context manager.
    """

    WARN, TRIM, LEAVE = 0.85, 0.92, 0.97
    TRIM_EVERY = 10.0  # seconds
    UNREAD_SECONDS = 10.0  # a limit that cannot be watched for so long counts as reached
    STALL_TRIM, STALL_LEAVE, STALL_SECONDS = 10.0, 40.0, 10.0

    def __init__(
        self, limit_bytes: int | None, hertz: float = 5.0, *, surroundings: Surroundings | None = None
    ) -> None:
        self.limit_bytes = limit_bytes
        self.peak = self.last = 0
        self.exceeded = False
        self.reason: str | None = None
        self._around = surroundings
        self._warned = False
        self._trimmed: float | None = None  # the time of the last trim
        self._stalled: float | None = None  # since when work stalls above STALL_LEAVE
        self._tree = _Tree()
        self._period = 1.0 / hertz
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edgerl-watchdog", daemon=True)

    @property
    def smallest_limit(self) -> int | None:
        """The smallest of all limits, as of the last reading; None if there is none."""
        known = [group.limit for group in self._around.groups] if self._around is not None else []
        return min([*known, *([] if self.limit_bytes is None else [self.limit_bytes])], default=None)

    def check(self) -> int:
        """One reading now, in bytes."""
        self.last = self._tree.read()
        self.peak = max(self.peak, self.last)
        if self._around is not None:
            self._around.read()
            self._check_stall(self._around)
        if (fill := self._fill_above(self.LEAVE)) is not None:
            self.leave(f"{fill.holder} reached {self.LEAVE:.0%} of its limit of {fill.limit:,} bytes")
        return self.last

    def leave(self, reason: str) -> None:
        """Have the run end in order; the first reason stays."""
        self.reason = self.reason or reason
        self.exceeded = True

    def relieve(self) -> str | None:
        """Do what the last reading calls for; returns a line for the user if that is new."""
        stall = 0.0 if self._around is None else self._around.stall
        full = self._fill_above(self.TRIM)
        if full is not None or stall >= self.STALL_TRIM:
            if self._trimmed is not None and time.monotonic() - self._trimmed < self.TRIM_EVERY:
                return None
            first = self._trimmed is None
            trim()
            self._trimmed, after = time.monotonic(), self.check()
            if first:
                why = f"work stalls for memory {stall:.0f}% of the time" if full is None else full.words
                return f"{why}: collected and trimmed, now {format_bytes(after)}"
        elif (fill := self._fill_above(self.WARN)) is not None and not self._warned:
            self._warned = True
            return f"warning: {fill.words}; at {self.LEAVE:.0%} the run saves a checkpoint and ends"
        return None

    @property
    def fullest(self) -> str:
        """Who holds the greatest part of a limit, as of the last reading, for people; empty if there is no limit."""
        fill = self._fill_above(0)
        return "" if fill is None else fill.words

    def allows(self, nbytes: int) -> bool:
        """Whether `nbytes` more stay below LEAVE, to be asked before a large allocation; trims if they do not."""
        self.check()
        if self._fill_above(self.LEAVE, nbytes) is not None:
            trim()
            self.check()
        return self._fill_above(self.LEAVE, nbytes) is None

    def group_allows(self, nbytes: int) -> bool:
        """Whether the control groups have room for `nbytes` more below LEAVE: if not, the kernel may kill."""
        self.check()
        groups = [] if self._around is None else self._around.groups
        return all(group.held + nbytes < self.LEAVE * group.limit for group in groups)

    def _fill_above(self, part: float, more: int = 0) -> Fill | None:
        """Who, with `more` bytes, holds the greatest part of a limit, if it is `part` of it or above."""
        groups, smallest = [] if self._around is None else self._around.groups, self.smallest_limit
        fills = [Fill("the control group", group.held, group.limit) for group in groups]
        if smallest is not None:
            fills.insert(0, Fill("the process tree", self.last, smallest))
        fullest = max(fills, key=lambda fill: (fill.held + more) / max(1, fill.limit), default=None)
        return fullest if fullest is not None and fullest.held + more >= part * fullest.limit else None

    def _check_stall(self, around: Surroundings) -> None:
        """Leave if work has stalled above STALL_LEAVE for STALL_SECONDS."""
        if around.stall < self.STALL_LEAVE:
            self._stalled = None
            return
        now = time.monotonic()
        self._stalled = now if self._stalled is None else self._stalled
        if now - self._stalled >= self.STALL_SECONDS:
            self.leave(f"work stalls for memory {around.stall:.0f}% of the time ({around.stall_file})")

    def _watch(self) -> None:
        import psutil

        read = time.monotonic()
        while not self._stop.wait(self._period):
            try:
                self.check()
                read = time.monotonic()
            except (OSError, psutil.Error) as error:  # such as too many open files
                if time.monotonic() - read >= self.UNREAD_SECONDS:
                    self.leave(f"memory could not be read for {self.UNREAD_SECONDS:.0f} s: {error}")

    def __enter__(self) -> Self:
        self.check()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.check()
