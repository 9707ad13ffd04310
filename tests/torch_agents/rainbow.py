"""Data-efficient Rainbow (van Hasselt et al. 2019): C51, double Q, dueling noisy heads, n-step, prioritized replay."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgerl.config.agent_settings import RainbowConfig
from edgerl.config.architectures import Shape
from edgerl.types import Array, Batch, Update
from torch_agents import modules
from torch_agents.noisy import NoisyLinear, Weights, factorised_noise
from torch_agents.value_agent import CPU, ValueAgent


class DuelingHead(nn.Module):
    """Value and advantage streams over features [B, L]; one layer holds both hidden layers, the value's first."""

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
        return factorised_noise(sum(layer.noise_size for layer in self.layers()), rng).to(self.hidden.weight_mu)

    def weights(self, noise: Tensor | None) -> list[Weights]:
        """Every layer's (weight, bias) under one draw of noise, for all batches that share it; means if it is None."""
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


def project(probabilities: Tensor, returns: Tensor, discount: Tensor, support: Tensor) -> Tensor:
    """The distribution of returns + discount * z, z ~ probabilities [B, atoms], put on the support (C51, eq. 7)."""
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


class Rainbow(ValueAgent[DuelingHead]):
    """The Rainbow agent. `rng` also draws noise."""

    def __init__(
        self, window: Shape, actions: int, config: RainbowConfig, rng: np.random.Generator, device: torch.device = CPU
    ) -> None:
        super().__init__(window, config, rng, device, lambda features: DuelingHead(features, actions, config))
        self.support = torch.linspace(config.v_min, config.v_max, config.atoms, device=device)
        self._weights: list[Weights] | None = None  # of the online head, under the noise of the last act

    def act(self, observation: Array, *, explore: bool) -> int:
        """The greedy action for one observation: under new noise if exploring, else without noise."""
        head = self.online.head
        if explore:
            self._weights = head.weights(head.noise(self.rng))  # with gradients: an update may follow
        weights = self._weights if explore and self._weights is not None else head.weights(None)
        with torch.no_grad():
            features = self.online.encoder(self._tensor(observation[None]))
            return int(self._greedy(head(features, weights)))

    def _greedy(self, logits: Tensor) -> Tensor:
        """The actions [B] with the largest mean return."""
        return (logits.softmax(dim=2) @ self.support).argmax(dim=1)

    def update(self, batch: Batch) -> Update:
        """One gradient step on the KL loss: online noise of the last act, new target noise; the target follows."""
        obs, next_obs = (self._tensor(part) for part in (batch.obs, batch.next_obs))
        rows = torch.arange(len(obs), device=self.device)
        online, target = self.online, self.target
        weights = self._weights or online.head.weights(online.head.noise(self.rng))
        logits = online.head(online.encoder(obs), weights)[rows, self._tensor(batch.action).long()]
        with torch.no_grad():
            best = self._greedy(online.head(online.encoder(next_obs), weights))
            target_logits = target.head(target.encoder(next_obs), target.head.weights(target.head.noise(self.rng)))
            projected = project(
                target_logits[rows, best].softmax(dim=1),
                self._tensor(batch.reward),
                self._tensor(batch.discount),
                self.support,
            )
        losses = -(projected * logits.log_softmax(dim=1)).sum(dim=1)
        loss = (self._tensor(batch.weight) * losses).mean()
        norm, self._weights = self._descend(loss), None
        priority = losses.detach().cpu().numpy()
        return Update({"loss": float(loss.detach()), "gradient_norm": norm}, priority)

    def freeze(self, cut: str) -> None:
        """See `ValueAgent`; the noise of the last act is dropped."""
        self._weights = None
        super().freeze(cut)

    @torch.no_grad()
    def activations(self, observations: Array, actions: Array) -> dict[str, Array]:
        outputs, features = modules.activations(self.online.encoder, self._tensor(observations))
        head = self.online.head
        outputs["value hidden"], outputs["advantage hidden"] = head.streams(features, head.weights(None)[0])
        return {name: output.cpu().numpy() for name, output in outputs.items()}
