"""Environments by name: the suites atari, dmc, gym and toy, and the user's own `module:callable`."""

import difflib
from functools import partial
from typing import Any

import numpy as np

from edgerl.envs.base import EnvOptions, EnvSpec, fault
from edgerl.envs.door import Door, place
from edgerl.envs.outside import callables
from edgerl.envs.outside.limited import Limited
from edgerl.envs.outside.workdir import Workdir
from edgerl.errors import EnvError, EnvFailed, NotTrusted

DEFAULT = EnvOptions()
OF_PICTURES = ("frame_skip", "frame", "frame_size", "observation")  # options of Gymnasium environments
OF_GYM = ("env_arg", *OF_PICTURES, "env_max_steps")  # options of gym and custom environments
OLDER = ("observation", "older")  # what runs of before the option are


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
    from edgerl.envs.outside import names

    if (meant := names.suggested(name)) is not None:
        raise EnvError(f"--env: {name!r} names no suite, perhaps {meant}")
    near = difflib.get_close_matches(suite, ["atari", "dmc", "gym", "toy"], n=1)
    hint = f", perhaps {near[0]}/{task or '...'}" if near else ""
    raise EnvError(
        f"--env: unknown suite in {name!r}{hint}; environments are atari/<game>, dmc/<domain>-<task>, gym/<id>, "
        "toy/catch and module:callable"
    )


def known_names() -> list[str]:
    """The names of all environments that edgerl knows by name: those of gym and the user's own are without end."""
    from edgerl.envs import atari_games, dmc_tasks

    return [*atari_games.names(), *dmc_tasks.names(), "toy/catch"]


def describe(name: str, options: EnvOptions = DEFAULT) -> EnvSpec:
    """The spec of an environment; neither ale-py nor MuJoCo is loaded. Raises EnvError as `make` does."""
    with Workdir().within():
        return _described(canonical_name(name), options)


def _described(name: str, options: EnvOptions) -> EnvSpec:
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

        return gym.describe(task, options)
    if suite == "custom":
        return _describe_custom(name, options)
    from edgerl.envs.toy import SPEC

    return SPEC


def _describe_custom(name: str, options: EnvOptions) -> EnvSpec:
    """The spec of what `module:callable` makes or is; what it makes is closed again, unless it is in use."""
    rng = np.random.default_rng(0)
    env = _called(name, rng, options)
    if callables.is_gym(env):
        from edgerl.envs.gym import describe_brought

        in_use = callables.is_named(name, env) or callables.is_lent(env)
        return describe_brought(name, env, options, close=not in_use)
    _refuse_of_gym(name, options)
    in_use = callables.is_lent(env)
    door = Door(lambda: env, rng, name)
    try:
        if not in_use:
            door.close()
    except EnvFailed as error:
        raise EnvError(f"--env: {error}") from error
    spec: EnvSpec = door.spec
    return spec


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
        from edgerl.envs.gym import registered
        from edgerl.envs.simulator import Simulated

        return Simulated(registered(task, options), rng, name)
    if suite == "custom":
        return _custom(name, rng, options)
    from edgerl.envs.toy import Catch

    return Catch(rng)


def _custom(name: str, rng: np.random.Generator, options: EnvOptions) -> Any:
    """What `module:callable` makes or is, wrapped if it is Gymnasium's; not checked yet."""
    env = _called(name, rng, options)
    if not callables.is_gym(env):
        _refuse_of_gym(name, options)
    callables.lend(env)
    if callables.is_gym(env):
        from edgerl.envs.gym import brought
        from edgerl.envs.simulator import Simulated

        return Simulated(brought(name, env, options), rng, name)
    most = options.env_max_steps
    return env if most is None or fault(env) is not None else Limited(env, most)


def _called(name: str, rng: np.random.Generator, options: EnvOptions) -> Any:
    """What `module:callable` makes of the run's arguments; raises EnvError, with a hint, if it raises anything."""
    try:
        return callables.called(name, rng, options)
    except (KeyboardInterrupt, NotTrusted):
        raise
    except BaseException as error:  # a user's module and callable may raise anything
        from edgerl.envs.outside import names
        from edgerl.envs.simulator import reason

        hint = f"; perhaps {names.suggested(name)}" if names.is_id(name) else ""
        raise EnvError(f"--env: {name!r} cannot be loaded: {reason(error)}{place(error)}{hint}") from None


def _check(name: str, options: EnvOptions) -> None:
    """Raise EnvError for an option that environments of this suite do not have."""
    suite = suite_of(name)
    if suite != "dmc" and options.action_repeat is not None:
        raise EnvError(f"--action-repeat is of dmc tasks; {name} has none")
    if suite != "atari" and (options.sticky_actions or options.full_action_set):
        raise EnvError(f"--sticky-actions and --full-action-set are of Atari games; {name} has neither")
    if suite not in ("gym", "custom"):
        for option in OF_GYM:
            if _is_said(options, option):
                instead = "; dmc has --action-repeat" if suite == "dmc" and option == "frame_skip" else ""
                raise EnvError(f"{_flag(option)} is of gym and module:callable environments; {name} has none{instead}")


def _refuse_of_gym(name: str, options: EnvOptions) -> None:
    """Raise EnvError for what is asked of pictures, of an environment that makes windows itself."""
    for option in OF_PICTURES:
        if _is_said(options, option):
            raise EnvError(f"{_flag(option)} is of Gymnasium environments; {name} makes its windows itself")


def _is_said(options: EnvOptions, option: str) -> bool:
    """Whether an option is not at its default, nor what an older run has in its place."""
    return getattr(options, option) != getattr(DEFAULT, option) and (option, options.observation) != OLDER


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"
