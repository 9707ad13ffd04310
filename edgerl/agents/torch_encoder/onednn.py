"""A whole stack of convolutions, each with its ReLU, over uint8 pixels, forward and backward with oneDNN on a CPU.

torch runs each layer alone: at a batch of 128 every ReLU is one more pass over 25 MB, and a backward pass keeps the
images in a layout in which weight gradients take twice as long. Here the ReLU belongs to its convolution, activations
stay in oneDNN's own layout in between, and the pixels are kept as bytes. The numbers are those of the plain layers.
"""

import platform
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

PIXEL = 1 / 255
_NO_PADDING, _DILATION = [0, 0], [1, 1]


def usable(layers: list[nn.Module]) -> bool:
    """Whether these are plain convolutions on an x86 CPU, for which torch has oneDNN's own kernels.

    Elsewhere it is untested.
    """
    plain = all(isinstance(layer, nn.Conv2d | nn.ReLU | nn.Flatten) for layer in layers)
    if not plain or platform.machine() not in ("x86_64", "AMD64"):
        return False
    return torch.backends.mkldnn.is_available() and all(p.device.type == "cpu" for p in layers[0].parameters())  # type: ignore[no-untyped-call]


def run(pixels: Tensor, layers: list[nn.Conv2d]) -> Tensor:
    """ReLU(conv(...)) of all `layers`, uint8 [B, C, H, W] taken as [0, 1] to float32 [B, c, h, w].

    The order of the result in memory is open: with gradients channels come first, without them last.
    """
    strides = [layer.stride for layer in layers]
    weights: list[Tensor] = [weight for layer in layers for weight in layer.parameters()]
    if torch.is_grad_enabled():
        found: Tensor = _Convolutions.apply(pixels, strides, *weights)  # type: ignore[no-untyped-call]
        return found
    return _layers(pixels.to(torch.float32), strides, weights)[-1]


def _layers(pixels: Tensor, strides: list[Any], weights: Sequence[Tensor], *, blocked: bool = False) -> list[Tensor]:
    """What every layer gives; all but the pixels' layer in oneDNN's layout if `blocked`."""
    found = [_layer(pixels, weights[0] * PIXEL, weights[1], strides[0])]
    if blocked:
        found[0] = found[0].to_mkldnn()
    for stride, weight, bias in zip(strides[1:], weights[2::2], weights[3::2], strict=True):
        x = found[-1] if blocked else found.pop()
        found.append(_layer(x, weight, bias, stride))
    return found


def _layer(x: Tensor, weight: Tensor, bias: Tensor, stride: Any) -> Tensor:
    fused = torch.ops.mkldnn._convolution_pointwise
    found: Tensor = fused(x, weight, bias, _NO_PADDING, stride, _DILATION, 1, "relu", [], "")
    return found


class _Convolutions(torch.autograd.Function):
    """`_layers` with gradients for weights and biases, none for the pixels."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, strides: list[Any], *weights: Tensor) -> Tensor:
        found = _layers(pixels.to(torch.float32), strides, weights, blocked=True)
        ctx.pixels, ctx.strides, ctx.weights, ctx.found = pixels, strides, weights, found
        return found[-1].to_dense()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        found, gradient = ctx.found, gradients[0].to_mkldnn()
        weights: list[Tensor] = []
        for n in reversed(range(len(found))):
            gradient = torch.ops.aten.threshold_backward(gradient, found.pop(), 0)
            inputs = found[-1] if n else ctx.pixels.to(torch.float32)
            weight, stride, wanted = ctx.weights[2 * n], ctx.strides[n], [n > 0, True, True]
            gradient, *own = torch.ops.aten.convolution_backward(
                gradient, inputs, weight, [len(weight)], stride, _NO_PADDING, _DILATION, False, [0, 0], 1, wanted
            )
            weights = [each.to_dense() if each.is_mkldnn else each for each in own] + weights
        weights[0] = weights[0] * PIXEL
        return None, None, *weights
