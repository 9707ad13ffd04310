"""Noisy linear layers with factorised noise (Fortunato et al. 2018); weights are computed once per batch."""

import math

import numpy as np
import torch
from torch import Tensor, nn

Weights = tuple[Tensor, Tensor]


class NoisyLinear(nn.Module):
    """A linear layer whose weights are mu + sigma * noise; initial mu U(+-1/sqrt(in)), sigma sigma0/sqrt(fan).

    `groups`: the layer stands for so many layers of `outputs` / `groups` outputs, on the same input, each with its own
    noise.
    """

    def __init__(self, inputs: int, outputs: int, sigma0: float, groups: int = 1) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.groups = groups
        self.weight_mu = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias_mu = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), sigma0 / math.sqrt(inputs)))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), sigma0 / math.sqrt(outputs / groups)))

    @property
    def noise_size(self) -> int:
        """How many values one draw of noise has."""
        outputs, inputs = self.weight_mu.shape
        return outputs + self.groups * inputs

    def weights(self, noise: Tensor | None) -> Weights:
        """(weight, bias) under `noise` f(x), `noise_size` values; their means if it is None."""
        if noise is None:
            return self.weight_mu, self.bias_mu
        outputs, inputs = self.weight_mu.shape
        output_noise, input_noise = noise[:outputs], noise[outputs:]
        outer = output_noise.view(self.groups, -1, 1) * input_noise.view(self.groups, 1, inputs)
        return (
            torch.addcmul(self.weight_mu, self.weight_sigma, outer.view(outputs, inputs)),
            torch.addcmul(self.bias_mu, self.bias_sigma, output_noise),
        )


def factorised_noise(size: int, rng: np.random.Generator) -> Tensor:
    """`size` values of factorised noise, f(x) = sign(x) sqrt(|x|) of standard normals."""
    x = rng.standard_normal(size, dtype=np.float32)
    return torch.from_numpy(np.copysign(np.sqrt(np.abs(x)), x))
