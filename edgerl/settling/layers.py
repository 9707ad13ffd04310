"""The layers of an agent that SVCCA compares, and their activations as datapoints."""

from dataclasses import dataclass
from math import isqrt, prod

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.config import architectures
from edgerl.config.settings import Config
from edgerl.types import Array

DATAPOINTS = 65_536  # of a convolution, at most: 17 MB in float64 for each 32 channels
PER_NEURON = 5  # datapoints that a layer needs at least (Raghu et al. use 5 to 10)


@dataclass(frozen=True)
class ObservedLayer:
    """A layer and the shape of its activations for one observation.

    `shape`: (n,) or (C, h, w); `part`: stem, tail or head; `most`: datapoints that its maps may give.
    """

    name: str
    part: str
    shape: tuple[int, ...]
    most: int = DATAPOINTS

    @property
    def neurons(self) -> int:
        return self.shape[0]

    @property
    def has_maps(self) -> bool:
        """Whether its activations are maps [C, h, w], which have an attention."""
        return len(self.shape) == 3

    def grid(self, observations: int) -> tuple[Array, Array]:
        """Rows and columns of the positions that count as datapoints, evenly spread, as many as `most` allows."""
        most = max(1, isqrt(self.most // observations))
        rows, columns = (_spread(length, most) for length in self.shape[1:])
        return rows, columns

    def datapoints(self, observations: int) -> int:
        """How many datapoints this number of observations gives."""
        return observations * (prod(map(len, self.grid(observations))) if self.has_maps else 1)

    def folded(self, activations: Array, observations: int) -> Array:
        """A batch's activations as [neurons, datapoints]; `observations`: how many all batches have together."""
        if not self.has_maps:
            return activations.T
        rows, columns = self.grid(observations)
        return activations[:, :, rows[:, None], columns].transpose(1, 0, 2, 3).reshape(self.neurons, -1)


def _spread(length: int, most: int) -> Array:
    """At most `most` of `length` positions: the middles of equal parts."""
    count = min(length, most)
    positions: Array = ((np.arange(count) + 0.5) * length / count).astype(np.int64)
    return positions


def dead_share(activations: Array) -> float:
    """The share of neurons [neurons, datapoints] that are 0 at every datapoint, as behind a ReLU that never opens."""
    return float(np.mean(~activations.any(axis=1)))


def observed_layers(agent: Agent, config: Config, window: tuple[int, ...], action: Array) -> list[ObservedLayer]:
    """The layers of an unfrozen agent, in their order; `action`: any action of its environment."""
    activations = agent.activations(np.zeros((1, *window), np.uint8), action[None])
    encoder = [layer.name for layer in architectures.layers(config.agent.encoder, window)]
    stem = encoder[: encoder.index(config.agent.cut) + 1]

    def part(name: str) -> str:
        last = name.split()[-1]
        return "stem" if last in stem else "tail" if last in encoder else "head"

    return [ObservedLayer(name, part(name), array.shape[1:]) for name, array in activations.items()]
