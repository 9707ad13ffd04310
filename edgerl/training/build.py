"""The replay and the environment of a run, from its configuration."""

import numpy as np

from edgerl.config.settings import Config
from edgerl.envs import suites
from edgerl.envs.base import Environment, EnvSpec
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


def make_env(config: Config, rng: np.random.Generator, *, training: bool) -> Environment:
    """The configured environment, to train on or to be scored on."""
    return suites.make(config.run.env, rng, training=training, options=config.run.env_options)
