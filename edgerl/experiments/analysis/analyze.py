"""What a run's encoder learned, from its snapshots: SVCCA of every layer and where it attends (paper section 5.6)."""

from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.build import make_agent
from edgerl.config.toml import load
from edgerl.errors import ConfigError
from edgerl.experiments.analysis.activations import LayerReader
from edgerl.experiments.analysis.compare import Attention, Say, Score, compare, select, untrained
from edgerl.experiments.analysis.observations import RANDOM, play, views
from edgerl.experiments.analysis.safe_freeze import verdict
from edgerl.replay import representation
from edgerl.settling import svcca
from edgerl.settling.layers import PER_NEURON, ObservedLayer, observed_layers
from edgerl.settling.rule import Interval, Rule
from edgerl.training.policy import Policy
from memory_budget.malloc import returning_blocks, trim

FRAMES = 200  # windows that are played at least, by default
LARGE_BLOCK = 2**20  # bytes; larger blocks, such as whole layers, leave the process when freed


def analyze(
    folder: Path,
    rule: Rule,
    *,
    frames: int | None = None,
    every: int | None = None,
    layer: str | None = None,
    threads: int = 1,
    say: Say = lambda line: None,
) -> tuple[dict[str, Any], Attention]:
    """The analysis of a run as analysis.json has it (docs/analysis.md), and its attention, to be drawn.

    `frames`: windows to play (default: five times as many observations as the widest layer has neurons); `every`: steps
    between compared snapshots; `layer`: whose attention (default: the last layer with maps); `say` is told what is
    being done. Raises ConfigError or CheckpointError, in one line, for what the user must change.
    """
    notes: list[str] = []
    chain, gap, stems_last = select(folder, every, load(folder / "config.toml").run.snapshot_every, notes)
    policy = Policy(folder, threads=threads)  # after what may refuse the run: it may import torch
    notes = [f"passed over: {line}" for line in policy.passed] + notes
    steps = [snapshot.step for snapshot in chain]
    whole = [snapshot.step for snapshot in chain if snapshot.cut is None]
    config, spec, step = policy.config, policy.spec, policy.step
    frozen_at = policy.frozen_at
    if frozen_at is None and stems_last is not None:  # the snapshots are newer than the checkpoint
        frozen_at = stems_last if config.run.freeze_at == "auto" else config.run.freeze_at
    pixels = representation.pixels(spec, config.replay)
    play_rng, agent_rng, fresh_rng = np.random.default_rng([config.run.seed, 1]).spawn(3)
    fresh = make_agent(config, pixels.shape, spec.actions, fresh_rng, threads=threads)
    all_layers = observed_layers(fresh, config, pixels.shape, np.zeros((), spec.action))
    followed = _followed(all_layers, layer)
    windows = frames or _frames(all_layers, views(pixels))
    wanted = _wanted(all_layers, windows, views(pixels), notes)
    observations = play(policy, windows, play_rng, lambda done: say(f"playing, window {done:,} of {windows:,}"))
    del policy  # frees a network and a session
    with returning_blocks(above=LARGE_BLOCK):
        trim()
        reader = LayerReader(folder, observations, threads)
        agent = make_agent(config, pixels.shape, spec.actions, agent_rng, threads=threads)
        scores, bases, dead, attention = compare(chain, agent, reader, wanted, followed, say)
        say("comparing with an untrained network")
        random = untrained(fresh, reader, bases, wanted)
    stem = [layer.name for layer in wanted if layer.part == "stem"]
    intervals = _intervals(whole, scores, random, attention, stem)
    learning = [interval for interval in intervals if interval.start >= config.replay.learn_start]
    run, network = config.run, config.agent
    return {
        "format": 1,
        "run": {"env": run.env, "algo": run.algo, "seed": run.seed, "encoder": network.encoder, "cut": network.cut},
        "frozen_at": frozen_at,
        "observations": {
            "played_by_step": step,
            "random_actions": RANDOM,
            "windows": windows,
            "episodes": len(observations.starts),
            "crops": views(pixels),
        },
        "gap": gap,
        "steps": steps,
        "variance": svcca.KEPT,
        "layers": [
            {
                "name": layer.name,
                "part": layer.part,
                "neurons": layer.neurons,
                "datapoints": layer.datapoints(observations.count),
                "untrained": random.get(layer.name),
                "scores": scores[layer.name],
                "dead": dead[layer.name],
            }
            for layer in wanted
        ],
        "attention": {"layer": followed.name, "steps": attention.steps, "moved": attention.moved},
        "rule": {"similarity": rule.similarity, "movement": rule.movement, "from": config.replay.learn_start},
        "safe": verdict(learning, rule, frozen_at),
        "notes": notes,
    }, attention


def _followed(layers: list[ObservedLayer], name: str | None) -> ObservedLayer:
    """The layer whose attention is followed; raises ConfigError if `name` has no maps."""
    with_maps = {layer.name: layer for layer in layers if layer.has_maps}
    if name is not None and name not in with_maps:
        raise ConfigError(
            f"--layer: {name!r} gives no maps or is not there; those that give maps are {', '.join(with_maps)}"
        )
    return with_maps[name or list(with_maps)[-1]]


def _frames(layers: list[ObservedLayer], views: int) -> int:
    """Windows that give every layer, even the widest, enough datapoints."""
    return max(FRAMES, *(-(-PER_NEURON * layer.neurons // (views * prod(layer.shape[1:]))) for layer in layers))


def _wanted(layers: list[ObservedLayer], windows: int, views: int, notes: list[str]) -> list[ObservedLayer]:
    """Layers with enough windows; others go to `notes`. Raises ConfigError if a stem layer lacks them."""
    wanted = []
    for layer in layers:
        least = -(-PER_NEURON * layer.neurons * windows // layer.datapoints(windows * views))
        if windows >= least:
            wanted.append(layer)
        elif layer.part == "stem":
            raise ConfigError(
                f"--frames: {windows:,} are too few for {layer.name} and its {layer.neurons:,} neurons; "
                f"give {least:,} at least"
            )
        else:
            notes.append(f"left out: {layer.name}, whose {layer.neurons:,} neurons take {least:,} frames")
    return wanted


def _intervals(
    steps: list[int],
    scores: dict[str, list[Score]],
    random: dict[str, float | None],
    attention: Attention,
    stem: list[str],
) -> list[Interval]:
    """How the stem's layers changed between the snapshots that have it, which are those at `steps`."""
    intervals = []
    for index, (start, end) in enumerate(pairwise(steps)):
        moved = attention.moved[index]["moved"] if attention.layer.part == "stem" else None
        values = {name: scores[name][index]["score"] for name in stem}
        intervals.append(Interval(start, end, values, random, moved))
    return intervals
