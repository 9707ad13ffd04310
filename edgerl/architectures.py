"""Encoders as data: the torch modules, the FLOP counts and the plan all read these (so that a plan needs no torch)."""

from dataclasses import dataclass
from math import prod

from edgerl import custom
from edgerl.config import ConfigError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Conv:
    """An unpadded convolution with its ReLU: `channels` out, square `kernel`, `stride`."""

    channels: int
    kernel: int
    stride: int


@dataclass(frozen=True)
class Linear:
    """A fully connected layer over all that came before, with LayerNorm behind it."""

    features: int


Spec = Conv | Linear


@dataclass(frozen=True)
class Layer:
    """One layer with what it does to a shape: multiply-adds of a forward pass, and how many of them are weights."""

    name: str
    spec: Spec
    inputs: Shape
    outputs: Shape
    flops: int
    parameters: int


ENCODERS: dict[str, tuple[Spec, ...]] = {
    "data_efficient": (Conv(32, 5, 5), Conv(64, 5, 5)),  # van Hasselt et al. 2019
    "canonical": (Conv(32, 8, 4), Conv(64, 4, 2), Conv(64, 3, 1)),  # Mnih et al. 2015
    "curl": (Conv(32, 3, 2), Conv(32, 3, 1), Conv(32, 3, 1), Conv(32, 3, 1), Linear(50)),  # Srinivas et al. 2020
}


def specs(encoder: str) -> tuple[Spec, ...]:
    """The layers of an encoder: one of ENCODERS, or what the user's `module:callable` returns, called with nothing.

    Raises ConfigError where there is no such encoder.
    """
    if ":" not in encoder:
        if encoder not in ENCODERS:
            raise ConfigError(f"--encoder: {encoder!r} is neither {' nor '.join(ENCODERS)} nor module:callable")
        return ENCODERS[encoder]
    try:
        found = tuple(custom.load(encoder)())
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"--encoder: {encoder!r} cannot be loaded: {error}") from None
    convolutions = found[:-1] if found and isinstance(found[-1], Linear) else found
    if not convolutions or not all(isinstance(spec, Conv) for spec in convolutions):
        raise ConfigError(
            f"--encoder: {encoder!r} must return Conv layers, and one Linear at most behind them, such as "
            "[Conv(32, 8, 4), Conv(64, 4, 2)]"
        )
    return found


def layers(encoder: str, inputs: Shape) -> list[Layer]:
    """The encoder's layers for inputs of shape (channels, H, W), named conv1, conv2, ..., and fc.

    Multiply-adds as in appendix B: one each, a convolution's bias not counted, a linear layer's counted. Raises
    ConfigError where there is no such encoder, or the inputs are too small for it.
    """
    found = []
    for number, spec in enumerate(specs(encoder), start=1):
        if isinstance(spec, Linear):
            weights = (prod(inputs) + 1) * spec.features
            found.append(Layer("fc", spec, inputs, (spec.features,), weights, weights + 2 * spec.features))
            continue
        sides = tuple((side - spec.kernel) // spec.stride + 1 for side in inputs[1:])
        if min(sides) < 1:
            raise ConfigError(f"--encoder: {encoder!r} shrinks frames to nothing at layer {number}, from {inputs[1:]}")
        weights = spec.channels * inputs[0] * spec.kernel**2
        outputs = (spec.channels, *sides)
        found.append(Layer(f"conv{number}", spec, inputs, outputs, weights * prod(sides), weights + spec.channels))
        inputs = outputs
    return found


def last_layer(encoder: str) -> str:
    """The deepest cut: the name of the last layer, whose flat output the heads read."""
    found = specs(encoder)
    return "fc" if isinstance(found[-1], Linear) else f"conv{len(found)}"


def latent_shape(encoder: str, inputs: Shape, cut: str) -> Shape:
    """What crosses the cut after layer `cut`: flat after the last layer, a feature map before.

    Raises ConfigError for a layer the encoder does not have.
    """
    outputs = {layer.name: layer.outputs for layer in layers(encoder, inputs)}
    if cut not in outputs:
        raise ConfigError(f"--set agent.cut: {encoder!r} has no layer {cut!r}; it has {', '.join(outputs)}, or last")
    return (prod(outputs[cut]),) if cut == last_layer(encoder) else outputs[cut]
