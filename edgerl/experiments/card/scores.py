"""The scores of a card: games played for it, random play beside them, and every evaluation of the run."""

from dataclasses import dataclass
from typing import Any

from edgerl.envs.human_scores import is_below_random, references
from edgerl.training.evaluate import Show, evaluate_policy
from edgerl.training.policy import Policy

SEEDS = "begins the numpy.random.default_rng that draws all games of an evaluation, one after the other"
SOURCE = "Wang et al. 2016, arXiv 1511.06581, Table 2"
RESULTS = ("episodes", "mean", "std", "min", "max", "scores")


@dataclass(frozen=True)
class Asked:
    """How many games a card is to play, and their seed."""

    episodes: int
    seed: int


def collect(policy: Policy, asked: Asked, show: Show) -> dict[str, Any]:
    """Play the games, those of `edgerl eval` with this seed, and give what scores.json holds.

    `evaluation`: these games. `random_play`: as many games of random actions, None where the published scores are
    known, which are `references` then. `during_training`: the run's own evaluations. A score is the sum of a whole
    game's rewards, unclipped, and `random_actions` the share of actions that were drawn uniformly. `show`: see `Hooks`.
    """
    run, known = policy.config.run, references(policy.config.run.env)
    played = evaluate_policy(policy, episodes=asked.episodes, seed=asked.seed, show=show)
    published = None if known is None else {"random": known.random, "human": known.human, "source": SOURCE}
    at_random = None
    if known is None:
        random_play = evaluate_policy(policy, episodes=asked.episodes, seed=asked.seed, epsilon=1.0)
        at_random = _evaluation(None, asked.seed, 1.0, random_play)
    return {
        "env": run.env,
        "algo": run.algo,
        "seed_meaning": SEEDS,
        "evaluation": _evaluation(policy.step, asked.seed, run.eval_epsilon, played),
        "random_play": at_random,
        "references": published,
        "during_training": [
            _evaluation(entry["step"], [run.seed, entry["step"], 1], run.eval_epsilon, entry)
            for entry in policy.saved.values["trainer"]["returns"]
        ],
    }


def _evaluation(step: int | None, seed: int | list[int], epsilon: float, played: dict[str, Any]) -> dict[str, Any]:
    """What scores.json has of games that were `played` after `step` agent steps of training (None: of no policy)."""
    return {"step": step, "seed": seed, "random_actions": epsilon} | {name: played[name] for name in RESULTS}


def below_random(scores: dict[str, Any]) -> bool:
    """Whether the mean of a card's games is below that of random play, published or played."""
    mean, at_random = scores["evaluation"]["mean"], scores["random_play"]
    return is_below_random(scores["env"], mean) or (at_random is not None and mean < at_random["mean"])
