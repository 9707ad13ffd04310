"""What a run's encoder learned, from its snapshots: SVCCA of every layer and where it attends (paper section 5.6)."""

from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.build import make_agent
from edgerl.errors import ConfigError
from edgerl.experiments.analysis import svcca
from edgerl.experiments.analysis.activations import PER_NEURON, Layer, Looking, layers
from edgerl.experiments.analysis.compare import Attention, Say, Score, compare, select, untrained
from edgerl.experiments.analysis.observations import RANDOM, play, views
from edgerl.experiments.analysis.safe_freeze import Interval, Rule, verdict
from edgerl.replay import representation
from edgerl.training.policy import Policy
from memory_budget.malloc import returning_blocks, trim

FRAMES = 200  # windows that are played at least, if nothing else is said
LARGE_BLOCK = 2**20  # bytes; what is taken in blocks above this, as whole layers are, leaves the process when freed


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
    """The analysis of a run as analysis.json has it (docs/analysis.md), and its attention to be drawn.

    `frames`: windows to play (default: five times as many observations as the widest layer has neurons); `every`: steps
    between snapshots that are compared; `layer`: whose attention (default: the last that gives maps); `say` hears what
    is being done. Raises ConfigError or CheckpointError, in one line, for what the user must change.
    """
    notes: list[str] = []
    policy = Policy(folder, threads=threads)
    notes += [f"passed over: {line}" for line in policy.passed]
    chain, gap = select(folder, every, policy.config.run.snapshot_every, notes)
    steps, whole = [each.step for each in chain], [each.step for each in chain if each.cut is None]
    config, spec, step = policy.config, policy.spec, policy.step
    frozen_at = config.run.freeze_at if policy.agent.cut is not None or len(whole) < len(chain) else None
    pixels = representation.pixels(spec, config.replay)
    playing, ours, others = np.random.default_rng([config.run.seed, 1]).spawn(3)
    fresh = make_agent(config, pixels.shape, spec.actions, others, threads=threads)
    found = layers(fresh, config, pixels.shape, np.zeros((), spec.action))
    followed = _followed(found, layer)
    windows = frames or _frames(found, views(pixels))
    wanted = _wanted(found, windows, views(pixels), notes)
    seen = play(policy, windows, playing, lambda done: say(f"playing, window {done:,} of {windows:,}"))
    del policy  # and with it a network and a session
    with returning_blocks(above=LARGE_BLOCK):
        trim()
        looking = Looking(folder, seen, threads)
        agent = make_agent(config, pixels.shape, spec.actions, ours, threads=threads)
        scores, bases, shown = compare(chain, agent, looking, wanted, followed, say)
        say("comparing with an untrained network")
        random = untrained(fresh, looking, bases, wanted)
    stem = [each.name for each in wanted if each.part == "stem"]
    intervals = _intervals(whole, scores, random, shown, stem)
    learning = [each for each in intervals if each.start >= config.replay.learn_start]
    run, its = config.run, config.agent
    return {
        "format": 1,
        "run": {"env": run.env, "algo": run.algo, "seed": run.seed, "encoder": its.encoder, "cut": its.cut},
        "frozen_at": frozen_at,
        "observations": {
            "played_by_step": step,
            "random_actions": RANDOM,
            "windows": windows,
            "episodes": len(seen.starts),
            "crops": views(pixels),
        },
        "gap": gap,
        "steps": steps,
        "variance": svcca.VARIANCE,
        "layers": [
            {
                "name": each.name,
                "part": each.part,
                "neurons": each.neurons,
                "datapoints": each.datapoints(seen.seen),
                "untrained": random.get(each.name),
                "scores": scores[each.name],
            }
            for each in wanted
        ],
        "attention": {"layer": followed.name, "steps": shown.steps, "moved": shown.moved},
        "rule": {"similarity": rule.similarity, "movement": rule.movement, "from": config.replay.learn_start},
        "safe": verdict(learning, rule, frozen_at),
        "notes": notes,
    }, shown


def _followed(found: list[Layer], name: str | None) -> Layer:
    """The layer whose attention is followed; raises ConfigError where there is no such one."""
    maps = {layer.name: layer for layer in found if layer.maps}
    if name is not None and name not in maps:
        raise ConfigError(
            f"--layer: {name!r} gives no maps or is not there; those that give maps are {', '.join(maps)}"
        )
    return maps[name or list(maps)[-1]]


def _frames(found: list[Layer], views: int) -> int:
    """Windows that are enough for the layer with the most neurons for what an observation gives it."""
    return max(FRAMES, *(-(-PER_NEURON * layer.neurons // (views * prod(layer.shape[1:]))) for layer in found))


def _wanted(found: list[Layer], windows: int, views: int, notes: list[str]) -> list[Layer]:
    """The layers that so many windows are enough for, others in `notes`; of the stem it must be all, or ConfigError."""
    wanted = []
    for layer in found:
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
    shown: Attention,
    stem: list[str],
) -> list[Interval]:
    """How the layers of the stem changed between the snapshots that have it, at `steps`."""
    intervals = []
    for number, (start, end) in enumerate(pairwise(steps)):
        moved = shown.moved[number]["moved"] if shown.layer.part == "stem" else None
        values = {name: scores[name][number]["score"] for name in stem}
        intervals.append(Interval(start, end, values, random, moved))
    return intervals
