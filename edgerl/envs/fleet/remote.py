"""An environment in a process of its own, as the run sees it."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np
import tomli_w

from edgerl.envs.base import EnvOptions, EnvSpec
from edgerl.envs.door import LOST
from edgerl.envs.fleet.wire import Message, receive, send
from edgerl.errors import EnvError, EnvFailed, EpisodeLost
from edgerl.types import Array, TimeStep

PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from edgerl.envs.fleet.child import main; main(int(sys.argv[2]))"
)
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
PATIENCE = 10  # seconds that an environment has to close, and then its process to end
REFUSALS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (EnvError, EnvFailed, EpisodeLost)}


class InItsProcess(Exception):
    """The traceback of an error that was raised in the process of an environment."""


class Remote:
    """The environment of that name and the process it runs in; what it draws follows from `rng`.

    Every request is two calls, so that several environments can work at once: `ask`, then `answer`. `called`: how
    errors name it. `window`: the newest one. Whoever makes one calls `answer_made` next; it raises EnvError.
    """

    def __init__(self, name: str, options: EnvOptions, rng: np.random.Generator, called: str) -> None:
        self.called, self.window = called, np.zeros(0, np.uint8)
        self._rng = rng.bit_generator.state  # as its process last told it
        self._asked, self._gone = True, ""
        self._pipe, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", PROGRAM, json.dumps(sys.path), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C is the run's
                env=os.environ | ONE_THREAD,
            )
        said = {name: value for name, value in asdict(options).items() if value is not None}
        with suppress(OSError):  # it has ended: `answer_made` says so
            send(self._pipe, {"name": name, "options": tomli_w.dumps(said), "rng": self._rng})

    def answer_made(self) -> None:
        """Wait until the environment is made; raises EnvError if it cannot be."""
        try:
            said = self._answer().values
        except EnvFailed as error:
            raise EnvError(f"--env: {error}") from error
        frame, *rest = said["spec"]
        self.name, self.spec = said["name"], EnvSpec(tuple(frame), *rest)
        self.notes: list[str] = said["notes"]
        self.sees: str | None = said["sees"]
        self.window = np.zeros((self.spec.history, *self.spec.frame), np.uint8)

    def ask_reset(self) -> None:
        self._ask({"do": "reset"})

    def answer_window(self) -> None:
        """After a reset or a restore: take over the pending window. Raises EpisodeLost as `Door.restore`."""
        values, arrays = self._answer()
        self._rng, self.window = values["rng"], arrays["window"]

    def ask_step(self, action: Any) -> None:
        """`action`: a whole number, or float32 [A]."""
        vector = self.spec.continuous
        self._ask({"do": "step", "action": None if vector else int(action)}, {"action": action} if vector else None)

    def answer_step(self) -> TimeStep:
        values, arrays = self._answer()
        self.window = arrays["window"]
        return TimeStep(self.window, *values["step"])

    def ask_state(self) -> None:
        self._ask({"do": "state"})

    def answer_state(self) -> Message:
        """As `Door.state`; of an environment whose process is gone, that its episode is lost."""
        try:
            return self._answer()
        except EnvFailed:
            if not self._gone:
                raise
            return Message({LOST: self._gone, "rng": self._rng}, {"window": self.window})

    def ask_restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        self._ask({"do": "restore", "values": values}, arrays)

    def close(self) -> None:
        """Close the environment and end its process; a second call does nothing.

        Raises EnvFailed if the environment fails at that.
        """
        if self._pipe.fileno() < 0:
            return
        try:
            if not self._asked and not self._gone:
                self._pipe.settimeout(PATIENCE)
                self._ask({"do": "close"})
                self._answer()
        finally:
            self._pipe.close()  # which ends the process too
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                with suppress(OSError):
                    os.killpg(self._process.pid, signal.SIGKILL)  # what it started ends with it
                self._process.wait()

    def _ask(self, values: dict[str, Any], arrays: dict[str, Array] | None = None) -> None:
        self._asked = True
        with suppress(OSError):  # its process is gone: the answer says so
            send(self._pipe, values, arrays)

    def _answer(self) -> Message:
        """The answer to what was asked. Raises what the environment raised, or EnvFailed if its process is gone."""
        try:
            message = receive(self._pipe)
        except TimeoutError as error:  # there is a limit only as it closes
            raise EnvFailed(f"{self.called}: close() has not ended after {PATIENCE} s") from error
        except (EOFError, OSError) as error:
            raise EnvFailed(f"{self.called}: {self._ended()}") from error
        self._asked = False
        if "refused" in message.values:
            kind, why = REFUSALS[message.values["refused"]], message.values["why"]
            raise kind(why if kind is EnvError else f"{self.called}: {why}") from InItsProcess(message.values["lines"])
        return message

    def _ended(self) -> str:
        """That its process is gone, in words."""
        if not self._gone:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
            self._gone = f"its process has ended, with exit code {self._process.returncode}"
        return self._gone
