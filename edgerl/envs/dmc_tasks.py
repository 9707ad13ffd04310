"""The DeepMind Control Suite's tasks by name, with their actions, as data: plans need neither MuJoCo nor GL."""

import difflib
import tomllib
from functools import cache
from importlib import resources

from edgerl.envs.base import EnvSpec
from edgerl.errors import EnvError

HISTORY, SIDE = 3, 100


@cache
def _actions() -> dict[str, int]:
    table: dict[str, dict[str, int]] = tomllib.loads(
        resources.files("edgerl.envs").joinpath("dmc_tasks.toml").read_text()
    )
    return table["actions"]


def names() -> list[str]:
    """All tasks, as dmc/walker-walk."""
    return [f"dmc/{task}" for task in _actions()]


def _plain(task: str) -> str:
    return task.lower().replace("_", "").replace("-", "")


def task_name(task: str) -> str:
    """dm_control's `domain-task`; case, dashes and underscores do not matter. Raises EnvError for an unknown task."""
    known = {_plain(name): name for name in _actions()}
    wanted = _plain(task)
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.4)
    hint = f", perhaps dmc/{known[near[0]]}" if near else ""
    raise EnvError(f"--env: unknown task 'dmc/{task}'{hint}; there are {len(known)} tasks, such as dmc/walker-walk")


def describe(task: str, repeat: int) -> EnvSpec:
    """The spec of a task, every action of which lasts `repeat` env steps; raises EnvError for an unknown task."""
    return EnvSpec((3, SIDE, SIDE), HISTORY, _actions()[task_name(task)], repeat, continuous=True, refill=True)
