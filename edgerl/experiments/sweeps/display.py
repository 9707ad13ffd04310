"""What a sweep shows while it runs: a table on a terminal, elsewhere a line for every change. All of it on stderr."""

import time
from collections import Counter
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from edgerl.experiments.sweeps.cell import UNDONE, Work
from edgerl.runs.progress import PipeSafeConsole
from edgerl.runs.terminal import plain_table
from memory_budget import format_bytes

MOST_ROWS = 25
EVERY = 1.0  # seconds


class Display:
    """Shows the cells of a sweep. `limit`: bytes that they may hold together, or None."""

    def __init__(self, works: list[Work], limit: int | None, *, quiet: bool) -> None:
        self._works, self._limit, self._quiet = works, limit, quiet
        self._console = PipeSafeConsole(stderr=True, quiet=quiet, highlight=False)
        self._began, self._due = time.monotonic(), 0.0
        self._begun_at = sum(_steps_done(work) for work in works)  # steps
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    @property
    def elapsed(self) -> float:
        """Seconds since the sweep began, or went on."""
        return time.monotonic() - self._began

    def found(self) -> None:
        """Lines for what the sweep begins with: cells that have finished, and those that train elsewhere."""
        finished = sum(work.state == "finished" for work in self._works)
        if finished:
            self._console.print(f"{'finished':12}  {finished} of {len(self._works)} cells, before")
        for work in self._works:
            if work.state == "elsewhere":
                self.changed(work)

    def changed(self, work: Work) -> None:
        """A line for a new state; on a terminal only for what is not seen in the table."""
        if self._console.is_terminal and work.state not in UNDONE:
            return
        self._console.print(f"{work.state:12}  {work.cell.name}{_detail(work)}", soft_wrap=True, markup=False)

    def show(self) -> None:
        """Bring the table up to date, now and then."""
        if self._console.is_terminal and not self._quiet and time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Group:
        headings = ("cell", "state", "step", "", "steps/s", "score", "memory")
        table = plain_table(*headings, left=["state"], column={"no_wrap": True})
        shown = [work for work in self._works if work.state in ("running", "stopping", "elsewhere")]
        for work in shown[:MOST_ROWS]:
            table.add_row(Text(work.cell.name), work.state, *_numbers(work))
        return Group(table, Text(self._counts(len(shown) - MOST_ROWS)), Text(self._totals()))

    def _counts(self, more: int) -> str:
        counted = Counter(work.state for work in self._works)
        text = ", ".join(f"{count} {state}" for state, count in counted.items())
        return f"{text}; {more} more at work" if more > 0 else text

    def _totals(self) -> str:
        done, total = (sum(map(count, self._works)) for count in (_steps_done, lambda work: work.cell.steps))
        resident = sum(work.resident for work in self._works)
        memory = f"{format_bytes(resident)} of {format_bytes(self._limit)}, " if self._limit else ""
        since = done - self._begun_at
        left = _clock(self.elapsed / since * (total - done)) if since > 0 else "-"
        return f"{done:,} of {total:,} steps, {memory}elapsed {_clock(self.elapsed)}, left {left}"

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def _detail(work: Work) -> str:
    if work.reason and work.state in UNDONE:
        return f": {work.reason}"
    if work.state == "finished" and (returns := work.summary.get("returns")):
        return f": score {returns[-1]['mean']:,.1f}"
    return f": from step {work.progress.step:,}" if work.state == "running" and work.progress.step else ""


def _numbers(work: Work) -> tuple[str, str, str, str, str]:
    progress, steps = work.progress, work.cell.steps
    return (
        f"{progress.step:,} of {steps:,}",
        f"{progress.step / steps:.0%}",
        "-" if progress.speed is None else f"{progress.speed:,.0f}",
        "-" if progress.score is None else f"{progress.score:,.1f}",
        format_bytes(work.resident) if work.resident else "-",
    )


def _steps_done(work: Work) -> int:
    return work.cell.steps if work.state == "finished" else min(work.progress.step, work.cell.steps)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
