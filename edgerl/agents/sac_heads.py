"""SAC's heads over features: a tanh-squashed Gaussian policy, and two critics."""

from itertools import pairwise
from typing import Any

import numpy as np

from edgerl.agents.layers.arrays import Engine, namespace
from edgerl.agents.layers.dense import Layer, Linear, Relu, Stack, under
from edgerl.agents.layers.outputs import SquashedGaussian
from edgerl.agents.layers.parameters import Parameters, orthogonal


def mlp(engine: Engine, inputs: int, hidden: int, outputs: int, rng: np.random.Generator | None) -> Stack:
    """Two hidden layers with ReLU; orthogonal weights, biases 0. Without `rng` it is not trained."""
    layers: dict[str, Layer] = {}
    for number, (into, out) in enumerate(pairwise([inputs, hidden, hidden, outputs])):
        layers |= {str(2 * number): Linear(engine, into, out, orthogonal, rng), str(2 * number + 1): Relu()}
    del layers["5"]
    return Stack(layers)


class Actor:
    """Features [B, L] to an action in [-1, 1] and its log-probability. `low`, `high`: as in `SquashedGaussian`."""

    def __init__(
        self,
        engine: Engine,
        features: int,
        actions: int,
        hidden: int,
        *,
        low: float,
        high: float,
        rng: np.random.Generator,
    ) -> None:
        self.layers = mlp(engine, features, hidden, 2 * actions, rng)
        self.gaussian = SquashedGaussian(low, high)

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The weights by layer."""
        return under("layers", self.layers.parameters)

    def mean(self, features: Any) -> Any:
        """The action [B, A] without noise."""
        return self.gaussian.mean(self.layers.apply(features))

    def apply(self, features: Any, noise: Any) -> tuple[Any, Any]:
        """The action [B, A] under normal noise [B, A], and its log-probability [B]."""
        return self.gaussian.apply(self.layers.apply(features), noise)

    def forward(self, features: Any, noise: Any) -> tuple[Any, Any]:
        """As `apply`; keeps what `backward` needs."""
        return self.gaussian.apply(self.layers.forward(features), noise)

    def backward(self, action_gradient: Any, log_gradient: Any, *, inputs: bool) -> Any:
        """Write all gradients, of those of action and log-probability; returns that of the features, if `inputs`."""
        return self.layers.backward(self.gaussian.backward(action_gradient, log_gradient), inputs=inputs)


class Critics:
    """Two critics of features [B, L] and actions [B, A]: values [B] of each. Without `rng` they are not trained."""

    def __init__(
        self, engine: Engine, features: int, actions: int, hidden: int, rng: np.random.Generator | None
    ) -> None:
        self.features = features
        self.first, self.second = (mlp(engine, features + actions, hidden, 1, rng) for _ in range(2))

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The weights by layer."""
        return under("first", self.first.parameters) | under("second", self.second.parameters)

    def apply(self, features: Any, action: Any) -> tuple[Any, Any]:
        inputs = namespace(features).concat([features, action], axis=1)
        return self.first.apply(inputs)[:, 0], self.second.apply(inputs)[:, 0]

    def forward(self, features: Any, action: Any) -> tuple[Any, Any]:
        """As `apply`; keeps what the backward passes need."""
        inputs = namespace(features).concat([features, action], axis=1)
        return self.first.forward(inputs)[:, 0], self.second.forward(inputs)[:, 0]

    def backward(self, first: Any, second: Any, *, inputs: bool) -> Any:
        """Write all gradients, of those of both values [B]; returns that of the features, if `inputs`."""
        gradients = [
            critic.backward(gradient[:, None], inputs=inputs)
            for critic, gradient in ((self.first, first), (self.second, second))
        ]
        return (gradients[0] + gradients[1])[:, : self.features] if inputs else None

    def action_gradient(self, first: Any, second: Any) -> Any:
        """The gradient of the actions [B, A], of those of both values [B]; the critics' own are left as they are."""
        gradients = [
            critic.backward(gradient[:, None], weights=False)
            for critic, gradient in ((self.first, first), (self.second, second))
        ]
        return (gradients[0] + gradients[1])[:, self.features :]
