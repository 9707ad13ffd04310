"""An agent's layers on fixed observations, as arrays [neurons, datapoints]."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.errors import CheckpointError
from edgerl.experiments.analysis.observations import BATCH, Observations
from edgerl.replay.stem import ONNX_FILE
from edgerl.settling.layers import ObservedLayer
from edgerl.types import Array
from runtime import Session

KEPT_BYTES = 100_000_000  # of latents; more are encoded again for every snapshot


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
                    part, low = layer.folded(batch[layer.name], self.observations.count), filled[layer.name]
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
