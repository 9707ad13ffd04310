"""Encoders as torch modules, built from `architectures`, that can be split at a cut into a stem and a tail."""

from collections import OrderedDict
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgerl.config.architectures import RESIDUALS, Block, Linear, Shape, layers
from edgerl.replay.stem_graph import stem_operations
from edgerl.types import Array
from runtime.export import StemGraph
from torch_agents import onednn
from torch_agents.onednn import PIXEL


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


class Encoder(nn.Sequential):
    """Maps uint8 windows [B, history, H, W] to features float32 [B, L]; the part right of a cut maps latents."""

    def split(self, cut: str) -> "tuple[Encoder, Encoder]":
        """The stem up to layer `cut`, with its ReLU or LayerNorm, and the tail: tail(stem(x)) is self(x), bit for bit.

        Stem and tail share this encoder's parameters. Raises KeyError for a layer the encoder does not have.
        """
        names, modules = list(self._modules), list(self._modules.items())
        if cut not in names:
            raise KeyError(f"the encoder has no layer {cut!r}; it has {', '.join(names)}")
        end = names.index(cut) + 1
        if end < len(modules) and isinstance(modules[end][1], nn.ReLU | nn.LayerNorm):
            end += 1
        if names[end:] == ["flatten"]:  # no trained layer is left: the replay stores what the heads read
            end += 1
        return Encoder(OrderedDict(modules[:end])), Encoder(OrderedDict(modules[end:]))

    def split_convolutions(self) -> "tuple[Convolutions, Encoder]":
        """The convolutions, which several encoders may share, and the layers after them; both share the parameters."""
        modules = list(self._modules.items())
        end = [name for name, _ in modules].index("flatten") + 1
        return Convolutions(OrderedDict(modules[:end])), Encoder(OrderedDict(modules[end:]))


class Convolutions(Encoder):
    """An encoder's convolutions over pixels and their flattening, trained in fewer passes if oneDNN can be used."""

    def forward(self, pixels: Tensor) -> Tensor:
        modules = list(self)
        if not onednn.usable(modules):
            plain: Tensor = super().forward(pixels)  # type: ignore[no-untyped-call]
            return plain
        return onednn.run(pixels, [module for module in modules if isinstance(module, nn.Conv2d)]).flatten(1)


class Twin(nn.Module):
    """Two encoders that share their convolutions, N = 2: windows [B, C, H, W] to features [B, 2, L], the actor's first.

    `shared`: the convolutions; `actor`, `critic`: the layers after them that are not shared.
    """

    def __init__(self, shared: nn.Module, actor: nn.Module, critic: nn.Module) -> None:
        super().__init__()
        self.shared, self.actor, self.critic = shared, actor, critic

    def forward(self, windows: Tensor) -> Tensor:
        shared = self.shared(windows)
        return torch.stack([self.actor(shared), self.critic(shared)], 1)

    def split(self, cut: str) -> "tuple[nn.Module, Twin]":
        """See `Encoder.split`. Behind a cut at the fully connected layer the tail only picks one of the two latents.

        The stem's parameters keep the names that they have here.
        """
        if cut == "fc":
            return self, Twin(nn.Identity(), Pick(0), Pick(1))
        assert isinstance(self.shared, Encoder)
        stem, tail = self.shared.split(cut)
        return Encoder(OrderedDict(shared=stem)), Twin(tail, self.actor, self.critic)


class Pick(nn.Module):
    """Picks one of the latents [B, N, L]: [B, L]."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, latents: Tensor) -> Tensor:
        return latents[:, self.index]


class Stem:
    """The modules left of a cut, as they are now: `graph` describes them for ONNX, with views of their weights."""

    def __init__(self, module: nn.Module, encoder: str, window: Shape, cut: str, *, encoders: int = 1) -> None:
        self.module = module
        operations, latent = stem_operations(encoder, window, cut, encoders=encoders)
        weights = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
        self.graph = StemGraph(operations, weights, tuple(window), latent)

    @torch.no_grad()
    def latents(self, windows: Array) -> Array:
        """torch's latents, float32 [B, ...], of windows uint8 [B, C, H, W]."""
        latents: Array = self.module(torch.from_numpy(np.ascontiguousarray(windows))).numpy()
        return latents


def activations(module: nn.Module, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """The outputs of an encoder's layers for a batch, after their ReLU or LayerNorm, by name; and the last output.

    A module that is no `Encoder`, such as the tail behind a cut at the encoder's end, has no layers.
    """
    outputs: dict[str, Tensor] = {}
    if not isinstance(module, Encoder):
        return outputs, module(x)
    layer = ""
    for name, part in module._modules.items():
        assert part is not None
        x = part(x)
        if not isinstance(part, nn.ReLU | nn.LayerNorm | nn.Flatten):
            layer = name
        if not isinstance(part, nn.Flatten):
            outputs[layer] = x
    return outputs, x


def build(name: str, inputs: Shape) -> Encoder:
    """The encoder `name` for windows of shape (channels, H, W), with torch's default initialisation."""
    encoder_layers = layers(name, inputs)
    last = [layer for layer in encoder_layers if not isinstance(layer.spec, Linear)][-1]
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for number, layer in enumerate(encoder_layers, start=1):
        spec, conv = layer.spec, nn.Conv2d if modules else PixelConv
        if isinstance(spec, Linear):
            modules |= {"flatten": nn.Flatten(), "fc": nn.Linear(prod(layer.inputs), spec.features)}
            modules |= {"norm": nn.LayerNorm(spec.features)} if spec.norm else {"relu": nn.ReLU()}
            return Encoder(modules)
        if isinstance(spec, Block):
            modules[layer.name] = _block(layer.inputs[0], spec.channels, conv)
        else:
            modules[layer.name] = conv(layer.inputs[0], spec.channels, spec.kernel, spec.stride)
        if layer is last or not isinstance(spec, Block):
            modules[f"relu{number}"] = nn.ReLU()
    modules["flatten"] = nn.Flatten()
    return Encoder(modules)


def _block(inputs: int, channels: int, conv: type[nn.Conv2d]) -> nn.Sequential:
    """The modules of a `Block`; `conv`: the class of its first convolution."""
    modules: OrderedDict[str, nn.Module] = OrderedDict(
        conv=conv(inputs, channels, 3, padding=1), pool=nn.MaxPool2d(3, stride=2, padding=1)
    )
    for residual in RESIDUALS:
        branch: OrderedDict[str, nn.Module] = OrderedDict()
        for n in (1, 2):
            branch |= {f"relu{n}": nn.ReLU(), f"conv{n}": nn.Conv2d(channels, channels, 3, padding=1)}
        modules[residual] = Residual(branch)
    block = nn.Sequential(modules)
    return block.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # faster on a CPU


def load_arrays(module: nn.Module, arrays: dict[str, Array]) -> None:
    """Set a module's parameters by name; raises RuntimeError if names or shapes differ."""
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
