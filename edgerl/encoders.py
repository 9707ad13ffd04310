"""Encoders as torch modules, built from `architectures`, that can be split at a cut into a stem and a tail."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgerl.architectures import Shape, layers


class PixelConv(nn.Conv2d):
    """A convolution over uint8 pixels taken as [0, 1]: its few weights are divided by 255 instead of every pixel."""

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.conv2d(pixels.to(torch.float32), self.weight * (1 / 255), self.bias, self.stride)


class Encoder(nn.Sequential):
    """Maps uint8 windows [B, history, H, W] to features float32 [B, L]; what lies right of a cut maps latents."""

    def split(self, cut: str) -> "tuple[Encoder, Encoder]":
        """The stem up to layer `cut` with its ReLU, and the tail behind it; tail(stem(x)) is self(x), bit for bit.

        Both share this encoder's parameters. Raises KeyError for a layer the encoder does not have.
        """
        names = list(self._modules)
        if cut not in names:
            raise KeyError(f"the encoder has no layer {cut!r}; it has {', '.join(names)}")
        end = names.index(cut) + 2
        if names[end:] == ["flatten"]:  # nothing trained is left: what is stored is what the heads read
            end += 1
        modules = list(self._modules.items())
        return Encoder(OrderedDict(modules[:end])), Encoder(OrderedDict(modules[end:]))


def build(name: str, inputs: Shape) -> Encoder:
    """The encoder `name` for windows of shape (channels, H, W), with torch's default initialisation."""
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for layer in layers(name, inputs):
        spec, conv = layer.spec, nn.Conv2d if modules else PixelConv
        modules[layer.name] = conv(layer.inputs[0], spec.channels, spec.kernel, spec.stride)
        modules[layer.name.replace("conv", "relu")] = nn.ReLU()
    modules["flatten"] = nn.Flatten()
    return Encoder(modules)
