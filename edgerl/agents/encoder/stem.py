"""What lies left of a cut, for ONNX: its operations from the architecture, its weights as they are now."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.layers.arrays import Engine, to_numpy
from edgerl.config import architectures
from edgerl.config.architectures import Shape
from edgerl.replay.stem import FrozenStem
from edgerl.replay.stem_graph import stem_operations
from edgerl.types import Array
from runtime import model_file
from runtime.export import StemGraph


class Stem:
    """The stem of an encoder. `weights`: of the whole encoder, by name; `latents`: gives the trainer's own latents.

    `encoders`: how many share the convolutions.
    """

    def __init__(
        self,
        encoder: str,
        window: Shape,
        cut: str,
        weights: dict[str, Any],
        latents: Callable[[Array], Any],
        *,
        encoders: int = 1,
    ) -> None:
        self._latents = latents
        operations, shape = stem_operations(encoder, window, cut, encoders=encoders)
        layers = [layer.name for layer in architectures.layers(encoder, window)]
        right = tuple(f"{name}." for name in layers[layers.index(cut) + 1 :]) + (() if cut == "fc" else ("norm.",))
        of_stem = {name: to_numpy(array) for name, array in weights.items() if not _local(name).startswith(right)}
        self.graph = StemGraph(operations, of_stem, tuple(window), shape)

    def latents(self, windows: Array) -> Array:
        """The trainer's own latents, float32 [B, ...], of windows uint8 [B, C, H, W]."""
        latents = to_numpy(self._latents(np.ascontiguousarray(windows)))
        return np.ascontiguousarray(latents).reshape(len(windows), *self.graph.latent)


def accelerated(
    engine: Engine, file: Path, encoder: str, window: Shape, cut: str | None, *, encoders: int = 1
) -> FrozenStem | None:
    """The frozen stem of this ONNX file on the engine's accelerator; None if the engine has none, or nothing is frozen.

    `encoder`, `window`, `cut`, `encoders`: as in `Stem`.
    """
    if engine.stem is None or cut is None:
        return None
    operations, shape = stem_operations(encoder, window, cut, encoders=encoders)
    stem: FrozenStem = engine.stem(StemGraph(operations, model_file.weights(file), tuple(window), shape))
    return stem


def _local(name: str) -> str:
    """The name of a weight within its own encoder, where several share convolutions."""
    return name.removeprefix("shared.").removeprefix("actor.").removeprefix("critic.")
