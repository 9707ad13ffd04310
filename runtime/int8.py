"""A policy in 8 bits, by onnxruntime.quantization: the weights of its layers, and what each layer gives.

It needs the package onnx, which nothing else here does.
"""

import importlib.util
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime.export import PIXEL, Array, Conv
from runtime.policy import NamedGraph, Numbers, pieces

BATCH = 32  # windows that are calibrated on at a time
LAYERS = ("Conv", "Gemm", "Relu", "MaxPool", "Flatten")  # what becomes 8 bits; sums, means and softmax stay float32
FLOAT_OUTPUTS = ("Gemm",)  # what a linear layer gives may be an advantage: small beside the value that it is added to
PIXELS = "windows Cast"  # the value that holds the pixels as numbers
# Metadata that tells onnxruntime.quantization that there is nothing left to fold.
PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}


def is_possible() -> bool:
    """Whether the package that quantising needs is installed."""
    return importlib.util.find_spec("onnx") is not None


def quantised(graph: NamedGraph, windows: Array) -> bytes:
    """The bytes of an ONNX file of `graph` in 8 bits, with its inputs and outputs as they were, without metadata.

    `windows` uint8 [N, *window]: the ranges of activations are the smallest and largest values that they lead to.
    Activations are uint8, pixels as they are; weights are int8 with a scale for each output channel, in 7 bits: x86
    without VNNI adds pairs of products in 16 bits, which 8 bits would overflow. Temporary files are in a folder that is
    removed. Raises OSError if the disk refuses them.
    """
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory(prefix="edgerl-int8-") as folder:
        float_file, int8_file = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        float_file.write_bytes(b"".join(pieces(_folded(graph), PREPARED)))
        exact = {"scale": np.array(1, np.float32), "zero_point": np.array(0, np.uint8)}
        quantization.quantize_static(
            float_file,
            int8_file,
            _reader(windows),
            op_types_to_quantize=list(LAYERS),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            extra_options={
                "TensorQuantOverrides": {PIXELS: [exact]},
                "OpTypesToExcludeOutputQuantization": list(FLOAT_OUTPUTS),
            },
        )
        return int8_file.read_bytes()


def _folded(graph: NamedGraph) -> NamedGraph:
    """The same policy with the scale of pixels in the weights of its first layer: only weights are quantised ahead."""
    operations: list[Any] = []
    weights = dict(graph.weights)
    for operation in graph.operations:
        if isinstance(operation, Conv) and operation.pixels:
            operations.append(Numbers())
            operation = replace(operation, pixels=False)
            weights[f"{operation.name}.weight"] = weights[f"{operation.name}.weight"] * PIXEL
        operations.append(operation)
    return replace(graph, operations=tuple(operations), weights=weights)


def _reader(windows: Array) -> Any:
    """Batches of `windows` as onnxruntime.quantization reads them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        """Gives one batch after the other, then None."""

        def __init__(self) -> None:
            batches = (windows[low : low + BATCH] for low in range(0, len(windows), BATCH))
            self._feeds: Iterator[dict[str, Array]] = ({"windows": batch} for batch in batches)

        def get_next(self) -> dict[str, Array] | None:
            return next(self._feeds, None)

    return Batches()
