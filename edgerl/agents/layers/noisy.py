"""Noisy linear layers. Their weights are made once per batch."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from edgerl.agents.layers import threads
from edgerl.agents.layers.arrays import Engine, namespace, product
from edgerl.agents.layers.parameters import Parameters, spread
from edgerl.types import Array
from runtime import export
from runtime.policy import PolicyOperation

FEW_ROWS = 4  # a batch of fewer rows is multiplied without making the noisy weights


class NoisyLinear:
    """A linear layer whose weights are mu + sigma * noise, the noise factorised (Fortunato et al. 2018).

    Initial mu: uniform within +-1/sqrt(inputs); sigma: sigma0/sqrt(fan). `groups`: the layer stands for so many layers
    of `outputs` / `groups` outputs, on the same input, each with its own noise. Without noise the weights are mu.
    """

    def __init__(
        self,
        engine: Engine,
        inputs: int,
        outputs: int,
        *,
        sigma0: float,
        rng: np.random.Generator | None,
        groups: int = 1,
    ) -> None:
        shape, bound = (outputs, inputs), 1 / math.sqrt(inputs)
        drawn = {
            "weight_mu": np.zeros(shape, np.float32) if rng is None else spread(shape, bound, rng),
            "bias_mu": np.zeros(outputs, np.float32) if rng is None else spread(shape[:1], bound, rng),
            "weight_sigma": np.full(shape, sigma0 * bound, np.float32),
            "bias_sigma": np.full(outputs, sigma0 / math.sqrt(outputs / groups), np.float32),
        }
        self.parameters = Parameters(engine, drawn, trained=rng is not None)
        self.inputs, self.outputs, self.groups = inputs, outputs, groups
        self._noise: tuple[Any, Any] | None = None
        self._weight: Any = None

    @property
    def noise_size(self) -> int:
        """How many numbers one draw of noise has."""
        return self.outputs + self.groups * self.inputs

    def set_noise(self, noise: Any) -> None:
        """Take `noise_size` numbers f(x) as noise from now on; None: none."""
        self._weight = self._noise = None
        if noise is not None:
            self._noise = noise[: self.outputs], noise[self.outputs :].reshape(self.groups, self.inputs)

    def apply(self, x: Any) -> Any:
        arrays = self.parameters.arrays
        if self._noise is None:
            return product(x, arrays["weight_mu"].T) + arrays["bias_mu"]
        return self._apply_to_few(x) if len(x) < FEW_ROWS else self._apply_to_many(x)

    def _apply_to_many(self, x: Any) -> Any:
        """Make the weights, unless they are made, and multiply with them."""
        assert self._noise is not None  # noqa: S101
        arrays = self.parameters.arrays
        y = self._made_and_applied(x) if self._weight is None else product(x, self._weight.T)
        y += arrays["bias_mu"]
        y += arrays["bias_sigma"] * self._noise[0]
        return y

    def _apply_to_few(self, x: Any) -> Any:
        """Two products with vectors are less work than to make the weights."""
        assert self._noise is not None  # noqa: S101
        (of_outputs, of_inputs), arrays, size = self._noise, self.parameters.arrays, self.outputs // self.groups
        sigma = arrays["weight_sigma"]
        parts = [(x * of_inputs[n]) @ sigma[n * size : (n + 1) * size].T for n in range(self.groups)]
        noisy = parts[0] if self.groups == 1 else namespace(x).concat(parts, axis=1)
        noisy += arrays["bias_sigma"]
        noisy *= of_outputs
        noisy += x @ arrays["weight_mu"].T
        noisy += arrays["bias_mu"]
        return noisy

    def _made_and_applied(self, x: Any) -> Any:
        """Make the weights mu + sigma * noise, and multiply x with them."""
        arrays = self.parameters.arrays
        mu, sigma = arrays["weight_mu"], arrays["weight_sigma"]
        if not isinstance(x, np.ndarray):
            self._weight = mu.addcmul(sigma, self._noise_of_weights())
            return x @ self._weight.T
        self._weight = weight = np.empty_like(mu)
        outputs = np.empty((self.outputs, len(x)), x.dtype)

        def make(part: slice) -> None:
            for rows in self._by_group(part):
                self._times_noise(sigma, weight, rows)
                noisy = weight[rows]
                noisy += mu[rows]
                noisy.dot(x.T, out=outputs[rows])

        threads.run(make, self._parts)
        return outputs.T

    def _noise_of_weights(self) -> Any:
        """The noise of all weights, [outputs, inputs]."""
        assert self._noise is not None  # noqa: S101
        of_outputs, of_inputs = self._noise
        outer = of_outputs.reshape(self.groups, -1, 1) * of_inputs[:, None]
        return outer.reshape(self.outputs, self.inputs)

    @property
    def _parts(self) -> list[slice]:
        """The outputs in parts for NumPy's threads."""
        return threads.parts(self.outputs, self.outputs * self.inputs)

    def _by_group(self, part: slice) -> list[slice]:
        """The outputs of a part, group by group."""
        size = self.outputs // self.groups
        borders = range(size * (part.start // size + 1), part.stop, size)
        return [slice(low, high) for low, high in pairwise([part.start, *borders, part.stop])]

    def _times_noise(self, matrix: Any, into: Any, rows: slice) -> None:
        """Write these rows of a matrix [outputs, inputs] times the noise of its weights; rows are of one group."""
        assert self._noise is not None  # noqa: S101
        group, part = rows.start // (self.outputs // self.groups), into[rows]
        namespace(matrix).multiply(matrix[rows], self._noise[1][group], out=part)
        part *= self._noise[0][rows, None]

    def forward(self, x: Any) -> Any:
        self._x = x
        return self.apply(x) if self._noise is None else self._apply_to_many(x)  # the way back needs the weights

    def backward(self, gradient: Any, *, inputs: bool = True, weights: bool = True) -> Any:
        x, self._x = self._x[: len(gradient)], None
        if weights:
            self._write_gradients(gradient, x)
        if not inputs:
            return None
        return product(gradient, self.parameters.arrays["weight_mu"] if self._noise is None else self._weight)

    def _write_gradients(self, gradient: Any, x: Any) -> None:
        """Write the gradients of all weights; sigma's is mu's times the noise. `x`: what came in."""
        xp, into = namespace(gradient), self.parameters.gradients

        def write(part: slice) -> None:
            for rows in self._by_group(part):
                xp.matmul(gradient[:, rows].T, x, out=into["weight_mu"][rows])
                if self._noise is not None:
                    self._times_noise(into["weight_mu"], into["weight_sigma"], rows)

        if xp is np:
            threads.run(write, self._parts)
        else:
            write(slice(0, self.outputs))
        xp.sum(gradient, axis=0, out=into["bias_mu"])
        if self._noise is not None:
            xp.multiply(into["bias_mu"], self._noise[0], out=into["bias_sigma"])

    def operations(self, name: str) -> tuple[PolicyOperation, ...]:
        """What `apply` does without noise (see `dense`)."""
        return (export.Linear(name, "weight_mu", "bias_mu"),)


def factorised_noise(size: int, rng: np.random.Generator) -> Array:
    """`size` numbers of factorised noise, f(x) = sign(x) sqrt(|x|) of standard normals, float32."""
    x = rng.standard_normal(size, dtype=np.float32)
    noise: Array = np.copysign(np.sqrt(np.abs(x)), x)
    return noise
