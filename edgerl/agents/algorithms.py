"""What planning, transfer and snapshots must know of each algorithm, as data. No torch.

A test takes every algorithm of `config.agent_settings.AGENTS` through plan, forecast, sweep, transfer and snapshots.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

from edgerl.agents.passes import Passes, curl_passes, dqn_passes, rainbow_passes, sac_passes
from edgerl.config.agent_settings import RainbowConfig
from edgerl.config.architectures import Layer
from edgerl.config.settings import Config
from edgerl.types import Array


class Calls(NamedTuple):
    """Calls of an array library per update and per act, and what each trained layer of the encoder adds."""

    update: int
    update_layer: int
    act: int
    act_layer: int


class Parameters(NamedTuple):
    """How many numbers the networks hold, targets included, and how many gradients and the optimizers' moments."""

    networks: int
    optimizer: int


@dataclass(frozen=True)
class Algorithm:
    """One algorithm.

    `passes(layers, cut, actions, settings)`: what an update multiplies (agents/passes.py). `parameters(layers, passes,
    frozen=...)`: sizes of networks and optimizers, whole or right of the cut. `calls`: by engine. `encoders`: N of the
    paper, how many encoders share the convolutions. `weight_reads`: numbers that one pass reads per weight of a head.
    `copies`: how often an update holds the outputs of all layers, by engine; `made_copies`: how often it holds the
    weights of the heads, made anew. `calibrated_as`: the algorithm whose calibrated rates it uses.
    `head_settings`: settings that shape the heads, which must be equal for a transfer of all networks.
    `training_only`: prefixes of the arrays that only training needs, which snapshots leave out.
    """

    passes: Callable[..., list[Passes]]
    parameters: Callable[..., Parameters]
    calls: dict[str, Calls]
    encoders: int
    weight_reads: int
    copies: dict[str, float]
    made_copies: dict[str, int]
    calibrated_as: str
    head_settings: tuple[str, ...]
    training_only: tuple[str, ...]


def _encoder(layers: Sequence[Layer]) -> int:
    """Parameters of an encoder."""
    return sum(layer.parameters for layer in layers)


def _heads(passes: Sequence[Passes], *names: str) -> int:
    """Parameters of the heads whose names begin with one of `names`; a linear layer has one per multiply-add."""
    return sum(product.flops for product in passes if product.part == "head" and product.name.startswith(names))


def _rainbow_parameters(layers: Sequence[Layer], passes: Sequence[Passes], *, frozen: bool = False) -> Parameters:
    """Online and target network; a noisy layer has a mean and a sigma for every weight."""
    network = _encoder(layers) + 2 * _heads(passes, "value", "advantage")
    return Parameters(2 * network, 3 * network)


def _plain_rainbow_parameters(layers: Sequence[Layer], passes: Sequence[Passes], *, frozen: bool = False) -> Parameters:
    """Online and target network, without noisy layers."""
    network = _encoder(layers) + _heads(passes, "value", "advantage")
    return Parameters(2 * network, 3 * network)


def _dqn_parameters(layers: Sequence[Layer], passes: Sequence[Passes], *, frozen: bool = False) -> Parameters:
    """Online and target network."""
    network = _encoder(layers) + _heads(passes, "q")
    return Parameters(2 * network, 3 * network)


def _curl_parameters(layers: Sequence[Layer], passes: Sequence[Passes], *, frozen: bool = False) -> Parameters:
    """SAC's, plus W and a second optimizer over encoder and W, which end with the freeze."""
    sac = _sac_parameters(layers, passes)
    if frozen:
        return sac
    contrast = prod(layers[-1].outputs) ** 2
    return Parameters(sac.networks + contrast, sac.optimizer + 2 * _encoder(layers) + 3 * contrast)


def _sac_parameters(layers: Sequence[Layer], passes: Sequence[Passes], *, frozen: bool = False) -> Parameters:
    """The critic with its encoder, their target, the actor with its own layer, and the temperature."""
    own = sum(layer.parameters for layer in layers if layer.name == "fc")
    actor, critic = own + _heads(passes, "actor"), _encoder(layers) + _heads(passes, "q")
    return Parameters(2 * critic + actor + 1, 3 * (critic + actor + 1))


# `calls` are counted on real updates and acts (tests/test_work.py counts them again): of NumPy functions, operators and
# products, a pass over all weights as one; of torch operations, views and reshapes too; for SAC, the mean of updates
# with and without the actor; for Rainbow, without the six of priorities by KL. `copies` and `made_copies` follow from
# resident bytes (planning/memory.py).
_VALUE: dict[str, Any] = {
    "encoders": 1,
    "calibrated_as": "rainbow",
    "training_only": ("optimizer.", "target."),
}
_CONTROL: dict[str, Any] = {
    "encoders": 2,
    "weight_reads": 1,
    "made_copies": {"numpy": 0, "torch": 0},
    "calibrated_as": "curl",
    "head_settings": ("hidden", "log_std_min", "log_std_max"),
    "training_only": ("optimizer.", "net.target_", "net.contrast", "net.log_alpha"),
}
ALGORITHMS: dict[str, Algorithm] = {
    "rainbow": Algorithm(
        passes=rainbow_passes,
        parameters=_rainbow_parameters,
        calls={
            "numpy": Calls(update=175, update_layer=36, act=39, act_layer=5),
            "torch": Calls(update=247, update_layer=21, act=74, act_layer=3),
        },
        copies={"numpy": 2.8, "torch": 2.5},
        made_copies={"numpy": 2, "torch": 3},  # online and target network's; torch's noise is whole too
        weight_reads=2,  # mean and sigma
        head_settings=("hidden", "atoms", "v_min", "v_max", "noisy"),
        **_VALUE,
    ),
    "dqn": Algorithm(
        passes=dqn_passes,
        parameters=_dqn_parameters,
        calls={
            "numpy": Calls(update=55, update_layer=32, act=7, act_layer=5),
            "torch": Calls(update=58, update_layer=18, act=11, act_layer=3),
        },
        copies={"numpy": 1.8, "torch": 2.5},
        made_copies={"numpy": 0, "torch": 0},
        weight_reads=1,
        head_settings=("hidden",),
        **_VALUE,
    ),
    "curl": Algorithm(
        passes=curl_passes,
        parameters=_curl_parameters,
        calls={
            "numpy": Calls(update=271, update_layer=90, act=31, act_layer=5),
            "torch": Calls(update=235, update_layer=46, act=37, act_layer=3),
        },
        copies={"numpy": 3.7, "torch": 3.3},
        **_CONTROL,
    ),
    "sac": Algorithm(
        passes=sac_passes,
        parameters=_sac_parameters,
        calls={
            "numpy": Calls(update=271, update_layer=50, act=31, act_layer=5),
            "torch": Calls(update=235, update_layer=26, act=37, act_layer=3),
        },
        copies={"numpy": 3.0, "torch": 3.3},
        **_CONTROL,
    ),
}
WITHOUT_NOISE = replace(  # Rainbow whose layers are not noisy
    ALGORITHMS["rainbow"],
    parameters=_plain_rainbow_parameters,
    calls={
        "numpy": Calls(update=122, update_layer=36, act=24, act_layer=5),
        "torch": Calls(update=148, update_layer=21, act=32, act_layer=3),
    },
    made_copies={"numpy": 0, "torch": 0},
    weight_reads=1,
)
TRAINING_ONLY = tuple({prefix for algorithm in ALGORITHMS.values() for prefix in algorithm.training_only})


def algorithm_of(config: Config) -> Algorithm:
    """What must be known of a run's algorithm, with its settings."""
    plain = isinstance(config.agent, RainbowConfig) and not config.agent.noisy
    return WITHOUT_NOISE if plain else ALGORITHMS[config.run.algo]


def learned(arrays: dict[str, Array]) -> dict[str, Array]:
    """The weights of encoder and heads, out of all arrays of an agent's state."""
    return {name: array for name, array in arrays.items() if not name.startswith(TRAINING_ONLY)}
