"""Encoders as data: torch modules, FLOP counts and plans are all made from it, so a plan needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from numbers import Integral

from edgerl import plugins
from edgerl.errors import ConfigError, NotTrusted

Shape = tuple[int, ...]
RESIDUALS = ("residual1", "residual2")  # names of the residual blocks in a Block


@dataclass(frozen=True)
class Conv:
    """An unpadded convolution with its ReLU: `channels` out, square `kernel`, `stride`."""

    channels: int
    kernel: int
    stride: int


@dataclass(frozen=True)
class Block:
    """A block of IMPALA: a 3x3 convolution, max-pooling to half the side, two residual blocks x + f(x).

    f is ReLU, a 3x3 convolution, ReLU, a 3x3 convolution. All are padded, and all convolutions give `channels` maps. A
    ReLU follows the last block of an encoder.
    """

    channels: int


@dataclass(frozen=True)
class Linear:
    """A fully connected layer over the flat input, followed by LayerNorm, or by ReLU if not `norm`."""

    features: int
    norm: bool = True


Spec = Conv | Block | Linear


@dataclass(frozen=True)
class Product:
    """One product within a layer, a convolution or a fully connected layer, by the name of its torch module.

    `weights`, `outputs`: shapes; `flops`: multiply-adds of a forward pass.
    """

    name: str
    weights: Shape
    outputs: Shape
    flops: int


@dataclass(frozen=True)
class Layer:
    """One layer, between two cuts: its shapes, its products, and how many weights it has."""

    name: str
    spec: Spec
    inputs: Shape
    outputs: Shape
    products: tuple[Product, ...]
    parameters: int

    @property
    def flops(self) -> int:
        """Multiply-adds of a forward pass."""
        return sum(product.flops for product in self.products)


ENCODERS: dict[str, tuple[Spec, ...]] = {
    "data_efficient": (Conv(32, 5, 5), Conv(64, 5, 5)),  # van Hasselt et al. 2019
    "canonical": (Conv(32, 8, 4), Conv(64, 4, 2), Conv(64, 3, 1)),  # Mnih et al. 2015
    "curl": (Conv(32, 3, 2), Conv(32, 3, 1), Conv(32, 3, 1), Conv(32, 3, 1), Linear(50)),  # Srinivas et al. 2020
    "impala": (Block(16), Block(32), Block(32), Linear(256, norm=False)),  # Espeholt et al. 2018
    "impala_50": (Block(16), Block(32), Block(32), Linear(50)),  # with the end of curl's
}
# The encoder that a name stands for if actor and critic share convolutions.
SHARED = {"impala": "impala_50"}


def specs(encoder: str) -> tuple[Spec, ...]:
    """The layers of an encoder: one of ENCODERS, or what the user's `module:callable` returns.

    Raises ConfigError if there is no such encoder.
    """
    if ":" not in encoder:
        if encoder not in ENCODERS:
            raise ConfigError(f"--encoder: {encoder!r} is neither {' nor '.join(ENCODERS)} nor module:callable")
        return ENCODERS[encoder]
    try:
        loaded = tuple(plugins.load(encoder)())
    except (KeyboardInterrupt, NotTrusted):
        raise
    except BaseException as error:  # a user's module and callable may raise anything
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"--encoder: {encoder!r} cannot be loaded: {why}") from None
    convolutions = loaded[:-1] if loaded and isinstance(loaded[-1], Linear) else loaded
    if not convolutions or not all(isinstance(spec, Conv | Block) for spec in convolutions):
        raise ConfigError(
            f"--encoder: {encoder!r} must return Conv or Block layers, and one Linear at most behind them, such as "
            "[Conv(32, 8, 4), Conv(64, 4, 2)]"
        )
    for number, spec in enumerate(loaded, start=1):
        for name, value in vars(spec).items():
            if name != "norm" and not (isinstance(value, Integral) and int(value) >= 1):
                raise ConfigError(
                    f"--encoder: {encoder!r}: {name} of layer {number} is {value!r}, not a whole number from 1"
                )
    return loaded


def layers(encoder: str, inputs: Shape) -> list[Layer]:
    """The encoder's layers for inputs of shape (channels, H, W), named conv1 or block1, conv2 or block2, ..., and fc.

    Multiply-adds are counted as in appendix B: without a convolution's bias, with a linear layer's. Raises ConfigError
    if there is no such encoder, or if the inputs are too small for it.
    """
    sized: list[Layer] = []
    for number, spec in enumerate(specs(encoder), start=1):
        if isinstance(spec, Linear):
            layer = _linear(spec, inputs)
        elif isinstance(spec, Block):
            layer = _block(f"block{number}", spec, inputs)
        else:
            sides = tuple((side - spec.kernel) // spec.stride + 1 for side in inputs[1:])
            if min(sides) < 1:
                raise ConfigError(
                    f"--encoder: {encoder!r} shrinks frames to nothing at layer {number}, from {inputs[1:]}"
                )
            product = _convolution(f"conv{number}", (spec.channels, inputs[0], spec.kernel, spec.kernel), sides)
            layer = Layer(product.name, spec, inputs, product.outputs, (product,), _weights(product))
        sized.append(layer)
        inputs = layer.outputs
    return sized


def of_patches(layers: Sequence[Layer]) -> bool:
    """Whether no patches of these layers' convolutions overlap: NumPy then trains them about as fast as torch."""
    return all(
        isinstance(spec, Linear) or (isinstance(spec, Conv) and spec.kernel == spec.stride)
        for spec in (layer.spec for layer in layers)
    )


def _linear(spec: Linear, inputs: Shape) -> Layer:
    weights = (prod(inputs) + 1) * spec.features
    product = Product("fc", (spec.features, prod(inputs)), (spec.features,), weights)
    return Layer("fc", spec, inputs, product.outputs, (product,), weights + 2 * spec.features * spec.norm)


def _block(name: str, spec: Block, inputs: Shape) -> Layer:
    (channels, *sides), out = inputs, spec.channels
    pooled = tuple((side + 1) // 2 for side in sides)
    products = [_convolution(f"{name}.conv", (out, channels, 3, 3), tuple(sides))]
    for residual in RESIDUALS:
        products += [_convolution(f"{name}.{residual}.conv{n}", (out, out, 3, 3), pooled) for n in (1, 2)]
    return Layer(name, spec, inputs, (out, *pooled), tuple(products), sum(map(_weights, products)))


def _convolution(name: str, weights: Shape, sides: Shape) -> Product:
    """A convolution with `weights` that gives maps of these sides."""
    return Product(name, weights, (weights[0], *sides), prod(weights) * prod(sides))


def _weights(convolution: Product) -> int:
    """How many weights a convolution has, with a bias for every channel."""
    return prod(convolution.weights) + convolution.weights[0]


def outputs(encoder: str, inputs: Shape) -> list[int]:
    """How many numbers every product of the encoder gives for a window, in order."""
    return [prod(product.outputs) for layer in layers(encoder, inputs) for product in layer.products]


def encoding_bytes(encoder: str, inputs: Shape) -> int:
    """Temporary bytes of encoding one window: it and the two largest outputs, float32, and half as much again."""
    return 4 * (prod(inputs) + sum(sorted(outputs(encoder, inputs))[-2:])) * 3 // 2


def last_layer(encoder: str) -> str:
    """The deepest cut: the name of the last layer, whose flat output the heads read."""
    stack = specs(encoder)
    names = {Linear: "fc", Block: f"block{len(stack)}", Conv: f"conv{len(stack)}"}
    return names[type(stack[-1])]


def latent_shape(encoder: str, inputs: Shape, cut: str) -> Shape:
    """The shape of what crosses the cut after layer `cut`: flat after the last layer, else a feature map.

    Raises ConfigError for a layer the encoder does not have.
    """
    outputs = {layer.name: layer.outputs for layer in layers(encoder, inputs)}
    if cut not in outputs:
        raise ConfigError(f"--cut: {encoder!r} has no layer {cut!r}; it has {', '.join(outputs)}, or last")
    return (prod(outputs[cut]),) if cut == last_layer(encoder) else outputs[cut]
