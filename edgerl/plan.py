"""What fits a budget, before anything is trained: capacities, and the bytes of networks and optimizer. No torch."""

from dataclasses import dataclass
from math import prod

import numpy as np

from edgerl import architectures, flops
from edgerl.config import Config, ConfigError
from edgerl.replay import row_dtype
from edgerl.representation import latent_field, pixel_field
from edgerl.sampling import Prioritized
from memory_budget import fit_rows, format_bytes

ACTION = np.dtype(np.uint8)


@dataclass(frozen=True)
class Plan:
    """Rows of pixels and of latents by exact and by the paper's accounting; bytes of a row; planned bytes by line."""

    initial: int
    after_freeze: int
    paper_initial: int
    paper_after_freeze: int
    pixel_row: int
    latent_row: int
    ledger: dict[str, int]
    flops: flops.Flops


def make(config: Config, frame: tuple[int, ...], history: int, actions: int) -> Plan:
    """The plan of a run on frames of this shape.

    Raises ConfigError, naming the smallest budget, where one batch and its n-step windows do not fit.
    """
    run, replay, agent = config.run, config.replay, config.agent
    window = (history, *frame)
    latent = architectures.latent_shape(agent.encoder, window, agent.cut)
    pixels = row_dtype(pixel_field(frame), ACTION).itemsize
    latents = row_dtype(latent_field(latent), ACTION).itemsize
    counts = flops.rainbow(agent.encoder, window, actions, agent.hidden, agent.atoms, replay.batch_size, agent.cut)
    needed = replay.batch_size + replay.n_step + history
    smallest = max(needed * row + Prioritized.index_bytes(needed) for row in (pixels, latents))
    initial, after = (fit_rows(run.budget, row, Prioritized.index_bytes) for row in (pixels, latents))
    if min(initial, after) < needed:
        raise ConfigError(
            f"--budget: {format_bytes(run.budget)} holds {max(initial, 0)} rows; one batch of {replay.batch_size} "
            f"and its {replay.n_step}-step windows need {needed}: at least {smallest}B"
        )
    convs = sum(layer.parameters for layer in architectures.layers(agent.encoder, window))
    heads = sum(count for name, count in counts.layers.items() if not name.startswith("conv"))
    network = 4 * (convs + 2 * heads)  # float32; noisy layers hold a mean and a sigma for every weight
    paper_initial = run.budget // prod(frame)
    return Plan(
        initial=initial,
        after_freeze=after,
        paper_initial=paper_initial,
        paper_after_freeze=paper_initial * prod(frame) // (4 * prod(latent)),
        pixel_row=pixels,
        latent_row=latents,
        ledger={"networks": 2 * network, "optimizer": 2 * network, "replay": run.budget},
        flops=counts,
    )
