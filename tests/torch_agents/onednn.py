"""A stack of convolutions with ReLUs over uint8 pixels, forward and backward with oneDNN on a CPU.

torch runs every layer alone: at a batch of 128 a ReLU is one more pass over 25 MB, and the backward pass keeps images
in a layout in which weight gradients take twice as long. Here the ReLU is part of its convolution, activations stay in
oneDNN's own layout in between, and the pixels are kept as bytes. The numbers are those of the plain layers.
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

    Other processors are untested.
    """
    plain = all(isinstance(layer, nn.Conv2d | nn.ReLU | nn.Flatten) for layer in layers)
    if not plain or platform.machine() not in ("x86_64", "AMD64"):
        return False
    if any(p.dtype == torch.float64 for p in layers[0].parameters()):
        return False
    return torch.backends.mkldnn.is_available() and all(p.device.type == "cpu" for p in layers[0].parameters())  # type: ignore[no-untyped-call]


def run(pixels: Tensor, layers: list[nn.Conv2d]) -> Tensor:
    """ReLU(conv(...)) of all `layers`: uint8 [B, C, H, W], taken as [0, 1], to float32 [B, c, h, w].

    Its layout in memory: channels first with gradients, channels last without.
    """
    strides = [layer.stride for layer in layers]
    weights: list[Tensor] = [weight for layer in layers for weight in layer.parameters()]
    if torch.is_grad_enabled():
        maps: Tensor = _Convolutions.apply(pixels, strides, *weights)  # type: ignore[no-untyped-call]
        return maps
    return _layers(pixels.to(torch.float32), strides, weights)[-1]


def _layers(pixels: Tensor, strides: list[Any], weights: Sequence[Tensor], *, blocked: bool = False) -> list[Tensor]:
    """The outputs of all layers, in oneDNN's layout, if `blocked`; else only the last one's."""
    outputs = [_layer(pixels, weights[0] * PIXEL, weights[1], strides[0])]
    if blocked:
        outputs[0] = outputs[0].to_mkldnn()
    for stride, weight, bias in zip(strides[1:], weights[2::2], weights[3::2], strict=True):
        x = outputs[-1] if blocked else outputs.pop()
        outputs.append(_layer(x, weight, bias, stride))
    return outputs


def _layer(x: Tensor, weight: Tensor, bias: Tensor, stride: Any) -> Tensor:
    """One convolution with its ReLU."""
    fused = torch.ops.mkldnn._convolution_pointwise
    output: Tensor = fused(x, weight, bias, _NO_PADDING, stride, _DILATION, 1, "relu", [], "")
    return output


class _Convolutions(torch.autograd.Function):
    """`_layers` with gradients for weights and biases, none for the pixels."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, strides: list[Any], *weights: Tensor) -> Tensor:
        outputs = _layers(pixels.to(torch.float32), strides, weights, blocked=True)
        ctx.pixels, ctx.strides, ctx.weights, ctx.outputs = pixels, strides, weights, outputs
        return outputs[-1].to_dense()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        outputs, gradient = ctx.outputs, gradients[0].to_mkldnn()
        weight_gradients: list[Tensor] = []
        for n in reversed(range(len(outputs))):
            gradient = torch.ops.aten.threshold_backward(gradient, outputs.pop(), 0)
            inputs = outputs[-1] if n else ctx.pixels.to(torch.float32)
            weight, stride, wanted = ctx.weights[2 * n], ctx.strides[n], [n > 0, True, True]
            gradient, *layer_gradients = torch.ops.aten.convolution_backward(
                gradient, inputs, weight, [len(weight)], stride, _NO_PADDING, _DILATION, False, [0, 0], 1, wanted
            )
            weight_gradients = [g.to_dense() if g.is_mkldnn else g for g in layer_gradients] + weight_gradients
        weight_gradients[0] = weight_gradients[0] * PIXEL
        return None, None, *weight_gradients
