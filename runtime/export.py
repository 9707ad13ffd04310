"""A torch module as an ONNX graph, in milliseconds and a few kilobytes, in the training process.

torch.onnx.export would do the same for any module, but takes 164 MB and several seconds, in the one moment when memory
is tightest. Stems are a dozen known operations, so we trace them with torch.fx and write the nodes; every export is
checked against torch before it is used (`edgerl.freezing`).
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn

OPSET, IR_VERSION = 17, 8


class ExportError(ValueError):
    """The module has an operation this exporter does not know; the message names it."""


class _Graph:
    """ONNX nodes and weights under way; `value` maps a torch.fx node to the ONNX value it became."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.value: dict[fx.Node, str] = {}

    def weight(self, array: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def operand(self, thing: Any) -> str:
        if isinstance(thing, fx.Node):
            return self.value[thing]
        return self.weight(np.float32(thing))


def _conv(graph: _Graph, inputs: list[str], stride: Any, padding: Any) -> str:
    return graph.add("Conv", inputs, strides=list(stride), pads=2 * list(padding))  # at the start, and at the end


def _conv_module(graph: _Graph, x: str, module: Any) -> str:
    if isinstance(module.padding, str) or module.bias is None:
        raise ExportError("cannot export a convolution whose padding is a word, or one without bias, to ONNX")
    weights = (graph.weight(p.detach().numpy()) for p in (module.weight, module.bias))
    return _conv(graph, [x, *weights], module.stride, module.padding)


def _pool_module(graph: _Graph, x: str, module: Any) -> str:
    kernel, stride, pads = 2 * [module.kernel_size], 2 * [module.stride], 4 * [module.padding]
    return graph.add("MaxPool", [x], kernel_shape=kernel, strides=stride, pads=pads)


def _linear_module(graph: _Graph, x: str, module: Any) -> str:
    return graph.add("Gemm", [x, *(graph.weight(p.detach().numpy()) for p in (module.weight, module.bias))], transB=1)


def _norm_module(graph: _Graph, x: str, module: Any) -> str:
    weights = (graph.weight(p.detach().numpy()) for p in (module.weight, module.bias))
    return graph.add("LayerNormalization", [x, *weights], axis=-len(module.normalized_shape), epsilon=module.eps)


def _stack(graph: _Graph, tensors: Any, axis: int) -> str:
    axes = graph.weight(np.array([axis]))
    return graph.add("Concat", [graph.add("Unsqueeze", [graph.value[each], axes]) for each in tensors], axis=axis)


_MODULES: dict[type[nn.Module], Callable[[_Graph, str, Any], str]] = {
    nn.Conv2d: _conv_module,
    nn.MaxPool2d: _pool_module,
    nn.ReLU: lambda graph, x, module: graph.add("Relu", [x]),
    nn.Flatten: lambda graph, x, module: graph.add("Flatten", [x]),
    nn.Linear: _linear_module,
    nn.LayerNorm: _norm_module,
}
_FUNCTIONS: dict[Any, Callable[[_Graph, list[Any]], str]] = {
    operator.add: lambda graph, args: graph.add("Add", [graph.operand(arg) for arg in args]),
    operator.mul: lambda graph, args: graph.add("Mul", [graph.operand(arg) for arg in args]),
    torch.conv2d: lambda graph, args: _conv(graph, [graph.operand(arg) for arg in args[:3]], *args[3:5]),
    torch.stack: lambda graph, args: _stack(graph, *args),
    "to": lambda graph, args: graph.add("Cast", [graph.operand(args[0])], to=TensorProto.FLOAT),
}


def export(stem: nn.Module, shape: tuple[int, ...]) -> bytes:
    """`stem`, a map from uint8 [B, *shape] to float32, as an ONNX file's bytes, with a free batch size.

    Raises ExportError for an operation it does not know.
    """
    traced, graph = fx.symbolic_trace(stem), _Graph()
    output = ""
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            graph.value[node] = "windows"
        elif node.op == "output":
            output = graph.value[node.args[0]]
        elif node.op == "get_attr":
            graph.value[node] = graph.weight(operator.attrgetter(str(node.target))(traced).detach().numpy())
        elif node.op == "call_module":
            module = traced.get_submodule(str(node.target))
            if type(module) not in _MODULES:
                raise ExportError(f"cannot export the layer {node.target} ({type(module).__name__}) to ONNX")
            graph.value[node] = _MODULES[type(module)](graph, graph.operand(node.args[0]), module)
        elif node.target in _FUNCTIONS:
            graph.value[node] = _FUNCTIONS[node.target](graph, list(node.args))
        else:
            raise ExportError(f"cannot export the operation {node.target} to ONNX")
    with torch.no_grad():
        latent = stem(torch.zeros(1, *shape, dtype=torch.uint8)).shape[1:]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "stem",
            [helper.make_tensor_value_info("windows", TensorProto.UINT8, ["batch", *shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", *latent])],
        ),
        producer_name="edgerl",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    while graph.weights:  # moved one by one: every helper above would make a copy of all
        model.graph.initializer.append(graph.weights.pop(0))
    data: bytes = model.SerializeToString()
    return data


@torch.no_grad()
def parity(stem: nn.Module, encode: Callable[[Any], Any], windows: Any) -> float:
    """The largest absolute difference between torch's and `encode`'s latents of windows [B, ...], in float32."""
    windows = np.ascontiguousarray(windows)
    return float(np.abs(stem(torch.from_numpy(windows)).numpy() - encode(windows)).max())
