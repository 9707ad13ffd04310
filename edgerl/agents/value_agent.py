"""What Rainbow and DQN have in common: an online and a target network, one optimizer, the cut, what is saved."""

import copy
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import backward

from edgerl.agents.agent import within
from edgerl.agents.torch_encoder import modules
from edgerl.agents.torch_encoder.fused_adam import Adam
from edgerl.agents.torch_encoder.modules import put
from edgerl.config import architectures
from edgerl.config.architectures import Shape
from edgerl.config.settings import DqnConfig, RainbowConfig
from edgerl.types import Array

CPU = torch.device("cpu")
Head = TypeVar("Head", bound=nn.Module)


class Network(nn.Module, Generic[Head]):
    """An encoder and a head. After a freeze the encoder is what is left right of the cut."""

    def __init__(self, encoder: modules.Encoder, head: Head) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head


class ValueAgent(Generic[Head]):
    """Values of actions from the online network; the target network is copied from it now and then.

    `window`: the shape of what encoders see; `head` makes a head for so many features; `rng` draws the weights, and
    later what exploration needs. Subclasses act and update, and name in COUNTERS what else a checkpoint keeps.
    """

    COUNTERS: tuple[str, ...] = ("updates",)

    def __init__(
        self,
        window: Shape,
        config: RainbowConfig | DqnConfig,
        rng: np.random.Generator,
        device: torch.device,
        head: Callable[[int], Head],
    ) -> None:
        self.config, self.rng, self.device = config, rng, device
        self.cut: str | None = None
        self.updates = 0
        torch.manual_seed(int(rng.integers(2**63)))
        last = architectures.last_layer(config.encoder)
        features = architectures.latent_shape(config.encoder, window, last)[0]
        self.online = Network(modules.build(config.encoder, window), head(features)).to(device)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.optimizer = Adam(
            self.online.named_parameters(), config.learning_rate, eps=config.adam_eps, clip_norm=config.clip_norm
        )

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _descend(self, loss: Tensor) -> float:
        """One step down the gradient, whose norm it returns; the target follows when its turn has come."""
        backward(loss)
        norm = self.optimizer.step()
        self.updates += 1
        if self.updates % self.config.target_every == 0:
            self.target.load_state_dict(self.online.state_dict())
        return norm

    def stem(self, cut: str) -> nn.Module:
        """What lies left of `cut`, as it is now, on the CPU; the agent stays whole."""
        stem = self.online.encoder.split(cut)[0]
        return stem if self.device == CPU else copy.deepcopy(stem).to(CPU)

    def freeze(self, cut: str) -> None:
        """Keep what lies right of `cut` (paper section 4.1); observations are latents from now on.

        The target shares the online stem, so both stems go, and with them their gradients and optimizer moments.
        """
        stem, self.online.encoder = self.online.encoder.split(cut)
        _, self.target.encoder = self.target.encoder.split(cut)
        self.cut = cut
        self.optimizer.drop(stem.parameters())

    def adopt(self, arrays: dict[str, Array], stem: dict[str, Array], *, heads: bool) -> None:
        """Begin with the encoder of another agent, and with `heads` its heads: what its `state` gave, and the `stem`.

        The latter is what a freeze dropped: all that lies left of its cut, empty where there was none. Without `heads`
        the target's encoder is a copy of the online one. Raises RuntimeError for other networks.
        """
        for part, network in (("online", self.online), ("target", self.target)):
            source = part if heads else "online"
            put(network.encoder, stem | within(arrays, f"{source}.encoder."))
            if heads:
                put(network.head, within(arrays, f"{source}.head."))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that training changes: arrays by name (on the CPU views, not copies), and plain values."""
        arrays = {
            f"{part}.{name}": tensor.cpu().numpy()
            for part, network in (("online", self.online), ("target", self.target))
            for name, tensor in network.state_dict().items()
        }
        arrays |= {f"optimizer.{name}": array for name, array in self.optimizer.state().items()}
        values = {"cut": self.cut} | {name: getattr(self, name) for name in self.COUNTERS}
        return arrays, values | {"rng": self.rng.bit_generator.state}

    def load(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Take over what `state` gave, cut included. Raises RuntimeError or KeyError for another agent's arrays."""
        if values["cut"] is not None and self.cut is None:
            self.freeze(values["cut"])
        put(self.online, within(arrays, "online."))
        put(self.target, within(arrays, "target."))
        self.optimizer.load(within(arrays, "optimizer."))
        for name in self.COUNTERS:
            setattr(self, name, values[name])
        self.rng.bit_generator.state = values["rng"]

    def nbytes(self) -> dict[str, int]:
        """Bytes held, by line of the ledger: parameters of both networks, and the optimizer's moments."""
        networks = sum(p.nbytes for network in (self.online, self.target) for p in network.parameters())
        return {"networks": networks, "optimizer": self.optimizer.nbytes}
