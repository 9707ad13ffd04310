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
        self._ended = threading.Event()  # set once the newest checkpoint is durable, or has failed
        self._ended.set()
        self._error: BaseException | None = None
        self._begun: Path | None = None
        self._durable: Path | None = None
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
            self._begun = self._durable = place
            return 0
        draft, ended = Draft(self.folder, step, contents, self._held), threading.Event()

        def complete() -> None:
            try:
                self._complete(draft, before)
            finally:
                ended.set()

        self._begun, self.unpruned = place, None
        try:
            threading.Thread(target=complete, name="edgerl-checkpoint").start()
        except RuntimeError:  # the system has no room for one more
            complete()
        self._ended = ended  # an interruption before this line leaves nothing to wait for
        return draft.nbytes

    def _complete(self, draft: Draft, before: Callable[[], object]) -> None:
        """Make a checkpoint durable, then remove what is older; keeps what goes wrong."""
        try:
            before()
            self._held = draft.complete()
            self._durable = draft.place
        except BaseException as error:  # `end` raises it
            self._error = error
            return
        try:
            prune(self.folder)
        except OSError as error:
            self.unpruned = error

    @property
    def writing(self) -> bool:
        """Whether the thread is still at work."""
        return not self._ended.is_set()

    @property
    def step(self) -> int:
        """The step of the checkpoint that was begun; 0 if there is none."""
        return 0 if self._begun is None else int(self._begun.name)

    def end(self) -> Path | None:
        """Wait until what was begun is durable; returns its folder, None if nothing was begun since the last call.

        Raises OSError, naming the checkpoint's folder, if the disk refused it; nothing half-written stays then.
        """
        self._ended.wait()  # not the thread: Python takes one for ended once an interruption has ended a wait for it
        place, error = self._durable, self._error
        self._error = self._begun = self._durable = None
        if error is not None:
            raise error
        return place
