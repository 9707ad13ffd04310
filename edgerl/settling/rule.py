"""When a stem is calm: a plain rule over how much it changed from one moment to another."""

from dataclasses import dataclass

FEWEST_INTERVALS = 2  # with fewer, nothing can be said
SIMILARITY, MOVEMENT = 0.9, 0.1  # of a calm interval, by default; docs/analysis.md has what was measured
SHARE = 0.5  # of an untrained network's distance from 1: a calm layer is no further from 1 than that


@dataclass(frozen=True)
class Interval:
    """How the stem changed from one snapshot to the next.

    `scores`: SVCCA by layer (None if a layer does not vary); `untrained`: the same layers against a network of other
    random weights; `moved`: how far attention moved, None if the layer followed is not in the stem.
    """

    start: int
    end: int
    scores: dict[str, float | None]
    untrained: dict[str, float | None]
    moved: float | None


@dataclass(frozen=True)
class Rule:
    """An interval is calm if each stem layer's SVCCA is `similarity` or more and attention moves `movement` or less.

    Also, no layer may be further from 1 than half of what an untrained network is. On a game that hardly changes an
    untrained network scores high too, so a high score alone says nothing.
    """

    similarity: float
    movement: float

    def changes(self, interval: Interval) -> list[str]:
        """What is not calm about an interval, in words."""
        reasons = []
        for layer, score in interval.scores.items():
            untrained = interval.untrained[layer]
            if score is None or untrained is None:
                reasons.append(f"{layer} gave the same for all observations")
            elif score < self.similarity:
                reasons.append(f"{layer} had an SVCCA of {score:.2f}")
            elif 1 - score > SHARE * (1 - untrained):
                reasons.append(f"{layer} had an SVCCA of {score:.3f} (an untrained network {untrained:.3f})")
        if interval.moved is not None and interval.moved > self.movement:
            reasons.append(f"attention moved by {interval.moved:.2f}")
        return reasons
