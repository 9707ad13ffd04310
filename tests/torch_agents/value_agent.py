"""What Rainbow and DQN share: an online and a target network, one optimizer, the freeze, the saved state."""

import copy
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import backward

from edgerl.agents.agent import arrays_under
from edgerl.config import architectures
from edgerl.config.agent_settings import ValueConfig
from edgerl.config.architectures import Shape
from edgerl.types import Array
from torch_agents import modules
from torch_agents.fused_adam import Adam
from torch_agents.modules import load_arrays

CPU = torch.device("cpu")
Head = TypeVar("Head", bound=nn.Module)


class Network(nn.Module, Generic[Head]):
    """An encoder and a head. After a freeze the encoder is only what lies right of the cut."""

    def __init__(self, encoder: modules.Encoder, head: Head) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head


class ValueAgent(Generic[Head]):
    """Values of actions from the online network, which is copied to the target network at intervals.

    `window`: the shape of what encoders see; `make_head`: makes a head for so many features; `rng` draws the weights
    and exploration. Subclasses act and update; their COUNTERS are the attributes that a checkpoint keeps too.
    """

    COUNTERS: tuple[str, ...] = ("updates",)

    def __init__(
        self,
        window: Shape,
        config: ValueConfig,
        rng: np.random.Generator,
        device: torch.device,
        make_head: Callable[[int], Head],
    ) -> None:
        self.window, self.config, self.rng, self.device = window, config, rng, device
        self.cut: str | None = None
        self.updates = 0
        torch.manual_seed(int(rng.integers(2**63)))
        last = architectures.last_layer(config.encoder)
        features = architectures.latent_shape(config.encoder, window, last)[0]
        self.online = Network(modules.build(config.encoder, window), make_head(features)).to(device)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.optimizer = Adam(
            self.online.named_parameters(), config.learning_rate, eps=config.adam_eps, clip_norm=config.clip_norm
        )

    def _tensor(self, array: Array) -> Tensor:
        tensor = torch.from_numpy(array).to(self.device)
        return tensor.double() if tensor.dtype == torch.float32 else tensor

    def _descend(self, loss: Tensor) -> float:
        """One optimizer step; returns the gradient's norm. Every `target_every` updates the target is copied."""
        backward(loss)
        norm = self.optimizer.step()
        self.updates += 1
        if self.updates % self.config.target_every == 0:
            self.target.load_state_dict(self.online.state_dict())
        return norm

    def stem(self, cut: str) -> modules.Stem:
        """What lies left of `cut`, with the weights it has now, on the CPU; the agent stays whole."""
        module = self.online.encoder.split(cut)[0]
        module = module if self.device == CPU else copy.deepcopy(module).to(CPU)
        return modules.Stem(module, self.config.encoder, self.window, cut)

    def freeze(self, cut: str) -> None:
        """Keep what lies right of `cut` (paper section 4.1); observations are latents from now on.

        The target shares the online stem, so both stems are dropped with their gradients and optimizer moments.
        """
        stem, self.online.encoder = self.online.encoder.split(cut)
        _, self.target.encoder = self.target.encoder.split(cut)
        self.cut = cut
        self.optimizer.drop(stem.parameters())

    def adopt(self, arrays: dict[str, Array], stem: dict[str, Array], *, heads: bool) -> None:
        """Start from another agent's encoder, and with `heads` from its heads too: `arrays` as its `state` returned.

        `stem`: the weights a freeze removed; empty if the source was never frozen. Without `heads` the target's encoder
        is a copy of the online one. Raises RuntimeError for other networks.
        """
        for part, network in (("online", self.online), ("target", self.target)):
            source = part if heads else "online"
            load_arrays(network.encoder, stem | arrays_under(arrays, f"{source}.encoder."))
            if heads:
                load_arrays(network.head, arrays_under(arrays, f"{source}.head."))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that training changes: arrays by name (views, not copies, on the CPU), and plain values."""
        arrays = {
            f"{part}.{name}": tensor.cpu().numpy()
            for part, network in (("online", self.online), ("target", self.target))
            for name, tensor in network.state_dict().items()
        }
        arrays |= {f"optimizer.{name}": array for name, array in self.optimizer.state().items()}
        values = {"cut": self.cut} | {name: getattr(self, name) for name in self.COUNTERS}
        return arrays, values | {"rng": self.rng.bit_generator.state}

    def load(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Restore what `state` returned, cut included. Raises RuntimeError or KeyError for another agent's arrays."""
        if values["cut"] is not None and self.cut is None:
            self.freeze(values["cut"])
        load_arrays(self.online, arrays_under(arrays, "online."))
        load_arrays(self.target, arrays_under(arrays, "target."))
        self.optimizer.load(arrays_under(arrays, "optimizer."))
        for name in self.COUNTERS:
            setattr(self, name, values[name])
        self.rng.bit_generator.state = values["rng"]

    def nbytes(self) -> dict[str, int]:
        """Bytes held, by line of the ledger: parameters of both networks, and the optimizer's moments."""
        networks = sum(p.nbytes for network in (self.online, self.target) for p in network.parameters())
        return {"networks": networks, "optimizer": self.optimizer.nbytes}
