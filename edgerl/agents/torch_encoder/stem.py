"""A frozen stem on an accelerator: torch runs the operations that are written as ONNX, on the same weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edgerl.agents.torch_encoder.onednn import PIXEL
from edgerl.types import Array
from runtime import export
from runtime.export import Operation, StemGraph


class FrozenStem:
    """Encodes windows uint8 [B, *window] to latents float32 [B, *shape], which stay on the device.

    Its weights have no gradients and no moments. `provider`: what runs it, as `runtime.Session` has it.
    """

    def __init__(self, graph: StemGraph, device: torch.device) -> None:
        self.shape, self.provider = graph.latent, f"torch on {device.type}"
        self._operations, self._device = graph.operations, device
        self._weights = {name: torch.from_numpy(array).to(device) for name, array in graph.weights.items()}

    def __call__(self, windows: Array) -> Any:
        return self.run(self._operations, torch.from_numpy(windows).to(self._device))

    def run(self, operations: tuple[Operation, ...], x: Tensor) -> Tensor:
        """Run operations one after the other."""
        for operation in operations:
            x = _RUNNERS[type(operation)](self, x, operation)
        return x

    def layer(self, name: str) -> tuple[Tensor, Tensor]:
        """The weight and the bias of a layer."""
        return self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]


def _conv(stem: FrozenStem, x: Tensor, conv: export.Conv) -> Tensor:
    weight, bias = stem.layer(conv.name)
    if conv.pixels:
        x, weight = x.to(weight.dtype), weight * PIXEL
    return functional.conv2d(x, weight, bias, conv.stride, conv.padding)


def _norm(stem: FrozenStem, x: Tensor, norm: export.LayerNorm) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], *stem.layer(norm.name), norm.epsilon)


_RUNNERS: dict[type[Operation], Callable[[FrozenStem, Tensor, Any], Tensor]] = {
    export.Conv: _conv,
    export.MaxPool: lambda _, x, pool: functional.max_pool2d(x, pool.kernel, pool.stride, pool.padding),
    export.Relu: lambda _, x, relu: functional.relu(x),  # not in place: a residual adds its input
    export.Flatten: lambda _, x, flatten: x.flatten(1),
    export.Linear: lambda stem, x, linear: functional.linear(x, *stem.layer(linear.name)),
    export.LayerNorm: _norm,
    export.Residual: lambda stem, x, residual: x + stem.run(residual.operations, x),
    export.Stack: lambda stem, x, stack: torch.stack([stem.run(branch, x) for branch in stack.branches], dim=1),
}
