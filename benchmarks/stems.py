"""What does the stem of an earlier run tell of what a later one has learned? On windows that the later one plays.

    python benchmarks/stems.py runs/learning/GAME/never-kl__beginning-2__0 runs/learning/GAME/never-kl__0

Folders in pairs: a run to T_f, and the one that went on from it unfrozen. A line for each pair: SVCCA of each layer of
the stem with its later self, and of an untrained one with it; the share of dead channels, before and after; and the
share of variance of the later latents, and of the later heads' hidden layers, that a linear map of the latents explains
on windows that the map has not seen (ridge regression; the last 30% of play). `codes`: the earlier latents as uint8, by
scales of what the earlier run plays.
"""

import argparse
from pathlib import Path

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.agents.build import make_agent
from edgerl.experiments.analysis.activations import LayerReader
from edgerl.experiments.analysis.observations import Observations, play
from edgerl.replay.quantization import Scales
from edgerl.settling import svcca
from edgerl.settling.layers import ObservedLayer, dead_share, observed_layers
from edgerl.training.policy import Policy
from edgerl.types import Array

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)  # penalties, of features with a variance of 1 on average; the best one counts
LEARNED = 0.7  # of the windows; the others test

Layers = dict[str, Array]  # activations [neurons, datapoints] by layer


def explained(features: Array, targets: Array) -> float:
    """The share of the variance of `targets` [N, m] that a linear map of `features` [N, n] explains on later rows."""
    learned = int(LEARNED * len(features))
    centred = (features - features[:learned].mean(axis=0)) / (features[:learned].std() or 1.0)
    mean = targets[:learned].mean(axis=0)
    known, tested = centred[:learned], targets[learned:]
    gram, moments = known.T @ known, known.T @ (targets[:learned] - mean)
    variance = ((tested - tested.mean(axis=0)) ** 2).sum()
    maps = [np.linalg.solve(gram + ridge * learned * np.eye(len(gram)), moments) for ridge in RIDGES]
    return max(1 - ((centred[learned:] @ weights + mean - tested) ** 2).sum() / variance for weights in maps)


def flat(agent: Agent, observations: Observations, names: list[str]) -> Array:
    """These layers of an agent for every window, side by side: float64 [N, n]."""
    batches = [agent.activations(windows, actions) for windows, actions in observations.batches()]
    parts = [np.concatenate([batch[name].reshape(len(batch[name]), -1) for name in names], axis=1) for batch in batches]
    return np.concatenate(parts).astype(np.float64)


def windows_of(policy: Policy, count: int) -> Observations:
    """So many windows that the policy plays."""
    return play(policy, count, np.random.default_rng(policy.config.run.seed), lambda done: None)


def coded(latents: Array, known: Array) -> Array:
    """Latents [N, n] as uint8 codes hold them, whose scales are fitted to `known`, as at a freeze."""
    scales = Scales(known.shape[1:])
    scales.fit(known.astype(np.float32))
    return scales.decode(scales.encode(latents.astype(np.float32))).astype(np.float64)


def line(early: Path, late: Path, windows: int) -> str:
    """One pair of runs compared, in words."""
    policy, before = Policy(late), Policy(early)
    observations = windows_of(policy, windows)
    config, shape, spec = policy.config, observations.pixels.shape, policy.spec
    untrained = make_agent(config, shape, spec.actions, np.random.default_rng([config.run.seed, 1]))
    layers = observed_layers(untrained, config, shape, np.zeros((), spec.action))
    stem, heads = ([layer for layer in layers if layer.part == part] for part in ("stem", "head"))
    agents = {"early": before.agent, "late": policy.agent, "untrained": untrained}
    read = {name: LayerReader(late, observations, 1).activations(agent, stem) for name, agent in agents.items()}
    latents = {name: flat(agent, observations, [stem[-1].name]) for name, agent in agents.items()}
    latents["codes"] = coded(latents["early"], flat(before.agent, windows_of(before, windows), [stem[-1].name]))
    hidden = flat(policy.agent, observations, [layer.name for layer in heads])
    return "; ".join(
        [
            f"{late}: step {before.step:,} beside {policy.step:,}, {len(observations.starts)} games",
            *(settled(layer, read) for layer in stem),
            *(f"latents of {name} {explained(latents[name], latents['late']):.2f}" for name in ("early", "untrained")),
            *(
                f"heads of {name} {explained(latents[name], hidden):.2f}"
                for name in ("late", "early", "codes", "untrained")
            ),
        ]
    )


def settled(layer: ObservedLayer, read: dict[str, Layers]) -> str:
    """How alike a layer is to its later self, and its dead channels, in words."""
    bases = {name: svcca.directions(activations[layer.name]) for name, activations in read.items()}
    early, untrained = (svcca.similarity(bases[name], bases["late"]) for name in ("early", "untrained"))
    dead = [f"{dead_share(read[name][layer.name]):.0%}" for name in ("early", "late")]
    return f"{layer.name} SVCCA {early:.2f} (untrained {untrained:.2f}), dead {' then '.join(dead)}"


def main() -> None:
    """Print a line for each pair of runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders in pairs: earlier, later")
    parser.add_argument("--windows", type=int, default=3000, help="windows to play (default: %(default)s)")
    options = parser.parse_args()
    if len(options.runs) % 2:
        parser.error("runs come in pairs: an earlier one, and the one that went on from it")
    for early, late in zip(options.runs[::2], options.runs[1::2], strict=True):
        print(line(early, late, options.windows), flush=True)


if __name__ == "__main__":
    main()
