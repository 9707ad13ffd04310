"""What stands behind the last layers of a head: no weights, but gradients of their own."""

import math
from typing import Any

from edgerl.agents.layers.arrays import namespace, relu_, row_numbers


class Dueling:
    """Q(s, a) = V + A - mean A over values [B, atoms] and advantages [B, actions * atoms] (Wang et al. 2016)."""

    def __init__(self, actions: int) -> None:
        self.actions = actions

    def apply(self, value: Any, advantage: Any) -> Any:
        """[B, actions, atoms]."""
        advantage = advantage.reshape(len(value), self.actions, -1)
        advantage = advantage - namespace(advantage).mean(advantage, axis=1, keepdims=True)
        advantage += value[:, None]
        return advantage

    def backward(self, gradient: Any, action: Any) -> tuple[Any, Any]:
        """The gradients of value and advantages; `gradient` [B, atoms]: of the rows of these actions [B] alone."""
        xp = namespace(gradient)
        advantage = xp.repeat(gradient[:, None] / -self.actions, self.actions, axis=1)
        advantage[row_numbers(gradient), action] += gradient
        return gradient, advantage.reshape(len(gradient), -1)


class SquashedGaussian:
    """tanh of a Gaussian: its log standard deviation is squashed between `low` and `high` (SAC, appendix C).

    `forward` takes what a network gives, [B, 2 A], and normal noise [B, A].
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def mean(self, outputs: Any) -> Any:
        """The action [B, A] without noise."""
        return namespace(outputs).tanh(outputs[:, : outputs.shape[1] // 2])

    def apply(self, outputs: Any, noise: Any) -> tuple[Any, Any]:
        """The action tanh(mean + std * noise) [B, A], and its log-probability [B]."""
        xp, half = namespace(outputs), outputs.shape[1] // 2
        self._squash = xp.tanh(outputs[:, half:])
        log_std = self.low + (self.high - self.low) / 2 * (self._squash + 1)
        self._spread = xp.exp(log_std) * noise
        action = xp.tanh(outputs[:, :half] + self._spread)
        self._action, self._room = action, relu_(1 - action * action)
        gaussian = -0.5 * noise * noise - log_std - 0.5 * math.log(2 * math.pi)
        return action, xp.sum(gaussian - xp.log(self._room + 1e-6), axis=1)

    forward = apply

    def backward(self, action_gradient: Any, log_gradient: Any) -> Any:
        """The gradient of the network's outputs [B, 2 A], of those of action [B, A] and log-probability [B]."""
        xp, log_gradient = namespace(action_gradient), log_gradient[:, None]
        of_action = action_gradient + log_gradient * (2 * self._action * (self._room > 0) / (self._room + 1e-6))
        of_mean = of_action * (1 - self._action * self._action)
        of_log_std = of_mean * self._spread - log_gradient
        of_squash = of_log_std * ((self.high - self.low) / 2) * (1 - self._squash * self._squash)
        return xp.concat([of_mean, of_squash], axis=1)
