"""ONNX files: written weight by weight, without a copy of the weights in memory; weights are read back by name.

The onnx package would cost 11 MB of memory, and its writer holds two copies of all weights.
"""

import math
import mmap
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from runtime import protobuf

_T = TypeVar("_T")
Array = npt.NDArray[Any]
Attribute = int | float | Sequence[int] | Array
IR_VERSION, PRODUCER = 8, "edgerl"

# The numbers of the fields in onnx.proto, message by message. A file knows its fields by them alone: they never change.
_MODEL_IR_VERSION, _MODEL_PRODUCER, _MODEL_GRAPH, _MODEL_OPSET, _MODEL_METADATA = 1, 2, 7, 8, 14
_METADATA_KEY, _METADATA_VALUE = 1, 2
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER, _GRAPH_MEANING, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 10, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_KIND, _NODE_ATTRIBUTE = 1, 2, 3, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_TENSOR, _ATTRIBUTE_INTS = 1, 2, 3, 5, 8
_ATTRIBUTE_TYPE = 20
_VALUE_NAME, _VALUE_TYPE, _VALUE_MEANING = 1, 2, 3
_TYPE_TENSOR = 1
_TENSOR_TYPE_ELEMENT, _TENSOR_TYPE_SHAPE = 1, 2
_SHAPE_AXIS = 1
_AXIS_SIZE, _AXIS_NAME = 1, 2
_TENSOR_DIMS, _TENSOR_DATA_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 4, 8, 9

_IS_FLOAT, _IS_INT, _IS_TENSOR, _IS_INTS = 1, 2, 4, 7  # values of AttributeProto.AttributeType
_FLOAT32 = np.dtype("<f4")
_MOST_AXES = 32  # of a weight: NumPy's limit
_DATA_TYPES: dict[np.dtype[Any], int] = {  # values of TensorProto.DataType; numbers in a file are little-endian
    _FLOAT32: 1,
    np.dtype("u1"): 2,
    np.dtype("i1"): 3,
    np.dtype("<u2"): 4,
    np.dtype("<i2"): 5,
    np.dtype("<i4"): 6,
    np.dtype("<i8"): 7,
    np.dtype("?"): 9,
    np.dtype("<f2"): 10,
    np.dtype("<f8"): 11,
    np.dtype("<u4"): 12,
    np.dtype("<u8"): 13,
}
_DTYPES = {number: dtype for dtype, number in _DATA_TYPES.items()}


def data_type(dtype: npt.DTypeLike) -> int:
    """ONNX's number of a dtype; raises ValueError for one that it has none for."""
    little = np.dtype(dtype).newbyteorder("<")
    if little not in _DATA_TYPES:
        raise ValueError(f"ONNX files are not written with {np.dtype(dtype)}")
    return _DATA_TYPES[little]


def node(
    kind: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Attribute], *, name: str = ""
) -> bytes:
    """A node of a graph, with its attributes by name; an array becomes a tensor, and holds few numbers."""
    written = [protobuf.text(_NODE_INPUT, taken) for taken in inputs]
    written += [protobuf.text(_NODE_OUTPUT, output), *_optional(_NODE_NAME, name), protobuf.text(_NODE_KIND, kind)]
    written += [protobuf.data(_NODE_ATTRIBUTE, _attribute(key, attributes[key])) for key in sorted(attributes)]
    return b"".join(written)


def value(name: str, dtype: npt.DTypeLike, shape: Sequence[int | str], meaning: str = "") -> bytes:
    """An input or output of a graph; in `shape`, a word stands for an axis of any size. `meaning`: for people."""
    axes = b"".join(protobuf.data(_SHAPE_AXIS, _axis(size)) for size in shape)
    tensor = protobuf.integer(_TENSOR_TYPE_ELEMENT, data_type(dtype)) + protobuf.data(_TENSOR_TYPE_SHAPE, axes)
    written = protobuf.text(_VALUE_NAME, name) + protobuf.data(_VALUE_TYPE, protobuf.data(_TYPE_TENSOR, tensor))
    return b"".join([written, *_optional(_VALUE_MEANING, meaning)])


def graph(name: str, nodes: Iterable[bytes], takes: bytes, *gives: bytes, meaning: str = "") -> bytes:
    """A graph without its weights, of nodes in the order of their work, one input, outputs; `meaning`: for people."""
    written = [protobuf.data(_GRAPH_NODE, node) for node in nodes]
    written += [protobuf.text(_GRAPH_NAME, name), *_optional(_GRAPH_MEANING, meaning)]
    written += [protobuf.data(_GRAPH_INPUT, takes), *(protobuf.data(_GRAPH_OUTPUT, output) for output in gives)]
    return b"".join(written)


def pieces(
    graph: bytes, weights: Mapping[str, Array], opset: int, metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """The bytes of an ONNX file of `graph` with `weights` as its initializers, in order; `opset`: of its nodes.

    `metadata`: what the file says of itself, by key. Weights are passed on as views; one that is not contiguous is
    copied, while its piece is in use. Raises ValueError, before the first piece, for one of a dtype that ONNX has not.
    """
    heads = {name: _initializer_head(name, array) for name, array in weights.items()}
    length = len(graph) + sum(len(head) + weights[name].nbytes for name, head in heads.items())
    yield _model_head(opset, metadata or {}) + protobuf.prefix(_MODEL_GRAPH, length) + graph
    for name, head in heads.items():
        yield head
        yield _raw(weights[name])


def with_metadata(model: bytes, metadata: Mapping[str, str]) -> bytes:
    """The bytes of an ONNX file with these entries, by key, in place of those that it had."""
    kept = [
        protobuf.integer(field, value) if isinstance(value, int) else protobuf.prefix(field, len(value)) + value
        for field, value in protobuf.fields(memoryview(model))
        if field != _MODEL_METADATA
    ]
    return b"".join([*kept, *_metadata(metadata)])


def weights(file: Path) -> dict[str, Array]:
    """The weights in an ONNX file by name; raises OSError if it cannot be read, ValueError if it is none.

    The file is mapped: only what is kept of it takes memory.
    """
    try:
        model = memoryview(_mapped(file))
        present = {field for field, _ in protobuf.fields(model)}
        if not present >= {_MODEL_IR_VERSION, _MODEL_GRAPH}:  # which the bytes of another kind of message lack
            raise ValueError("it has no version or no graph")
        parts = protobuf.views(model, _MODEL_GRAPH)  # a writer may have split the graph
        return dict(_weight(tensor) for part in parts for tensor in protobuf.views(part, _GRAPH_INITIALIZER))
    except ValueError as error:
        raise ValueError(f"{file} is no ONNX file: {error}") from None


def _mapped(file: Path) -> bytes | mmap.mmap:
    """The bytes of a regular file; raises OSError, or ValueError for what is none, such as a pipe."""
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # which says itself that it is a folder
        raise ValueError("it is no regular file")
    with file.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return b""  # which cannot be mapped
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, float):
        kind, written = _IS_FLOAT, protobuf.real(_ATTRIBUTE_FLOAT, value)
    elif isinstance(value, int):
        kind, written = _IS_INT, protobuf.integer(_ATTRIBUTE_INT, value)
    elif isinstance(value, np.ndarray):
        kind, written = _IS_TENSOR, protobuf.data(_ATTRIBUTE_TENSOR, _tensor_head(value) + bytes(_raw(value)))
    else:
        kind, written = _IS_INTS, b"".join(protobuf.integer(_ATTRIBUTE_INTS, number) for number in value)
    return protobuf.text(_ATTRIBUTE_NAME, name) + written + protobuf.integer(_ATTRIBUTE_TYPE, kind)


def _axis(size: int | str) -> bytes:
    return protobuf.text(_AXIS_NAME, size) if isinstance(size, str) else protobuf.integer(_AXIS_SIZE, size)


def _optional(field: int, text: str) -> list[bytes]:
    """A field with a string; none if the string is empty."""
    return [protobuf.text(field, text)] if text else []


def _model_head(opset: int, metadata: Mapping[str, str]) -> bytes:
    """The bytes of a model that precede its graph."""
    domain = protobuf.text(_OPSET_DOMAIN, "")  # of ONNX's own operators
    written = [
        protobuf.integer(_MODEL_IR_VERSION, IR_VERSION),
        protobuf.text(_MODEL_PRODUCER, PRODUCER),
        protobuf.data(_MODEL_OPSET, domain + protobuf.integer(_OPSET_VERSION, opset)),
    ]
    return b"".join([*written, *_metadata(metadata)])


def _metadata(metadata: Mapping[str, str]) -> list[bytes]:
    """What a file says of itself, a field for each key."""
    return [
        protobuf.data(_MODEL_METADATA, protobuf.text(_METADATA_KEY, key) + protobuf.text(_METADATA_VALUE, value))
        for key, value in metadata.items()
    ]


def _initializer_head(name: str, array: Array) -> bytes:
    """The bytes of a weight in a graph that precede its numbers."""
    head = _tensor_head(array, protobuf.text(_TENSOR_NAME, name))
    return protobuf.prefix(_GRAPH_INITIALIZER, len(head) + array.nbytes) + head


def _tensor_head(array: Array, name: bytes = b"") -> bytes:
    """The bytes of a tensor that precede its numbers; `name`: the field of its name, if it has one."""
    dims = b"".join(protobuf.integer(_TENSOR_DIMS, size) for size in array.shape)
    kind = protobuf.integer(_TENSOR_DATA_TYPE, data_type(array.dtype))
    return dims + kind + name + protobuf.prefix(_TENSOR_RAW, array.nbytes)


def _raw(array: Array) -> memoryview:
    """The numbers of an array row by row: a view of them if they lie so."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data


def _weight(tensor: memoryview) -> tuple[str, Array]:
    """The name and a copy of the numbers of a tensor, which are in raw_data, or for float32 in float_data."""
    name = str(_last(protobuf.views(tensor, _TENSOR_NAME), memoryview(b"")), "utf-8")
    shape = tuple(islice(protobuf.integers(tensor, _TENSOR_DIMS), _MOST_AXES + 1))
    number = _last(protobuf.integers(tensor, _TENSOR_DATA_TYPE), 0)
    if number not in _DTYPES:
        raise ValueError(f"its weight {name!r} is of a type that is not read, number {number}")
    dtype = _DTYPES[number]
    content = _last(protobuf.views(tensor, _TENSOR_RAW), memoryview(b""))
    if not content and dtype == _FLOAT32:
        content = memoryview(b"".join(protobuf.views(tensor, _TENSOR_FLOATS)))
    if len(shape) > _MOST_AXES:
        raise ValueError(f"its weight {name!r} has more than {_MOST_AXES} axes")
    if len(content) != math.prod(shape) * dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"its weight {name!r} of shape {shape} has {len(content)} bytes of {dtype}")
    return name, np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _last(values: Iterable[_T], default: _T) -> _T:
    """The last value, which is the one that counts in a field of one value."""
    for value in values:
        default = value
    return default
