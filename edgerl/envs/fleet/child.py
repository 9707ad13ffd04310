"""The process of one environment: it does what it is told through a pipe, and ends when that is closed."""

import os
import signal
import socket
import tomllib
import traceback
from contextlib import suppress
from typing import Any

import numpy as np

from edgerl.envs import suites
from edgerl.envs.base import EnvOptions, sees
from edgerl.envs.door import Door
from edgerl.envs.fleet.wire import receive, send
from edgerl.envs.simulator import reason
from edgerl.errors import EnvError, EnvFailed, EpisodeLost
from edgerl.types import Array, TimeStep

LEFT_TO_THE_RUN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # which ends in order, and closes the pipe
Answer = tuple[dict[str, Any], dict[str, Array]]


def main(descriptor: int) -> None:
    """Serve the environment that the first message describes, until the pipe of this descriptor is closed."""
    _leave_signals_to_the_run()
    with socket.socket(fileno=descriptor) as pipe, suppress(EOFError, OSError):
        # What the environment starts does not hold the pipe: the run waits at it, and sees that this process is gone.
        os.set_inheritable(descriptor, False)
        os.register_at_fork(after_in_child=pipe.close)
        _serve(pipe)


def _leave_signals_to_the_run() -> None:
    """Do nothing at these signals. Programs and processes that the environment starts end by them as elsewhere.

    They would inherit that a signal is ignored. A handler ends where a program begins, and is taken back at a fork.
    """
    before = {number: signal.getsignal(number) for number in LEFT_TO_THE_RUN}

    def as_before() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in [number for number, handler in before.items() if handler != signal.SIG_IGN]:
        signal.signal(number, lambda *_: None)
        signal.siginterrupt(number, False)  # a simulator's system calls go on
    os.register_at_fork(after_in_child=as_before)


def _serve(pipe: socket.socket) -> None:
    asked = receive(pipe).values
    try:
        door = _made(asked)
    except BaseException as error:  # whatever a user's module raises
        _refuse(pipe, error)
        return
    try:
        send(pipe, _described(door))
        while True:
            asked, arrays = receive(pipe)
            try:
                answer = _done(door, asked, arrays)
            except BaseException as error:
                _refuse(pipe, error)
            else:
                send(pipe, *answer)
    finally:
        with suppress(EnvFailed):
            door.close()


def _made(asked: dict[str, Any]) -> Door:
    rng = np.random.default_rng()
    rng.bit_generator.state = asked["rng"]
    options = EnvOptions(**tomllib.loads(asked["options"]))
    return suites.make(asked["name"], rng, training=True, options=options)


def _described(door: Door) -> dict[str, Any]:
    return {"name": door.name, "spec": door.spec, "notes": door.notes, "sees": sees(door)}


def _done(door: Door, asked: dict[str, Any], arrays: dict[str, Array]) -> Answer:
    """Do what was asked, and say what came of it."""
    match asked["do"]:
        case "reset":
            return _standing(door, door.reset().window)
        case "step":
            return _told(door.step(arrays.get("action", asked["action"])))
        case "state":
            own, values = door.state()
            return values, own
        case "restore":
            door.restore(arrays, asked["values"])
            return _standing(door, door.window)
        case _:
            door.close()
            return {}, {}


def _standing(door: Door, window: Array) -> Answer:
    """What is pending, and what the next draws follow from."""
    return {"rng": door.rng.bit_generator.state}, {"window": window}


def _told(timestep: TimeStep) -> Answer:
    window, *rest = timestep
    return {"step": rest}, {"window": window}


def _refuse(pipe: socket.socket, error: BaseException) -> None:
    """Say that it could not be done: in words, and where."""
    known = isinstance(error, EnvError | EnvFailed | EpisodeLost)
    kind = type(error).__name__ if known else EnvFailed.__name__
    lines = traceback.format_exception(error.__cause__ or error)
    send(pipe, {"refused": kind, "why": str(error) if known else reason(error), "lines": "".join(lines)})
