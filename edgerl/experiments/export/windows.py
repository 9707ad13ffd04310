"""Windows of play to compare a policy on: those that its checkpoint's replay holds, or of games that it plays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from edgerl.envs.base import Environment, random_action
from edgerl.planning.plan import make_plan
from edgerl.replay import representation
from edgerl.replay.replays import AnyReplay
from edgerl.replay.representation import CHUNK
from edgerl.training.build import make_replays
from edgerl.training.policy import Policy
from edgerl.training.state import freeze_report_of
from edgerl.types import Array

RANDOM = 0.2  # of the actions in games: a greedy policy may see little


def show_windows(policy: Policy, env: Environment, count: int, act: Callable[[Array], Any]) -> None:
    """Call `act` with `count` windows uint8 [history, *frame], each valid until it returns.

    They are the replay's if it holds so many frames. Else games are played in `env` with the actions that `act` gives,
    but for a share RANDOM.
    """
    replay = _replay(policy)
    if replay is not None and len(numbers := replay.spread(count)) == count:
        for low in range(0, count, CHUNK):
            for window in replay.observations(numbers[low : low + CHUNK]):
                act(window.reshape(policy.spec.history, *policy.spec.frame))
    else:
        _play(env, count, act, np.random.default_rng([policy.config.run.seed, 1]))


def _replay(policy: Policy) -> AnyReplay | None:
    """The replay of the policy's checkpoint; None if it has none or one of latents, or if this machine has no room."""
    config, saved, report = policy.config, policy.saved, freeze_report_of(policy.saved)
    if saved.for_training or (report is not None and report["store"] != "pixels"):
        return None
    budget = make_plan(config, policy.spec).budget
    if budget > psutil.virtual_memory().available // 2:
        return None
    pixels, rng = representation.pixels(policy.spec, config.replay), np.random.default_rng(0)
    replay = make_replays(config, policy.spec, budget, pixels, rng)
    try:
        replay.restore(saved.values["replay"], saved.read_raw)
    except (RuntimeError, KeyError, ValueError) as error:
        raise saved.of_another_run(error) from None
    return replay


def _play(env: Environment, count: int, act: Callable[[Array], Any], rng: np.random.Generator) -> None:
    """Show the windows of whole games, one after the other."""
    over = True
    for _ in range(count):
        if over:
            timestep = env.reset()
        action = act(timestep.window)
        timestep = env.step(random_action(env, rng) if rng.random() < RANDOM else action)
        over = timestep.terminated or timestep.truncated
