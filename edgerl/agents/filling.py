"""Filling networks with arrays: from a checkpoint, or from another agent's (paper section 5.5)."""

import torch
from torch import nn

from edgerl.types import Array


def put(module: nn.Module, arrays: dict[str, Array]) -> None:
    """Fill a module's parameters by name; raises RuntimeError where names or shapes are others."""
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
