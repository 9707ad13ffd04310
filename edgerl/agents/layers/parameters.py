"""Weights by name in one block of memory, their gradients in another, and how they are drawn at first."""

import math
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from edgerl.agents.layers.arrays import Engine, namespace, to_numpy, zeros_like
from edgerl.config.architectures import Shape
from edgerl.types import Array

Draw = Callable[[Shape, np.random.Generator], dict[str, Array]]


class Parameters:
    """The weights of one layer, float32 unless drawn otherwise: `arrays` and `gradients` are views, by name.

    `flat`, `gradient`: the blocks that they are views of; a target network's has no gradient. `channels_last`: weights
    of convolutions [O, C, k, k] lie in memory as [O, k, k, C].
    """

    def __init__(
        self, engine: Engine, drawn: Mapping[str, Array], *, trained: bool, channels_last: bool = False
    ) -> None:
        self.shapes = {name: array.shape for name, array in drawn.items()}
        self.channels_last = channels_last
        self.flat: Any = engine.array(np.concatenate([self._stored(array).reshape(-1) for array in drawn.values()]))
        self.gradient: Any = zeros_like(self.flat) if trained else None
        self._look()

    def _look(self) -> None:
        self.arrays = self.views(self.flat)
        self.gradients = {} if self.gradient is None else self.views(self.gradient)

    def _stored(self, array: Array) -> Array:
        return array.transpose(0, 2, 3, 1) if self.channels_last and array.ndim == 4 else array

    def views(self, flat: Any) -> dict[str, Any]:
        """A block of this layer's size as arrays by name."""
        named, start, xp = {}, 0, namespace(flat)
        for name, shape in self.shapes.items():
            part = flat[start : start + prod(shape)]
            start += prod(shape)
            if self.channels_last and len(shape) == 4:
                channels_first = part.reshape(shape[0], *shape[2:], shape[1])
                named[name] = xp.permute_dims(channels_first, (0, 3, 1, 2))
            else:
                named[name] = part.reshape(shape)
        return named

    def move(self, engine: Engine) -> None:
        """Take weights and gradients to another engine; nothing is done if they are there."""
        if type(self.flat) is type(engine.array(np.zeros(0, np.float32))):
            return
        self.flat = engine.array(to_numpy(self.flat))
        if self.gradient is not None:
            self.gradient = zeros_like(self.flat)
        self._look()

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return int(self.flat.nbytes)


class Missing(RuntimeError):
    """Arrays that do not fit these weights: the message names the first one."""


def load(named: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Copy arrays into `named` ones; raises Missing unless names and shapes are the same."""
    for name in (*named, *arrays):
        if name not in arrays or name not in named:
            raise Missing(f"there is no {name} {'to load' if name in named else 'here'}")
        if tuple(named[name].shape) != arrays[name].shape:
            raise Missing(f"{name} is {list(arrays[name].shape)}, not {list(named[name].shape)}")
    for name, array in named.items():
        copy(array, arrays[name])


def copy(array: Any, source: Any) -> None:
    """Copy numbers, NumPy's or of the same engine, into an array of either engine."""
    if isinstance(array, np.ndarray):
        array[...] = to_numpy(source)
    else:
        array.copy_(namespace(array).asarray(np.array(source)) if isinstance(source, np.ndarray) else source)


def named_arrays(layers: Mapping[str, Parameters]) -> dict[str, Any]:
    """All weights of named layers, as `<layer>.<weight>`."""
    return {f"{layer}.{name}": array for layer, own in layers.items() for name, array in own.arrays.items()}


def uniform(shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
    """Weight and bias, uniform within +-1/sqrt(inputs) (torch's default)."""
    bound = 1 / math.sqrt(prod(shape[1:]))
    return {"weight": spread(shape, bound, rng), "bias": spread(shape[:1], bound, rng)}


def spread(shape: Shape, bound: float, rng: np.random.Generator) -> Array:
    """Numbers uniform within +-`bound`, float32."""
    numbers = rng.random(shape, np.float32)
    numbers -= np.float32(0.5)
    numbers *= np.float32(2 * bound)
    return numbers


def orthogonal(shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
    """An orthogonal weight and zeros as bias; a convolution's is zero but in the kernel's centre, with gain sqrt(2).

    Saxe et al. 2014; Xiao et al. 2018 for convolutions.
    """
    weight = np.zeros(shape, np.float32)
    if len(shape) == 4:
        weight[:, :, shape[2] // 2, shape[3] // 2] = math.sqrt(2) * _orthogonal(shape[:2], rng)
    else:
        weight[:] = _orthogonal(shape, rng)
    return {"weight": weight, "bias": np.zeros(shape[0], np.float32)}


def _orthogonal(shape: Shape, rng: np.random.Generator) -> Array:
    """A matrix with orthonormal rows or columns, whichever are fewer."""
    rows, columns = shape
    normals = rng.standard_normal((max(shape), min(shape)), np.float32)
    q, r = np.linalg.qr(normals)
    q *= np.sign(np.diagonal(r))
    return q if rows >= columns else q.T


def blank(shape: Shape) -> dict[str, Array]:
    """Weight and bias to be copied into."""
    return {"weight": np.zeros(shape, np.float32), "bias": np.zeros(shape[0], np.float32)}
