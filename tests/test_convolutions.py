"""The stack of convolutions that oneDNN runs as one gives what its layers give one by one, gradients too."""

import engines
import numpy as np
import pytest
import torch
from torch.nn import functional

from edgerl.agents.encoder.encoder import convolutions
from edgerl.agents.layers.arrays import to_numpy
from edgerl.agents.layers.parameters import named_arrays
from edgerl.agents.torch_encoder import onednn
from edgerl.config import architectures

WINDOWS = {"curl": (9, 84, 84), "canonical": (4, 84, 84)}  # patches overlap: others are run one by one
usable = pytest.mark.skipif(not onednn.usable([torch.nn.Conv2d(1, 1, 1)]), reason="no oneDNN for this CPU")


def stacks(name):
    """A stack of torch's, and a batch of pixels."""
    stack = convolutions(engines.TORCH, name, WINDOWS[name], None, np.random.default_rng(0))
    return stack, np.random.default_rng(1).integers(0, 256, (5, *WINDOWS[name]), np.uint8)


def by_hand(stack, name, prepared):
    """The maps that its layers give one by one, and its weights, with autograd."""
    weights = {name: array.clone().requires_grad_() for name, array in named_arrays(stack.parameters).items()}
    maps = prepared.to(torch.float32)
    for number, layer in enumerate(layer for layer in architectures.layers(name, WINDOWS[name]) if layer.name != "fc"):
        weight, bias = weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"]
        weight = weight if number else weight * (1 / 255)
        maps = functional.conv2d(maps, weight, bias, layer.spec.stride).relu()
    return maps, weights


def upward(maps):
    return torch.linspace(-1, 1, maps.numel()).reshape(maps.shape)


def gradients(stack, prepared):
    """Written by a pass forward and backward."""
    stack.backward(upward(stack.forward(prepared)))
    blocks = {name: own.views(own.gradient.clone()) for name, own in stack.parameters.items()}
    return {f"{layer}.{name}": array for layer, arrays in blocks.items() for name, array in arrays.items()}


@usable
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", WINDOWS)
def test_values_and_gradients_are_those_of_the_layers(name, order, monkeypatch):
    stack, pixels = stacks(name)
    run, calls = onednn.run, []
    monkeypatch.setattr(onednn, "run", lambda *arguments: calls.append(arguments) or run(*arguments))
    prepared = stack.prepare(pixels)
    assert prepared.dtype == torch.uint8
    prepared = prepared.contiguous(memory_format=order)
    plain, weights = by_hand(stack, name, prepared)
    plain.backward(upward(plain))
    torch.testing.assert_close(stack.apply(prepared), plain.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(stack.forward(prepared), plain.detach(), rtol=1e-5, atol=1e-6)
    for weight, own in gradients(stack, prepared).items():
        other = weights[weight].grad
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))
    assert len(calls) == 3


@usable
def test_the_same_pass_gives_the_same_bits():
    stack, pixels = stacks("curl")
    first, second = (gradients(stack, stack.prepare(pixels)) for _ in range(2))
    assert all(torch.equal(gradient, second[name]) for name, gradient in first.items())


def test_without_onednn_the_layers_run_one_by_one(monkeypatch):
    monkeypatch.setattr(onednn, "usable", lambda layers: False)
    monkeypatch.setattr(onednn, "run", None)
    stack, pixels = stacks("curl")
    prepared = stack.prepare(pixels)
    plain, weights = by_hand(stack, "curl", prepared)
    plain.backward(upward(plain))
    assert torch.equal(stack.apply(prepared), plain)
    for name, own in gradients(stack, prepared).items():
        assert torch.equal(own, weights[name].grad), name


@pytest.mark.parametrize("engine", engines.BOTH, ids=engines.name)
def test_layers_whose_patches_do_not_overlap_are_run_one_by_one(engine, monkeypatch):
    """Pixels are taken as [0, 1]."""
    monkeypatch.setattr(onednn, "run", None)
    window = (4, 84, 84)
    stack = convolutions(engine, "data_efficient", window, None, np.random.default_rng(0))
    pixels = np.random.default_rng(1).integers(0, 256, (3, *window), np.uint8)
    weight, bias = (
        torch.from_numpy(to_numpy(stack.parameters["conv1"].arrays[name]).copy()) for name in ("weight", "bias")
    )
    plain = functional.conv2d(torch.from_numpy(pixels).float() / 255, weight, bias, stride=5).relu()
    found = to_numpy(stack.outputs(stack.prepare(pixels))["conv1"])
    np.testing.assert_allclose(found, plain.numpy(), rtol=1e-4, atol=1e-5)
