"""What a sweep shows on stderr while it runs: on a terminal a table, elsewhere a line for every change."""

import time
from collections import Counter
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from edgerl import reading
from edgerl.experiments.sweeps.cell import UNDONE, CellRun
from edgerl.output.messages import figure
from edgerl.output.terminal import console, plain_table
from edgerl.reading import NUMBER
from memory_budget import format_bytes

MOST_ROWS = 25
EVERY = 1.0  # seconds between two drawings of the table


class Display:
    """Shows the runs of a sweep's cells. `limit`: bytes that they may hold together, or None."""

    def __init__(self, runs: list[CellRun], limit: int | None, *, quiet: bool) -> None:
        self._runs, self._limit, self._quiet = runs, limit, quiet
        self._console = console(stderr=True, quiet=quiet)
        self._began, self._due = time.monotonic(), 0.0
        self._begun_at = sum(run.steps_done for run in runs)  # steps
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    @property
    def elapsed(self) -> float:
        """Seconds since the sweep began or was resumed."""
        return time.monotonic() - self._began

    def show_earlier(self) -> None:
        """Lines for what the sweep begins with: cells that have finished, and those that train elsewhere."""
        finished = sum(run.state == "finished" for run in self._runs)
        if finished:
            self._console.print(f"{'finished':12}  {finished} of {len(self._runs)} cells, before")
        for run in self._runs:
            if run.state == "elsewhere":
                self.changed(run)

    def changed(self, run: CellRun) -> None:
        """Print a line for a new state; on a terminal only if the table does not show it."""
        if self._console.is_terminal and run.state not in UNDONE:
            return
        self._console.print(f"{run.state:12}  {run.cell.name}{_detail(run)}", soft_wrap=True)

    def show(self) -> None:
        """Draw the table again if EVERY seconds have passed."""
        if self._console.is_terminal and not self._quiet and time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Group:
        headings = ("cell", "state", "step", "", "steps/s", "score", "memory")
        table = plain_table(*headings, left=["state"], column={"no_wrap": True})
        shown = [run for run in self._runs if run.state in ("running", "stopping", "elsewhere")]
        for run in shown[:MOST_ROWS]:
            table.add_row(Text(run.cell.name), run.state, *_numbers(run))
        return Group(table, Text(self._counts(len(shown) - MOST_ROWS)), Text(self._totals()))

    def _counts(self, more: int) -> str:
        counted = Counter(run.state for run in self._runs)
        text = ", ".join(f"{count} {state}" for state, count in counted.items())
        return f"{text}; {more} more at work" if more > 0 else text

    def _totals(self) -> str:
        done, total = sum(run.steps_done for run in self._runs), sum(run.own_steps for run in self._runs)
        resident = sum(run.resident for run in self._runs)
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


def _detail(run: CellRun) -> str:
    if run.reason and run.state in UNDONE:
        return f": {run.reason}"
    if run.state == "finished" and reading.fault(returns := run.summary.get("returns"), [{"mean": NUMBER}]) is None:
        return f": score {figure(returns[-1]['mean'])}" if returns else ""
    return f": from step {run.progress.step:,}" if run.state == "running" and run.progress.step else ""


def _numbers(run: CellRun) -> tuple[str, str, str, str, str]:
    progress, steps = run.progress, run.cell.steps
    return (
        f"{progress.step:,} of {steps:,}",
        f"{progress.step / steps:.0%}",
        "-" if progress.speed is None else f"{progress.speed:,.0f}",
        "-" if progress.score is None else figure(progress.score),
        format_bytes(run.resident) if run.resident else "-",
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
