"""The engine torch: tensors on the CPU or on CUDA, and Adam by torch's fused kernel. Importing this imports torch."""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam as torch_adam  # the class torch.optim.Adam imports sympy and more, 85 MB

from edgerl.agents.layers.arrays import Engine
from edgerl.agents.torch_encoder.convolutions import Convolutions
from edgerl.agents.torch_encoder.stem import FrozenStem
from edgerl.config.architectures import Layer
from edgerl.errors import ConfigError
from edgerl.types import Array

DEFAULT_THREADS = torch.get_num_threads()  # before any agent bounds them


def engine(accelerator: str, threads: int, frozen: Callable[[Engine, list[Layer]], Engine]) -> Engine:
    """torch on the device that the setting `accelerator` names; sets its thread count.

    `frozen`: as in `Engine`, for this one on the CPU. Raises ConfigError if the accelerator asked for is not there.
    """
    torch.set_num_threads(threads)
    device = _device(accelerator)
    if device.type != "cpu":
        return accelerated(device)
    cpu: Engine
    cpu = Engine("torch", lambda array: tensor(array, device), Convolutions, lambda layers: frozen(cpu, layers), adam)
    return cpu


def accelerated(device: torch.device) -> Engine:
    """torch on an accelerator: behind a freeze the heads stay there, and so does the stem of frames that are kept."""
    on_device: Engine
    on_device = Engine(
        name=device.type,
        array=lambda array: tensor(array, device),
        convolutions=Convolutions,
        frozen=lambda layers: on_device,
        adam=adam,
        stem=lambda graph: FrozenStem(graph, device),
    )
    return on_device


def tensor(array: Array | Tensor, device: torch.device) -> Tensor:
    """The array as a tensor on `device`; on the CPU it shares the memory."""
    return torch.as_tensor(array, device=device)


def _device(accelerator: str) -> torch.device:
    """torch's device for the setting `accelerator`: cpu, cuda or auto."""
    has_cuda = torch.cuda.is_available() if accelerator != "cpu" else False
    if accelerator == "cuda" and not has_cuda:
        raise ConfigError("--accelerator: torch sees no CUDA device here; cpu works, auto takes what there is")
    if has_cuda:
        _compute_repeatably()
    return torch.device("cuda" if has_cuda else "cpu")


def _compute_repeatably() -> None:
    """Have CUDA give the same from the same: one seed is one run, and a resumed run goes on bit for bit."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(True)


def adam(
    blocks: list[tuple[Any, ...]],
    counts: list[int],
    learning_rate: float,
    betas: tuple[float, float],
    eps: float,
    scale: float,
    weight_decay: float,
) -> None:
    """One step on blocks of (weights, gradient, mean, square), in place; gradients times `scale`.

    `counts`: its number for each block; `weight_decay`: as in `optimizer.Adam`.
    """
    weights, gradients, means, squares = map(list, zip(*blocks, strict=True))
    if scale != 1:
        torch._foreach_mul_(gradients, scale)
    taken = [torch.tensor(float(count - 1), device=block.device) for block, count in zip(weights, counts, strict=True)]
    torch_adam(
        weights,
        gradients,
        means,
        squares,
        [],
        taken,
        fused=True,
        decoupled_weight_decay=weight_decay > 0,
        amsgrad=False,
        beta1=betas[0],
        beta2=betas[1],
        lr=learning_rate,
        weight_decay=weight_decay,
        eps=eps,
        maximize=False,
    )
