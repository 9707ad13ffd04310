"""Scores: whole games without learning or exploration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.envs.base import Environment, random_action
from edgerl.replay.representation import Representation
from edgerl.training.build import make_env
from edgerl.training.policy import Policy

Shown = Callable[[Environment, int, float], None]


def unseen(env: Environment, game: int, score: float) -> None:
    """Show nobody what is played."""


def evaluate(
    agent: Agent,
    representation: Representation,
    env: Environment,
    *,
    episodes: int,
    epsilon: float,
    rng: np.random.Generator,
    stopping: Callable[[], bool] = lambda: False,
    playing: Callable[[int], None] = lambda done: None,
    shown: Shown = unseen,
) -> list[float]:
    """Scores of `episodes` whole games: unclipped, no exploration but `epsilon` random actions.

    `stopping` ends it early; `playing` is told the games done before each one; `shown` is given the environment, the
    games done and the score so far, after each reset and each step.
    """
    scores: list[float] = []
    while len(scores) < episodes:
        playing(len(scores))
        timestep, score = env.reset(), 0.0
        shown(env, len(scores), score)
        while True:
            if stopping():
                return scores
            if rng.random() < epsilon:
                action = random_action(env, rng)
            else:
                action = agent.act(representation.see(timestep.window), explore=False)
            timestep = env.step(action)
            score += timestep.reward
            shown(env, len(scores), score)
            if timestep.terminated or timestep.truncated:
                break
        scores.append(score)
    return scores


def statistics(scores: list[float]) -> dict[str, Any]:
    """Mean, standard deviation (of these games), extremes, and the scores themselves."""
    return {
        "episodes": len(scores),
        "mean": float(np.mean(scores)),
        "std": float(np.std(scores)),
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
    shown: Shown = unseen,
) -> dict[str, Any]:
    """Play whole games with a run's newest checkpoint; returns their statistics, with `step` and `env`.

    `shown`: see `evaluate`.
    Raises ConfigError or CheckpointError, in one line, where the folder holds no run that can be read.
    """
    policy = Policy(folder, threads=threads)
    for line in policy.passed:
        say(f"passed over: {line}")
    run = policy.config.run
    scores = evaluate(
        policy.agent,
        policy.representation,
        make_env(policy.config, np.random.default_rng(seed), training=False),
        episodes=episodes,
        epsilon=run.eval_epsilon,
        rng=np.random.default_rng(seed),
        shown=shown,
    )
    return {"env": run.env, "step": policy.step, **statistics(scores)}
