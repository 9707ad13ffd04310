"""The exporter of before, which traced torch modules: the oracle for `runtime.export`, which writes the same bytes.

It follows what a module does, not what an architecture says, and the onnx package serializes its messages.
"""

import operator
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn

from edgerl.agents.torch_encoder import onednn

OPSET, IR_VERSION = 17, 8


class ExportError(ValueError):
    """The module has an operation this exporter does not know; the message names it."""


class _Graph:
    """ONNX nodes and weights under way; `value` maps a torch.fx node to the ONNX value it became.

    `weights`: views of the module's weights, named as in its `state_dict`.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Any] = {}
        self.value: dict[fx.Node, str] = {}

    def weight(self, name: str) -> str:
        self.weights[name] = operator.attrgetter(name)(self.module).detach().numpy()
        return name

    def layer(self, name: str) -> list[str]:
        """The weight and the bias of a layer."""
        return [self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]

    def constant(self, value: Any) -> str:
        return self.add("Constant", [], value=numpy_helper.from_array(np.array(value)))

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def operand(self, thing: Any) -> str:
        if isinstance(thing, fx.Node):
            return self.value[thing]
        return self.constant(np.float32(thing))


def _conv(graph: _Graph, inputs: list[str], stride: Any, padding: Any) -> str:
    return graph.add("Conv", inputs, strides=list(stride), pads=2 * list(padding))  # at the start, and at the end


def _conv_module(graph: _Graph, x: str, module: Any, name: str) -> str:
    if isinstance(module.padding, str) or module.bias is None:
        raise ExportError("cannot export a convolution whose padding is a word, or one without bias, to ONNX")
    return _conv(graph, [x, *graph.layer(name)], module.stride, module.padding)


def _pool_module(graph: _Graph, x: str, module: Any, name: str) -> str:
    kernel, stride, pads = 2 * [module.kernel_size], 2 * [module.stride], 4 * [module.padding]
    return graph.add("MaxPool", [x], kernel_shape=kernel, strides=stride, pads=pads)


def _linear_module(graph: _Graph, x: str, module: Any, name: str) -> str:
    return graph.add("Gemm", [x, *graph.layer(name)], transB=1)


def _norm_module(graph: _Graph, x: str, module: Any, name: str) -> str:
    axis = -len(module.normalized_shape)
    return graph.add("LayerNormalization", [x, *graph.layer(name)], axis=axis, epsilon=module.eps)


def _stack(graph: _Graph, tensors: Any, axis: int) -> str:
    axes = graph.constant([axis])
    return graph.add("Concat", [graph.add("Unsqueeze", [graph.value[tensor], axes]) for tensor in tensors], axis=axis)


_MODULES: dict[type[nn.Module], Callable[[_Graph, str, Any, str], str]] = {
    nn.Conv2d: _conv_module,
    nn.MaxPool2d: _pool_module,
    nn.ReLU: lambda graph, x, module, name: graph.add("Relu", [x]),
    nn.Flatten: lambda graph, x, module, name: graph.add("Flatten", [x]),
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
    """The bytes of an ONNX file of `stem`, a map from uint8 [B, *shape] to float32, for any batch size B.

    Raises ExportError for an operation it does not know.
    """
    return weights_last(model(stem, shape))


def model(stem: nn.Module, shape: tuple[int, ...]) -> onnx.ModelProto:
    """The ONNX model of `stem`, with its weights named as in its `state_dict`; raises ExportError as `export` does."""
    with mock.patch.object(onednn, "usable", return_value=False):  # whose kernels are not traced
        traced = fx.symbolic_trace(stem)
    graph, output = _Graph(traced), ""
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            graph.value[node] = "windows"
        elif node.op == "output":
            output = graph.value[node.args[0]]
        elif node.op == "get_attr":
            graph.value[node] = graph.weight(str(node.target))
        elif node.op == "call_module":
            name, module = str(node.target), traced.get_submodule(str(node.target))
            if type(module) not in _MODULES:
                raise ExportError(f"cannot export the layer {name} ({type(module).__name__}) to ONNX")
            graph.value[node] = _MODULES[type(module)](graph, graph.operand(node.args[0]), module, name)
        elif node.target in _FUNCTIONS:
            graph.value[node] = _FUNCTIONS[node.target](graph, list(node.args))
        else:
            raise ExportError(f"cannot export the operation {node.target} to ONNX")
    with torch.no_grad():
        latent = stem(torch.zeros(1, *shape, dtype=torch.uint8)).shape[1:]
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "stem",
            [helper.make_tensor_value_info("windows", TensorProto.UINT8, ["batch", *shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", *latent])],
            [numpy_helper.from_array(array, name) for name, array in graph.weights.items()],
        ),
        producer_name="edgerl",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )


def weights_last(model: onnx.ModelProto) -> bytes:
    """What the onnx package makes of a model, but for the order: the graph is last in it, and the weights in that."""
    graph, rest, bare = model.graph, onnx.ModelProto(), onnx.GraphProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    bare.CopyFrom(graph)
    bare.ClearField("initializer")
    head = onnx.ModelProto(graph=graph).SerializeToString()[: -graph.ByteSize()]  # the key and length of the graph
    weights = onnx.GraphProto(initializer=graph.initializer)
    return rest.SerializeToString() + head + bare.SerializeToString() + weights.SerializeToString()


@torch.no_grad()
def latents(stem: nn.Module, windows: Any) -> Any:
    """torch's latents, float32 [B, ...], of windows uint8 [B, ...]."""
    return stem(torch.from_numpy(np.ascontiguousarray(windows))).numpy()


def parity(stem: nn.Module, encode: Callable[[Any], Any], windows: Any) -> float:
    """The largest absolute difference between the latents of torch and of `encode`, float32, of windows [B, ...]."""
    return float(np.abs(latents(stem, windows) - encode(np.ascontiguousarray(windows))).max())
