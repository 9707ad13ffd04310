"""An agent's layers on fixed observations, as arrays [neurons, datapoints]."""

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
KEPT_BYTES = 100_000_000  # of latents; more are encoded again for every snapshot


@dataclass(frozen=True)
class ObservedLayer:
    """A layer and the shape of its activations for one observation.

    `shape`: (n,) or (C, h, w); `part`: stem, tail or head.
    """

    name: str
    part: str
    shape: tuple[int, ...]

    @property
    def neurons(self) -> int:
        return self.shape[0]

    @property
    def has_maps(self) -> bool:
        """Whether its activations are maps [C, h, w], which have an attention."""
        return len(self.shape) == 3

    def grid(self, observations: int) -> tuple[Array, Array]:
        """Rows and columns of the positions that count as datapoints, evenly spread, as many as `DATAPOINTS` allows."""
        most = max(1, isqrt(DATAPOINTS // observations))
        rows, columns = (_spread(length, most) for length in self.shape[1:])
        return rows, columns

    def datapoints(self, observations: int) -> int:
        """How many datapoints this number of observations gives."""
        return observations * (prod(map(len, self.grid(observations))) if self.has_maps else 1)


def _spread(length: int, most: int) -> Array:
    """At most `most` of `length` positions: the middles of equal parts."""
    count = min(length, most)
    positions: Array = ((np.arange(count) + 0.5) * length / count).astype(np.int64)
    return positions


def observed_layers(agent: Agent, config: Config, window: tuple[int, ...], action: Array) -> list[ObservedLayer]:
    """The layers of an unfrozen agent, in their order; `action`: any action of its environment."""
    activations = agent.activations(np.zeros((1, *window), np.uint8), action[None])
    encoder = [layer.name for layer in architectures.layers(config.agent.encoder, window)]
    stem = encoder[: encoder.index(config.agent.cut) + 1]

    def part(name: str) -> str:
        last = name.split()[-1]
        return "stem" if last in stem else "tail" if last in encoder else "head"

    return [ObservedLayer(name, part(name), array.shape[1:]) for name, array in activations.items()]


class LayerReader:
    """Reads an agent's layers on fixed observations; a frozen agent is given latents.

    `threads`: of ONNX Runtime, which runs the stem in the run's `folder` for a frozen agent.
    """

    def __init__(self, folder: Path, observations: Observations, threads: int) -> None:
        self.folder, self.observations, self.threads = folder, observations, threads
        self._session: Session | None = None
        self._kept: list[tuple[Array, Array]] | None = None

    def activations(self, agent: Agent, wanted: list[ObservedLayer]) -> dict[str, Array]:
        """Activations of each wanted layer the agent has, over all observations: float32 [neurons, datapoints]."""
        whole: dict[str, Array] = {}
        filled = dict.fromkeys((layer.name for layer in wanted), 0)
        for observations, actions in self._batches(agent):
            batch = agent.activations(observations, actions)
            for layer in wanted:
                if layer.name in batch:
                    part, low = self._datapoints(layer, batch[layer.name]), filled[layer.name]
                    if layer.name not in whole:
                        shape = layer.neurons, layer.datapoints(self.observations.count)
                        whole[layer.name] = np.empty(shape, np.float32)
                    filled[layer.name] += part.shape[1]
                    whole[layer.name][:, low : filled[layer.name]] = part
        return whole

    def centred(self, agent: Agent, layer: ObservedLayer, indices: Array) -> Array | None:
        """A layer's activations for these centre-cropped windows, [b, C, h, w]; None if the agent has no such layer."""
        parts = []
        for low in range(0, len(indices), BATCH):
            part = indices[low : low + BATCH]
            windows = self.observations.centred(part)
            batch = agent.activations(
                windows if agent.cut is None else self._encode(windows), self.observations.actions[part]
            )
            if layer.name not in batch:
                return None
            parts.append(batch[layer.name])
        return np.concatenate(parts)

    def _datapoints(self, layer: ObservedLayer, activations: Array) -> Array:
        """A batch's activations as [neurons, datapoints]: of maps, the positions on the layer's grid."""
        if not layer.has_maps:
            return activations.T
        rows, columns = layer.grid(self.observations.count)
        return activations[:, :, rows[:, None], columns].transpose(1, 0, 2, 3).reshape(layer.neurons, -1)

    def _batches(self, agent: Agent) -> Iterator[tuple[Array, Array]]:
        """The observations as this agent takes them, and their actions."""
        if agent.cut is None:
            yield from self.observations.batches()
            return
        encoded = ((self._encode(windows), actions) for windows, actions in self.observations.batches())
        if 4 * self.observations.count * prod(self._encode.shape) > KEPT_BYTES:
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
