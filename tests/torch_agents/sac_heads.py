"""SAC's heads over features: a tanh-squashed Gaussian policy, and two critics."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers with ReLU; orthogonal weights, biases 0."""
    sizes = [inputs, hidden, hidden, outputs]
    layers: list[nn.Module] = []
    for into, out in pairwise(sizes):
        layers += [orthogonal(nn.Linear(into, out)), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def hidden_outputs(layers: nn.Sequential, inputs: Tensor) -> dict[str, Tensor]:
    """The outputs of an `mlp`'s hidden layers, [B, hidden] each."""
    first = layers[:2](inputs)
    return {"hidden1": first, "hidden2": layers[2:4](first)}


def orthogonal(layer: nn.Linear) -> nn.Linear:
    """Give a layer orthogonal weights and zero biases."""
    nn.init.orthogonal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def delta_orthogonal(conv: nn.Conv2d) -> None:
    """Give a convolution weights that are zero except in the kernel's centre, there orthogonal with gain sqrt(2).

    Xiao et al. 2018.
    """
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    middle = conv.kernel_size[0] // 2
    nn.init.orthogonal_(conv.weight.data[:, :, middle, middle], gain=math.sqrt(2))


class Actor(nn.Module):
    """Features [B, L] to a Gaussian, before the tanh: mean and log standard deviation, [B, A] each.

    `low`, `high`: the bounds of the log standard deviation.
    """

    def __init__(self, features: int, actions: int, hidden: int, low: float, high: float) -> None:
        super().__init__()
        self.layers = mlp(features, hidden, 2 * actions)
        self.low, self.high = low, high

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.layers(features).chunk(2, dim=1)
        return mean, self.low + (self.high - self.low) * (torch.tanh(log_std) + 1) / 2


def squashed(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The action tanh(mean + std * noise) [B, A] and its log-probability [B] (Haarnoja et al. 2018, appendix C)."""
    action = torch.tanh(mean + log_std.exp() * noise)
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    return action, (gaussian - torch.log(functional.relu(1 - action.square()) + 1e-6)).sum(dim=1)


class Critics(nn.Module):
    """Two critics of features [B, L] and actions [B, A]: values [B] of each."""

    def __init__(self, features: int, actions: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second = (mlp(features + actions, hidden, 1) for _ in range(2))

    def forward(self, features: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        inputs = torch.cat([features, action], dim=1)
        return self.first(inputs).squeeze(1), self.second(inputs).squeeze(1)
