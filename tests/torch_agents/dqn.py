"""DQN (Mnih et al. 2015; the paper's equation 2 and Algorithm 1): a Q head, a target network, random actions."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgerl.config.agent_settings import DqnConfig
from edgerl.config.architectures import Shape
from edgerl.types import Array, Batch, Update
from torch_agents import modules
from torch_agents.value_agent import CPU, Network, ValueAgent


class Dqn(ValueAgent[nn.Sequential]):
    """The DQN agent. Its head has one hidden layer and gives values [B, actions]; `rng` also draws exploration."""

    COUNTERS = ("acted", "updates")
    config: DqnConfig

    def __init__(
        self, window: Shape, actions: int, config: DqnConfig, rng: np.random.Generator, device: torch.device = CPU
    ) -> None:
        def make_head(features: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(features, config.hidden), nn.ReLU(), nn.Linear(config.hidden, actions))

        super().__init__(window, config, rng, device, make_head)
        self.actions, self.acted = actions, 0

    @property
    def epsilon(self) -> float:
        """The probability of a random action now."""
        start, end = self.config.epsilon_start, self.config.epsilon_end
        return start + (end - start) * min(1.0, self.acted / self.config.epsilon_steps)

    def act(self, observation: Array, *, explore: bool) -> int:
        """The greedy action for one observation; if exploring, a random one with probability epsilon."""
        if explore:
            self.acted += 1
            if self.rng.random() < self.epsilon:
                return int(self.rng.integers(self.actions))
        with torch.no_grad():
            return int(self._values(self.online, observation[None]).argmax())

    def update(self, batch: Batch) -> Update:
        """One gradient step on (r + discount max Q'(s') - Q(s, a))^2; the target network is copied at intervals."""
        with torch.no_grad():
            best = self._values(self.target, batch.next_obs).max(dim=1).values
            target = self._tensor(batch.reward) + self._tensor(batch.discount) * best
        values = self._values(self.online, batch.obs)
        chosen = values.gather(1, self._tensor(batch.action).long()[:, None]).squeeze(1)
        losses = functional.mse_loss(chosen, target, reduction="none")
        loss = (self._tensor(batch.weight) * losses).mean()
        norm = self._descend(loss)
        metrics = {"loss": float(loss.detach()), "gradient_norm": norm, "epsilon": self.epsilon}
        return Update(metrics, losses.detach().cpu().numpy())

    def _values(self, network: Network[nn.Sequential], observations: Array) -> Tensor:
        values: Tensor = network.head(network.encoder(self._tensor(observations)))
        return values

    @torch.no_grad()
    def activations(self, observations: Array, actions: Array) -> dict[str, Array]:
        outputs, features = modules.activations(self.online.encoder, self._tensor(observations))
        outputs["hidden"] = self.online.head[:2](features)
        return {name: output.cpu().numpy() for name, output in outputs.items()}
