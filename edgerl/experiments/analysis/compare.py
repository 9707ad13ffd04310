"""Snapshots of a run compared: which ones, every layer's scores, and where one layer attends."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.agents.algorithms import learned
from edgerl.errors import CheckpointError, ConfigError
from edgerl.experiments.analysis import attention
from edgerl.experiments.analysis.activations import LayerReader
from edgerl.experiments.analysis.observations import Observations
from edgerl.runs import snapshots
from edgerl.runs.snapshots import Snapshot
from edgerl.settling import svcca
from edgerl.settling.layers import ObservedLayer, dead_share
from edgerl.types import Array

PAPERS_GAP = 10_000  # steps between the snapshots that Figure 7c compares
SNAPSHOTS_FOR_PAPERS_GAP = 3  # with fewer that far apart, a smaller gap is taken
FOLLOWED, SHOWN = 253, 3  # windows whose attention is followed, and more windows that the picture shows
Say = Callable[[str], None]
Score = dict[str, Any]


@dataclass
class Attention:
    """Where a layer attends: `frames` uint8 [side, side(, 3)] and, at each of `steps`, their maps [frames, h, w].

    `moved`: how far attention moved from one step to the next, over all windows that are followed.
    """

    layer: ObservedLayer
    frames: list[Array]
    steps: list[int] = field(default_factory=list)
    maps: list[Array] = field(default_factory=list)
    moved: list[dict[str, Any]] = field(default_factory=list)


class Comparison(NamedTuple):
    """Snapshots compared, by layer: `scores` from each to the next, `bases`: its directions in the last that has it.

    `dead`: the share of its neurons that gave 0 for everything, at each step. `attention`: of one layer.
    """

    scores: dict[str, list[Score]]
    bases: dict[str, Array]
    dead: dict[str, list[dict[str, float]]]
    attention: Attention


def select(
    folder: Path, every: int | None, taken_every: int, notes: list[str]
) -> tuple[list[Snapshot], int, int | None]:
    """The snapshots to compare, each with the next; the gap, the least steps between them; and the stem's last one.

    That is the step of the snapshot of T_f; None if the stem had not frozen at the last snapshot.

    Default gap: 10,000 steps as in the paper, or `taken_every` if the run is shorter. Damaged snapshots are passed
    over, in `notes`. Raises ConfigError if fewer than two remain.
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
    if every is None and len(apart(steps, PAPERS_GAP)) < SNAPSHOTS_FOR_PAPERS_GAP:
        gap = min(taken_every or steps[1] - steps[0], steps[-1] - steps[0])
    frozen, unfrozen = ([step for step in steps if (whole[step].cut is None) == kept] for kept in (False, True))
    last = unfrozen[-1] if frozen and unfrozen else None
    chosen = apart(steps, gap, last)
    if len(chosen) < 2:
        raise ConfigError(
            f"--every: {gap:,} steps are more than the {steps[-1] - steps[0]:,} from the first snapshot to the last"
        )
    return [whole[step] for step in chosen], gap, last


def apart(steps: list[int], gap: int, wanted: int | None = None) -> list[int]:
    """The first of these steps, and then always the next one that is `gap` or more after the last one taken.

    `wanted` is taken in place of the one before it, if that is nearer than `gap` and not the first.
    """
    chosen = steps[:1]
    for step in steps:
        if step == wanted and len(chosen) > 1 and step < chosen[-1] + gap:
            chosen.pop()
        if step >= chosen[-1] + gap:
            chosen.append(step)
    return chosen


def compare(
    chain: list[Snapshot],
    agent: Agent,
    reader: LayerReader,
    wanted: list[ObservedLayer],
    followed: ObservedLayer,
    say: Say,
) -> Comparison:
    """Compare each snapshot with the next.

    `followed`: the layer whose attention is followed. Empties `chain`, so that no snapshot stays in memory longer than
    it is needed.
    """
    scores: dict[str, list[Score]] = {layer.name: [] for layer in wanted}
    dead: dict[str, list[dict[str, float]]] = {layer.name: [] for layer in wanted}
    bases: dict[str, tuple[int, Array]] = {}
    indices, sample = _windows(reader.observations)
    course = Attention(followed, [reader.observations.frame(index) for index in sample])
    before: Array | None = None
    count = len(chain)
    while chain:
        snapshot = chain.pop(0)
        say(f"snapshot {count - len(chain)} of {count}, of step {snapshot.step:,}")
        load_snapshot(agent, snapshot)
        activations = reader.activations(agent, wanted)
        for name in list(activations):
            dead[name].append({"step": snapshot.step, "share": dead_share(activations[name])})
            basis = svcca.directions(activations.pop(name))
            if name in bases:
                scores[name].append(_score(bases[name], (snapshot.step, basis)))
            bases[name] = snapshot.step, basis
        centred = reader.centred(agent, followed, indices)
        if centred is None:
            continue
        after = attention.maps(centred)
        if before is not None:
            moved = attention.moved(before, after)
            course.moved.append({"from": course.steps[-1], "to": snapshot.step, "moved": moved})
        course.steps.append(snapshot.step)
        course.maps.append(after[np.searchsorted(indices, sample)])
        before = after
    return Comparison(scores, {name: basis for name, (_, basis) in bases.items()}, dead, course)


def _score(earlier: tuple[int, Array], later: tuple[int, Array]) -> Score:
    """The score of a layer between two snapshots, each given as (step, directions)."""
    (start, before), (end, after) = earlier, later
    dimensions = [before.shape[1], after.shape[1]]
    return {"from": start, "to": end, "score": svcca.similarity(before, after), "dimensions": dimensions}


def _windows(observations: Observations) -> tuple[Array, Array]:
    """Indices of the windows whose attention is followed, and of those shown: spread over the first episode."""
    count = len(observations.windows)
    end = observations.starts[1] if len(observations.starts) > 1 else count
    sample = np.unique(((np.arange(SHOWN) + 0.5) * end / SHOWN).astype(np.int64))
    followed = np.linspace(0, count - 1, FOLLOWED).round().astype(np.int64)
    return np.union1d(followed, sample), sample


def untrained(
    fresh: Agent, reader: LayerReader, bases: dict[str, Array], wanted: list[ObservedLayer]
) -> dict[str, float | None]:
    """SVCCA of the trained layers against those of `fresh`, a network of other random weights, by name."""
    activations = reader.activations(fresh, [layer for layer in wanted if layer.name in bases])
    return {name: svcca.similarity(bases[name], svcca.directions(activations.pop(name))) for name in list(activations)}


def load_snapshot(agent: Agent, snapshot: Snapshot) -> None:
    """Give an agent a snapshot's weights, its cut included; raises CheckpointError if they are another agent's."""
    try:
        if snapshot.cut is not None and agent.cut is None:
            agent.freeze(snapshot.cut)
        arrays, values = agent.state()
        if missing := learned(arrays).keys() ^ snapshot.arrays.keys():
            raise KeyError(", ".join(sorted(missing)[:3]))
        agent.load(arrays | snapshot.arrays, values, to_act=True)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise CheckpointError(f"the snapshot of step {snapshot.step:,} is of another run: {reason}") from None
