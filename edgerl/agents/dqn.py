"""DQN (Mnih et al. 2015; the paper's equation 2 and Algorithm 1): a Q head, a target network, random actions."""

from typing import Any

import numpy as np

from edgerl.agents.exported import Exported
from edgerl.agents.layers.arrays import Engine, namespace, row_numbers, to_numpy
from edgerl.agents.layers.dense import Linear, Relu, Stack
from edgerl.agents.layers.parameters import uniform
from edgerl.agents.value_agent import Network, ValueAgent
from edgerl.config.agent_settings import DqnConfig
from edgerl.config.architectures import Shape
from edgerl.types import Array, Batch, Update


class Dqn(ValueAgent[Stack]):
    """The DQN agent. Its head has one hidden layer and gives values [B, actions]; `rng` also draws exploration."""

    def __init__(
        self,
        window: Shape,
        actions: int,
        config: DqnConfig,
        rng: np.random.Generator,
        engine: Engine,
        cut: str | None = None,
    ) -> None:
        def make_head(engine: Engine, features: int, rng: np.random.Generator | None) -> Stack:
            return Stack(
                {
                    "0": Linear(engine, features, config.hidden, uniform, rng),
                    "1": Relu(),
                    "2": Linear(engine, config.hidden, actions, uniform, rng),
                }
            )

        super().__init__(window, actions, config, rng, engine, make_head, cut)

    def act(self, observation: Array, *, explore: bool) -> int:
        """The greedy action for one observation; if exploring, a random one with probability epsilon."""
        if explore and (action := self._random_action()) is not None:
            return action
        return int(self._values(self.online, observation[None]).argmax())

    def explore(self, observations: Array) -> Array:
        """See `Agent`: each of the actions is random with probability epsilon."""
        return self._or_random(to_numpy(self._values(self.online, observations)).argmax(axis=1))

    def _values(self, network: Network[Stack], observations: Array) -> Any:
        return network.head.apply(self._features(network, observations))

    def promised(self, observations: Array) -> Array:
        """See `Agent`."""
        return to_numpy(self._values(self.online, observations))

    def exported(self) -> Exported:
        """See `Agent`."""
        return self._exported(self.online.head.operations("head"), lambda seen: self._values(self.online, seen))

    def update(self, batch: Batch) -> Update:
        """One gradient step on (r + discount max Q'(s') - Q(s, a))^2; the target network is copied at intervals."""
        online, action = self.online, self._array(batch.action.astype(np.int64))
        best = self._values(self.target, batch.next_obs)
        xp, size = namespace(best), len(batch.action)
        target = self._array(batch.reward) + self._array(batch.discount) * xp.max(best, axis=1)
        values = online.head.forward(online.encoder.forward(online.encoder.prepare(batch.obs)))
        taken = row_numbers(values), action
        error, weight = values[taken] - target, self._array(batch.weight)
        losses = error * error
        gradient = xp.zeros_like(values)
        gradient[taken] = error * weight * (2 / size)
        norm = self._descend(online.head.backward(gradient, inputs=online.encoder.trained))
        loss = float(xp.mean(weight * losses))
        return Update({"loss": loss, "gradient_norm": norm, "epsilon": self.epsilon}, to_numpy(losses))

    def activations(self, observations: Array, actions: Array) -> dict[str, Array]:
        outputs, features = self.online.encoder.outputs(observations)
        outputs["hidden"] = to_numpy(self.online.head.outputs(features)["1"])
        return outputs
