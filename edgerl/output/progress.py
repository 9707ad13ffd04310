"""The progress that a run shows on stderr: a bar on a terminal, a line at intervals elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from edgerl.output.terminal import console


class Reporter:
    """Shows steps, steps/s, the last score, replay rows and resident memory; `say` prints a separate line."""

    def __init__(
        self,
        steps: int,
        *,
        quiet: bool,
        verbose: bool = False,
        elsewhere: Callable[[int], str] = lambda done: "",
        done: int = 0,
        tenths: int = 0,
    ) -> None:
        """`verbose`: whether details are wanted too.

        `elsewhere`: gives the time that so many steps would have taken on another device, shown beside them; `done`,
        `tenths`: the steps done so far, and the tenths of the run that have had their line.
        """
        self._console = console(stderr=True, quiet=quiet)
        self._steps, self._elsewhere, self.quiet, self.verbose, self.tenths = steps, elsewhere, quiet, verbose, tenths
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("pixels", total=steps, completed=done, note="")
        self._due = 0.0

    def step(self, done: int, phase: str, note: str) -> None:
        """Show `done` steps so far, in `phase` (pixels or latents), and the note."""
        note += self._elsewhere(done)
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, description=phase, note=note)
        elif not self.quiet and done * 10 // self._steps > self.tenths:
            self.tenths = done * 10 // self._steps
            self.say(f"{done * 100 // self._steps:3d}%  step {done:,} of {self._steps:,}  {phase}  {note}")

    @property
    def due(self) -> bool:
        """Whether it is time for another `step` (twice a second on a terminal)."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + 0.5
        return True

    def say(self, line: str) -> None:
        """Print a line; a stderr that refuses it, such as a log on a full disk, does not end the run."""
        with contextlib.suppress(OSError):
            self._console.print(line, overflow="ignore", crop=False)  # wrapped between words; a path stays whole

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bar from the screen within the block, at whose end it comes back."""
        self._bar.live.transient = True
        self._bar.live.stop()  # not the bar's own stop, which prints an empty line where there is no terminal
        try:
            yield
        finally:
            self._bar.live.transient = False
            self._bar.start()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
