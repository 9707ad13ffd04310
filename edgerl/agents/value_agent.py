"""What Rainbow and DQN share: an online and a target network, one optimizer, the freeze, the saved state."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from edgerl.agents.agent import arrays_under
from edgerl.agents.encoder.encoder import Encoder, right_of
from edgerl.agents.encoder.stem import Stem, accelerated
from edgerl.agents.exported import Exported, value_outputs
from edgerl.agents.layers.arrays import Engine, to_numpy
from edgerl.agents.layers.dense import under
from edgerl.agents.layers.parameters import Parameters, copy, load, named_arrays
from edgerl.agents.optimizer import Adam
from edgerl.config import architectures
from edgerl.config.agent_settings import ValueConfig
from edgerl.config.architectures import Shape
from edgerl.replay.stem import FrozenStem
from edgerl.types import Array
from runtime.policy import PolicyOperation


class Head(Protocol):
    """What gives values of actions, of features [B, L]."""

    @property
    def parameters(self) -> dict[str, Parameters]: ...


OwnHead = TypeVar("OwnHead", bound=Head)
MakeHead = Callable[[Engine, int, np.random.Generator | None], OwnHead]


class Network(Generic[OwnHead]):
    """An encoder and a head. After a freeze the encoder is only what lies right of the cut."""

    def __init__(self, encoder: Encoder, head: OwnHead) -> None:
        self.encoder, self.head = encoder, head

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The weights by layer."""
        return under("encoder", self.encoder.parameters) | under("head", self.head.parameters)

    def arrays(self) -> dict[str, Any]:
        """All weights by name."""
        return named_arrays(self.parameters)


class ValueAgent(Generic[OwnHead]):
    """Values of actions from the online network, which is copied to the target network at intervals.

    `window`: the shape of what encoders see; `make_head`: makes a head for so many features (without a generator: not
    trained); `rng` draws the weights and exploration; `cut`: the last frozen layer of a run that is frozen already.
    Subclasses act, update and are exported. `updates`, `acted`: updates, and acts that explored, so far.
    """

    def __init__(
        self,
        window: Shape,
        actions: int,
        config: ValueConfig,
        rng: np.random.Generator,
        engine: Engine,
        make_head: MakeHead[OwnHead],
        cut: str | None = None,
    ) -> None:
        self.window, self.config, self.rng, self.engine, self.cut = tuple(window), config, rng, engine, cut
        self.actions, self.updates, self.acted = actions, 0, 0
        last = architectures.last_layer(config.encoder)
        self._feature_count = architectures.latent_shape(config.encoder, window, last)[0]
        self._make_head = make_head
        self.online = Network(self._encoder(rng), self._head(rng))
        self.target = Network(self._encoder(None), self._head(None))
        self._copy_target()
        self.optimizer = Adam(
            engine,
            self.online.parameters,
            config.learning_rate,
            eps=config.adam_eps,
            clip_norm=config.clip_norm,
            weight_decay=config.weight_decay,
        )

    def _encoder(self, rng: np.random.Generator | None) -> Encoder:
        return Encoder(self.engine, self.config.encoder, self.window, cut=self.cut, rng=rng)

    def _head(self, rng: np.random.Generator | None) -> OwnHead:
        return self._make_head(self.engine, self._feature_count, rng)

    @property
    def needs_torch(self) -> bool:
        """Whether it computes with torch."""
        return self.engine.name != "numpy"

    def _copy_target(self) -> None:
        for target, online in zip(self.target.parameters.values(), self.online.parameters.values(), strict=True):
            target.flat[:] = online.flat

    @property
    def epsilon(self) -> float:
        """The probability of a random action now, if random actions explore."""
        start, end = self.config.epsilon_start, self.config.epsilon_end
        return start + (end - start) * min(1.0, self.acted / self.config.epsilon_steps)

    def _random_action(self) -> int | None:
        """A random action with probability epsilon, else None: the agent is to choose."""
        self.acted += 1
        return int(self.rng.integers(self.actions)) if self.rng.random() < self.epsilon else None

    def _or_random(self, best: Array) -> Array:
        """The best actions [B]; each with probability epsilon a random one in its place."""
        return np.array([own if (drawn := self._random_action()) is None else drawn for own in best.tolist()])

    def _features(self, network: Network[OwnHead], observations: Array) -> Any:
        """Features [B, L] of a batch."""
        return network.encoder.encode(network.encoder.prepare(observations))

    def _array(self, array: Array) -> Any:
        return self.engine.array(array)

    def _descend(self, features_gradient: Any) -> float:
        """Finish the backward pass, and take one optimizer step; returns the gradient's norm.

        Every `target_every` updates the target is copied.
        """
        if features_gradient is not None:
            self.online.encoder.backward(features_gradient)
        norm = self.optimizer.step()
        self.updates += 1
        if self.updates % self.config.target_every == 0:
            self._copy_target()
        return norm

    def stem(self, cut: str) -> Stem:
        """What lies left of `cut`, with the weights it has now; the agent stays whole."""
        encoder = self.online.encoder
        return Stem(
            self.config.encoder,
            self.window,
            cut,
            named_arrays(encoder.parameters),
            lambda windows: encoder.encode_until(cut, encoder.prepare(windows)),
        )

    def freeze(self, cut: str) -> None:
        """Keep what lies right of `cut` (paper section 4.1); observations are latents from now on.

        The target shares the online stem, so both stems are dropped with their gradients and optimizer moments. What is
        left goes to the engine that trains such layers.
        """
        self.engine, self.cut = self.engine.frozen(right_of(self.config.encoder, self.window, cut)), cut
        generator = np.random.default_rng(0)  # layers made with one are trained; what it draws is copied over
        for network, rng in ((self.online, generator), (self.target, None)):
            old = named_arrays(network.encoder.parameters)
            network.encoder = self._encoder(rng)
            for name, array in named_arrays(network.encoder.parameters).items():
                copy(array, to_numpy(old[name]))
            for parameters in network.head.parameters.values():
                parameters.move(self.engine)
        self.optimizer.keep(self.online.parameters, self.engine)

    def frozen_stem(self, file: Path) -> FrozenStem | None:
        """See `Agent`."""
        return accelerated(self.engine, file, self.config.encoder, self.window, self.cut)

    def _exported(self, operations: tuple[PolicyOperation, ...], values: Callable[[Array], Any]) -> Exported:
        """What `exported` returns, of a head's operations, from features to values, and of the agent's own `values`."""

        def own(observations: Array) -> dict[str, Array]:
            numbers = to_numpy(values(observations))
            return {"action": numbers.argmax(axis=1), "values": numbers}

        network = self.online
        parts = network.encoder.parameters | under("head", network.head.parameters)
        weights = {name: to_numpy(array) for name, array in named_arrays(parts).items()}
        return Exported(1, operations, value_outputs(self.actions), weights, own)

    def reset_heads(self) -> None:
        """Begin the head anew, drawn from `rng`, with its moments and its target (Nikishin et al. 2022).

        What the encoder has right of the cut stays, with its moments and its target.
        """
        drawn, heads = self._head(self.rng).parameters, under("head", self.online.head.parameters)
        for network in (self.online, self.target):
            for name, parameters in network.head.parameters.items():
                parameters.flat[:] = drawn[name].flat
        self.optimizer.restart(heads)

    def adopt(self, arrays: dict[str, Array], stem: dict[str, Array], *, heads: bool) -> None:
        """Start from another agent's encoder, and with `heads` from its heads too: `arrays` as its `state` returned.

        `stem`: the weights a freeze removed; empty if the source was never frozen. Without `heads` the target's encoder
        is a copy of the online one. Raises RuntimeError for other networks.
        """
        for part, network in (("online", self.online), ("target", self.target)):
            source = part if heads else "online"
            load(named_arrays(network.encoder.parameters), stem | arrays_under(arrays, f"{source}.encoder."))
            if heads:
                load(named_arrays(network.head.parameters), arrays_under(arrays, f"{source}.head."))

    def _networks(self) -> Mapping[str, Network[OwnHead]]:
        return {"online": self.online, "target": self.target}

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that training changes: arrays by name (views, not copies, on the CPU), and plain values."""
        arrays = {
            f"{part}.{name}": to_numpy(array)
            for part, network in self._networks().items()
            for name, array in network.arrays().items()
        }
        arrays |= {f"optimizer.{name}": array for name, array in self.optimizer.state().items()}
        values = {"cut": self.cut, "updates": self.updates, "acted": self.acted}
        return arrays, values | {"rng": self.rng.bit_generator.state}

    def load(self, arrays: dict[str, Array], values: dict[str, Any], *, to_act: bool = False) -> None:
        """See `Agent`."""
        if values["cut"] is not None and self.cut is None:
            self.freeze(values["cut"])
        for part, network in self._networks().items():
            load(network.arrays(), arrays_under(arrays, f"{part}."))
        if not to_act:
            self.optimizer.load(arrays_under(arrays, "optimizer."))
        self.updates, self.acted = values["updates"], values.get("acted", 0)  # Rainbow once counted no acts
        self.rng.bit_generator.state = values["rng"]

    def nbytes(self) -> dict[str, int]:
        """Bytes held, by line of the ledger: weights of both networks; moments and gradients."""
        online, target = (sum(p.nbytes for p in own.parameters.values()) for own in (self.online, self.target))
        return {"networks": online + target, "optimizer": self.optimizer.nbytes + online}  # a gradient for each weight
