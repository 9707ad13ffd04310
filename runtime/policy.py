"""A policy as an ONNX graph: an encoder, a head, and what the head says to do. It says what it is, name by name."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from runtime import export, model_file
from runtime.export import Array, Nodes, Operation


@dataclass(frozen=True)
class Columns:
    """The columns `low` to `high` - 1 of [B, n]."""

    low: int
    high: int


@dataclass(frozen=True)
class Tanh:
    """tanh(x)."""


@dataclass(frozen=True)
class Dueling:
    """V + A - mean A (Wang et al. 2016), [B, actions, atoms]: V and A are what two branches make of the same input."""

    name: ClassVar[str] = "dueling"
    value: "tuple[PolicyOperation, ...]"
    advantage: "tuple[PolicyOperation, ...]"
    actions: int


@dataclass(frozen=True)
class MeanReturn:
    """The mean of `support` under softmax(x): [B, actions, atoms] to [B, actions] (C51, Bellemare et al. 2017)."""

    name: ClassVar[str] = "mean return"
    support: tuple[float, ...]


@dataclass(frozen=True)
class Greedy:
    """The number of the largest value of each row, int64; the first of several."""


@dataclass(frozen=True)
class Bounds:
    """low + (x + 1) (high - low) / 2, and never above `high`: [-1, 1] to bounds, one pair or one for each column."""

    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Numbers:
    """uint8 as float32, 0 to 255."""


PolicyOperation = Operation | Columns | Tanh | Dueling | MeanReturn | Greedy | Bounds | Numbers


@dataclass(frozen=True)
class Output:
    """One output, `dtype` [B, *shape]: `operations` over what all outputs are made of. `meaning`: for people."""

    operations: tuple[PolicyOperation, ...]
    dtype: npt.DTypeLike
    shape: tuple[int, ...]
    meaning: str


@dataclass(frozen=True)
class NamedGraph:
    """A policy, or only its encoder: windows uint8 [B, *window] to `outputs`, all made of what `operations` give.

    `name`: of the graph; `weights`: by name, views, not copies, some may be of no use; `meaning`, `window_meaning`:
    what the graph is and what windows are, for people.
    """

    name: str
    operations: tuple[PolicyOperation, ...]
    outputs: Mapping[str, Output]
    weights: Mapping[str, Array]
    window: tuple[int, ...]
    meaning: str
    window_meaning: str


class _NamedNodes(Nodes):
    """Nodes named by the layer, or else the output, that they are part of, and by what they do: "head.hidden Gemm"."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        super().__init__(weights)
        self.part, self._names = "windows", Counter[str]()

    def add(self, kind: str, inputs: list[str], **attributes: model_file.Attribute) -> str:
        name = f"{self.part} {kind}"
        self._names[name] += 1
        if self._names[name] > 1:
            name += f" {self._names[name]}"
        return self._add(kind, inputs, name, attributes)

    def _add(self, kind: str, inputs: list[str], name: str, attributes: Mapping[str, model_file.Attribute]) -> str:
        self.nodes.append(model_file.node(kind, inputs, name, attributes, name=name))
        return name

    def write(self, operation: Any, x: str) -> str:
        self.part = getattr(operation, "name", self.part)
        return _WRITERS[type(operation)](self, x, operation)

    def apply(self, operations: Iterable[Any], x: str) -> str:
        part = self.part
        x = super().apply(operations, x)
        self.part = part
        return x

    def output(self, name: str, operations: Iterable[Any], x: str) -> None:
        """Write an output: operations over the value `x`, and its name, by a node that ONNX Runtime drops."""
        self.part = name
        self._add("Identity", [self.apply(operations, x)], name, {})


def _columns(nodes: Nodes, x: str, columns: Columns) -> str:
    return nodes.add("Slice", [x, *(nodes.constant([number]) for number in (columns.low, columns.high, 1))])


def _dueling(nodes: Nodes, x: str, dueling: Dueling) -> str:
    value, advantage = (nodes.apply(branch, x) for branch in (dueling.value, dueling.advantage))
    advantage = nodes.add("Reshape", [advantage, nodes.constant([0, dueling.actions, -1])])  # 0: as many rows as it has
    advantage = nodes.add("Sub", [advantage, nodes.add("ReduceMean", [advantage], axes=[1], keepdims=1)])
    return nodes.add("Add", [advantage, nodes.add("Unsqueeze", [value, nodes.constant([1])])])


def _mean_return(nodes: Nodes, x: str, mean: MeanReturn) -> str:
    support = nodes.constant(np.array(mean.support, np.float32))
    return nodes.add("MatMul", [nodes.add("Softmax", [x], axis=-1), support])


def _bounds(nodes: Nodes, x: str, bounds: Bounds) -> str:
    low, high = np.array(bounds.low), np.array(bounds.high)
    above = nodes.add("Add", [x, nodes.constant(np.float32(1))])
    scaled = nodes.add("Mul", [above, nodes.constant(((high - low) / 2).astype(np.float32))])
    moved = nodes.add("Add", [scaled, nodes.constant(low.astype(np.float32))])
    return nodes.add("Min", [moved, nodes.constant(high.astype(np.float32))])


_WRITERS: dict[type[Any], Callable[[Nodes, str, Any], str]] = export.WRITERS | {
    Columns: _columns,
    Tanh: lambda nodes, x, _: nodes.add("Tanh", [x]),
    Dueling: _dueling,
    MeanReturn: _mean_return,
    Greedy: lambda nodes, x, _: nodes.add("ArgMax", [x], axis=1, keepdims=0),
    Bounds: _bounds,
    Numbers: lambda nodes, x, _: nodes.add("Cast", [x], to=model_file.data_type(np.float32)),
}


def pieces(graph: NamedGraph, metadata: Mapping[str, str] | None = None) -> Iterator[bytes | memoryview]:
    """The bytes of an ONNX file of `graph`, for any batch size, in pieces; weights are passed on as views.

    `metadata`: what the file says of itself, by key. Raises KeyError, before the first piece, for a weight that is
    missing, or for an operation that has no ONNX.
    """
    nodes = _NamedNodes(graph.weights)
    shared = nodes.apply(graph.operations, "windows")
    gives = []
    for name, output in graph.outputs.items():
        nodes.output(name, output.operations, shared)
        gives.append(model_file.value(name, output.dtype, ["batch", *output.shape], output.meaning))
    takes = model_file.value("windows", np.uint8, ["batch", *graph.window], graph.window_meaning)
    written = model_file.graph(graph.name, nodes.nodes, takes, *gives, meaning=graph.meaning)
    return model_file.pieces(written, nodes.used, export.OPSET, metadata)
