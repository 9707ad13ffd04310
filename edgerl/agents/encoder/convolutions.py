"""Convolutions in NumPy: an input becomes a matrix of patches, a convolution is one product with it.

Where the kernel is as large as the stride, patches do not overlap and are the input itself in another order: no number
is stored twice, and the way back is a copy. Elsewhere patches overlap; torch is several times faster there.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgerl.agents.layers import threads
from edgerl.agents.layers.arrays import Engine
from edgerl.agents.layers.parameters import Draw, Parameters, blank
from edgerl.config.architectures import Conv, Layer
from edgerl.types import Array

PIXEL = 1 / 255


class Kept(NamedTuple):
    """What a layer keeps of a part of a batch for the way back: the patches it saw, and the maps it gave."""

    patches: Array
    maps: Array


class Convolution:
    """One convolution with its ReLU. Maps are [B, H, W, C] inside the stack; `pixels`: the input is uint8 [B, C, H, W].

    Pixels are taken as [0, 1]: the few weights are divided by 255, not every pixel.
    """

    def __init__(
        self, engine: Engine, layer: Layer, *, pixels: bool, draw: Draw, rng: np.random.Generator | None
    ) -> None:
        assert isinstance(layer.spec, Conv)  # noqa: S101
        self.kernel, self.stride, self.pixels, self.flops = layer.spec.kernel, layer.spec.stride, pixels, layer.flops
        self.inputs, (self.channels, *self.sides) = layer.inputs, layer.outputs
        shape = layer.products[0].weights
        drawn = blank(shape) if rng is None else draw(shape, rng)
        self.parameters = Parameters(engine, drawn, trained=rng is not None, channels_last=not pixels)

    def patches(self, maps: Array, into: Array | None = None) -> Array:
        """What each output sees, float32 [B, outputs, kernel * kernel * C] (C first for pixels); written `into` it."""
        kernel, stride, (height, width) = self.kernel, self.stride, self.sides
        if kernel == stride and self.pixels:
            used = maps[:, :, : height * kernel, : width * kernel]
            blocks = used.reshape(len(maps), -1, height, kernel, width, kernel).transpose(0, 2, 4, 1, 3, 5)
        elif kernel == stride:
            used = maps[:, : height * kernel, : width * kernel]
            blocks = used.reshape(len(maps), height, kernel, width, kernel, -1).transpose(0, 1, 3, 2, 4, 5)
        elif self.pixels:
            blocks = sliding_window_view(maps, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]
            blocks = blocks.transpose(0, 2, 3, 1, 4, 5)
        else:
            blocks = sliding_window_view(maps, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
            blocks = blocks.transpose(0, 1, 2, 4, 5, 3)
        if into is None:
            into = self.no_patches(len(maps))
        into.reshape(blocks.shape)[:] = blocks
        return into

    def no_patches(self, count: int) -> Array:
        """Room for the patches of `count` inputs."""
        outputs, numbers = self.sides[0] * self.sides[1], self.kernel**2 * self.inputs[0]
        return np.empty((count, outputs, numbers), self.parameters.flat.dtype)

    def _matrix(self, block: Array) -> Array:
        """The weights, or their gradients, of a block as [channels, kernel * kernel * C], in the order of patches."""
        return block[: len(block) - self.channels].reshape(self.channels, -1)

    def apply(self, patches: Array) -> Array:
        """Maps [B, H, W, channels] of patches."""
        matrix = self._matrix(self.parameters.flat)
        weights = matrix * PIXEL if self.pixels else matrix
        maps: Array = patches.reshape(-1, patches.shape[2]) @ weights.T
        maps += self.parameters.arrays["bias"]
        np.maximum(maps, 0, out=maps)
        return maps.reshape(len(patches), *self.sides, self.channels)

    def backward(self, kept: Kept, gradient: Array, into: Array, *, inputs: bool) -> Array | None:
        """Write the weights' gradients into the block `into`; returns that of the input [B, H, W, C], if `inputs`.

        `kept`: the patches that `apply` got and the maps that it gave; `gradient`: of the maps, which is changed.
        """
        gradient *= kept.maps > 0
        flat, matrix = gradient.reshape(-1, self.channels), self._matrix(into)
        np.matmul(flat.T, kept.patches.reshape(-1, kept.patches.shape[2]), out=matrix)
        if self.pixels:
            matrix *= PIXEL
        np.sum(flat, axis=0, out=into[len(into) - self.channels :])
        return self._fold(flat @ self._matrix(self.parameters.flat)) if inputs else None

    def _fold(self, patches: Array) -> Array:
        """The sum over all patches of the gradients of what they see, [B, H, W, C]."""
        (channels, height, width), kernel, stride = self.inputs, self.kernel, self.stride
        rows, columns = self.sides
        blocks = patches.reshape(-1, rows, columns, kernel, kernel, channels)
        maps = np.zeros((len(blocks), height, width, channels), patches.dtype)
        if kernel == stride:
            used = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(-1, rows * kernel, columns * kernel, channels)
            maps[:, : rows * kernel, : columns * kernel] = used
            return maps
        for top in range(kernel):
            for left in range(kernel):
                seen = maps[:, top : top + rows * stride : stride, left : left + columns * stride : stride]
                seen += blocks[:, :, :, top, left]
        return maps


class Convolutions:
    """A stack of convolutions: windows uint8 [B, C, H, W], or what an earlier cut gives, to maps [B, c, h, w].

    `layers`: those of the architecture that it has. `prepare` is done once for all stacks that read the same windows.
    Every thread takes a part of the batch through all layers.
    """

    def __init__(
        self, engine: Engine, layers: list[Layer], *, pixels: bool, draw: Draw, rng: np.random.Generator | None
    ) -> None:
        self.layers = {
            layer.name: Convolution(engine, layer, pixels=pixels and not number, draw=draw, rng=rng)
            for number, layer in enumerate(layers)
        }
        self._list, self._pixels, self.shape = list(self.layers.values()), pixels, layers[-1].outputs
        self._kept: list[tuple[slice, list[Kept]]] = []

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The weights by layer."""
        return {name: layer.parameters for name, layer in self.layers.items()}

    def _parts(self, batch: Array) -> list[slice]:
        """A batch in parts for the threads."""
        return threads.parts(len(batch), len(batch) * sum(layer.flops for layer in self._list))

    def prepare(self, observations: Array) -> Array:
        """The first layer's patches, [B, outputs, numbers]."""
        first, maps = self._list[0], observations if self._pixels else observations.transpose(0, 2, 3, 1)
        prepared = first.no_patches(len(maps))

        def fill(part: slice) -> None:
            first.patches(maps[part], prepared[part])

        threads.run(fill, self._parts(maps))
        return prepared

    def _through(self, prepared: Array, keep: list[Kept] | None = None) -> Array:
        """Maps [B, h, w, c] of a part of a batch; appends what each layer saw and gave to `keep`."""
        patches = prepared
        for number, layer in enumerate(self._list):
            maps = layer.apply(patches)
            if keep is not None:
                keep.append(Kept(patches, maps))
            if number + 1 < len(self._list):
                patches = self._list[number + 1].patches(maps)
        return maps

    def apply(self, prepared: Array) -> Array:
        """Maps [B, c, h, w]; nothing is kept."""
        maps = self._maps(len(prepared))

        def encode(part: slice) -> None:
            maps[part] = self._through(prepared[part]).transpose(0, 3, 1, 2)

        threads.run(encode, self._parts(prepared))
        return maps

    def forward(self, prepared: Array) -> Array:
        maps, parts = self._maps(len(prepared)), self._parts(prepared)
        self._kept = [(part, []) for part in parts]

        def encode(part: slice) -> None:
            keep = self._kept[parts.index(part)][1]
            maps[part] = self._through(prepared[part], keep).transpose(0, 3, 1, 2)

        threads.run(encode, parts)
        return maps

    def _maps(self, rows: int) -> Array:
        return np.empty((rows, *self.shape), self._list[0].parameters.flat.dtype)

    def backward(self, gradient: Array) -> None:
        """Write all gradients, of that of the maps [B, c, h, w]; every part's are added in order."""
        parts = [part for part, _ in self._kept]
        gradients = [[layer.parameters.gradient for layer in self._list]]
        gradients += [[np.empty_like(block) for block in gradients[0]] for _ in parts[1:]]

        def back(part: slice) -> None:
            which = parts.index(part)
            passed: Any = np.ascontiguousarray(gradient[part].transpose(0, 2, 3, 1))
            for number, layer in reversed(list(enumerate(self._list))):
                kept, into = self._kept[which][1].pop(), gradients[which][number]  # popped: megabytes are free again
                passed = layer.backward(kept, passed, into, inputs=number > 0)

        threads.run(back, parts)
        for of_part in gradients[1:]:
            for total, block in zip(gradients[0], of_part, strict=True):
                total += block

    def outputs(self, prepared: Array) -> dict[str, Array]:
        """The maps [B, c, h, w] of every layer, by name."""
        keep: list[Kept] = []
        self._through(prepared, keep)
        return {name: kept.maps.transpose(0, 3, 1, 2) for name, kept in zip(self.layers, keep, strict=True)}
