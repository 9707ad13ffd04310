"""Snapshots of a run against each other: which of them, the scores of every layer, and where one of them attends."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.agents.algorithms import learned
from edgerl.errors import CheckpointError, ConfigError
from edgerl.experiments.analysis import attention, svcca
from edgerl.experiments.analysis.activations import Layer, Looking
from edgerl.experiments.analysis.observations import Observations
from edgerl.runs import snapshots
from edgerl.runs.snapshots import Snapshot
from edgerl.types import Array

PAPERS_GAP = 10_000  # steps between the snapshots that Figure 7c compares
FEWEST = 3  # snapshots so far apart that make the paper's gap worth taking
FOLLOWED, SHOWN = 253, 3  # windows whose attention is followed, and further ones that the picture shows
Say = Callable[[str], None]
Score = dict[str, Any]


@dataclass
class Attention:
    """Where a layer attends: `frames` uint8 [side, side(, 3)] and, at each of `steps`, their maps [frames, h, w].

    `moved`: how far it moved from one step to the next, over all windows that are followed.
    """

    layer: Layer
    frames: list[Array]
    steps: list[int] = field(default_factory=list)
    maps: list[Array] = field(default_factory=list)
    moved: list[dict[str, Any]] = field(default_factory=list)


def select(folder: Path, every: int | None, taken_every: int, notes: list[str]) -> tuple[list[Snapshot], int]:
    """The snapshots to compare, each with the next, and the least steps between them.

    Without `every` these are the paper's 10,000 or, in a run that is short for that, as many as the run says there are
    between its snapshots, `taken_every`. Damaged ones are passed over, in `notes`. Raises ConfigError where there are
    not two.
    """
    whole = {}
    for step, file in snapshots.files(folder).items():
        try:
            whole[step] = snapshots.read(file)
        except CheckpointError as error:
            notes.append(f"passed over: {error}")
    if len(whole) < 2:
        count = f"one whole snapshot only, of step {min(whole):,}" if whole else "no snapshots"
        raise ConfigError("; ".join([f"{folder} has {count}; train with --snapshot-every", *notes]))
    steps = list(whole)
    gap = every or PAPERS_GAP
    if every is None and len(apart(steps, PAPERS_GAP)) < FEWEST:
        gap = min(taken_every or steps[1] - steps[0], steps[-1] - steps[0])
    chosen = apart(steps, gap)
    if len(chosen) < 2:
        raise ConfigError(
            f"--every: {gap:,} steps are more than the {steps[-1] - steps[0]:,} from the first snapshot to the last"
        )
    return [whole[step] for step in chosen], gap


def apart(steps: list[int], gap: int) -> list[int]:
    """The first of these steps, and then always the next that is `gap` or more after the last one taken."""
    chosen = steps[:1]
    for step in steps:
        if step >= chosen[-1] + gap:
            chosen.append(step)
    return chosen


def compare(
    chain: list[Snapshot], agent: Agent, looking: Looking, wanted: list[Layer], followed: Layer, say: Say
) -> tuple[dict[str, list[Score]], dict[str, Array], Attention]:
    """Every layer's scores from each snapshot to the next, its directions in the last that has it, and attention.

    Empties `chain`, so that no more of it is in memory than is looked at.
    """
    scores: dict[str, list[Score]] = {layer.name: [] for layer in wanted}
    bases: dict[str, tuple[int, Array]] = {}
    numbers, sample = _numbers(looking.observations)
    shown = Attention(followed, [looking.observations.shown(number) for number in sample])
    before: Array | None = None
    count = len(chain)
    while chain:
        snapshot = chain.pop(0)
        say(f"snapshot {count - len(chain)} of {count}, of step {snapshot.step:,}")
        load_snapshot(agent, snapshot)
        found = looking.activations(agent, wanted)
        for name in list(found):
            basis = svcca.directions(found.pop(name))
            if name in bases:
                scores[name].append(_score(bases[name], (snapshot.step, basis)))
            bases[name] = snapshot.step, basis
        watched = looking.watched(agent, followed, numbers)
        if watched is None:
            continue
        after = attention.maps(watched)
        if before is not None:
            moved = attention.moved(before, after)
            shown.moved.append({"from": shown.steps[-1], "to": snapshot.step, "moved": moved})
        shown.steps.append(snapshot.step)
        shown.maps.append(after[np.searchsorted(numbers, sample)])
        before = after
    return scores, {name: basis for name, (_, basis) in bases.items()}, shown


def _score(one: tuple[int, Array], other: tuple[int, Array]) -> Score:
    (start, before), (end, after) = one, other
    dimensions = [before.shape[1], after.shape[1]]
    return {"from": start, "to": end, "score": svcca.similarity(before, after), "dimensions": dimensions}


def _numbers(seen: Observations) -> tuple[Array, Array]:
    """The windows whose attention is followed, and those of them that are shown: spread over the first episode."""
    count = len(seen.windows)
    end = seen.starts[1] if len(seen.starts) > 1 else count
    sample = np.unique(((np.arange(SHOWN) + 0.5) * end / SHOWN).astype(np.int64))
    followed = np.linspace(0, count - 1, FOLLOWED).round().astype(np.int64)
    return np.union1d(followed, sample), sample


def untrained(fresh: Agent, looking: Looking, bases: dict[str, Array], wanted: list[Layer]) -> dict[str, float | None]:
    """What the trained layers have in common with those of a network of other random weights."""
    found = looking.activations(fresh, [layer for layer in wanted if layer.name in bases])
    return {name: svcca.similarity(bases[name], svcca.directions(found.pop(name))) for name in list(found)}


def load_snapshot(agent: "Agent", snapshot: Snapshot) -> None:
    """Give an agent a snapshot's weights, its cut included; raises CheckpointError where they are another agent's."""
    try:
        if snapshot.cut is not None and agent.cut is None:
            agent.freeze(snapshot.cut)
        arrays, values = agent.state()
        if missing := learned(arrays).keys() ^ snapshot.arrays.keys():
            raise KeyError(", ".join(sorted(missing)[:3]))
        agent.load(arrays | snapshot.arrays, values)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise CheckpointError(f"the snapshot of step {snapshot.step:,} is of another run: {reason}") from None
