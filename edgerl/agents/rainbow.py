"""Data-efficient Rainbow (van Hasselt et al. 2019): C51, double Q, dueling noisy heads, n-step, prioritized replay.

Without noisy layers random actions explore, as in BBF (Schwarzer et al. 2023).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgerl.agents.exported import Exported
from edgerl.agents.layers.arrays import (
    Engine,
    log_softmax,
    mean_under,
    namespace,
    relu_,
    row_numbers,
    softmax,
    to_numpy,
)
from edgerl.agents.layers.dense import Linear, Relu
from edgerl.agents.layers.noisy import NoisyLinear, factorised_noise
from edgerl.agents.layers.outputs import Dueling
from edgerl.agents.layers.parameters import Parameters, uniform
from edgerl.agents.value_agent import ValueAgent
from edgerl.config.agent_settings import RainbowConfig
from edgerl.config.architectures import Shape
from edgerl.types import Array, Batch, Update
from runtime.policy import Columns, MeanReturn, PolicyOperation

TINY = 1e-30  # below every probability that float32's softmax gives an atom


class DuelingHead:
    """Value and advantage streams over features [B, L]; one layer holds both hidden layers, the value's first.

    Its layers have the noise of `set_noise` until the next one; none at first. With `config.noisy` false they are plain
    ones, whose noise has no numbers.
    """

    def __init__(
        self, engine: Engine, features: int, actions: int, config: RainbowConfig, rng: np.random.Generator | None
    ) -> None:
        def layer(inputs: int, outputs: int, groups: int = 1) -> NoisyLinear | Linear:
            if not config.noisy:
                return Linear(engine, inputs, outputs, uniform, rng)
            return NoisyLinear(engine, inputs, outputs, sigma0=config.sigma0, rng=rng, groups=groups)

        self._width = config.hidden
        self.hidden, self.relu = layer(features, 2 * config.hidden, groups=2), Relu()
        self.value = layer(config.hidden, config.atoms)
        self.advantage = layer(config.hidden, config.atoms * actions)
        self.dueling = Dueling(actions)
        self._layers = {"hidden": self.hidden, "value": self.value, "advantage": self.advantage}
        self._noisy = [layer for layer in self._layers.values() if isinstance(layer, NoisyLinear)]
        self.noise: Any = None

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The weights by layer."""
        return {name: layer.parameters for name, layer in self._layers.items()}

    def draw(self, rng: np.random.Generator) -> Array:
        """One draw of noise for all layers."""
        return factorised_noise(sum(layer.noise_size for layer in self._noisy), rng)

    def set_noise(self, noise: Any) -> None:
        """Take this draw, as the engine's array, as noise from now on; None: no noise."""
        self.noise, start = noise, 0
        for layer in self._noisy:
            layer.set_noise(None if noise is None else noise[start : start + layer.noise_size])
            start += layer.noise_size

    @contextmanager
    def without_noise(self) -> Iterator[None]:
        """Within, there is no noise; the last act's, which an update may still need, is back afterwards."""
        kept = self.noise
        self.set_noise(None)
        yield
        self.set_noise(kept)

    def streams(self, features: Any) -> tuple[Any, Any]:
        """The hidden layers of value and advantage, [B, hidden] each."""
        hidden = self.relu.apply(self.hidden.apply(features))
        return hidden[:, : self._width], hidden[:, self._width :]

    def apply(self, features: Any) -> Any:
        """Logits [B, actions, atoms] of the return distributions."""
        value, advantage = self.streams(features)
        return self.dueling.apply(self.value.apply(value), self.advantage.apply(advantage))

    def forward(self, features: Any) -> Any:
        """As `apply`; keeps what `backward` needs."""
        hidden = self.relu.forward(self.hidden.forward(features))
        value = self.value.forward(hidden[:, : self._width])
        return self.dueling.apply(value, self.advantage.forward(hidden[:, self._width :]))

    def operations(self, name: str) -> tuple[PolicyOperation, ...]:
        """What `apply` does without noise, for ONNX, if its weights have names that begin with `name`."""
        width, hidden = self._width, (*self.hidden.operations(f"{name}.hidden"), *self.relu.operations(""))
        value = (Columns(0, width), *self.value.operations(f"{name}.value"))
        advantage = (Columns(width, 2 * width), *self.advantage.operations(f"{name}.advantage"))
        return hidden + self.dueling.operations(value, advantage)

    def backward(self, gradient: Any, action: Any, *, inputs: bool) -> Any:
        """Write the gradients of all weights, of that of the logits [B, atoms] of these actions [B].

        Returns the gradient of the features, if `inputs`.
        """
        value, advantage = self.dueling.backward(gradient, action)
        streams = [self.value.backward(value), self.advantage.backward(advantage)]
        hidden = self.relu.backward(namespace(gradient).concat(streams, axis=1))
        return self.hidden.backward(hidden, inputs=inputs)


def project(probabilities: Any, returns: Any, discount: Any, support: Any) -> Any:
    """The distribution of returns + discount * z, z ~ probabilities [B, atoms], put on the support (C51, eq. 7).

    A product with the hat function: an atom gives its neighbours the shares that its distance leaves them.
    """
    xp, atoms = namespace(probabilities), len(support)
    v_min, v_max = float(support[0]), float(support[-1])
    z = xp.clip(returns[:, None] + discount[:, None] * support, v_min, v_max)
    z -= v_min
    z *= (atoms - 1) / (v_max - v_min)
    distance = xp.abs(z[:, None, :] - xp.arange(atoms, dtype=z.dtype, device=z.device)[:, None])
    shares = relu_(1 - distance)
    shares *= probabilities[:, None, :]
    return xp.sum(shares, axis=2)


def entropy(probabilities: Any) -> Any:
    """The entropy [B] in nats of distributions [B, atoms]; 0 log 0 is 0."""
    xp = namespace(probabilities)
    return -xp.sum(probabilities * xp.log(xp.clip(probabilities, TINY, 1.0)), axis=1)


class Rainbow(ValueAgent[DuelingHead]):
    """The Rainbow agent. `rng` also draws noise."""

    def __init__(
        self,
        window: Shape,
        actions: int,
        config: RainbowConfig,
        rng: np.random.Generator,
        engine: Engine,
        cut: str | None = None,
    ) -> None:
        def make_head(engine: Engine, features: int, rng: np.random.Generator | None) -> DuelingHead:
            return DuelingHead(engine, features, actions, config, rng)

        super().__init__(window, actions, config, rng, engine, make_head, cut)
        self._priority, self._noisy = config.priority, config.noisy
        self._support = np.linspace(config.v_min, config.v_max, config.atoms, dtype=np.float32)

    def act(self, observation: Array, *, explore: bool) -> int:
        """The greedy action for one observation: under new noise if exploring, else without noise.

        Without noisy layers an action that explores is random with probability epsilon.
        """
        if explore and not self._noisy and (action := self._random_action()) is not None:
            return action
        if not explore:
            return int(self._values(observation[None]).argmax())
        return int(self._under_new_noise(observation[None])[0])

    def explore(self, observations: Array) -> Array:
        """See `Agent`: all under one draw of noise; without noisy layers each is random with probability epsilon."""
        if self._noisy:
            return to_numpy(self._under_new_noise(observations))
        return self._or_random(to_numpy(self._values(observations)).argmax(axis=1))

    def _under_new_noise(self, observations: Array) -> Any:
        """The greedy actions [B] under new noise, which stays for the next update."""
        head, features = self.online.head, self._features(self.online, observations)
        head.set_noise(self._array(head.draw(self.rng)))
        return self._greedy(head.apply(features))

    def _greedy(self, logits: Any) -> Any:
        """The actions [B] with the largest mean return."""
        return namespace(logits).argmax(self._mean_returns(logits), axis=1)

    def _mean_returns(self, logits: Any) -> Any:
        return mean_under(logits, self._array(self._support))

    def _values(self, observations: Array) -> Any:
        """Mean returns [B, actions], without noise."""
        features = self._features(self.online, observations)
        with self.online.head.without_noise():
            return self._mean_returns(self.online.head.apply(features))

    def promised(self, observations: Array) -> Array:
        """See `Agent`."""
        return to_numpy(self._values(observations))

    def exported(self) -> Exported:
        """See `Agent`."""
        mean = MeanReturn(tuple(self._support.tolist()))
        return self._exported((*self.online.head.operations("head"), mean), self._values)

    def update(self, batch: Batch) -> Update:
        """One gradient step on the cross-entropy: online noise of the last act, new target noise; the target follows.

        Cross-entropy is the KL loss plus the entropy of the projected target, which has no gradient. Rows are
        prioritised by the KL loss (Hessel et al. 2018), or by the cross-entropy if `config.priority` says so.
        """
        online, target = self.online, self.target
        if online.head.noise is None:
            online.head.set_noise(self._array(online.head.draw(self.rng)))
        target.head.set_noise(self._array(target.head.draw(self.rng)))
        action = self._array(batch.action.astype(np.int64))
        obs, next_obs = online.encoder.prepare(batch.obs), online.encoder.prepare(batch.next_obs)
        target_logits = target.head.apply(target.encoder.encode(next_obs))
        xp, size = namespace(target_logits), len(batch.action)
        features = xp.concat([online.encoder.forward(obs), online.encoder.encode(next_obs)])
        del obs, next_obs  # megabytes, of which the encoder keeps what its way back takes
        logits = online.head.forward(features)
        best, rows = self._greedy(logits[size:]), row_numbers(target_logits)
        projected = project(
            softmax(target_logits[rows, best]),
            self._array(batch.reward),
            self._array(batch.discount),
            self._array(self._support),
        )
        logits = log_softmax(logits[rows, action])
        losses, weight = -xp.sum(projected * logits, axis=1), self._array(batch.weight)
        priority = losses - entropy(projected) if self._priority == "kl" else losses
        mass = xp.sum(projected, axis=1, keepdims=True)
        gradient = (xp.exp(logits) * mass - projected) * (weight / size)[:, None]
        norm = self._descend(online.head.backward(gradient, action, inputs=online.encoder.trained))
        for network in (online, target):
            network.head.set_noise(None)  # and give back the weights made with it
        metrics = {"loss": float(xp.mean(weight * losses)), "gradient_norm": norm}
        return Update(metrics if self._noisy else metrics | {"epsilon": self.epsilon}, to_numpy(priority))

    def freeze(self, cut: str) -> None:
        """See `ValueAgent`; the noise of the last act is dropped."""
        self.online.head.set_noise(None)
        super().freeze(cut)

    def reset_heads(self) -> None:
        """See `ValueAgent`; the noise of the last act is dropped."""
        self.online.head.set_noise(None)
        super().reset_heads()

    def activations(self, observations: Array, actions: Array) -> dict[str, Array]:
        head = self.online.head
        outputs, features = self.online.encoder.outputs(observations)
        with head.without_noise():
            value, advantage = head.streams(features)
        return outputs | {"value hidden": to_numpy(value), "advantage hidden": to_numpy(advantage)}
