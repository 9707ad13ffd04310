"""`--freeze-at auto`: follows the stem and the training games of a run, and says when to freeze, and why.

The rule (docs/analysis.md): freeze at the first check at which the last two intervals between checks were calm, by the
rule of `edgerl analyze`, and training games score more than at the beginning, but no more than those before them.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from edgerl.agents.agent import Agent, arrays_under
from edgerl.agents.encoder.encoder import Encoder
from edgerl.agents.layers.parameters import orthogonal, uniform
from edgerl.config.settings import Config
from edgerl.replay.replays import AnyReplay
from edgerl.replay.representation import Pixels
from edgerl.settling import games, svcca
from edgerl.settling.checks import Checks, stem_layers
from edgerl.settling.games import Games
from edgerl.settling.rule import FEWEST_INTERVALS, MOVEMENT, SIMILARITY, Interval, Rule
from edgerl.types import Array

BATCH = 32  # windows at a time
WINDOWS, UNTRAINED = 2, 3  # what own generators are seeded with, beside the run's seed
RULE = Rule(SIMILARITY, MOVEMENT)


class Watch:
    """What a run with `--freeze-at auto` remembers from check to check, until it freezes.

    `windows`: uint8 [W, C, side, side], drawn from the replay at the first check, and kept; `bases`: each stem layer's
    directions at the last check (`svcca.directions`). `checked`: the step of the last check, 0 before it; `calm`: how
    many intervals were calm in a row, to that one; `doubts`: what spoke against a freeze then, in words; `evidence`:
    what it saw. `intervals`: the training games that ended by the first check, in each interval since, and since the
    last check.
    """

    def __init__(self, config: Config, checks: Checks, pixels: Pixels, action: np.dtype[Any]) -> None:
        """`pixels`: what the replay stores; `action`: the dtype of an action."""
        self.config, self.checks, self._pixels, self._action = config, checks, pixels, action
        self.windows: Array = np.zeros((0, *pixels.shape), np.uint8)
        self.bases: dict[str, Array] = {}
        self.checked = self.calm = 0
        self.doubts, self.evidence = ["the stem has not been compared yet"], ""
        self.intervals = [Games()]

    def due(self, step: int) -> bool:
        """Whether there is a check after `step` that has not been made."""
        return self.checks.due(step, self.config.run.envs) and step > self.checked

    @property
    def settled(self) -> bool:
        """Whether the run is to freeze now."""
        return not self.doubts

    def chosen(self, step: int) -> dict[str, str | None]:
        """Why the run freezes at `step`, for the summary: `chosen_by`, and `why` in words."""
        if self.settled:
            return {"chosen_by": "settled", "why": self.evidence}
        return {"chosen_by": "freeze_by", "why": f"{step:,} is the latest step: {' and '.join(self.doubts)}"}

    def check(self, step: int, agent: Agent, replay: AnyReplay) -> dict[str, float]:
        """Compare the stem with itself at the last check and with an untrained one; returns metrics by name.

        `replay`: of pixels. Neither agent nor replay is changed, and no generator of theirs is used.
        """
        if not len(self.windows):
            self.windows = self._draw(replay)
        bases, fresh = self._trained(agent), self._untrained(agent)
        untrained = {name: svcca.similarity(basis, fresh[name.split()[-1]]) for name, basis in bases.items()}
        metrics = {f"settling/untrained/{name}": score for name, score in untrained.items()}
        if self.bases:
            scores = {name: svcca.similarity(self.bases[name], basis) for name, basis in bases.items()}
            metrics |= {f"settling/svcca/{name}": score for name, score in scores.items()}
            self._judge(Interval(self.checked, step, scores, untrained, None))
        metrics["settling/calm_intervals"] = float(self.calm)
        self.bases, self.checked = bases, step
        self.intervals.append(Games())
        return {name.replace(" ", "_"): value for name, value in metrics.items() if value is not None}

    def _judge(self, interval: Interval) -> None:
        """Note whether an interval was calm, and what speaks against a freeze at its end."""
        trend = games.trend(self.intervals)
        changes = RULE.changes(interval)
        self.calm = 0 if changes else self.calm + 1
        if not changes and self.calm < FEWEST_INTERVALS:
            changes = [f"only one interval of {self.checks.every:,} steps was calm"]
        self.doubts = changes + trend.doubts()
        if not self.doubts:
            seen = ", ".join(
                f"{name} {score:.3f} (untrained {interval.untrained[name]:.3f})"
                for name, score in interval.scores.items()
            )
            self.evidence = (
                f"the stem was calm over {self.calm} intervals of {self.checks.every:,} steps, SVCCA {seen}; training "
                f"games scored {trend.now.mean:,.4g}, before that {trend.before.mean:,.4g}, "
                f"at the beginning {trend.beginning.mean:,.4g}"
            )

    def game(self, score: float) -> None:
        """Count a training game that has ended."""
        self.intervals[-1].add(score)

    def _draw(self, replay: AnyReplay) -> Array:
        """The windows to compare on, as encoders see them: at random, of all that the replay has, in order."""
        rng = np.random.default_rng([self.config.run.seed, WINDOWS])
        starting = replay.starting()  # fewer, if frames are larger than before once packed
        numbers = np.sort(rng.choice(starting, min(self.checks.windows, len(starting)), replace=False))
        return np.ascontiguousarray(self._pixels.seen(replay.observations(numbers)))

    def _trained(self, agent: Agent) -> dict[str, Array]:
        """The directions of the agent's stem layers, by the names that the agent gives them."""
        layers = {layer.name: layer for layer in stem_layers(self.config, self._pixels.shape)}
        parts: dict[str, list[Array]] = {}
        for windows in self._batches():
            for name, activations in agent.activations(windows, np.zeros(len(windows), self._action)).items():
                if (layer := layers.get(name.split()[-1])) is not None:
                    parts.setdefault(name, []).append(layer.folded(activations, len(self.windows)))
        return _directions(parts)

    def _untrained(self, agent: Agent) -> dict[str, Array]:
        """The directions of the layers of an encoder with random weights, the same at every check, by layer."""
        config, rng = self.config, np.random.default_rng([self.config.run.seed, UNTRAINED])
        draw = orthogonal if config.agent.continuous else uniform
        shape = self._pixels.shape
        encoder = Encoder(agent.engine, config.agent.encoder, shape, cut=None, rng=rng, draw=draw)
        layers = stem_layers(config, shape)
        parts: dict[str, list[Array]] = {}
        for windows in self._batches():
            activations, _ = encoder.outputs(windows)
            for layer in layers:
                parts.setdefault(layer.name, []).append(layer.folded(activations[layer.name], len(self.windows)))
        return _directions(parts)

    def _batches(self) -> list[Array]:
        return [self.windows[low : low + BATCH] for low in range(0, len(self.windows), BATCH)]

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps."""
        return self.windows.nbytes + sum(basis.nbytes for basis in self.bases.values())

    def forget(self) -> None:
        """After the freeze: keep no windows and no directions."""
        self.windows, self.bases = self.windows[:0].copy(), {}

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All that a resumed run goes on from: arrays by name, and plain values."""
        values = {name: getattr(self, name) for name in ("checked", "calm", "doubts", "evidence")}
        arrays = {f"basis {name}": basis for name, basis in self.bases.items()}
        if len(self.windows):
            arrays["windows"] = self.windows
        return arrays, values | {"intervals": [asdict(interval) for interval in self.intervals]}

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Take over what `state` gave; raises KeyError if something is missing."""
        bases = arrays_under(arrays, "basis ")
        self.windows = arrays["windows"].copy() if bases else self.windows
        self.bases = {name: basis.copy() for name, basis in bases.items()}
        kept = values["intervals" if "intervals" in values else "stretches"]  # a run of 0.2.0 has the latter
        self.intervals = [Games(**interval) for interval in kept]
        self.checked, self.calm = values["checked"], values["calm"]
        self.doubts, self.evidence = values["doubts"], values["evidence"]


def _directions(parts: dict[str, list[Array]]) -> dict[str, Array]:
    """The directions of layers, of the activations of all batches, by name."""
    return {name: svcca.directions(np.concatenate(parts.pop(name), axis=1)) for name in list(parts)}
