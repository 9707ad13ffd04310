"""ONNX files: written weight by weight without a copy of them in memory, and their weights read back by name.

protobuf's own writer takes one copy of all weights in the message and another in the bytes it gives.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]
_GRAPH = onnx.ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_INITIALIZER = onnx.GraphProto.DESCRIPTOR.fields_by_name["initializer"].number
_RAW_DATA = onnx.TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number
_MESSAGE = 2  # protobuf's kind of a field that begins with its length


def pieces(model: onnx.ModelProto, weights: Mapping[str, Array]) -> Iterator[bytes | memoryview]:
    """The bytes of `model`, whose graph is without weights, with these as its initializers by name, in order.

    The weights are views; of one that is not row by row in memory a copy is made while it is asked for.
    """
    graph, beside = model.graph.SerializeToString(), onnx.ModelProto()
    beside.CopyFrom(model)
    beside.ClearField("graph")
    heads = {name: _head(name, array) for name, array in weights.items()}
    length = len(graph) + sum(len(head) + weights[name].nbytes for name, head in heads.items())
    yield beside.SerializeToString() + _prefix(_GRAPH, length) + graph
    for name, head in heads.items():
        yield head
        yield np.ascontiguousarray(weights[name]).reshape(-1).view(np.uint8).data


def weights(file: Path) -> dict[str, Array]:
    """The weights in an ONNX file by name; raises OSError or ValueError where it is no such file."""
    try:
        graph = onnx.load(str(file), load_external_data=False).graph
    except OSError:
        raise
    except Exception as error:  # protobuf's own, which has no public name
        raise ValueError(f"{file} is no ONNX file: {error}") from None
    return {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.initializer}


def _head(name: str, array: Array) -> bytes:
    """All of an initializer that comes before its numbers."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor: bytes = onnx.TensorProto(name=name, dims=array.shape, data_type=kind).SerializeToString()
    tensor += _prefix(_RAW_DATA, array.nbytes)
    return _prefix(_INITIALIZER, len(tensor) + array.nbytes) + tensor


def _prefix(field: int, length: int) -> bytes:
    """What a message's field of so many bytes begins with."""
    return _varint(field << 3 | _MESSAGE) + _varint(length)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
