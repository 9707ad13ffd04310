"""The layers that heads and the ends of encoders are composed of. Each knows its own backward pass.

`apply(x)` gives the output alone; `forward(x)` also keeps what `backward(gradient)` needs. `backward` writes the
gradients of the weights, unless `weights` is false, and returns the gradient of the inputs, unless `inputs` is false.
Gradients are written, not added: a layer is passed once between two steps of its optimizer. A gradient may have fewer
rows than the batch that went forward: its rows are the first ones, and the others have none. What `forward` kept is
dropped by `backward`: between two updates it would be megabytes.

`operations(name)`: what `apply` does, for ONNX, if its weights have names that begin with `name`.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from edgerl.agents.layers.arrays import Engine, gate_, namespace, product, relu_
from edgerl.agents.layers.parameters import Draw, Parameters, blank
from runtime import export
from runtime.policy import PolicyOperation

EPSILON = 1e-5  # of layer normalization


class Layer(Protocol):
    """One layer over [B, inputs]. `parameters` is None if it has no weights."""

    @property
    def parameters(self) -> Parameters | None: ...

    def apply(self, x: Any) -> Any: ...

    def forward(self, x: Any) -> Any: ...

    def backward(self, gradient: Any, *, inputs: bool = True, weights: bool = True) -> Any: ...

    def operations(self, name: str) -> tuple[PolicyOperation, ...]: ...


class Linear:
    """y = x W^T + b; `draw` gives W [outputs, inputs] and b from `rng`, zeros if there is no `rng`."""

    def __init__(self, engine: Engine, inputs: int, outputs: int, draw: Draw, rng: np.random.Generator | None) -> None:
        drawn = blank((outputs, inputs)) if rng is None else draw((outputs, inputs), rng)
        self.parameters = Parameters(engine, drawn, trained=rng is not None)

    def apply(self, x: Any) -> Any:
        weights = self.parameters.arrays
        y = product(x, weights["weight"].T)
        y += weights["bias"]
        return y

    def forward(self, x: Any) -> Any:
        self._x = x
        return self.apply(x)

    def backward(self, gradient: Any, *, inputs: bool = True, weights: bool = True) -> Any:
        x, self._x = self._x, None
        if weights:
            product_gradients(gradient, x, self.parameters.gradients, "weight", "bias")
        return product(gradient, self.parameters.arrays["weight"]) if inputs else None

    def operations(self, name: str) -> tuple[PolicyOperation, ...]:
        return (export.Linear(name),)


def product_gradients(gradient: Any, x: Any, into: Mapping[str, Any], weight: str, bias: str) -> None:
    """Write the gradients of W and b in y = x W^T + b."""
    product(gradient.T, x[: len(gradient)], into[weight])
    namespace(x).sum(gradient, axis=0, out=into[bias])


class Relu:
    """max(x, 0), in place: it follows a layer, whose output is its own."""

    parameters = None

    def apply(self, x: Any) -> Any:
        return relu_(x)

    def forward(self, x: Any) -> Any:
        self._y = relu_(x)
        return self._y

    def backward(self, gradient: Any, *, inputs: bool = True, weights: bool = True) -> Any:
        y, self._y = self._y, None
        gate_(gradient, y[: len(gradient)])
        return gradient

    def operations(self, name: str) -> tuple[PolicyOperation, ...]:
        return (export.Relu(),)


class LayerNorm:
    """(x - mean) / sqrt(variance + EPSILON) over the last axis, times a weight plus a bias (Ba et al. 2016)."""

    def __init__(self, engine: Engine, features: int, *, trained: bool) -> None:
        drawn = {"weight": np.ones(features, np.float32), "bias": np.zeros(features, np.float32)}
        self.parameters = Parameters(engine, drawn, trained=trained)

    def _normed(self, x: Any) -> tuple[Any, Any]:
        xp = namespace(x)
        centred = x - xp.mean(x, axis=-1, keepdims=True)
        scale = 1 / xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + EPSILON)
        centred *= scale
        return centred, scale

    def apply(self, x: Any) -> Any:
        weights = self.parameters.arrays
        return self._normed(x)[0] * weights["weight"] + weights["bias"]

    def forward(self, x: Any) -> Any:
        self._kept: tuple[Any, Any] | None = self._normed(x)
        weights = self.parameters.arrays
        return self._kept[0] * weights["weight"] + weights["bias"]

    def backward(self, gradient: Any, *, inputs: bool = True, weights: bool = True) -> Any:
        assert self._kept is not None  # noqa: S101
        (normed, scale), xp = (kept[: len(gradient)] for kept in self._kept), namespace(gradient)
        self._kept = None
        if weights:
            xp.sum(gradient * normed, axis=0, out=self.parameters.gradients["weight"])
            xp.sum(gradient, axis=0, out=self.parameters.gradients["bias"])
        if not inputs:
            return None
        inner = gradient * self.parameters.arrays["weight"]
        along = xp.mean(inner * normed, axis=-1, keepdims=True)
        return scale * (inner - xp.mean(inner, axis=-1, keepdims=True) - normed * along)

    def operations(self, name: str) -> tuple[PolicyOperation, ...]:
        return (export.LayerNorm(name, EPSILON),)


class Stack:
    """Layers one after the other, by name; those without weights have no name that anybody asks for."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self.layers = dict(layers)

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The weights of its layers by the layer's name."""
        return {name: layer.parameters for name, layer in self.layers.items() if layer.parameters is not None}

    def apply(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer.apply(x)
        return x

    def forward(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def backward(self, gradient: Any, *, inputs: bool = True, weights: bool = True) -> Any:
        """As a layer's; without `inputs` the first layer computes no gradient of its inputs."""
        layers = list(self.layers.values())
        for layer in reversed(layers):
            gradient = layer.backward(gradient, inputs=inputs or layer is not layers[0], weights=weights)
        return gradient

    def operations(self, name: str) -> tuple[PolicyOperation, ...]:
        return tuple(written for own, layer in self.layers.items() for written in layer.operations(f"{name}.{own}"))

    def outputs(self, x: Any) -> dict[str, Any]:
        """The output of every layer for a batch, by name."""
        named = {}
        for name, layer in self.layers.items():
            x = layer.apply(x)
            named[name] = x
        return named


def under(prefix: str, layers: Mapping[str, Parameters]) -> dict[str, Parameters]:
    """The same layers with names that begin with `prefix`."""
    return {f"{prefix}.{name}": parameters for name, parameters in layers.items()}
