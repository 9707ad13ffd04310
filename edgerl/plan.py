"""What fits a budget, before anything is trained: capacities, and the bytes of networks and optimizer. No torch."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edgerl import architectures, flops, representation
from edgerl.config import AGENTS, CONTINUOUS, Config, ConfigError, RainbowConfig, SacConfig
from edgerl.envs import EnvSpec, suite_of
from edgerl.replay import CHUNK, row_dtype
from edgerl.representation import latent_field
from edgerl.sampling import SAMPLERS
from memory_budget import fit_rows, format_bytes

# Bytes; measured: CPython 3.11, torch 2.13 CPU, ONNX Runtime 1.31, x86-64 Linux; what some suites add to it, and what a
# second environment takes, as evaluations make one.
LIBRARIES, SUITES = 318_000_000, {"dmc": 178_000_000, "gym": 20_000_000}
EVALUATION, EVALUATIONS = 8_000_000, {"dmc": 75_000_000}
# Bytes; measured: 40 MB where a batch is 32 stacked Atari windows, 500 MB where it is 128 of dmc.
SCRATCH, SCRATCH_ROW = 8_000_000, {"rainbow": 1_000_000, "dqn": 1_000_000, "curl": 3_900_000, "sac": 3_900_000}


@dataclass(frozen=True)
class Plan:
    """Rows of pixels and of latents by exact and by the paper's accounting; bytes of a row; planned bytes by line."""

    budget: int  # bytes, with "unbounded" worked out
    initial: int
    after_freeze: int
    paper_initial: int
    paper_after_freeze: int
    pixel_row: int
    latent_row: int  # where it is larger than `pixel_row`, the replay keeps pixels after the freeze too
    pixel_columns: dict[str, float]  # bytes by column, the index and the padding included
    latent_columns: dict[str, float]
    ledger: dict[str, int]
    flops: flops.Flops
    freezing: int  # bytes that converting a chunk of rows takes for a while
    evaluation: int  # and playing whole games


def make(config: Config, env: EnvSpec) -> Plan:
    """The plan of a run on such an environment.

    Raises ConfigError where one batch and its n-step windows do not fit, naming the smallest budget, and where the
    algorithm is not one for such actions.
    """
    run, replay = config.run, config.replay
    _check_actions(run.algo, env)
    _check_crop(config, env)
    pixels, latent = representation.pixels(env, replay), _latent(config, env)
    pixel_row, latent_row = row_dtype(pixels.field, env.action), row_dtype(latent_field(latent), env.action)
    kept = latent_row.itemsize > pixel_row.itemsize
    counts = flops.count(config, pixels.shape, env.actions, keeps_pixels=kept)
    index_bytes = SAMPLERS[replay.sampling].index_bytes
    needed = replay.batch_size + replay.n_step + env.history
    smallest = needed * pixel_row.itemsize + index_bytes(needed)
    unbounded = run.steps * pixel_row.itemsize + index_bytes(run.steps)
    budget = unbounded if run.budget == "unbounded" else run.budget
    rows = (pixel_row.itemsize, min(pixel_row.itemsize, latent_row.itemsize))
    initial, after = (fit_rows(budget, row, index_bytes) for row in rows)
    if min(initial, after) < needed:
        raise ConfigError(
            f"--budget: {format_bytes(budget)} holds {max(initial, 0)} rows; one batch of {replay.batch_size} "
            f"and its {replay.n_step}-step windows need {needed}: at least {smallest}B"
        )
    networks, optimizer = _parameters(config, pixels.shape, counts)
    paper_initial = budget // prod(env.frame)
    return Plan(
        budget=budget,
        initial=initial,
        after_freeze=after,
        paper_initial=paper_initial,
        paper_after_freeze=paper_initial * prod(env.frame) // (4 * prod(latent)),
        pixel_row=pixel_row.itemsize,
        latent_row=latent_row.itemsize,
        pixel_columns=_columns(pixel_row, index_bytes(initial) / initial),
        latent_columns=_columns(latent_row, index_bytes(after) / after),
        ledger={
            "libraries": libraries(run.env),
            "networks": 4 * networks,  # float32
            "optimizer": 4 * optimizer,
            "replay": budget,
            "scratch": SCRATCH + SCRATCH_ROW[run.algo] * replay.batch_size,
        },
        flops=counts,
        freezing=_freezing(config.agent.encoder, pixels.shape),
        evaluation=EVALUATIONS.get(suite_of(run.env), EVALUATION),
    )


def libraries(env: str) -> int:
    """Bytes resident with everything loaded that a run on this environment needs."""
    return LIBRARIES + SUITES.get(suite_of(env), 0)


def _check_actions(algo: str, env: EnvSpec) -> None:
    if (algo in CONTINUOUS) != env.continuous:
        kind = "vectors" if env.continuous else "one of a few"
        fitting = [name for name in AGENTS if (name in CONTINUOUS) == env.continuous]
        raise ConfigError(
            f"--algo: {algo} does not fit: this environment's actions are {kind}; {' or '.join(fitting)} fits"
        )


def _check_crop(config: Config, env: EnvSpec) -> None:
    replay, (height, width) = config.replay, env.frame[-2:]
    if config.run.algo not in CONTINUOUS and (replay.crop or replay.random_crop):
        raise ConfigError(f"replay.crop: {config.run.algo} learns from whole frames; give 0, and random_crop = false")
    if replay.crop > min(height, width):
        raise ConfigError(f"replay.crop = {replay.crop} is larger than this environment's frames, {height}x{width}")
    if replay.random_crop and not replay.crop:
        raise ConfigError("replay.random_crop = true needs replay.crop, the side of a crop")


def _latent(config: Config, env: EnvSpec) -> tuple[int, ...]:
    """What a row holds after the freeze: [L], [N, L] of tied encoders, [K, ...] where crops are random."""
    agent, replay = config.agent, config.replay
    shape = architectures.latent_shape(agent.encoder, representation.pixels(env, replay).shape, agent.cut)
    if agent.cut == "fc" and isinstance(agent, SacConfig):
        shape = (2, *shape)
    return (replay.augmentations, *shape) if replay.random_crop else shape


def _parameters(config: Config, window: tuple[int, ...], counts: flops.Flops) -> tuple[int, int]:
    """Numbers that networks and optimizer hold, two moments for what is trained; a linear layer has one a multiply."""
    layers = {layer.name: layer.parameters for layer in architectures.layers(config.agent.encoder, window)}
    encoder = sum(layers.values())
    linear = {name: count for name, count in counts.layers.items() if name not in layers and not name.endswith("_fc")}
    if not isinstance(config.agent, SacConfig):
        noisy = 2 if isinstance(config.agent, RainbowConfig) else 1  # a mean and a sigma for every weight
        network = encoder + noisy * sum(linear.values())
        return 2 * network, 2 * network
    own = layers.get("fc", 0)
    actor = own + sum(count for name, count in linear.items() if name.startswith("actor"))
    critic = encoder + sum(count for name, count in linear.items() if name.startswith("q"))
    contrast = config.run.algo == "curl"
    features = architectures.latent_shape(config.agent.encoder, window, architectures.last_layer(config.agent.encoder))
    w = features[0] ** 2 * contrast
    return 2 * critic + actor + w + 1, 2 * (critic + actor + (encoder + w) * contrast + 1)


def _freezing(encoder: str, window: tuple[int, ...]) -> int:
    """Bytes of a chunk of windows and of the two largest outputs, float32, and half as much again."""
    outputs = sorted(prod(layer.outputs) for layer in architectures.layers(encoder, window))[-2:]
    return CHUNK * 4 * (prod(window) + sum(outputs)) * 3 // 2


def _columns(row: np.dtype[Any], priority: float) -> dict[str, float]:
    assert row.fields is not None  # noqa: S101
    found: dict[str, float] = {name: field[0].itemsize for name, field in row.fields.items()}
    found["padding"] = row.itemsize - sum(found.values())
    return found | {"priority": round(priority, 2)}
