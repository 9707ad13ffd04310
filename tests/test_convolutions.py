"""The stack of convolutions that is run as one gives what its layers give one by one, gradients too."""

import pytest
import torch
from torch import Tensor

from edgerl.agents.torch_encoder import modules, onednn
from edgerl.agents.torch_encoder.modules import Convolutions

WINDOWS = {"curl": (9, 84, 84), "data_efficient": (4, 84, 84), "canonical": (4, 84, 84)}


def stacks(name: str) -> tuple[Convolutions, Tensor]:
    torch.manual_seed(0)
    return modules.build(name, WINDOWS[name]).split_convolutions()[0], torch.randint(
        0, 256, (5, *WINDOWS[name]), dtype=torch.uint8
    )


def gradients(stack: Convolutions, found: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 1, found.numel()).reshape(found.shape)
    return list(torch.autograd.grad((found * weights).sum(), list(stack.parameters())))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", WINDOWS)
def test_values_and_gradients_are_those_of_the_layers(name: str, order: torch.memory_format) -> None:
    stack, pixels = stacks(name)
    pixels = pixels.contiguous(memory_format=order)
    plain, fused = super(Convolutions, stack).forward(pixels), stack(pixels)
    torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(stack(pixels), plain, rtol=1e-5, atol=1e-6)
    for own, other in zip(gradients(stack, fused), gradients(stack, plain), strict=True):
        assert own.is_contiguous() or own.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_the_same_pass_gives_the_same_bits() -> None:
    stack, pixels = stacks("curl")
    first, second = (gradients(stack, stack(pixels)) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_without_onednn_the_layers_run_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, pixels = stacks("curl")
    monkeypatch.setattr(onednn, "usable", lambda layers: False)
    monkeypatch.setattr(onednn, "run", None)
    assert torch.equal(stack(pixels), super(Convolutions, stack).forward(pixels))
