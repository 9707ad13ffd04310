"""Noisy linear layers with factorised noise (Fortunato et al. 2018), their weights computed once per batch."""

import math

import numpy as np
import torch
from torch import Tensor, nn

Weights = tuple[Tensor, Tensor]


class NoisyLinear(nn.Module):
    """A linear layer whose weights are mu + sigma * noise; initial mu U(+-1/sqrt(in)), sigma sigma0/sqrt(fan).

    `groups`: that many layers of `outputs` / `groups` each, over the same input and with noise of their own, as one.
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
        outputs, inputs = self.weight_mu.shape
        return outputs + self.groups * inputs

    def weights(self, noise: Tensor | None) -> Weights:
        """(weight, bias) under one draw f(x) of `noise_size` values, or their means where `noise` is None."""
        if noise is None:
            return self.weight_mu, self.bias_mu
        outputs, inputs = self.weight_mu.shape
        out, into = noise[:outputs], noise[outputs:]
        outer = out.view(self.groups, -1, 1) * into.view(self.groups, 1, inputs)
        return (
            torch.addcmul(self.weight_mu, self.weight_sigma, outer.view(outputs, inputs)),
            torch.addcmul(self.bias_mu, self.bias_sigma, out),
        )


def draw(size: int, rng: np.random.Generator) -> Tensor:
    """`size` values of factorised noise, f(x) = sign(x) sqrt(|x|) of standard normals."""
    x = rng.standard_normal(size, dtype=np.float32)
    return torch.from_numpy(np.copysign(np.sqrt(np.abs(x)), x))
