"""Arrays of either engine: NumPy's, or torch's tensors. Heads are written once, for both (the Array API standard).

What is not in the standard, as it writes in place, stands here and in optimizer.py. Nothing here imports torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgerl.agents.layers import threads
from edgerl.config.architectures import Layer
from edgerl.types import Array

MakeConvolutions = Callable[..., Any]


@dataclass(frozen=True)
class Engine:
    """What computes: `name` is numpy or torch; `array` takes a NumPy array to where it computes, its own as it is.

    `convolutions`: makes the stack of convolutions of an encoder. `frozen`: gives the engine that trains these layers,
    which are left right of a cut. `adam`: steps on blocks of weights, if the engine has a kernel of its own for it (see
    optimizer.py). `stem`: makes what runs a frozen stem on an accelerator, of its `StemGraph`; None on a CPU.
    """

    name: str
    array: Callable[[Array], Any]
    convolutions: MakeConvolutions
    frozen: "Callable[[list[Layer]], Engine]"
    adam: Callable[..., None] | None = None
    stem: Callable[..., Any] | None = None


def namespace(array: Any) -> Any:
    """The functions of the Array API standard for this array: NumPy itself, or array_api_compat's over torch."""
    if isinstance(array, np.ndarray):
        return np
    import array_api_compat  # installed with torch; it also finds torch, which made this array

    return array_api_compat.array_namespace(array)


def zeros_like(array: Any) -> Any:
    """Zeros of an array's shape and type, where it is; NumPy's take no memory until they are written."""
    if isinstance(array, np.ndarray):
        return np.zeros(array.shape, array.dtype).view(type(array))  # np.zeros_like writes its zeros
    return namespace(array).zeros_like(array)


def to_numpy(array: Any) -> Array:
    """The same numbers as a NumPy array on the CPU; no copy if they are there already."""
    if isinstance(array, np.ndarray):
        return array
    on_cpu: Array = array.detach().cpu().numpy()
    return on_cpu


def row_numbers(array: Any) -> Any:
    """0, 1, ... for the rows of an array, where it is."""
    return namespace(array).arange(len(array), device=array.device)


def relu_(array: Any) -> Any:
    """max(x, 0) in place."""
    return np.maximum(array, 0, out=array) if isinstance(array, np.ndarray) else array.clamp_(min=0)


def product(a: Any, b: Any, out: Any = None) -> Any:
    """The matrix product a @ b of [m, n] and [n, k], written into `out` if that is given."""
    if not isinstance(a, np.ndarray):
        return namespace(a).matmul(a, b, out=out)
    return threads.product(a, b, out)


def gate_(gradient: Any, outputs: Any) -> None:
    """Set a gradient to 0, in place, where the outputs of a ReLU are.

    Products give outputs that lie in memory column by column: NumPy's pass over both is five times as fast if only the
    bytes of the comparison are put in the gradient's order first.
    """
    if isinstance(gradient, np.ndarray) and gradient.flags.c_contiguous:
        gradient *= np.greater(outputs, 0, order="C")
    else:
        gradient *= outputs > 0


def lerp_(array: Any, towards: Any, share: float) -> None:
    """Move an array in place towards another one by this share of the difference."""
    if not isinstance(array, np.ndarray):
        array.lerp_(towards, share)
    elif share == 1:
        array[:] = towards
    else:
        array += share * (towards - array)


def softmax(logits: Any) -> Any:
    """exp(x) / sum exp(x) over the last axis."""
    xp = namespace(logits)
    powers = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    powers /= xp.sum(powers, axis=-1, keepdims=True)
    return powers


def mean_under(logits: Any, values: Any) -> Any:
    """The mean of `values` [n] under softmax(logits) [..., n]: [...]."""
    xp = namespace(logits)
    powers = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return (powers @ values) / xp.sum(powers, axis=-1)


def log_softmax(logits: Any) -> Any:
    """log softmax(x) over the last axis."""
    xp = namespace(logits)
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    shifted -= xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))
    return shifted
