"""Noisy linear layers with factorised noise (Fortunato et al. 2018), their weights computed once per batch."""

import math

import numpy as np
import torch
from torch import Tensor, nn

Weights = tuple[Tensor, Tensor]


class NoisyLinear(nn.Module):
    """A linear layer whose weights are mu + sigma * noise; initial mu U(+-1/sqrt(in)), sigma sigma0/sqrt(fan)."""

    def __init__(self, inputs: int, outputs: int, sigma0: float) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight_mu = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias_mu = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), sigma0 / math.sqrt(inputs)))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), sigma0 / math.sqrt(outputs)))

    @property
    def noise_size(self) -> int:
        return sum(self.weight_mu.shape)

    def weights(self, noise: Tensor | None) -> Weights:
        """(weight, bias) under one draw f(x) of `noise_size` values, or their means where `noise` is None."""
        if noise is None:
            return self.weight_mu, self.bias_mu
        outputs = len(self.weight_mu)
        out, into = noise[:outputs], noise[outputs:]
        return (
            torch.addcmul(self.weight_mu, self.weight_sigma, torch.outer(out, into)),
            torch.addcmul(self.bias_mu, self.bias_sigma, out),
        )


def draw(size: int, rng: np.random.Generator) -> Tensor:
    """`size` values of factorised noise, f(x) = sign(x) sqrt(|x|) of standard normals."""
    x = rng.standard_normal(size, dtype=np.float32)
    return torch.from_numpy(np.copysign(np.sqrt(np.abs(x)), x))
