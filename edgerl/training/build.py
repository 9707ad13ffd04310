"""The replay and the environment of a run, from its configuration."""

from contextlib import closing, suppress

import numpy as np

from edgerl.config.settings import Config
from edgerl.envs import suites
from edgerl.envs.base import EnvSpec, random_action
from edgerl.envs.door import Door
from edgerl.envs.fleet.fleet import Fleet
from edgerl.errors import EnvError, EnvFailed
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.replay.replays import AnyReplay, Replays, share
from edgerl.types import Array

TRIED = 8  # steps before a run's first one


def make_replay(
    config: Config,
    spec: EnvSpec,
    budget: int,
    pixels: representation.Pixels,
    rng: np.random.Generator,
    arena: Array | None = None,
) -> Replay:
    """The configured replay in `budget` bytes, those of `arena` if it is given; empty. `rng` draws its batches."""
    replay = config.replay
    return Replay(
        budget,
        pixels,
        spec.action,
        n_step=replay.n_step,
        gamma=replay.gamma,
        omega=replay.omega,
        rng=rng,
        sampling=replay.sampling,
        arena=arena,
    )


def make_replays(
    config: Config,
    spec: EnvSpec,
    budget: int,
    pixels: representation.Pixels,
    rng: np.random.Generator,
    arena: Array | None = None,
) -> AnyReplay:
    """The same for all environments of a run: each has its replay, in an equal share of the bytes."""
    count = config.run.envs
    if count == 1:
        return make_replay(config, spec, budget, pixels, rng, arena)
    part = share(budget, count)
    parts = [None if arena is None else arena[place * part : (place + 1) * part] for place in range(count)]
    return Replays([make_replay(config, spec, part, pixels, rng, own) for own in parts])


def make_training_env(config: Config, rng: np.random.Generator) -> Door | Fleet:
    """The environment to train on, or all of them."""
    run = config.run
    return make_env(config, rng, training=True) if run.envs == 1 else Fleet(run.env, run.env_options, run.envs, rng)


def make_env(config: Config, rng: np.random.Generator, *, training: bool, like: EnvSpec | None = None) -> Door:
    """The configured environment, to train on or to be scored on.

    Raises EnvError as `suites.make` does, and if its spec is not `like`, that of another one of it.
    """
    env = suites.make(config.run.env, rng, training=training, options=config.run.env_options)
    if like is not None and env.spec != like:
        with suppress(EnvFailed):
            env.close()
        raise EnvError(f"--env: {env.name} is not always the same: {env.spec}, and before {like}")
    return env


def try_out(env: Door | Fleet, config: Config) -> str | None:
    """Begin an episode, and play TRIED steps on a second environment, as evaluations do; before a run's first step.

    Returns why there cannot be a second one while there is `env`, None if there can. A screen without a picture becomes
    a note of `env`. Raises EnvError if an environment fails here, or if several leave no room for one to evaluate on:
    nothing has been trained yet.
    """
    try:
        env.reset()
        env.state()  # one that no checkpoint can hold is refused now
        why_alone = _try_second(env, config) if config.run.eval_every else None
        if why_alone is not None and isinstance(env, Fleet):
            raise EnvError(f"--envs: beside {len(env)} environments there can be none to evaluate on: {why_alone}")
        return why_alone
    except EnvFailed as error:
        raise EnvError(f"--env: {error}") from error


def _try_second(env: Door | Fleet, config: Config) -> str | None:
    rng = np.random.default_rng(config.run.seed)
    try:
        second = make_env(config, rng, training=False, like=env.spec)
    except EnvError as error:
        return str(error).removeprefix("--env: ")
    with closing(second):
        try:
            window = second.reset().window
        except EnvFailed as error:  # what exists once may be taken at the first reset
            return str(error)
        darkest, brightest = int(window.min()), int(window.max())
        for _ in range(TRIED):
            timestep = second.step(random_action(second, rng))
            darkest = min(darkest, int(timestep.window.min()))
            brightest = max(brightest, int(timestep.window.max()))
            if timestep.terminated or timestep.truncated:
                second.reset()
    if darkest == brightest:
        env.notes.append(f"every pixel of {TRIED} windows is {darkest}; `edgerl check` shows what an agent sees")
    return None
