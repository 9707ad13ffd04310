"""Windows of play to compare a policy on: those that its checkpoint's replay holds, or of games that it plays."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import psutil

from edgerl.envs.base import Environment, random_action
from edgerl.planning.plan import make_plan
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.replay.representation import CHUNK
from edgerl.training.build import make_replay
from edgerl.training.freeze import spread_rows
from edgerl.training.policy import Policy
from edgerl.training.state import freeze_report_of
from edgerl.types import Array

RANDOM = 0.2  # of the actions in games: a greedy policy may see little


def windows_of_play(policy: Policy, env: Environment, count: int) -> Iterator[Array]:
    """`count` windows uint8 [history, *frame], each valid until the next: from the replay if it holds so many frames.

    Else of games played in `env`.
    """
    replay = _replay(policy)
    if replay is not None and len(numbers := spread_rows(replay, count)) == count:
        return _stored(policy, replay, numbers)
    return islice(_played(policy, env), count)


def _replay(policy: Policy) -> Replay | None:
    """The replay of the policy's checkpoint; None if it holds latents, or if this machine has no room for it."""
    config, saved, report = policy.config, policy.saved, freeze_report_of(policy.saved)
    if report is not None and report["store"] != "pixels":
        return None
    budget = make_plan(config, policy.spec).budget
    if budget > psutil.virtual_memory().available // 2:
        return None
    pixels, rng = representation.pixels(policy.spec, config.replay), np.random.default_rng(0)
    replay = make_replay(config, policy.spec, budget, pixels, rng)
    try:
        replay.restore(saved.values["replay"], saved.read_raw)
    except (RuntimeError, KeyError, ValueError) as error:
        raise saved.of_another_run(error) from None
    return replay


def _stored(policy: Policy, replay: Replay, numbers: Array) -> Iterator[Array]:
    shape = (policy.spec.history, *policy.spec.frame)
    for low in range(0, len(numbers), CHUNK):
        yield from replay.observations(numbers[low : low + CHUNK]).reshape(-1, *shape)


def _played(policy: Policy, env: Environment) -> Iterator[Array]:
    """Windows of whole games, one after the other, without end; a share RANDOM of the actions is random."""
    rng = np.random.default_rng(policy.config.run.seed)
    while True:
        timestep = env.reset()
        while True:
            yield timestep.window
            explores = rng.random() < RANDOM
            timestep = env.step(random_action(env, rng) if explores else policy.act(timestep.window))
            if timestep.terminated or timestep.truncated:
                break
