"""An encoder: convolutions of either engine, and the layers behind them. After a freeze, what lies right of the cut."""

from typing import Any

import numpy as np

from edgerl.agents.layers.arrays import Engine, to_numpy
from edgerl.agents.layers.dense import Layer, LayerNorm, Linear, Relu, Stack
from edgerl.agents.layers.parameters import Draw, Parameters, uniform
from edgerl.config import architectures
from edgerl.config.architectures import Shape
from edgerl.types import Array


def right_of(name: str, window: Shape, cut: str | None) -> list[architectures.Layer]:
    """The layers of an encoder behind layer `cut`; all if it is None. Raises KeyError for a layer it does not have."""
    layers = architectures.layers(name, window)
    names = [layer.name for layer in layers]
    if cut is not None and cut not in names:
        raise KeyError(f"the encoder has no layer {cut!r}; it has {', '.join(names)}")
    return layers if cut is None else layers[names.index(cut) + 1 :]


def convolutions(
    engine: Engine, name: str, window: Shape, cut: str | None, rng: np.random.Generator | None, draw: Draw = uniform
) -> Any:
    """The convolutions of an encoder right of `cut`; None if there are none. Without `rng` they are not trained."""
    layers = [layer for layer in right_of(name, window, cut) if layer.name != "fc"]
    if not layers:
        return None
    return engine.convolutions(engine, layers, pixels=cut is None, draw=draw, rng=rng)


def dense(
    engine: Engine, name: str, window: Shape, cut: str | None, rng: np.random.Generator | None, draw: Draw = uniform
) -> Stack:
    """The fully connected layer right of `cut`, with its LayerNorm or ReLU; no layers if the encoder has none there."""
    stack: dict[str, Layer] = {}
    for layer in right_of(name, window, cut):
        if isinstance(layer.spec, architectures.Linear):
            features, inputs = layer.products[0].weights
            stack["fc"] = Linear(engine, inputs, features, draw, rng)
            if layer.spec.norm:
                stack["norm"] = LayerNorm(engine, features, trained=rng is not None)
            else:
                stack["relu"] = Relu()
    return Stack(stack)


class Encoder:
    """Windows uint8 [B, C, H, W], or latents [B, ...] behind a cut, to features [B, L].

    `encode` is for acting and targets; `forward` keeps what `backward` needs. Both take what `prepare` returns, which
    is done once for all encoders that read the same batch.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        window: Shape,
        *,
        cut: str | None,
        rng: np.random.Generator | None,
        draw: Draw = uniform,
    ) -> None:
        self.engine = engine
        self.convolutions = convolutions(engine, name, window, cut, rng, draw)
        self.dense = dense(engine, name, window, cut, rng, draw)

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The weights by layer."""
        return ({} if self.convolutions is None else self.convolutions.parameters) | self.dense.parameters

    def prepare(self, observations: Array) -> Any:
        return prepare(self.engine, self.convolutions, observations)

    def encode(self, prepared: Any) -> Any:
        return self.dense.apply(maps_of(self.convolutions, prepared))

    def forward(self, prepared: Any) -> Any:
        return self.dense.forward(maps_of(self.convolutions, prepared, keep=True))

    def backward(self, gradient: Any) -> None:
        """Write the gradients of all weights, of that of the features."""
        gradient = self.dense.backward(gradient, inputs=self.convolutions is not None)
        if self.convolutions is not None:
            maps_backward(self.convolutions, gradient)

    def encode_until(self, cut: str, prepared: Any) -> Any:
        """What crosses the cut behind layer `cut`, [B, ...]."""
        return self.encode(prepared) if cut == "fc" else self.convolutions.outputs(prepared)[cut]

    @property
    def trained(self) -> bool:
        """Whether anything is left to train."""
        return bool(self.parameters)

    def outputs(self, observations: Array) -> tuple[dict[str, Array], Any]:
        """The outputs of its layers after their ReLU or LayerNorm, by name, and its features."""
        named, features = outputs(self.convolutions, self.prepare(observations))
        dense = self.dense.outputs(features)
        if dense:
            *_, features = dense.values()
            named["fc"] = to_numpy(features)
        return named, features


def prepare(engine: Engine, stack: Any, observations: Array) -> Any:
    """Observations as a stack of convolutions takes them; behind the last convolution as the engine's array."""
    if stack is None:
        return engine.array(observations)
    return stack.prepare(observations)


def maps_of(stack: Any, prepared: Any, *, keep: bool = False) -> Any:
    """The flat maps [B, numbers] that a stack gives; without a stack, flat latents."""
    maps = prepared
    if stack is not None:
        maps = stack.forward(prepared) if keep else stack.apply(prepared)
    return maps.reshape(len(maps), -1)


def maps_backward(stack: Any, gradient: Any) -> None:
    """Take the gradient [B, numbers] of flat maps back through a stack."""
    stack.backward(gradient.reshape(len(gradient), *stack.shape))


def outputs(stack: Any, prepared: Any) -> tuple[dict[str, Array], Any]:
    """The maps of a stack's layers by name, and the last ones, flat."""
    if stack is None:
        return {}, prepared.reshape(len(prepared), -1)
    named = stack.outputs(prepared)
    *_, maps = named.values()
    return {name: to_numpy(array) for name, array in named.items()}, maps.reshape(len(maps), -1)
