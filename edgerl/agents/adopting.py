"""Networks that begin as another agent's: of agents with an online and a target network (paper section 5.5)."""

import torch
from torch import nn

from edgerl.tensors import within
from edgerl.types import Array


def adopt(
    online: nn.Module, target: nn.Module, arrays: dict[str, Array], stem: dict[str, Array], *, heads: bool
) -> None:
    """Fill both networks' encoders, and with `heads` their heads, from the arrays of another agent's `state`.

    `stem`: what a freeze dropped of its encoder, all that lies left of the cut; empty where there was none. Without
    `heads` the target's encoder is a copy of the online one. Raises RuntimeError where the other's networks differ.
    """
    for part, network in (("online", online), ("target", target)):
        source = part if heads else "online"
        put(network.get_submodule("encoder"), stem | within(arrays, f"{source}.encoder."))
        if heads:
            put(network.get_submodule("head"), within(arrays, f"{source}.head."))


def put(module: nn.Module, arrays: dict[str, Array]) -> None:
    """Fill a module's parameters by name; raises RuntimeError where names or shapes are others."""
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
