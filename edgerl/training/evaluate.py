"""Scores: whole games without learning, and with hardly any random actions."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgerl.envs.base import Environment, random_action
from edgerl.envs.door import Door
from edgerl.envs.resumable import LONGEST
from edgerl.errors import EnvError, EnvFailed
from edgerl.replay.representation import Representation
from edgerl.runs.signals import handle_again
from edgerl.training.build import make_env
from edgerl.training.policy import Policy
from edgerl.training.state import Parts, State, cut_episode
from edgerl.types import Array

Show = Callable[[Environment, int, float], None]  # environment, games done, score so far


class Actor(Protocol):
    """What acts in games: an agent, or what stands in for one."""

    def act(self, observation: Array, *, explore: bool) -> Any: ...


def show_nothing(env: Environment, game: int, score: float) -> None:
    """Show no game."""


@dataclass(frozen=True)
class Games:
    """How many whole games to play. `epsilon`: the share of random actions, which `rng` draws.

    `most_steps`: agent steps after which a game is cut; None: what the environment says, else LONGEST.
    """

    episodes: int
    epsilon: float
    rng: np.random.Generator
    most_steps: int | None = None


@dataclass
class Played:
    """The scores of games, unclipped, and how many of the games were cut at their longest."""

    scores: list[float] = field(default_factory=list)
    cut: int = 0


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
) -> Played:
    """Play whole games; fewer than asked for if they were ended early. A game that is cut counts with its score."""
    hooks, played = hooks or Hooks(), Played()
    longest = games.most_steps or getattr(env, "most_steps", None) or LONGEST
    while len(played.scores) < games.episodes:
        game = len(played.scores)
        hooks.playing(game)
        timestep, score = env.reset(), 0.0
        handle_again()
        hooks.show(env, game, score)
        for _ in range(longest):
            if hooks.stopping():
                return played
            if games.rng.random() < games.epsilon:
                action = random_action(env, games.rng)
            else:
                action = agent.act(representation.see(timestep.window), explore=False)
            timestep = env.step(action)
            score += timestep.reward
            hooks.show(env, game, score)
            if timestep.terminated or timestep.truncated:
                break
        else:
            played.cut += 1
        played.scores.append(score)
    return played


def play(parts: Parts, state: State, hooks: Hooks) -> dict[str, Any] | None:
    """An evaluation of a run, as an entry of `returns`; None if it was ended early.

    Raises EnvFailed if the environment fails, or cannot be made any more.
    """
    run = parts.config.run
    rng = np.random.default_rng([run.seed, state.step, 1])
    with _played_on(parts, state, rng) as env:
        games = Games(run.eval_episodes, run.eval_epsilon, rng, run.eval_max_steps)
        played = evaluate(parts.agent, parts.replay.representation, env, games, hooks)
    if len(played.scores) < run.eval_episodes:
        return None
    return {
        "step": state.step,
        "env_steps": state.step * parts.env.spec.repeat,
        "flops": state.flops_total,
        **statistics(played),
        "training_mean": state.training_mean,
    }


@contextmanager
def _played_on(parts: Parts, state: State, rng: np.random.Generator) -> Iterator[Door]:
    """The environment to play on: one of its own, or the training environment between two of its episodes.

    On the latter the games draw numbers of their own, so that training goes on as if there had been none.
    """
    if parts.make_eval_env is None:
        assert isinstance(parts.env, Door)  # noqa: S101
        if not state.between_episodes:  # at the run's end
            cut_episode(parts, state, parts.replay.representation.observe(parts.env.window)[1])
        with parts.env.drawing_from(np.random.default_rng([parts.config.run.seed, state.step, 2])):
            yield parts.env
        return
    try:
        env = parts.make_eval_env(rng)
    except EnvError as error:
        raise EnvFailed(str(error).removeprefix("--env: ")) from error
    handle_again()
    with closing(env):
        yield env


def statistics(played: Played) -> dict[str, Any]:
    """Mean, standard deviation (of these games), extremes, the scores themselves, and how many games were cut."""
    scores = played.scores
    with np.errstate(over="ignore", invalid="ignore"):  # a user's rewards may be as large as floats are
        mean, std = float(np.mean(scores)), float(np.std(scores))
    return {
        "episodes": len(scores),
        "mean": mean,
        "std": std,
        "min": float(np.min(scores)),
        "max": float(np.max(scores)),
        "scores": scores,
        "cut": played.cut,
    }


def cut_games(evaluation: dict[str, Any]) -> str:
    """How many of the games were cut, in words."""
    return f"{evaluation['cut']} of {evaluation['episodes']} games were cut at their longest (--eval-max-steps)"


def evaluate_run(
    folder: Path,
    *,
    episodes: int,
    seed: int,
    threads: int,
    say: Callable[[str], None],
    show: Show = show_nothing,
    max_steps: int | None = None,
) -> dict[str, Any]:
    """Play whole games with a run's newest checkpoint; returns their statistics, with `step` and `env`.

    `say` is told what was passed over; `show`: see `Hooks`; `max_steps`: of a game, None: as in the run. Raises
    ConfigError or CheckpointError, in one line, if the folder holds no run that can be read.
    """
    policy = Policy(folder, threads=threads)
    for line in policy.passed:
        say(f"passed over: {line}")
    return evaluate_policy(policy, episodes=episodes, seed=seed, max_steps=max_steps, show=show)


def evaluate_policy(
    policy: Policy,
    *,
    episodes: int,
    seed: int,
    epsilon: float | None = None,
    max_steps: int | None = None,
    show: Show = show_nothing,
) -> dict[str, Any]:
    """The same of a policy that was read. `epsilon`: the share of random actions (None: the run's own)."""
    run, rng = policy.config.run, np.random.default_rng([seed, 1])  # the environment draws from `seed` alone
    share, longest = run.eval_epsilon if epsilon is None else epsilon, max_steps or run.eval_max_steps
    played = play_with(policy, policy.agent, policy.representation, Games(episodes, share, rng, longest), seed, show)
    return {"env": run.env, "step": policy.step, **statistics(played)}


def play_with(
    policy: Policy, actor: Actor, representation: Representation, games: Games, seed: int, show: Show = show_nothing
) -> Played:
    """Games of an actor in the environment of a policy's run: the same for every actor, if the seeds are the same.

    `representation`: what the actor sees of windows; `seed`: of the environment; `show`: as in `Hooks`.
    """
    rng = np.random.default_rng(seed)
    with closing(make_env(policy.config, rng, training=False, like=policy.spec)) as env:
        return evaluate(actor, representation, env, games, Hooks(show=show))
