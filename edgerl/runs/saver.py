"""The checkpoints of one run, each written while training goes on, and only what changed since the one before."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from edgerl.runs.checkpoint import Contents, Draft, Saved, prune
from edgerl.runs.segments import Held
from memory_budget.changes import Span


class Saver:
    """Writes checkpoints into `folder`, one at a time.

    `begin` writes the files, which the system takes into its own memory; a thread then makes them durable. So nothing
    is copied within the process. `end` waits for that thread, and raises what went wrong in it. `unpruned`: why older
    checkpoints stay beside the newest durable one, None if they do not.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[str, Held] = {}  # of each span, by the newest durable checkpoint of this process
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._place: Path | None = None
        self.unpruned: OSError | None = None

    def go_on_from(self, saved: Saved, spans: Iterable[Span]) -> None:
        """The next checkpoint shares with this one, which has just been read into the replay's `spans`."""
        layouts = saved.layouts
        self._held = {span.name: Held.of(layouts[span.name], span.changes) for span in spans if span.name in layouts}

    def begin(self, step: int, contents: Contents, before: Callable[[], object], *, replace: bool = False) -> int:
        """Begin a checkpoint of this step; returns bytes written, the manifest aside, and 0 if it is there already.

        `before`: called in the thread before the checkpoint becomes valid. One that is there stays, unless it is to be
        replaced. The one before must have ended. Raises OSError, naming the checkpoint's folder.
        """
        place = self.folder / f"{step:09d}"
        if place.exists() and not replace:
            self._place = place
            return 0
        draft = Draft(self.folder, step, contents, self._held)

        def complete() -> None:
            try:
                before()
                self._held = draft.complete()
            except BaseException as error:  # `end` raises it
                self._error = error
                return
            try:
                prune(self.folder)
            except OSError as error:
                self.unpruned = error

        self._place, self.unpruned = place, None
        thread = threading.Thread(target=complete, name="edgerl-checkpoint")
        try:
            thread.start()
            self._thread = thread
        except RuntimeError:  # the system has no room for one more
            complete()
        return draft.nbytes

    @property
    def writing(self) -> bool:
        """Whether the thread is still at work."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def step(self) -> int:
        """The step of the checkpoint that was begun; 0 if there is none."""
        return 0 if self._place is None else int(self._place.name)

    def end(self) -> Path | None:
        """Wait until what was begun is durable; returns its folder, None if nothing was begun since the last call.

        Raises OSError, naming the checkpoint's folder, if the disk refused it; nothing half-written stays then.
        """
        if self._thread is not None:
            self._thread.join()
        place, error = self._place, self._error
        self._thread = self._error = self._place = None
        if error is not None:
            raise error
        return place
