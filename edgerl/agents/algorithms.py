"""What planning, transfer and snapshots must know of each algorithm, as data. No torch.

A test takes every algorithm of `config.settings.AGENTS` through plan, forecast, sweep, transfer and snapshots.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from edgerl.agents.passes import Passes, curl_passes, dqn_passes, rainbow_passes, sac_passes
from edgerl.config.architectures import Layer
from edgerl.types import Array


class Calls(NamedTuple):
    """torch operations per update and per act, and what each trained encoder layer adds."""

    update: int
    update_layer: int
    act: int
    act_layer: int


class Parameters(NamedTuple):
    """How many numbers the networks hold, targets included, and how many the optimizers' moments hold."""

    networks: int
    moments: int


@dataclass(frozen=True)
class Algorithm:
    """One algorithm.

    `passes(layers, cut, actions, settings)`: what an update multiplies (agents/passes.py). `parameters(layers,
    passes)`: sizes of networks and optimizers. `encoders`: N of the paper, how many encoders share the convolutions.
    `weight_reads`: numbers that one pass reads per weight of a head. `update_row_bytes`: temporary bytes that an update
    takes per row of its batch, at least. `calibrated_as`: the algorithm whose calibrated rates it uses.
    `head_settings`: settings that shape the heads, which must be equal for a transfer of all networks.
    `training_only`: prefixes of the arrays that only training needs, which snapshots leave out.
    """

    passes: Callable[..., list[Passes]]
    parameters: Callable[[Sequence[Layer], Sequence[Passes]], Parameters]
    calls: Calls
    encoders: int
    weight_reads: int
    update_row_bytes: int
    calibrated_as: str
    head_settings: tuple[str, ...]
    training_only: tuple[str, ...]


def _encoder(layers: Sequence[Layer]) -> int:
    """Parameters of an encoder."""
    return sum(layer.parameters for layer in layers)


def _heads(passes: Sequence[Passes], *names: str) -> int:
    """Parameters of the heads whose names begin with one of `names`; a linear layer has one per multiply-add."""
    return sum(product.flops for product in passes if product.part == "head" and product.name.startswith(names))


def _rainbow_parameters(layers: Sequence[Layer], passes: Sequence[Passes]) -> Parameters:
    """Online and target network; a noisy layer has a mean and a sigma for every weight."""
    network = _encoder(layers) + 2 * _heads(passes, "value", "advantage")
    return Parameters(2 * network, 2 * network)


def _dqn_parameters(layers: Sequence[Layer], passes: Sequence[Passes]) -> Parameters:
    """Online and target network."""
    network = _encoder(layers) + _heads(passes, "q")
    return Parameters(2 * network, 2 * network)


def _curl_parameters(layers: Sequence[Layer], passes: Sequence[Passes]) -> Parameters:
    """SAC's, plus W and a second optimizer over encoder and W."""
    contrast = prod(layers[-1].outputs) ** 2
    sac = _sac_parameters(layers, passes)
    return Parameters(sac.networks + contrast, sac.moments + 2 * (_encoder(layers) + contrast))


def _sac_parameters(layers: Sequence[Layer], passes: Sequence[Passes]) -> Parameters:
    """The critic with its encoder, their target, the actor with its own layer, and the temperature."""
    own = layers[-1].parameters if layers[-1].name == "fc" else 0
    actor, critic = own + _heads(passes, "actor"), _encoder(layers) + _heads(passes, "q")
    return Parameters(2 * critic + actor + 1, 2 * (critic + actor + 1))


# `calls` were counted on real updates, views and reshapes included (tests/test_work.py counts them again); for SAC,
# the mean of updates with and without the actor. `update_row_bytes` were measured: 40 MB for 32 stacked Atari windows,
# 385 MB for 128 of dmc.
_VALUE: dict[str, Any] = {
    "encoders": 1,
    "update_row_bytes": 1_000_000,
    "calibrated_as": "rainbow",
    "training_only": ("optimizer.", "target."),
}
_CONTROL: dict[str, Any] = {
    "encoders": 2,
    "weight_reads": 1,
    "update_row_bytes": 3_100_000,
    "calibrated_as": "curl",
    "head_settings": ("hidden", "log_std_min", "log_std_max"),
    "training_only": ("optimizer.", "net.target_", "net.contrast", "net.log_alpha"),
}
ALGORITHMS: dict[str, Algorithm] = {
    "rainbow": Algorithm(
        passes=rainbow_passes,
        parameters=_rainbow_parameters,
        calls=Calls(update=252, update_layer=23, act=46, act_layer=3),
        weight_reads=3,  # mean, sigma, and the weight made of them
        head_settings=("hidden", "atoms", "v_min", "v_max"),
        **_VALUE,
    ),
    "dqn": Algorithm(
        passes=dqn_passes,
        parameters=_dqn_parameters,
        calls=Calls(update=77, update_layer=19, act=8, act_layer=3),
        weight_reads=1,
        head_settings=("hidden",),
        **_VALUE,
    ),
    "curl": Algorithm(
        passes=curl_passes,
        parameters=_curl_parameters,
        calls=Calls(update=256, update_layer=33, act=34, act_layer=3),
        **_CONTROL,
    ),
    "sac": Algorithm(
        passes=sac_passes,
        parameters=_sac_parameters,
        calls=Calls(update=256, update_layer=22, act=34, act_layer=3),
        **_CONTROL,
    ),
}
TRAINING_ONLY = tuple({prefix for algorithm in ALGORITHMS.values() for prefix in algorithm.training_only})


def learned(arrays: dict[str, Array]) -> dict[str, Array]:
    """The weights of encoder and heads, out of all arrays of an agent's state."""
    return {name: array for name, array in arrays.items() if not name.startswith(TRAINING_ONLY)}
