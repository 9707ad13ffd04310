"""The paper's event (section 4): the encoder is frozen, pixels become latents in the same bytes, the replay grows."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.config.settings import Config
from edgerl.errors import FreezeError
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Encoded, Latents
from edgerl.replay.quantization import MIN_ROWS_FOR_UINT8
from edgerl.replay.representation import CHUNK, Pixels, chunk, nbytes
from edgerl.replay.stem import ONNX_FILE, TOLERANCE, agreeing_session, as_encoded, as_latents
from edgerl.runs.files import digest, write_pieces
from edgerl.types import Array
from memory_budget import format_bytes
from memory_budget.malloc import returning_blocks, trim
from memory_budget.peak import PeakMeter
from runtime import CPU, Session, providers
from runtime.export import export, export_pieces
from runtime.export import latents as latents_of

FITTED = 2048  # rows that the scales of uint8 are laid over, at most
LARGE_BLOCK = 256 * 1024  # bytes; what converting a chunk takes in blocks above this leaves the process at once


@dataclass(frozen=True)
class FreezeSettings:
    """How the encoder is frozen: behind layer `cut`; `store` and `latent_dtype` as in ReplayConfig.

    `provider`: ONNX Runtime's execution provider, if it has parity; `chunk`: windows encoded at a time.
    """

    cut: str
    store: str = "auto"
    latent_dtype: str = "float32"
    provider: str = CPU
    chunk: int = CHUNK

    @staticmethod
    def of(config: Config, pixels: Pixels) -> "FreezeSettings":
        """Those of a run."""
        most = chunk(config.agent.encoder, pixels.shape)
        replay, provider = config.replay, config.run.ort_provider
        return FreezeSettings(config.agent.cut, replay.store, replay.latent_dtype, provider, most)


def freeze(
    agent: Agent,
    replay: Replay,
    *,
    pixels: Pixels,
    window: Array,
    folder: Path,
    settings: FreezeSettings,
    progress: Callable[[int], None] = lambda rows: None,
) -> dict[str, Any]:
    """Move the cut from the input to behind a layer; from now on ONNX Runtime runs the stem, from a file in `folder`.

    `pixels`: what the replay stores until now. `window` [history, *frame] is the one about to be acted on; parity is
    checked on it and on the newest rows (at step 0 there are none). `progress` is told how many rows are done. Returns
    what the summary says of the freeze, the step aside. Raises FreezeError if parity fails: the agent has lost its stem
    then, the replay is as it was.
    """
    meter, started, rows, capacity = PeakMeter(), time.perf_counter(), len(replay), replay.capacity
    with returning_blocks(above=LARGE_BLOCK):
        trim()
        windows, stem = _compared(replay, pixels, window, settings.chunk), agent.stem(settings.cut)
        expected = latents_of(stem, windows)
        write_pieces(folder / ONNX_FILE, export_pieces(stem, windows.shape[1:]))
        sha256 = digest(folder / ONNX_FILE)
        del stem
        agent.freeze(settings.cut)
        trim()  # before ONNX Runtime takes as much: the stem is in one place at a time
        encode, difference, passed = providers.session(
            folder / ONNX_FILE, settings.provider, windows, expected, TOLERANCE, most=settings.chunk
        )
        if not difference <= TOLERANCE:  # which lets no NaN pass
            raise FreezeError(f"ONNX Runtime differs from torch by {difference:.3g}, above {TOLERANCE}")
        del windows, expected
        stored = _stored(replay, pixels, encode, settings)
        dropped = replay.transcode(stored, progress)
    return {
        "seconds": time.perf_counter() - started,
        "rows_before": rows,
        "rows_after": len(replay),
        "rows_dropped": dropped,
        "capacity_before": capacity,
        "store": stored.stores,
        "codec": stored.codec,
        "parity_max_abs_diff": difference,
        "onnx_file": ONNX_FILE,
        "onnx_sha256": sha256,
        "provider": encode.provider,
        "provider_passed_over": passed,
        "peak_extra_bytes": meter.extra_bytes(),
        "child_peak_bytes": None,
    }


def _stored(replay: Replay, pixels: Pixels, encode: Session, settings: FreezeSettings) -> Latents | Encoded:
    """What the replay is to hold from now on: latents, or the pixels that the frozen stem encodes."""
    rng, dtype = replay.sampler.rng, settings.latent_dtype
    if dtype == "uint8" and len(replay) < MIN_ROWS_FOR_UINT8:
        dtype = "float16"
    latents = as_latents(encode, pixels, rng, dtype)
    if chosen(settings.store, latents, replay) == "pixels":
        return as_encoded(encode, pixels, rng)
    if latents.scales:
        numbers = spread(replay, FITTED)
        latents.fit(replay.observations(part) for part in np.array_split(numbers, -(-len(numbers) // CHUNK)))
    return latents


def _compared(replay: Replay, pixels: Pixels, window: Array, most: int) -> Array:
    """What parity is checked on: the pending window, and at most so many of the newest rows that have their history."""
    pending = pixels.observe(window)[0][None]
    newest = replay.ring.head - np.arange(min(most, len(replay) - pixels.history)) - 1
    if not len(newest):
        return np.ascontiguousarray(pending)
    return np.concatenate([pending, pixels.seen(replay.observations(newest))])


def told(report: dict[str, Any], capacity: int, dtype: str) -> str:
    """What `freeze` returned, in a line; `dtype`: what latents were asked to be."""
    extra, dropped, codec = report["peak_extra_bytes"], report["rows_dropped"], report["codec"]
    if dtype == "uint8" and codec == "float16":
        codec += f", as fewer than {MIN_ROWS_FOR_UINT8} rows give uint8 no scales"
    return (
        f"frozen in {report['seconds']:.2f} s; {report['rows_after']:,} rows kept"
        + (f", the {dropped:,} oldest dropped" if dropped else "")
        + f" ({report['store']}, {codec}), capacity {capacity:,}; parity {report['parity_max_abs_diff']:.1e}"
        + (f" on {report['provider']}" if report["provider"] != CPU else "")
        + (f"; peak extra {format_bytes(extra)}" if extra is not None else "")
        + (f"; {passed}" if (passed := report["provider_passed_over"]) else "")
    )


def chosen(store: str, latents: Latents, replay: Replay) -> str:
    """What the replay is to hold behind the freeze: pixels or latents, as `store` says.

    auto: latents, unless they are larger than a raw frame or not all rows present would fit as latents.
    """
    larger = nbytes(latents.field) > nbytes(replay.representation.field)
    if store == "pixels" or larger or (store == "auto" and len(replay) > replay.room_for(latents)):
        return "pixels"
    return "latents"


def spread(replay: Replay, most: int) -> Array:
    """Numbers of at most so many of the rows that have their history, evenly spread."""
    low, high = replay.startable
    return np.unique(np.linspace(low, max(low, high - 1), most).astype(np.int64))


def rehearse(agent: Agent, pixels: Pixels, cut: str, provider: str = CPU) -> str | None:
    """Export and run the stem once, for nothing: what would fail at T_f fails now, and its libraries are in memory.

    Returns why `provider` would not encode, None where it would.
    """
    encode, passed = agreeing_session(export(agent.stem(cut), pixels.shape), provider, pixels.shape, 1)
    encode(np.zeros((1, *pixels.shape), np.uint8))
    return passed
