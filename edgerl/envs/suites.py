"""Environments by name: the suites atari, dmc, gym and toy, and the user's own `module:callable`."""

import difflib
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np

from edgerl import plugins
from edgerl.envs.base import EnvOptions, EnvSpec
from edgerl.envs.door import Door
from edgerl.errors import EnvError

DEFAULT = EnvOptions()


def suite_of(name: str) -> str:
    """The suite that a name begins with, or `custom` for module:callable. (gym/module:id belongs to gym.)"""
    suite = name.partition("/")[0]
    return "custom" if ":" in suite else suite


def canonical_name(name: str) -> str:
    """`suite/task` as presets write it: atari/CrazyClimber is atari/crazy_climber. Raises EnvError for unknown ones.

    The ids of gym and module:callable stay as they are; whether they exist shows when they are made.
    """
    suite, task = suite_of(name), name.partition("/")[2]
    if suite == "atari":
        from edgerl.envs.atari_games import rom_id

        return f"atari/{rom_id(task)}"
    if suite == "dmc":
        from edgerl.envs.dmc_tasks import task_name

        return f"dmc/{task_name(task)}"
    if suite in ("gym", "custom") or name == "toy/catch":
        return name
    if suite == "toy":
        raise EnvError(f"--env: unknown task {name!r}; the suite toy has toy/catch")
    near = difflib.get_close_matches(suite, ["atari", "dmc", "gym", "toy"], n=1)
    hint = f", perhaps {near[0]}/{task or '...'}" if near else ""
    raise EnvError(
        f"--env: unknown suite in {name!r}{hint}; environments are atari/<game>, dmc/<domain>-<task>, gym/<id>, "
        "toy/catch and module:callable"
    )


def describe(name: str, options: EnvOptions = DEFAULT) -> EnvSpec:
    """The spec of an environment; neither ale-py nor MuJoCo is loaded. Raises EnvError as `make` does."""
    name = canonical_name(name)
    suite, task = suite_of(name), name.partition("/")[2]
    _check(name, options)
    if suite == "atari":
        from edgerl.envs import atari_games

        return atari_games.describe(task, full_action_set=options.full_action_set)
    if suite == "dmc":
        from edgerl.envs import dmc_tasks

        return dmc_tasks.describe(task, options.action_repeat or 1)
    if suite == "gym":
        from edgerl.envs import gym

        return gym.describe(task)
    if suite == "custom":
        with closing(make(name, np.random.default_rng(0), training=False)) as made:
            spec: EnvSpec = made.spec
        return spec
    from edgerl.envs.toy import SPEC

    return SPEC


def make(name: str, rng: np.random.Generator, *, training: bool, options: EnvOptions = DEFAULT) -> Door:
    """The environment of that name. With `training`, losing a life ends an Atari episode; scores need it off.

    Raises EnvError, in one line, for an unknown suite or task, for an option that it does not have, if its packages
    or libraries are not installed, and for what `Door` refuses. Close it when it is needed no more.
    """
    name = canonical_name(name)
    _check(name, options)
    return Door(partial(_made, name, rng, training, options), rng, name)


def _made(name: str, rng: np.random.Generator, training: bool, options: EnvOptions) -> Any:
    """What the suite makes under that name, or the user's callable, called with the generator; not checked yet."""
    suite, task = suite_of(name), name.partition("/")[2]
    if suite == "atari":
        from edgerl.envs.atari import Atari

        sticky, full = options.sticky_actions, options.full_action_set
        return Atari(task, rng, training=training, sticky_actions=sticky, full_action_set=full)
    if suite == "dmc":
        from edgerl.envs.dmc import Dmc
        from edgerl.envs.simulator import Simulated

        return Simulated(Dmc(task, options.action_repeat or 1), rng, name)
    if suite == "gym":
        from edgerl.envs.gym import Gym
        from edgerl.envs.simulator import Simulated

        return Simulated(Gym(task), rng, name)
    if suite == "custom":
        return plugins.load(name)(rng)
    from edgerl.envs.toy import Catch

    return Catch(rng)


def _check(name: str, options: EnvOptions) -> None:
    """Raise EnvError for an option that environments of this suite do not have."""
    suite = suite_of(name)
    if suite != "dmc" and options.action_repeat is not None:
        raise EnvError(f"--action-repeat is of dmc tasks; {name} has none")
    if suite != "atari" and (options.sticky_actions or options.full_action_set):
        raise EnvError(f"--sticky-actions and --full-action-set are of Atari games; {name} has neither")
