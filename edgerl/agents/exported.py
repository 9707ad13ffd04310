"""How an agent acts when it does not explore, for ONNX: its operations and weights, and its own numbers beside them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgerl.types import Array
from runtime.policy import Greedy, Output, PolicyOperation


@dataclass(frozen=True)
class Exported:
    """An agent's policy. `encoders`: how many share convolutions; the actor's is the one that acts.

    `operations`: from an encoder's features [B, L] to what all `outputs` are made of. `weights`: those that the agent
    has, on the CPU, an encoder's named as in encoder.onnx; what a freeze removed is not among them. `own`: the agent's
    own outputs by name, NumPy's, of observations [B, ...].
    """

    encoders: int
    operations: tuple[PolicyOperation, ...]
    outputs: Mapping[str, Output]
    weights: Mapping[str, Array]
    own: Callable[[Array], dict[str, Array]]


def value_outputs(actions: int) -> dict[str, Output]:
    """The outputs of an agent whose operations end with values [B, actions]."""
    return {
        "action": Output((Greedy(),), np.int64, (), "the number of the action with the largest value"),
        "values": Output((), np.float32, (actions,), "the mean return that every action promises"),
    }


def action_outputs(actions: int, operations: Mapping[str, tuple[PolicyOperation, ...]]) -> dict[str, Output]:
    """The outputs of an agent whose actions are vectors; `operations`: of each, over what its network gives."""
    meanings = {
        "action": "the mean action, every component in [-1, 1]",
        "log_std": "the log standard deviation of every component, before tanh squashes it into [-1, 1]",
    }
    return {name: Output(operations[name], np.float32, (actions,), meaning) for name, meaning in meanings.items()}
