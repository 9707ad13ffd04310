"""Stacks of `Conv` and `Block` as torch modules, trained by autograd, or in fewer passes where oneDNN can be used."""

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import backward
from torch.nn import functional

from edgerl.agents.layers.arrays import Engine
from edgerl.agents.layers.parameters import Draw, Parameters, blank
from edgerl.agents.torch_encoder import onednn
from edgerl.agents.torch_encoder.onednn import PIXEL
from edgerl.config.architectures import RESIDUALS, Block, Conv, Layer, Product, of_patches
from edgerl.types import Array


class PixelConv(nn.Conv2d):
    """A convolution over uint8 pixels taken as [0, 1]: its few weights are divided by 255, not every pixel."""

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.conv2d(
            pixels.to(self.weight.dtype), self.weight * PIXEL, self.bias, self.stride, self.padding
        )


class Residual(nn.Sequential):
    """x + f(x) of maps [B, C, H, W]; f is the modules that it holds."""

    def forward(self, maps: Tensor) -> Tensor:
        outputs: Tensor = maps + super().forward(maps)  # type: ignore[no-untyped-call]
        return outputs


class Convolutions:
    """A stack of convolutions: windows uint8 [B, C, H, W], or what an earlier cut gives, to maps [B, c, h, w].

    `layers`: those of the architecture that it has; `draw`: their weights, as in `Parameters`. Weights and gradients of
    the modules are views of the blocks of `parameters`. Without `rng` they are not trained.
    """

    def __init__(
        self, engine: Engine, layers: list[Layer], *, pixels: bool, draw: Draw, rng: np.random.Generator | None
    ) -> None:
        self._engine, self._pixels, self.shape = engine, pixels, layers[-1].outputs
        self.parameters: dict[str, Parameters] = {}
        self._overlap = not of_patches(layers)  # then oneDNN's own layout is faster, on a CPU, and channels last
        for layer in layers:
            for product in layer.products:
                drawn = blank(product.weights) if rng is None else draw(product.weights, rng)
                own = Parameters(engine, drawn, trained=rng is not None, channels_last=self._overlap)
                self.parameters[product.name] = own
        self._dtype = own.flat.dtype
        self._stack = self._modules(layers)

    def _modules(self, layers: list[Layer]) -> nn.Sequential:
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        for number, layer in enumerate(layers):
            kind = PixelConv if self._pixels and not number else nn.Conv2d
            if isinstance(layer.spec, Block):
                modules[layer.name] = self._block(layer.products, kind)
            else:
                assert isinstance(layer.spec, Conv)  # noqa: S101
                modules[layer.name] = self._conv(layer.products[0], kind, stride=layer.spec.stride)
            if layer is layers[-1] or not isinstance(layer.spec, Block):
                modules[f"{layer.name} relu"] = nn.ReLU()
        return nn.Sequential(modules)

    def _block(self, products: tuple[Product, ...], kind: type[nn.Conv2d]) -> nn.Sequential:
        """The modules of a `Block`; `kind`: the class of its first convolution."""
        first, *others = products
        modules = [self._conv(first, kind, padding=1), nn.MaxPool2d(3, stride=2, padding=1)]
        for number in range(len(RESIDUALS)):
            pair = [self._conv(product, nn.Conv2d, padding=1) for product in others[2 * number : 2 * number + 2]]
            modules.append(Residual(nn.ReLU(), pair[0], nn.ReLU(), pair[1]))
        return nn.Sequential(*modules)

    def _conv(self, product: Product, kind: type[nn.Conv2d], *, stride: int = 1, padding: int = 0) -> nn.Module:
        """The module of one convolution over the weights of its block."""
        own, (outputs, inputs, kernel, _) = self.parameters[product.name], product.weights
        module = kind(inputs, outputs, kernel, stride, padding, device="meta")
        for name, array in own.arrays.items():
            parameter = nn.Parameter(array, requires_grad=own.gradient is not None)
            if own.gradient is not None:
                parameter.grad = own.gradients[name]
            setattr(module, name, parameter)
        return module

    def prepare(self, observations: Array) -> Tensor:
        """The batch on the device: bytes for oneDNN and CUDA, else float32."""
        batch: Tensor = self._engine.array(observations)
        return batch.contiguous(memory_format=torch.channels_last) if self._fused() else batch.to(self._dtype)

    def _fused(self) -> bool:
        return self._pixels and self._overlap and onednn.usable(list(self._stack))

    def _maps(self, prepared: Tensor) -> Tensor:
        if self._fused():
            return onednn.run(prepared, [module for module in self._stack if isinstance(module, nn.Conv2d)])
        maps: Tensor = self._stack(prepared)
        return maps

    def apply(self, prepared: Tensor) -> Tensor:
        """Maps [B, c, h, w]; nothing is kept."""
        with torch.no_grad():
            return self._maps(prepared)

    def outputs(self, prepared: Tensor) -> dict[str, Tensor]:
        """The maps [B, c, h, w] of every layer, after its ReLU, by name."""
        named: dict[str, Tensor] = {}
        with torch.no_grad():
            for name, module in self._stack.named_children():
                prepared = module(prepared)
                named[name.removesuffix(" relu")] = prepared
        return named

    def forward(self, prepared: Tensor) -> Tensor:
        with torch.enable_grad():
            self._kept: Any = self._maps(prepared)
        return self._kept.detach()

    def backward(self, gradient: Tensor) -> None:
        """Write all gradients, of that of the maps [B, c, h, w]."""
        for own in self.parameters.values():
            own.gradient.zero_()
        # a number whose gradient is the one given: handed to `backward` itself, it would import sympy, 36 MB
        with torch.enable_grad():
            number = self._kept.reshape(-1).dot(gradient.reshape(-1))
        backward(number)
        self._kept = None
