"""Data-efficient Rainbow (van Hasselt et al. 2019): C51, double Q, dueling noisy heads, n-step, prioritized replay."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgerl import architectures, encoders
from edgerl.agents.adam import Adam
from edgerl.agents.adopting import adopt
from edgerl.agents.noisy import NoisyLinear, Weights, draw
from edgerl.architectures import Shape
from edgerl.config import RainbowConfig
from edgerl.tensors import within
from edgerl.types import Array, Batch, Update

CPU = torch.device("cpu")


class DuelingHead(nn.Module):
    """Value and advantage streams over features [B, L]; their hidden layers, the value's first, are one."""

    def __init__(self, features: int, actions: int, config: RainbowConfig) -> None:
        super().__init__()
        self.atoms = config.atoms
        self.hidden = NoisyLinear(features, 2 * config.hidden, config.sigma0, groups=2)
        self.value = NoisyLinear(config.hidden, config.atoms, config.sigma0)
        self.advantage = NoisyLinear(config.hidden, config.atoms * actions, config.sigma0)

    def layers(self) -> list[NoisyLinear]:
        return [self.hidden, self.value, self.advantage]

    def noise(self, rng: np.random.Generator) -> Tensor:
        """One draw for all layers."""
        return draw(sum(layer.noise_size for layer in self.layers()), rng).to(self.hidden.weight_mu.device)

    def weights(self, noise: Tensor | None) -> list[Weights]:
        """Every layer's (weight, bias) under one draw, to be used for as many batches as share it."""
        layers = self.layers()
        sizes = [layer.noise_size for layer in layers]
        parts = [None] * len(layers) if noise is None else torch.split(noise, sizes)
        return [layer.weights(part) for layer, part in zip(layers, parts, strict=True)]

    def streams(self, features: Tensor, hidden: Weights) -> tuple[Tensor, ...]:
        """The hidden layers of value and advantage, [B, hidden] each."""
        return functional.relu(functional.linear(features, *hidden)).chunk(2, dim=1)

    def forward(self, features: Tensor, weights: list[Weights]) -> Tensor:
        """Logits [B, actions, atoms] of the return distributions; V + A - mean A."""
        hidden, value_out, advantage_out = weights
        value, advantage = self.streams(features, hidden)
        value = functional.linear(value, *value_out)
        advantage = functional.linear(advantage, *advantage_out).view(len(features), -1, self.atoms)
        return value[:, None] + advantage - advantage.mean(dim=1, keepdim=True)


class Network(nn.Module):
    """An encoder and a head. After a freeze the encoder is what is left right of the cut."""

    def __init__(self, encoder: encoders.Encoder, head: DuelingHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head


def project(probabilities: Tensor, returns: Tensor, discount: Tensor, support: Tensor) -> Tensor:
    """The distribution of return + discount * z, z ~ probabilities [B, atoms], back on the support (C51, eq. 7)."""
    v_min, v_max, atoms = support[0], support[-1], len(support)
    z = (returns[:, None] + discount[:, None] * support).clamp(v_min, v_max)
    position = (z - v_min) / ((v_max - v_min) / (atoms - 1))
    lower = position.floor().clamp_(0, atoms - 2)
    above = position - lower
    index = lower.long()
    target = torch.zeros_like(probabilities)
    target.scatter_add_(1, index, probabilities * (1 - above))
    target.scatter_add_(1, index + 1, probabilities * above)
    return target


class Rainbow:
    """The agent. `rng` draws weights and noise; `observation`: the window's shape [h, H, W]."""

    def __init__(
        self,
        observation: Shape,
        actions: int,
        config: RainbowConfig,
        rng: np.random.Generator,
        device: torch.device = CPU,
    ) -> None:
        self.config, self.actions, self.rng, self.device = config, actions, rng, device
        self.cut: str | None = None
        torch.manual_seed(int(rng.integers(2**63)))
        self.online = self._network(observation).to(device)
        self.target = self._network(observation).to(device).requires_grad_(False)
        self.target.load_state_dict(self.online.state_dict())
        self.support = torch.linspace(config.v_min, config.v_max, config.atoms, device=device)
        self.optimizer = Adam(
            self.online.named_parameters(), config.learning_rate, eps=config.adam_eps, clip_norm=config.clip_norm
        )
        self._weights: list[Weights] | None = None  # the online head's under its noise, as last acted with
        self.updates = 0

    def _network(self, observation: Shape) -> Network:
        name = self.config.encoder
        last = architectures.last_layer(name)
        features = architectures.latent_shape(name, observation, last)[0]
        return Network(encoders.build(name, observation), DuelingHead(features, self.actions, self.config))

    def act(self, observation: Array, *, explore: bool) -> int:
        """The greedy action for one observation: under fresh noise to explore, else under none."""
        head = self.online.head
        if explore:
            self._weights = head.weights(head.noise(self.rng))  # with their graph: an update may follow
        weights = self._weights if explore and self._weights is not None else head.weights(None)
        with torch.no_grad():
            features = self.online.encoder(self._tensor(observation[None]))
            return int(self._greedy(head(features, weights)))

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _greedy(self, logits: Tensor) -> Tensor:
        return (logits.softmax(dim=2) @ self.support).argmax(dim=1)

    def update(self, batch: Batch) -> Update:
        """One gradient step on the KL loss (online noise as last acted with, target noise fresh); target copies."""
        obs, next_obs = (self._tensor(part).to(torch.float32) for part in (batch.obs, batch.next_obs))
        rows = torch.arange(len(obs), device=self.device)
        online, target = self.online, self.target
        weights = self._weights or online.head.weights(online.head.noise(self.rng))
        logits = online.head(online.encoder(obs), weights)[rows, self._tensor(batch.action).long()]
        with torch.no_grad():
            best = self._greedy(online.head(online.encoder(next_obs), weights))
            target_logits = target.head(target.encoder(next_obs), target.head.weights(target.head.noise(self.rng)))
            wanted = project(
                target_logits[rows, best].softmax(dim=1),
                self._tensor(batch.reward),
                self._tensor(batch.discount),
                self.support,
            )
        losses = -(wanted * logits.log_softmax(dim=1)).sum(dim=1)
        loss = (self._tensor(batch.weight) * losses).mean()
        loss.backward()
        norm, self._weights = self.optimizer.step(), None
        self.updates += 1
        if self.updates % self.config.target_every == 0:
            self.target.load_state_dict(online.state_dict())
        priority = losses.detach().cpu().numpy()
        return Update({"loss": float(loss.detach()), "gradient_norm": norm}, priority)

    def stem(self, cut: str) -> nn.Module:
        """What lies left of `cut`, as it is now, on the CPU; the agent stays whole."""
        stem = self.online.encoder.split(cut)[0]
        return stem if self.device == CPU else copy.deepcopy(stem).to(CPU)

    def freeze(self, cut: str) -> None:
        """Keep what lies right of `cut` (paper section 4.1); observations are latents from now on.

        The target shares the online stem, so both stems go, and with them their gradients and optimizer moments.
        """
        self._weights = None
        stem, self.online.encoder = self.online.encoder.split(cut)
        _, self.target.encoder = self.target.encoder.split(cut)
        self.cut = cut
        self.optimizer.drop(stem.parameters())

    def adopt(self, arrays: dict[str, Array], stem: dict[str, Array], *, heads: bool) -> None:
        """Begin with the encoder of another agent, or with all its networks; see `adopting.adopt`."""
        adopt(self.online, self.target, arrays, stem, heads=heads)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that training changes: arrays by name (on the CPU views, not copies), and plain values."""
        arrays = {}
        for part in ("online", "target"):
            for name, tensor in getattr(self, part).state_dict().items():
                arrays[f"{part}.{name}"] = tensor.cpu().numpy()
        arrays |= {f"optimizer.{name}": array for name, array in self.optimizer.state().items()}
        return arrays, {"cut": self.cut, "updates": self.updates, "rng": self.rng.bit_generator.state}

    def load(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Take over what `state` gave, cut included. Raises RuntimeError or KeyError for another agent's arrays."""
        if values["cut"] is not None and self.cut is None:
            self.freeze(values["cut"])
        for part, load in (
            ("online.", self.online.load_state_dict),
            ("target.", self.target.load_state_dict),
        ):
            load({name: torch.from_numpy(array) for name, array in within(arrays, part).items()})
        self.optimizer.load(within(arrays, "optimizer."))
        self.updates, self.rng.bit_generator.state = values["updates"], values["rng"]

    @torch.no_grad()
    def activations(self, observations: Array, actions: Array) -> dict[str, Array]:
        found, features = encoders.activations(self.online.encoder, self._tensor(observations))
        head = self.online.head
        found["value hidden"], found["advantage hidden"] = head.streams(features, head.weights(None)[0])
        return {name: layer.cpu().numpy() for name, layer in found.items()}

    def nbytes(self) -> dict[str, int]:
        """Bytes held, by line of the ledger: parameters of both networks, and the optimizer's moments."""
        networks = sum(p.nbytes for net in (self.online, self.target) for p in net.parameters())
        return {"networks": networks, "optimizer": self.optimizer.nbytes}
