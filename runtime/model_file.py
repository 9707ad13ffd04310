"""ONNX files: written weight by weight, without a copy of the weights in memory; weights are read back by name.

protobuf's own writer holds one copy of all weights in the message and another in the bytes it returns.
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
_MESSAGE = 2  # protobuf's wire type of a field that begins with its length


def pieces(model: onnx.ModelProto, weights: Mapping[str, Array]) -> Iterator[bytes | memoryview]:
    """The bytes of `model`, whose graph has no weights, with `weights` as its initializers, in order.

    Weights are passed on as views; one that is not contiguous is copied, while its piece is in use.
    """
    graph, rest = model.graph.SerializeToString(), onnx.ModelProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    heads = {name: _head(name, array) for name, array in weights.items()}
    length = len(graph) + sum(len(head) + weights[name].nbytes for name, head in heads.items())
    yield rest.SerializeToString() + _prefix(_GRAPH, length) + graph
    for name, head in heads.items():
        yield head
        yield np.ascontiguousarray(weights[name]).reshape(-1).view(np.uint8).data


def weights(file: Path) -> dict[str, Array]:
    """The weights in an ONNX file by name; raises OSError if it cannot be read, ValueError if it is none."""
    try:
        graph = onnx.load(str(file), load_external_data=False).graph
    except OSError:
        raise
    except Exception as error:  # protobuf's own, which has no public name
        raise ValueError(f"{file} is no ONNX file: {error}") from None
    return {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.initializer}


def _head(name: str, array: Array) -> bytes:
    """The bytes of an initializer that precede its numbers."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor: bytes = onnx.TensorProto(name=name, dims=array.shape, data_type=kind).SerializeToString()
    tensor += _prefix(_RAW_DATA, array.nbytes)
    return _prefix(_INITIALIZER, len(tensor) + array.nbytes) + tensor


def _prefix(field: int, length: int) -> bytes:
    """The bytes that precede a field of `length` bytes in a message: its number and its length."""
    return _varint(field << 3 | _MESSAGE) + _varint(length)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
