"""Encoders as torch modules, built from `architectures`, that can be split at a cut into a stem and a tail."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from edgerl.architectures import Shape, layers


class Scale(nn.Module):
    """uint8 pixels to float32 in [0, 1]."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.to(torch.float32) / 255


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
        return Encoder(OrderedDict(modules[:end])), Encoder(OrderedDict(modules[end:]))  # type: ignore[arg-type]


def build(name: str, inputs: Shape) -> Encoder:
    """The encoder `name` for windows of shape (channels, H, W), with torch's default initialisation."""
    modules: OrderedDict[str, nn.Module] = OrderedDict(scale=Scale())
    for layer in layers(name, inputs):
        spec = layer.spec
        modules[layer.name] = nn.Conv2d(layer.inputs[0], spec.channels, spec.kernel, spec.stride)
        modules[layer.name.replace("conv", "relu")] = nn.ReLU()
    modules["flatten"] = nn.Flatten()
    return Encoder(modules)
