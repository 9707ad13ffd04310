"""Spatial attention maps: where a convolution's activations are large (Zagoruyko & Komodakis 2017; paper Figure 7b)."""

import numpy as np

from edgerl.types import Array

CONSTANT = 1e-9  # of a map's mean: a smaller spread is rounding


def maps(activations: Array) -> Array:
    """Softmax over (h, w) of the mean over channels of |a|: float32 [B, C, h, w] to float64 [B, h, w], sums of 1."""
    means = np.abs(activations).mean(axis=1, dtype=np.float64)
    powers = np.exp(means - means.max(axis=(1, 2), keepdims=True))
    softmax: Array = powers / powers.sum(axis=(1, 2), keepdims=True)
    return softmax


def moved(before: Array, after: Array) -> float:
    """How far maps [B, h, w] have moved: 1 - their correlation over (h, w), mean over B. 0: the same, 1: unrelated.

    The correlation is used because the softmax of activations well below 1 is nearly flat: distances between such maps
    are always small. Two flat maps are the same; a flat map and one that is not flat are unrelated.
    """
    units = [_unit(batch.reshape(len(batch), -1)) for batch in (before, after)]
    flat = ~units[0].any(axis=1) & ~units[1].any(axis=1)
    distances = np.where(flat, 0.0, 1.0 - np.einsum("bp,bp->b", *units))
    return max(0.0, float(np.mean(distances)))  # a negative mean is rounding


def _unit(flattened: Array) -> Array:
    """Maps [B, p] centred and of length 1; flat ones become 0."""
    centred = flattened - flattened.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = length <= CONSTANT * np.abs(flattened).sum(axis=1, keepdims=True)
    unit: Array = np.where(flat, 0.0, centred / np.where(flat, 1.0, length))
    return unit
