"""`edgerl` whose control group's limit is lowered as a phase begins. Started by benchmarks/limits.py.

EDGERL_LOWERED names the phase, the limit as a share of its planned bytes or of what is held then, and the limit's file.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.commands import app
from edgerl.planning import limits as planning
from edgerl.planning import memory
from edgerl.training import loop, resume, train
from memory_budget import tree_bytes

LEARNING, LATENTS = 150, 300  # steps at which pixel and latent training are under way
PIECE = 10**6  # bytes that a leak takes at a step

asked: dict[str, Any] = json.loads(os.environ["EDGERL_LOWERED"])
known: dict[str, Any] = {}
leaked: list[Any] = []


def planned_bytes() -> int:
    """What the plan says of the phase, with the libraries as they were measured where that is known."""
    phases = known["phases"]
    behind = asked["phase"] in ("hand-over", "latent training", "resume")
    ledger = phases.after if behind else phases.before
    libraries = {} if asked["phase"] == "hand-over" else known.get("libraries", {})
    return sum((ledger | libraries).values())


def lower() -> None:
    """Lower the limit, once in the life of the process, whatever program it becomes."""
    if os.environ.get("EDGERL_LOWERED_ALREADY"):
        return
    os.environ["EDGERL_LOWERED_ALREADY"] = "yes"
    held = tree_bytes() if asked["of"] == "held" else planned_bytes()
    try:
        Path(asked["file"]).write_text(str(int(asked["share"] * held)))
    except OSError as error:  # v1, if more is in use that cannot be given back
        os.environ["EDGERL_LOWERED_ALREADY"] = f"refused: {error.strerror}"
    Path(asked["told"]).write_text(os.environ["EDGERL_LOWERED_ALREADY"])


def before(place: Any, name: str, act: Callable[..., None]) -> None:
    """Have a function of a module or a class begin with `act`."""
    function = getattr(place, name)

    def both(*arguments: Any, **options: Any) -> Any:
        act(*arguments, **options)
        return function(*arguments, **options)

    setattr(place, name, both)


def remember_plan(*arguments: Any, **options: Any) -> None:
    """Keep what the plan says of both phases."""
    options.pop("checks", None)
    known["phases"] = memory.phases(*arguments, **options)


def remember_libraries(plan: Any, library_bytes: int, *rest: Any) -> None:
    """Keep what the libraries hold."""
    known["libraries"] = {"libraries": library_bytes}


def lower_at(step: int) -> Callable[..., None]:
    """Lower the limit when the loop comes to this step."""
    return lambda training: lower() if training.state.step == step else None


def crowd(training: loop.TrainingLoop) -> None:
    """At every step, hold PIECE more bytes in the process or in a file, or read a file that the group cannot keep."""
    if training.state.step == LEARNING:
        lower()
    if training.state.step > LEARNING:
        if asked["phase"] == "a leak":
            leaked.append(np.ones(PIECE, np.uint8))
        elif asked["phase"] == "files in memory":
            with Path(asked["memory_file"]).open("ab") as file:
                file.write(bytes(PIECE))
        else:
            with Path(asked["large_file"]).open("rb") as file:
                while file.read(PIECE):
                    pass


HOOKS: dict[str, tuple[Any, str, Callable[..., None]]] = {
    "arena": (planning, "arena_of", lambda *_: lower()),
    "pixel training": (loop.TrainingLoop, "step", lower_at(LEARNING)),
    "checkpoint": (resume, "save", lambda parts, state, **_: lower() if state.step == 200 else None),
    "freeze": (loop, "freeze", lambda *_, **__: lower()),
    "hand-over": (train, "go_on", lambda *_, seamless=False: lower() if seamless else None),
    "latent training": (loop.TrainingLoop, "step", lower_at(LATENTS)),
    "evaluation": (loop, "play", lambda *_: lower()),
    "resume": (train, "go_on", lambda *_, **__: lower()),
    "a leak": (loop.TrainingLoop, "step", crowd),
    "files in memory": (loop.TrainingLoop, "step", crowd),
    "a stall": (loop.TrainingLoop, "step", crowd),
}

if __name__ == "__main__":
    before(memory, "planned", remember_plan)
    before(planning, "check_fit", remember_libraries)
    if asked["phase"] in HOOKS:
        before(*HOOKS[asked["phase"]])
    app.main()
