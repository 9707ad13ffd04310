"""A stem as an ONNX graph, written from its operations and weights: in milliseconds and a few kilobytes.

torch.onnx.export takes 164 MB and several seconds, in the moment when memory is tightest. A stem is a dozen known
operations, and the trainer has them as data. Every file is checked against the trained network before it is used
(`edgerl.training.freeze`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime import model_file

OPSET = 17  # the first with LayerNormalization
PIXEL = np.float32(1 / 255)
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Conv:
    """A convolution with the weights `<name>.weight` and `<name>.bias`; `pixels`: of uint8 taken as [0, 1]."""

    name: str
    stride: int
    padding: int = 0
    pixels: bool = False


@dataclass(frozen=True)
class MaxPool:
    """Max-pooling over squares."""

    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class Flatten:
    """All axes but the first become one."""


@dataclass(frozen=True)
class Linear:
    """A fully connected layer with the weights `<name>.<weight>` [outputs, inputs] and `<name>.<bias>`."""

    name: str
    weight: str = "weight"
    bias: str = "bias"


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalization over the last axis, with the weights `<name>.weight` and `<name>.bias`."""

    name: str
    epsilon: float = 1e-5


@dataclass(frozen=True)
class Residual:
    """x + f(x), f being these operations one after the other."""

    operations: "tuple[Operation, ...]"


@dataclass(frozen=True)
class Stack:
    """What each branch makes of the same input [B, ...], one beside the other: [B, branches, ...]."""

    branches: "tuple[tuple[Operation, ...], ...]"


Operation = Conv | MaxPool | Relu | Flatten | Linear | LayerNorm | Residual | Stack


@dataclass(frozen=True)
class StemGraph:
    """A stem: windows uint8 [B, *window] to latents float32 [B, *latent], by `operations` one after the other.

    `weights`: by name, such as conv1.weight; views of the trained ones, not copies.
    """

    operations: tuple[Operation, ...]
    weights: Mapping[str, Array]
    window: tuple[int, ...]
    latent: tuple[int, ...]


class Nodes:
    """The ONNX nodes written so far; `used`: weights in the order of their use."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.weights = weights
        self.nodes: list[bytes] = []
        self.used: dict[str, Array] = {}

    def add(self, kind: str, inputs: list[str], **attributes: model_file.Attribute) -> str:
        """Write a node; returns the name of its output."""
        output = f"v{len(self.nodes)}"
        self.nodes.append(model_file.node(kind, inputs, output, attributes))
        return output

    def write(self, operation: Any, x: str) -> str:
        """Write one operation over the value `x`; returns the name of what comes out."""
        return WRITERS[type(operation)](self, x, operation)

    def constant(self, value: Any) -> str:
        return self.add("Constant", [], value=np.array(value))

    def weight(self, name: str) -> str:
        self.used[name] = self.weights[name]
        return name

    def layer(self, name: str) -> list[str]:
        """The weight and the bias of a layer."""
        return [self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]

    def apply(self, operations: Iterable[Any], x: str) -> str:
        """Write operations one after the other; returns the name of what comes out of the last."""
        for operation in operations:
            x = self.write(operation, x)
        return x


def _linear(nodes: Nodes, x: str, linear: Linear) -> str:
    weights = [nodes.weight(f"{linear.name}.{own}") for own in (linear.weight, linear.bias)]
    return nodes.add("Gemm", [x, *weights], transB=1)


def _conv(nodes: Nodes, x: str, conv: Conv) -> str:
    strides, pads = 2 * [conv.stride], 4 * [conv.padding]
    if not conv.pixels:
        return nodes.add("Conv", [x, *nodes.layer(conv.name)], strides=strides, pads=pads)
    x = nodes.add("Cast", [x], to=model_file.data_type(np.float32))
    weight = nodes.add("Mul", [nodes.weight(f"{conv.name}.weight"), nodes.constant(PIXEL)])
    return nodes.add("Conv", [x, weight, nodes.weight(f"{conv.name}.bias")], strides=strides, pads=pads)


def _pool(nodes: Nodes, x: str, pool: MaxPool) -> str:
    kernel, stride, pads = 2 * [pool.kernel], 2 * [pool.stride], 4 * [pool.padding]
    return nodes.add("MaxPool", [x], kernel_shape=kernel, strides=stride, pads=pads)


def _norm(nodes: Nodes, x: str, norm: LayerNorm) -> str:
    return nodes.add("LayerNormalization", [x, *nodes.layer(norm.name)], axis=-1, epsilon=norm.epsilon)


def _stack(nodes: Nodes, x: str, stack: Stack) -> str:
    outputs = [nodes.apply(branch, x) for branch in stack.branches]
    axes = nodes.constant([1])
    return nodes.add("Concat", [nodes.add("Unsqueeze", [output, axes]) for output in outputs], axis=1)


WRITERS: dict[type[Any], Callable[[Nodes, str, Any], str]] = {
    Conv: _conv,
    MaxPool: _pool,
    Relu: lambda nodes, x, _: nodes.add("Relu", [x]),
    Flatten: lambda nodes, x, _: nodes.add("Flatten", [x]),
    Linear: _linear,
    LayerNorm: _norm,
    Residual: lambda nodes, x, residual: nodes.add("Add", [x, nodes.apply(residual.operations, x)]),
    Stack: _stack,
}


def export(stem: StemGraph) -> bytes:
    """The bytes of an ONNX file of `stem`, for any batch size. Raises KeyError for a weight that is missing."""
    return b"".join(export_pieces(stem))


def export_pieces(stem: StemGraph) -> Iterator[bytes | memoryview]:
    """The same bytes in pieces: the weights are passed on as views, not copies.

    Raises KeyError, before the first piece, for a weight that is missing.
    """
    nodes = Nodes(stem.weights)
    output = nodes.apply(stem.operations, "windows")
    takes = model_file.value("windows", np.uint8, ["batch", *stem.window])
    gives = model_file.value(output, np.float32, ["batch", *stem.latent])
    return model_file.pieces(model_file.graph("stem", nodes.nodes, takes, gives), nodes.used, OPSET)
