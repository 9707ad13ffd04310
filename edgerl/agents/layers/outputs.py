"""What stands behind the last layers of a head: no weights, but gradients of their own, and operations for ONNX."""

import math
from typing import Any

from edgerl.agents.layers.arrays import namespace, relu_, row_numbers
from runtime import policy
from runtime.policy import PolicyOperation


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

    def operations(
        self, value: tuple[PolicyOperation, ...], advantage: tuple[PolicyOperation, ...]
    ) -> tuple[PolicyOperation, ...]:
        """What `apply` does, for ONNX, with what these operations make of one input."""
        return (policy.Dueling(value, advantage, self.actions),)


class SquashedGaussian:
    """tanh of a Gaussian: its log standard deviation is squashed between `low` and `high` (SAC, appendix C).

    `apply` takes what a network gives, [B, 2 A], and normal noise [B, A]; it keeps what `backward` needs.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def mean(self, outputs: Any) -> Any:
        """The action [B, A] without noise."""
        return namespace(outputs).tanh(outputs[:, : outputs.shape[1] // 2])

    def log_std(self, outputs: Any) -> Any:
        """The log standard deviation [B, A] of the Gaussian."""
        return self._between(namespace(outputs).tanh(outputs[:, outputs.shape[1] // 2 :]))

    def _between(self, squash: Any) -> Any:
        """Numbers in [-1, 1] between `low` and `high`."""
        return self.low + (self.high - self.low) / 2 * (squash + 1)

    def operations(self, actions: int) -> dict[str, tuple[PolicyOperation, ...]]:
        """What `mean` and `log_std` do, for ONNX, for A `actions`."""
        bounds = policy.Bounds((self.low,), (self.high,))
        return {
            "action": (policy.Columns(0, actions), policy.Tanh()),
            "log_std": (policy.Columns(actions, 2 * actions), policy.Tanh(), bounds),
        }

    def apply(self, outputs: Any, noise: Any) -> tuple[Any, Any]:
        """The action tanh(mean + std * noise) [B, A], and its log-probability [B]."""
        xp, half = namespace(outputs), outputs.shape[1] // 2
        self._squash = xp.tanh(outputs[:, half:])
        log_std = self._between(self._squash)
        self._spread = xp.exp(log_std) * noise
        action = xp.tanh(outputs[:, :half] + self._spread)
        self._action, self._room = action, relu_(1 - action * action)
        gaussian = -0.5 * noise * noise - log_std - 0.5 * math.log(2 * math.pi)
        return action, xp.sum(gaussian - xp.log(self._room + 1e-6), axis=1)

    def backward(self, action_gradient: Any, log_gradient: Any) -> Any:
        """The gradient of the network's outputs [B, 2 A], of those of action [B, A] and log-probability [B]."""
        xp, log_gradient = namespace(action_gradient), log_gradient[:, None]
        of_action = action_gradient + log_gradient * (2 * self._action * (self._room > 0) / (self._room + 1e-6))
        of_mean = of_action * (1 - self._action * self._action)
        of_log_std = of_mean * self._spread - log_gradient
        of_squash = of_log_std * ((self.high - self.low) / 2) * (1 - self._squash * self._squash)
        return xp.concat([of_mean, of_squash], axis=1)
