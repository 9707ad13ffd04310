"""The replay and the environment of a run, from its configuration."""

from contextlib import closing

import numpy as np

from edgerl.config.settings import Config
from edgerl.envs import suites
from edgerl.envs.base import EnvSpec, random_action
from edgerl.envs.door import Door
from edgerl.errors import EnvError, EnvFailed
from edgerl.replay import representation
from edgerl.replay.buffer import Replay


def make_replay(
    config: Config, spec: EnvSpec, budget: int, pixels: representation.Pixels, rng: np.random.Generator
) -> Replay:
    """The configured replay in `budget` bytes, empty; `rng` draws its batches."""
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
    )


def make_env(config: Config, rng: np.random.Generator, *, training: bool) -> Door:
    """The configured environment, to train on or to be scored on."""
    return suites.make(config.run.env, rng, training=training, options=config.run.env_options)


def try_out(env: Door, config: Config) -> str | None:
    """Begin an episode, and play a step on a second environment, as evaluations do; before the first step of a run.

    Returns why there cannot be a second one while there is `env`, None if there can. Raises EnvError if an environment
    fails here: nothing has been trained yet.
    """
    try:
        env.reset()
        if not config.run.eval_every:
            return None
        return _try_second(config)
    except EnvFailed as error:
        raise EnvError(f"--env: {error}") from error


def _try_second(config: Config) -> str | None:
    rng = np.random.default_rng(config.run.seed)
    try:
        second = make_env(config, rng, training=False)
    except EnvError as error:
        return str(error).removeprefix("--env: ")
    with closing(second):
        try:
            second.reset()
        except EnvFailed as error:  # what exists once may be taken at the first reset
            return str(error)
        second.step(random_action(second, rng))
    return None
