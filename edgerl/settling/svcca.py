"""SVCCA: how alike two layers are in what they tell of the same datapoints (Raghu et al. 2017; paper section 5.6)."""

import numpy as np

from edgerl.types import Array

KEPT = 0.99  # of the sum of the singular values of a layer's activations
CONSTANT = 1e-18  # of the activations' mean square: a smaller variance is rounding


def directions(activations: Array, share: float = KEPT) -> Array:
    """The datapoints along the fewest principal directions that hold `share`: float64 [datapoints, r], orthonormal.

    `share`: of the sum of the singular values, as the authors' code (google/svcca) sums them. `activations`: [neurons,
    datapoints], centred here; r is 0 if no neuron varies. The columns are the right singular vectors of the centred
    activations, computed from the eigenvectors of their Gram matrix [neurons, neurons]: rounding spoils only the
    weakest of these, which are not kept. Takes twice the memory of the activations in float64.
    """
    x = activations.astype(np.float64)
    size = float(np.einsum("nd,nd->", x, x))
    x -= x.mean(axis=1, keepdims=True)
    squares, vectors = np.linalg.eigh(x @ x.T)
    squares, vectors = np.maximum(squares[::-1], 0.0), vectors[:, ::-1]
    if squares.sum() <= CONSTANT * size:
        return np.zeros((x.shape[1], 0))
    values = np.sqrt(squares)
    kept = int(np.searchsorted(np.cumsum(values), share * values.sum())) + 1
    columns: Array = (x.T @ vectors[:, :kept]) / values[:kept]
    return columns


def correlations(first: Array, second: Array) -> Array:
    """The canonical correlations between two sets of `directions` over the same datapoints, the largest first."""
    cosines: Array = np.clip(np.linalg.svd(first.T @ second, compute_uv=False), 0.0, 1.0)
    return cosines


def similarity(first: Array, second: Array) -> float | None:
    """The mean canonical correlation between two sets of `directions`, 0 to 1; None if one of them is empty."""
    return float(correlations(first, second).mean()) if first.shape[1] and second.shape[1] else None
