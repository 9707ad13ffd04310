"""CURL-SAC (Srinivas et al. 2020, Haarnoja et al. 2018) from pixels; without the contrast it is SAC.

Actor and critic share convolutions, which only the critic and the contrast train (N = 2 encoders). After a freeze at
the fully connected layer an observation is two latents [2, L], the actor's first, and only the heads are trained.
"""

from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.agent import arrays_under
from edgerl.agents.encoder.contrast import Contrast
from edgerl.agents.encoder.encoder import outputs as layer_outputs
from edgerl.agents.encoder.encoder import right_of
from edgerl.agents.encoder.stem import Stem, accelerated
from edgerl.agents.exported import Exported, action_outputs
from edgerl.agents.layers.arrays import Engine, namespace, to_numpy
from edgerl.agents.layers.dense import Stack, under
from edgerl.agents.layers.parameters import load, named_arrays
from edgerl.agents.optimizer import Adam
from edgerl.agents.sac_networks import Networks
from edgerl.config.agent_settings import SacConfig
from edgerl.config.architectures import Shape
from edgerl.replay import crops
from edgerl.replay.stem import FrozenStem
from edgerl.types import Array, Batch, Update

NO_PRIORITY = np.zeros(0, np.float32)


class CurlSac:
    """The agent. `window`: the shape of what encoders see, [C, side, side]; `rng` draws weights, actions and crops.

    `cut`: the last frozen layer of a run that is frozen already.
    """

    def __init__(
        self,
        window: Shape,
        actions: int,
        config: SacConfig,
        rng: np.random.Generator,
        engine: Engine,
        cut: str | None = None,
        *,
        contrast: bool = True,
        random_crop: bool = True,
    ) -> None:
        self.config, self.actions, self.rng, self.engine, self.cut = config, actions, rng, engine, cut
        self.window, self.side, self.random_crop = tuple(window), window[1], random_crop
        self.acted = self.updates = 0
        self.net = Networks(self.window, actions, config, rng, engine, cut, contrast=contrast)
        self.optimizers = self._optimizers()
        self.metrics: dict[str, float] = {}

    @property
    def needs_torch(self) -> bool:
        """Whether it computes with torch."""
        return self.engine.name != "numpy"

    def _optimizers(self) -> dict[str, Adam]:
        """One for each part of the networks.

        CURL's code steps two optimizers on the encoder with the same gradients, one of them together with W. Their
        moments are equal, so one step of twice the length does the same.
        """
        config = self.config
        rates = dict.fromkeys(("critic", "actor", "contrast1"), config.learning_rate)
        rates |= {"alpha": config.alpha_learning_rate, "contrast0": 2 * config.learning_rate}
        betas = {"alpha": (config.alpha_beta1, 0.999)}
        # Once an update: contrast0 has the layers of the critic's; and the temperature is no network's weight.
        decay = dict.fromkeys(("critic", "actor", "contrast1"), config.weight_decay)
        return {
            name: Adam(
                self.engine,
                layers,
                rates[name],
                betas=betas.get(name, (0.9, 0.999)),
                weight_decay=decay.get(name, 0.0),
            )
            for name, layers in self.net.parts.items()
        }

    def act(self, observation: Array, *, explore: bool) -> Array:
        """An action [A] in [-1, 1] for one observation: the mean, or if exploring a sample, at first a uniform one."""
        if explore:
            self.acted += 1
            if self.acted <= self.config.random_steps:
                return self.rng.uniform(-1, 1, self.actions).astype(np.float32)
        net, features = self.net, self._actor_features(observation[None])
        action = net.actor.apply(features, self._noise(1))[0] if explore else net.actor.mean(features)
        first: Array = to_numpy(action)[0]
        return first

    def explore(self, observations: Array) -> Array:
        """See `Agent`: samples, each with its own noise; uniform ones at first."""
        count, acted = len(observations), self.acted
        self.acted += count
        if acted < self.config.random_steps:
            return self.rng.uniform(-1, 1, (count, self.actions)).astype(np.float32)
        return to_numpy(self.net.actor.apply(self._actor_features(observations), self._noise(count))[0])

    def _actor_features(self, observations: Array) -> Any:
        """What the actor's head takes, [B, L]."""
        encoders = self.net.encoders
        return self.net.actor_features(encoders.maps(encoders.prepare(observations)))

    def exported(self) -> Exported:
        """See `Agent`."""
        net, actor = self.net, self.net.actor
        parts = net.encoders.parameters | under("actor", actor.parameters)
        weights = {name: to_numpy(array) for name, array in named_arrays(parts).items()}
        outputs = action_outputs(self.actions, actor.gaussian.operations(self.actions))

        def own(observations: Array) -> dict[str, Array]:
            head = actor.layers.apply(self._actor_features(observations))
            gaussian = actor.gaussian
            return {"action": to_numpy(gaussian.mean(head)), "log_std": to_numpy(gaussian.log_std(head))}

        return Exported(2, actor.layers.operations("actor.layers"), outputs, weights, own)

    def promised(self, observations: Array) -> Array:
        """See `Agent`: the smaller of both critics' values."""
        encoders = self.net.encoders
        maps = encoders.maps(encoders.prepare(observations))
        action = self.net.actor.mean(self.net.actor_features(maps))
        values = self.net.critics.apply(encoders.critic.apply(encoders.for_critic(maps)), action)
        smaller: Array = np.minimum(*map(to_numpy, values))
        return smaller

    def update(self, batch: Batch) -> Update:
        """One update: critics, every `actor_every` updates the actor, and the contrast on one crop; targets follow."""
        config, net, encoders = self.config, self.net, self.net.encoders
        obs, next_obs = (encoders.prepare(self._cropped(part)) for part in (batch.obs, batch.next_obs))
        self._update_critics(obs, next_obs, batch)
        updates_actor, contrast = self.updates % config.actor_every == 0, net.contrast
        if updates_actor or contrast is not None:  # the critics' step changed the encoder: both encode again
            maps = encoders.maps(obs, keep=contrast is not None)
            own = encoders.critic.forward if contrast is not None else encoders.critic.apply
            features = own(encoders.for_critic(maps))
            if updates_actor:
                self._update_actor(maps, features)
        if self.updates % config.target_every == 0:
            net.follow(config.tau_q, config.tau_encoder)
        if contrast is not None:
            self._update_contrast(contrast, features, encoders.prepare(self._cropped(batch.obs)))
        self.updates += 1
        return Update(dict(self.metrics), NO_PRIORITY)

    def _update_critics(self, obs: Any, next_obs: Any, batch: Batch) -> None:
        """One step on (Q - y)^2 of both critics, y = r + discount (min Q' - alpha log pi)."""
        net, encoders, array = self.net, self.net.encoders, self.engine.array
        next_features = net.actor_features(encoders.maps(next_obs))
        action, log_prob = net.actor.apply(next_features, self._noise(len(batch.action)))
        features = net.target_features(next_obs)
        xp = namespace(features)
        value = xp.minimum(*net.target_critics.apply(features, action))
        value -= xp.exp(net.temperature.arrays["log_alpha"]) * log_prob
        target = array(batch.reward) + array(batch.discount) * value
        features = encoders.critic.forward(encoders.for_critic(encoders.maps(obs, keep=True)))
        errors = [value - target for value in net.critics.forward(features, array(batch.action))]
        trained = bool(encoders.convolutions or encoders.critic.parameters)
        gradient = net.critics.backward(*(error * (2 / len(error)) for error in errors), inputs=trained)
        if trained:
            encoders.critic_backward(gradient)
        self.optimizers["critic"].step()
        self.metrics["loss"] = sum(float(xp.mean(error * error)) for error in errors)

    def _update_actor(self, maps: Any, features: Any) -> None:
        """One step on alpha log pi - min Q, and one of alpha towards an entropy of -A; no gradient for the encoder.

        `maps`: what both encoders share; `features`: the critic's.
        """
        net, neck, size = self.net, self.net.actor_neck, len(features)
        action, log_prob = net.actor.forward(neck.forward(net.encoders.for_actor(maps)), self._noise(size))
        xp = namespace(action)
        alpha = xp.exp(net.temperature.arrays["log_alpha"])
        first, second = net.critics.forward(features, action)
        share = xp.astype(first < second, first.dtype) + 0.5 * xp.astype(first == second, first.dtype)
        of_action = net.critics.action_gradient(share * (-1 / size), (1 - share) * (-1 / size))
        of_log = xp.ones_like(log_prob) * (alpha / size)
        gradient = net.actor.backward(of_action, of_log, inputs=bool(neck.parameters))
        if neck.parameters:
            neck.backward(gradient, inputs=False)
        self.optimizers["actor"].step()
        entropy = -float(xp.mean(log_prob))
        net.temperature.gradients["log_alpha"][...] = alpha * (entropy + self.actions)
        self.metrics |= {
            "actor_loss": float(xp.mean(alpha * log_prob - xp.minimum(first, second))),
            "entropy": entropy,
            "alpha": float(alpha),
        }
        self.optimizers["alpha"].step()

    def _update_contrast(self, contrast: Contrast, query: Any, other_crop: Any) -> None:
        """One step on the cross-entropy of query W key over the batch; `other_crop`: another crop of the windows."""
        self.metrics["contrastive_loss"], gradient = contrast.loss(query, self.net.target_features(other_crop))
        self.net.encoders.critic_backward(gradient)
        for name in ("contrast0", "contrast1"):
            self.optimizers[name].step()

    def _cropped(self, windows: Array) -> Array:
        """A batch as encoders take it: every window [B, C, H, W] cropped at its own offset, latents unchanged."""
        if self.cut is None and windows.shape[1:] != self.window:
            if self.random_crop:
                return crops.crop(windows, crops.draw(windows, self.side, self.rng), self.side)
            return np.ascontiguousarray(crops.centre(windows, self.side))
        return windows

    def _noise(self, rows: int) -> Any:
        return self.engine.array(self.rng.standard_normal((rows, self.actions), np.float32))

    def stem(self, cut: str) -> Stem:
        """What lies left of `cut`, with the weights it has now; the agent stays whole."""
        return self.net.stem(cut)

    def freeze(self, cut: str) -> None:
        """Keep what lies right of `cut` (paper section 4.1); the contrast ends, and the target shares the stem.

        What is left goes to the engine that trains such layers.
        """
        self.engine, self.cut = self.engine.frozen(right_of(self.config.encoder, self.window, cut)), cut
        self.net.freeze(cut, self.engine)
        self.metrics.pop("contrastive_loss", None)
        parts = self.net.parts
        self.optimizers = {name: self.optimizers[name] for name in parts}
        for name, layers in parts.items():
            self.optimizers[name].keep(layers, self.engine)

    def frozen_stem(self, file: Path) -> FrozenStem | None:
        """See `Agent`."""
        return accelerated(self.engine, file, self.config.encoder, self.window, self.cut, encoders=2)

    def reset_heads(self) -> None:
        """Begin actor and critics anew, drawn from `rng`, with their moments and targets (Nikishin et al. 2022).

        The temperature begins anew too, as in their code: it was tuned to the entropy of an actor that is gone. What
        the encoders have right of the cut stays, with its moments and its target.
        """
        for name, layers in self.net.reset_heads(self.rng, self.engine).items():
            self.optimizers[name].restart(layers)

    def adopt(self, arrays: dict[str, Array], stem: dict[str, Array], *, heads: bool) -> None:
        """Start from another agent's encoders, with `heads` from all its networks: `arrays` as its `state` returned.

        `stem`: the weights a freeze removed; empty if the source was never frozen. With `heads` targets are the
        source's, and W is if it still has one; without `heads` the target encoders are copies of the online ones. The
        temperature, the optimizers and all counters stay as they are. Raises RuntimeError for other networks.
        """
        self.net.adopt(arrays_under(arrays, "net."), stem, heads=heads)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that training changes: arrays by name (views, not copies, on the CPU), and plain values."""
        arrays = {f"net.{name}": to_numpy(array) for name, array in self.net.arrays.items()}
        for name, optimizer in self.optimizers.items():
            arrays |= {f"optimizer.{name}.{key}": array for key, array in optimizer.state().items()}
        values = {"cut": self.cut, "acted": self.acted, "updates": self.updates, "metrics": self.metrics}
        return arrays, values | {"rng": self.rng.bit_generator.state}

    def load(self, arrays: dict[str, Array], values: dict[str, Any], *, to_act: bool = False) -> None:
        """See `Agent`."""
        if values["cut"] is not None and self.cut is None:
            self.freeze(values["cut"])
        load(self.net.arrays, arrays_under(arrays, "net."))
        if not to_act:
            for name, optimizer in self.optimizers.items():
                optimizer.load(arrays_under(arrays, f"optimizer.{name}."))
        self.acted, self.updates, self.metrics = values["acted"], values["updates"], values["metrics"]
        self.rng.bit_generator.state = values["rng"]

    def activations(self, observations: Array, actions: Array) -> dict[str, Array]:
        """See `Agent`. Layers only the actor has are named "policy", the first critic's "Q"."""
        net, encoders = self.net, self.net.encoders
        prepared = encoders.prepare(observations)
        named, maps = layer_outputs(encoders.shared, prepared)
        if encoders.shared is None:
            maps = encoders.maps(prepared)
        policy = _hidden(net.actor_neck, encoders.for_actor(maps), net.actor.layers)
        q = _hidden(encoders.critic, encoders.for_critic(maps), net.critics.first, self.engine.array(actions))
        named |= {f"policy {name}": to_numpy(output) for name, output in policy.items()}
        return named | {f"Q {name}": to_numpy(output) for name, output in q.items()}

    def nbytes(self) -> dict[str, int]:
        """Bytes held, by line of the ledger: weights of all networks; moments and gradients."""
        moments = sum(optimizer.nbytes for optimizer in self.optimizers.values())
        return {"networks": self.net.nbytes, "optimizer": moments + self.net.gradient_nbytes}


def _hidden(neck: Stack, x: Any, head: Stack, actions: Any = None) -> dict[str, Any]:
    """The outputs of an encoder's own layer, and of the hidden layers of the head behind it."""
    features = neck.apply(x)
    named = {"fc": features} if neck.parameters else {}
    inputs = features if actions is None else namespace(features).concat([features, actions], axis=1)
    hidden = head.outputs(inputs)
    return named | {"hidden1": hidden["1"], "hidden2": hidden["3"]}
