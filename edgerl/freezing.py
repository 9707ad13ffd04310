"""The paper's event (section 4): the encoder is frozen, pixels become latents in the same bytes, the replay grows."""

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents import Agent
from edgerl.checkpoint import CheckpointError, digest, write_whole
from edgerl.replay import CHUNK, Replay
from edgerl.representation import Encoded, Latents, Pixels, Stem, nbytes
from edgerl.types import Array
from memory_budget.malloc import returning_blocks, trim
from memory_budget.peak import PeakMeter
from runtime import Session
from runtime.export import export, parity

ONNX_FILE = "encoder.onnx"
TOLERANCE = 1e-4  # ONNX Runtime against torch, float32
LARGE_BLOCK = 256 * 1024  # bytes; what converting a chunk takes in blocks above this leaves the process at once


class FreezeError(RuntimeError):
    """ONNX Runtime's latents are not torch's; nothing was changed."""


def freeze(agent: Agent, replay: Replay, pixels: Pixels, window: Array, cut: str, folder: Path) -> dict[str, Any]:
    """Move the cut from the input to behind layer `cut`; ONNX Runtime runs the stem, from `folder`, from now on.

    `window` [history, *frame] is the one about to be acted on; parity is checked on it and on the newest rows. Returns
    what the summary says of the freeze, the step aside. Raises FreezeError, and leaves all as it was, where parity
    fails.
    """
    meter, started, rows = PeakMeter(), time.perf_counter(), len(replay)
    with returning_blocks(above=LARGE_BLOCK):
        trim()
        pending = pixels.observe(window)[0]
        stem = agent.stem(cut)
        exported = export(stem, pending.shape)
        sha256 = hashlib.sha256(exported).hexdigest()
        write_whole(folder / ONNX_FILE, exported)
        latents = frozen(folder, pixels, replay.sampler.rng, sha256)
        encode = latents.stem.encode
        newest = replay.ring.head - np.arange(min(CHUNK - 1, rows - pixels.history)) - 1
        difference = parity(stem, encode, pending[None])
        if len(newest):
            difference = max(difference, parity(stem, encode, pixels.seen(replay.observations(newest))))
        if not difference <= TOLERANCE:
            raise FreezeError(f"ONNX Runtime differs from torch by {difference:.3g}, above {TOLERANCE}")
        agent.freeze(cut)
        replay.transcode(latents)
    return {
        "seconds": time.perf_counter() - started,
        "rows_before": rows,
        "rows_after": len(replay),
        "parity_max_abs_diff": difference,
        "onnx_file": ONNX_FILE,
        "onnx_sha256": sha256,
        "peak_extra_bytes": meter.extra_bytes(),
        "child_peak_bytes": None,
    }


def frozen(folder: Path, pixels: Pixels, rng: np.random.Generator, sha256: str) -> Latents | Encoded:
    """What a run stores instead of `pixels` once it is frozen, by the stem in its folder: the smaller of the two.

    `rng` draws the crops. Raises CheckpointError where that file is not the one of this checksum, which the run wrote.
    """
    file = folder / ONNX_FILE
    try:
        if digest(file) != sha256:
            raise CheckpointError(f"{file} is damaged: its checksum differs")
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from None
    encode = Session(file)
    latents = Latents(Stem(encode, encode.shape, pixels, views=pixels.augment, rng=rng))
    if nbytes(latents.field) > nbytes(pixels.field):
        return Encoded(Stem(encode, encode.shape, pixels, views=min(1, pixels.augment), rng=rng))
    return latents


def rehearse(agent: Agent, pixels: Pixels, cut: str) -> None:
    """Export and run the stem once, for nothing: what would fail at T_f fails now, and its libraries are in memory."""
    Session(export(agent.stem(cut), pixels.shape))(np.zeros((1, *pixels.shape), np.uint8))
