"""DQN (Mnih et al. 2015; the paper's equation 2 and Algorithm 1): a Q head, a target network, random actions."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import backward
from torch.nn import functional

from edgerl import architectures, encoders
from edgerl.agents.adam import Adam
from edgerl.agents.adopting import adopt
from edgerl.architectures import Shape
from edgerl.config import DqnConfig
from edgerl.tensors import within
from edgerl.types import Array, Batch, Update

CPU = torch.device("cpu")


class Network(nn.Module):
    """An encoder and a head of one hidden layer: observations to values [B, actions]."""

    def __init__(self, window: Shape, actions: int, config: DqnConfig) -> None:
        super().__init__()
        last = architectures.last_layer(config.encoder)
        features = architectures.latent_shape(config.encoder, window, last)[0]
        self.encoder = encoders.build(config.encoder, window)
        self.head = nn.Sequential(
            nn.Linear(features, config.hidden), nn.ReLU(), nn.Linear(config.hidden, actions)
        )  # fmt: skip

    def forward(self, observations: Tensor) -> Tensor:
        values: Tensor = self.head(self.encoder(observations))
        return values


class Dqn:
    """The agent. `rng` draws weights and exploration; `window`: the shape of what encoders see."""

    def __init__(
        self, window: Shape, actions: int, config: DqnConfig, rng: np.random.Generator, device: torch.device = CPU
    ) -> None:
        self.config, self.actions, self.rng, self.device = config, actions, rng, device
        self.cut: str | None = None
        self.acted = self.updates = 0
        torch.manual_seed(int(rng.integers(2**63)))
        self.online = Network(window, actions, config).to(device)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.optimizer = Adam(
            self.online.named_parameters(), config.learning_rate, eps=config.adam_eps, clip_norm=config.clip_norm
        )

    @property
    def epsilon(self) -> float:
        """The share of random actions now."""
        start, end = self.config.epsilon_start, self.config.epsilon_end
        return start + (end - start) * min(1.0, self.acted / self.config.epsilon_steps)

    def act(self, observation: Array, *, explore: bool) -> int:
        """The greedy action for one observation; to explore, a random one with probability epsilon."""
        if explore:
            self.acted += 1
            if self.rng.random() < self.epsilon:
                return int(self.rng.integers(self.actions))
        with torch.no_grad():
            return int(self.online(self._tensor(observation[None])).argmax())

    def update(self, batch: Batch) -> Update:
        """One gradient step on (r + discount max Q'(s') - Q(s, a))^2; the target is copied now and then."""
        with torch.no_grad():
            best = self.target(self._tensor(batch.next_obs)).max(dim=1).values
            wanted = self._tensor(batch.reward) + self._tensor(batch.discount) * best
        values = self.online(self._tensor(batch.obs))
        chosen = values.gather(1, self._tensor(batch.action).long()[:, None]).squeeze(1)
        losses = functional.mse_loss(chosen, wanted, reduction="none")
        loss = (self._tensor(batch.weight) * losses).mean()
        backward(loss)
        norm = self.optimizer.step()
        self.updates += 1
        if self.updates % self.config.target_every == 0:
            self.target.load_state_dict(self.online.state_dict())
        metrics = {"loss": float(loss.detach()), "gradient_norm": norm, "epsilon": self.epsilon}
        return Update(metrics, losses.detach().cpu().numpy())

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def stem(self, cut: str) -> nn.Module:
        """What lies left of `cut`, as it is now, on the CPU; the agent stays whole."""
        stem = self.online.encoder.split(cut)[0]
        return stem if self.device == CPU else copy.deepcopy(stem).to(CPU)

    def freeze(self, cut: str) -> None:
        """Keep what lies right of `cut` (paper section 4.1); the target shares the online stem."""
        stem, self.online.encoder = self.online.encoder.split(cut)
        _, self.target.encoder = self.target.encoder.split(cut)
        self.cut = cut
        self.optimizer.drop(stem.parameters())

    def adopt(self, arrays: dict[str, Array], stem: dict[str, Array], *, heads: bool) -> None:
        """Begin with the encoder of another agent, or with all its networks; see `adopting.adopt`."""
        adopt(self.online, self.target, arrays, stem, heads=heads)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that training changes: arrays by name (on the CPU views, not copies), and plain values."""
        arrays = {
            f"{part}.{name}": tensor.cpu().numpy()
            for part, network in (("online", self.online), ("target", self.target))
            for name, tensor in network.state_dict().items()
        }
        arrays |= {f"optimizer.{name}": array for name, array in self.optimizer.state().items()}
        values = {"cut": self.cut, "acted": self.acted, "updates": self.updates}
        return arrays, values | {"rng": self.rng.bit_generator.state}

    def load(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Take over what `state` gave, cut included. Raises RuntimeError or KeyError for another agent's arrays."""
        if values["cut"] is not None and self.cut is None:
            self.freeze(values["cut"])
        for part, network in (("online.", self.online), ("target.", self.target)):
            network.load_state_dict({n: torch.from_numpy(a) for n, a in within(arrays, part).items()})
        self.optimizer.load(within(arrays, "optimizer."))
        self.acted, self.updates, self.rng.bit_generator.state = values["acted"], values["updates"], values["rng"]

    @torch.no_grad()
    def activations(self, observations: Array, actions: Array) -> dict[str, Array]:
        found, features = encoders.activations(self.online.encoder, self._tensor(observations))
        found["hidden"] = self.online.head[:2](features)
        return {name: layer.cpu().numpy() for name, layer in found.items()}

    def nbytes(self) -> dict[str, int]:
        """Bytes held, by line of the ledger: parameters of both networks, and the optimizer's moments."""
        networks = sum(p.nbytes for network in (self.online, self.target) for p in network.parameters())
        return {"networks": networks, "optimizer": self.optimizer.nbytes}
