"""What fits a budget, before anything is trained: capacities, and the bytes of networks and optimizer. No torch."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edgerl import architectures, flops
from edgerl.config import Config, ConfigError
from edgerl.envs import EnvSpec
from edgerl.replay import row_dtype
from edgerl.representation import latent_field, pixel_field
from edgerl.sampling import Prioritized
from memory_budget import fit_rows, format_bytes

ACTION = np.dtype(np.uint8)
LIBRARIES = 318_000_000  # bytes; measured: CPython 3.11, torch 2.13 CPU, ONNX Runtime 1.31, x86-64 Linux
SCRATCH, SCRATCH_ROW = 8_000_000, 1_000_000  # bytes; measured: 40 MB where a batch is 32 stacked Atari windows


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


def make(config: Config, env: EnvSpec) -> Plan:
    """The plan of a run on such an environment.

    Raises ConfigError, naming the smallest budget, where one batch and its n-step windows do not fit.
    """
    run, replay, agent = config.run, config.replay, config.agent
    frame, history = env.frame, env.history
    window = (history, *frame)
    latent = architectures.latent_shape(agent.encoder, window, agent.cut)
    pixel_row, latent_row = row_dtype(pixel_field(frame), ACTION), row_dtype(latent_field(latent), ACTION)
    pixels, latents = pixel_row.itemsize, latent_row.itemsize
    kept = latents > pixels
    counts = flops.rainbow(
        agent.encoder, window, env.actions, agent.hidden, agent.atoms, replay.batch_size, agent.cut, keeps_pixels=kept
    )
    needed = replay.batch_size + replay.n_step + history
    smallest = needed * pixels + Prioritized.index_bytes(needed)
    unbounded = run.steps * pixels + Prioritized.index_bytes(run.steps)
    budget = unbounded if run.budget == "unbounded" else run.budget
    initial, after = (fit_rows(budget, row, Prioritized.index_bytes) for row in (pixels, min(pixels, latents)))
    if min(initial, after) < needed:
        raise ConfigError(
            f"--budget: {format_bytes(budget)} holds {max(initial, 0)} rows; one batch of {replay.batch_size} "
            f"and its {replay.n_step}-step windows need {needed}: at least {smallest}B"
        )
    convs = sum(layer.parameters for layer in architectures.layers(agent.encoder, window))
    heads = sum(count for name, count in counts.layers.items() if not name.startswith("conv"))
    network = 4 * (convs + 2 * heads)  # float32; noisy layers hold a mean and a sigma for every weight
    paper_initial = budget // prod(frame)
    return Plan(
        budget=budget,
        initial=initial,
        after_freeze=after,
        paper_initial=paper_initial,
        paper_after_freeze=paper_initial * prod(frame) // (4 * prod(latent)),
        pixel_row=pixels,
        latent_row=latents,
        pixel_columns=_columns(pixel_row, initial),
        latent_columns=_columns(latent_row, after),
        ledger={
            "networks": 2 * network,
            "optimizer": 2 * network,
            "replay": budget,
            "scratch": SCRATCH + SCRATCH_ROW * replay.batch_size,
        },
        flops=counts,
    )


def _columns(row: np.dtype[Any], capacity: int) -> dict[str, float]:
    assert row.fields is not None  # noqa: S101
    found: dict[str, float] = {name: field[0].itemsize for name, field in row.fields.items()}
    found["padding"] = row.itemsize - sum(found.values())
    return found | {"priority": round(Prioritized.index_bytes(capacity) / capacity, 2)}
