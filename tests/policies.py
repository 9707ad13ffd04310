"""Small policy files as `edgerl export` writes them, whose outputs show what the policy was given."""

import json

import numpy as np
from onnx import TensorProto, checker, helper, save

from edgerl.envs.base import EnvSpec


def about(spec: EnvSpec, resize="none", side=0, **changes):
    """The metadata of a policy of an environment with this spec; `side`: of its centre crop, 0 without one."""
    stored = list(spec.frame[-2:])
    height, width = [side, side] if side else stored
    if spec.continuous:
        action = {"kind": "continuous", "size": spec.actions, "low": [-1] * spec.actions, "high": [1] * spec.actions}
    else:
        action = {"kind": "discrete", "count": spec.actions, "meanings": None}
    colour = "gray" if len(spec.frame) == 2 else "rgb"
    return {
        "format": 1,
        "frame": {"height": height, "width": width, "colour": colour, "resize": resize, "stored": stored},
        "window": {"frames": spec.history, "before_first": "first" if spec.refill else "zeros"},
        "environment": {"frame_skip": spec.repeat, "max_of_last_two": False},
        "action": action,
    } | changes


def shape_of(metadata):
    """The shape of a window by a policy's metadata."""
    frame = metadata["frame"]
    channels = metadata["window"]["frames"] * (3 if frame["colour"] == "rgb" else 1)
    return [channels, frame["height"], frame["width"]]


def write(path, metadata, nodes, outputs, entries=None):
    """Write a graph of `windows` with this metadata, `outputs`: name, ONNX type, shape; returns the path."""
    windows = helper.make_tensor_value_info("windows", TensorProto.UINT8, ["batch", *shape_of(metadata)])
    gives = [helper.make_tensor_value_info(name, kind, ["batch", *shape]) for name, kind, shape in outputs]
    graph = helper.make_graph(nodes, "policy", [windows], gives)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"edgerl": json.dumps(metadata)} if entries is None else entries)
    checker.check_model(model)
    save(model, path)
    return path


def seeing(path, metadata, entries=None):
    """A policy whose values are the pixels of its window, and whose action is the place of the brightest."""
    nodes = [
        helper.make_node("Cast", ["windows"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["values"]),
        helper.make_node("ArgMax", ["values"], ["action"], axis=1, keepdims=0),
    ]
    outputs = [("action", TensorProto.INT64, []), ("values", TensorProto.FLOAT, [int(np.prod(shape_of(metadata)))])]
    return write(path, metadata, nodes, outputs, entries)


def balancing(path, metadata):
    """A policy of two actions: which half of its window is brighter."""
    nodes = [
        helper.make_node("Cast", ["windows"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["columns"], axes=[1, 2], keepdims=0),
        helper.make_node("Split", ["columns"], ["left", "right"], axis=1),
        helper.make_node("ReduceMean", ["left"], ["of_left"], axes=[1]),
        helper.make_node("ReduceMean", ["right"], ["of_right"], axes=[1]),
        helper.make_node("Concat", ["of_left", "of_right"], ["values"], axis=1),
        helper.make_node("ArgMax", ["values"], ["action"], axis=1, keepdims=0),
    ]
    return write(path, metadata, nodes, [("action", TensorProto.INT64, []), ("values", TensorProto.FLOAT, [2])])


def steering(path, metadata):
    """A policy of one component: the mean of its window in [0, 1]; its deviation is the greatest pixel."""
    nodes = [
        helper.make_node("Constant", [], ["white"], value_float=255.0),
        helper.make_node("Cast", ["windows"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Div", ["flat", "white"], ["shares"]),
        helper.make_node("ReduceMean", ["shares"], ["action"], axes=[1]),
        helper.make_node("ReduceMax", ["shares"], ["log_std"], axes=[1]),
    ]
    return write(path, metadata, nodes, [("action", TensorProto.FLOAT, [1]), ("log_std", TensorProto.FLOAT, [1])])
