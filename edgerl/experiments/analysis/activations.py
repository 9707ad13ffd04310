"""What an agent's layers give for fixed observations, folded to neurons x datapoints."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt, prod
from pathlib import Path

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.config import architectures
from edgerl.config.settings import Config
from edgerl.errors import CheckpointError
from edgerl.experiments.analysis.observations import BATCH, Observations
from edgerl.replay.stem import ONNX_FILE
from edgerl.types import Array
from runtime import Session

DATAPOINTS = 65_536  # of a convolution, at most: 17 MB in float64 for each 32 channels
PER_NEURON = 5  # datapoints that a layer needs at least (Raghu et al. use 5 to 10)
KEPT_BYTES = 100_000_000  # of latents that are kept instead of being encoded for every snapshot anew


@dataclass(frozen=True)
class Layer:
    """A layer by what it gives for an observation: `shape` (n,) or (C, h, w); `part`: stem, tail or head."""

    name: str
    part: str
    shape: tuple[int, ...]

    @property
    def neurons(self) -> int:
        return self.shape[0]

    @property
    def maps(self) -> bool:
        """Whether it gives maps, which attention can be told of."""
        return len(self.shape) == 3

    def grid(self, observations: int) -> tuple[Array, Array]:
        """Rows and columns of its positions that count as datapoints, evenly spread, as many as `DATAPOINTS` allows."""
        most = max(1, isqrt(DATAPOINTS // observations))
        rows, columns = (_spread(length, most) for length in self.shape[1:])
        return rows, columns

    def datapoints(self, observations: int) -> int:
        """How many datapoints so many observations are."""
        return observations * (prod(map(len, self.grid(observations))) if self.maps else 1)


def _spread(length: int, most: int) -> Array:
    """At most so many of `length` positions: the middles of equal parts."""
    count = min(length, most)
    found: Array = ((np.arange(count) + 0.5) * length / count).astype(np.int64)
    return found


def layers(agent: Agent, config: Config, window: tuple[int, ...], action: Array) -> list[Layer]:
    """The layers of a whole agent, in their order; `action`: one of its environment."""
    blank = agent.activations(np.zeros((1, *window), np.uint8), action[None])
    own = [layer.name for layer in architectures.layers(config.agent.encoder, window)]
    stem = own[: own.index(config.agent.cut) + 1]

    def part(name: str) -> str:
        last = name.split()[-1]
        return "stem" if last in stem else "tail" if last in own else "head"

    return [Layer(name, part(name), each.shape[1:]) for name, each in blank.items()]


class Looking:
    """An agent's layers on the observations of an analysis, whichever agent it is: whole, or frozen and so on latents.

    `threads`: of ONNX Runtime, which encodes for a frozen one with the stem in the run's `folder`.
    """

    def __init__(self, folder: Path, observations: Observations, threads: int) -> None:
        self.folder, self.observations, self.threads = folder, observations, threads
        self._session: Session | None = None
        self._kept: list[tuple[Array, Array]] | None = None

    def activations(self, agent: Agent, wanted: list[Layer]) -> dict[str, Array]:
        """Of each wanted layer that the agent has what it gives for all observations: float32 [neurons, datapoints]."""
        whole: dict[str, Array] = {}
        filled = dict.fromkeys((layer.name for layer in wanted), 0)
        for observations, actions in self._batches(agent):
            found = agent.activations(observations, actions)
            for layer in wanted:
                if layer.name in found:
                    part, low = self._folded(layer, found[layer.name]), filled[layer.name]
                    if layer.name not in whole:
                        shape = layer.neurons, layer.datapoints(self.observations.seen)
                        whole[layer.name] = np.empty(shape, np.float32)
                    filled[layer.name] += part.shape[1]
                    whole[layer.name][:, low : filled[layer.name]] = part
        return whole

    def watched(self, agent: Agent, layer: Layer, numbers: Array) -> Array | None:
        """What a layer gives for some windows as they are seen to act, [b, C, h, w]; None where the agent lacks it."""
        found = []
        for low in range(0, len(numbers), BATCH):
            part = numbers[low : low + BATCH]
            windows = self.observations.centred(part)
            given = agent.activations(
                windows if agent.cut is None else self._encode(windows), self.observations.actions[part]
            )
            if layer.name not in given:
                return None
            found.append(given[layer.name])
        return np.concatenate(found)

    def _folded(self, layer: Layer, found: Array) -> Array:
        if not layer.maps:
            return found.T
        rows, columns = layer.grid(self.observations.seen)
        return found[:, :, rows[:, None], columns].transpose(1, 0, 2, 3).reshape(layer.neurons, -1)

    def _batches(self, agent: Agent) -> Iterator[tuple[Array, Array]]:
        """The observations as this agent takes them."""
        if agent.cut is None:
            yield from self.observations.batches()
            return
        encoded = ((self._encode(windows), actions) for windows, actions in self.observations.batches())
        if 4 * self.observations.seen * prod(self._encode.shape) > KEPT_BYTES:
            yield from encoded
            return
        if self._kept is None:
            self._kept = list(encoded)
        yield from self._kept

    @property
    def _encode(self) -> Session:
        """The run's frozen stem, read when it is first needed."""
        if self._session is None:
            file = self.folder / ONNX_FILE
            try:
                self._session = Session(file, self.threads)
            except Exception as error:  # ONNX Runtime's own kinds of error
                raise CheckpointError(f"{file} cannot be read: {' '.join(str(error).split())}") from None
        return self._session
