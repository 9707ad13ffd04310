"""Scores: whole games without learning, and with hardly any random actions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgerl.envs.base import Environment, random_action
from edgerl.replay.representation import Representation
from edgerl.training.build import make_env
from edgerl.training.policy import Policy
from edgerl.types import Array

Show = Callable[[Environment, int, float], None]  # environment, games done, score so far


class Actor(Protocol):
    """What acts in games: an agent, or what stands in for one."""

    def act(self, observation: Array, *, explore: bool) -> Any: ...


def show_nothing(env: Environment, game: int, score: float) -> None:
    """Show no game."""


@dataclass(frozen=True)
class Games:
    """How many whole games to play. `epsilon`: the share of random actions, which `rng` draws."""

    episodes: int
    epsilon: float
    rng: np.random.Generator


@dataclass(frozen=True)
class Hooks:
    """What is called during the games: `stopping` before every step, to end them early; `playing` before every game,
    with the games done; `show` after every reset and step, with the environment, the games done and the score so far.
    """

    stopping: Callable[[], bool] = lambda: False
    playing: Callable[[int], None] = lambda done: None
    show: Show = show_nothing


def evaluate(
    agent: Actor, representation: Representation, env: Environment, games: Games, hooks: Hooks | None = None
) -> list[float]:
    """Scores of whole games, unclipped; fewer than asked for if they were ended early."""
    hooks = hooks or Hooks()
    scores: list[float] = []
    while len(scores) < games.episodes:
        hooks.playing(len(scores))
        timestep, score = env.reset(), 0.0
        hooks.show(env, len(scores), score)
        while True:
            if hooks.stopping():
                return scores
            if games.rng.random() < games.epsilon:
                action = random_action(env, games.rng)
            else:
                action = agent.act(representation.see(timestep.window), explore=False)
            timestep = env.step(action)
            score += timestep.reward
            hooks.show(env, len(scores), score)
            if timestep.terminated or timestep.truncated:
                break
        scores.append(score)
    return scores


def statistics(scores: list[float]) -> dict[str, Any]:
    """Mean, standard deviation (of these games), extremes, and the scores themselves."""
    with np.errstate(over="ignore", invalid="ignore"):  # a user's rewards may be as large as floats are
        mean, std = float(np.mean(scores)), float(np.std(scores))
    return {
        "episodes": len(scores),
        "mean": mean,
        "std": std,
        "min": float(np.min(scores)),
        "max": float(np.max(scores)),
        "scores": scores,
    }


def evaluate_run(
    folder: Path,
    *,
    episodes: int,
    seed: int,
    threads: int,
    say: Callable[[str], None],
    show: Show = show_nothing,
) -> dict[str, Any]:
    """Play whole games with a run's newest checkpoint; returns their statistics, with `step` and `env`.

    `say` is told what was passed over; `show`: see `Hooks`. Raises ConfigError or CheckpointError, in one line, if the
    folder holds no run that can be read.
    """
    policy = Policy(folder, threads=threads)
    for line in policy.passed:
        say(f"passed over: {line}")
    return evaluate_policy(policy, episodes=episodes, seed=seed, show=show)


def evaluate_policy(
    policy: Policy, *, episodes: int, seed: int, epsilon: float | None = None, show: Show = show_nothing
) -> dict[str, Any]:
    """The same of a policy that was read. `epsilon`: the share of random actions (None: the run's own)."""
    scores = play(policy, policy.agent, policy.representation, episodes, seed, epsilon=epsilon, show=show)
    return {"env": policy.config.run.env, "step": policy.step, **statistics(scores)}


def play(
    policy: Policy,
    actor: Actor,
    representation: Representation,
    episodes: int,
    seed: int,
    *,
    epsilon: float | None = None,
    show: Show = show_nothing,
) -> list[float]:
    """The scores of an actor in whole games of a policy's run: the same games for every actor, if `seed` is the same.

    `representation`: what the actor sees of windows; `epsilon`, `show`: as in `evaluate_policy` and `Hooks`.
    """
    env = make_env(policy.config, np.random.default_rng(seed), training=False)
    epsilon = policy.config.run.eval_epsilon if epsilon is None else epsilon
    return evaluate(actor, representation, env, Games(episodes, epsilon, np.random.default_rng(seed)), Hooks(show=show))
