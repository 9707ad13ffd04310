"""The paper's event (section 4): the encoder is frozen, pixels become latents in the same bytes, the replay grows."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.config.settings import Config
from edgerl.errors import FreezeError
from edgerl.replay.latents import Encoded, Latents
from edgerl.replay.quantization import MIN_ROWS_FOR_UINT8
from edgerl.replay.replays import AnyReplay
from edgerl.replay.representation import CHUNK, Pixels, chunk, nbytes
from edgerl.replay.stem import ONNX_FILE, TOLERANCE, FrozenStem, agreeing_session, as_encoded, as_latents
from edgerl.replay.stem_graph import WINDOW_MEANING
from edgerl.runs.files import digest, write_pieces
from edgerl.types import Array
from memory_budget import format_bytes
from memory_budget.malloc import returning_blocks, trim
from memory_budget.peak import PeakMeter
from runtime import CPU, providers
from runtime.export import export
from runtime.policy import NamedGraph, Output, pieces

ENCODER_KEY, ENCODER_FORMAT = "edgerl_encoder", 1  # of the metadata in the file of a frozen encoder
SCALE_ROWS = 2048  # rows that the scales of uint8 are laid over, at most
LARGE_BLOCK = 256 * 1024  # bytes; blocks above this go back to the system at once while a chunk is converted


def freeze(
    agent: Agent,
    replay: AnyReplay,
    *,
    pixels: Pixels,
    window: Array,
    folder: Path,
    settings: "FreezeSettings",
    progress: Callable[[int], None] = lambda rows: None,
) -> dict[str, Any]:
    """Move the cut from the input to behind layer `settings.cut`; from now on ONNX Runtime runs the stem.

    The stem is written to a file in `folder`, the agent drops it, ONNX Runtime is compared with it (parity), and every
    row of the replay is converted. If frames stay, and the agent is on an accelerator, the stem runs there. `pixels`:
    what the replay stores until now; `window` [history, *frame]: the one about to be acted on. `progress` is told how
    many rows are done. Returns what the summary says of the freeze, without the step. Raises FreezeError if parity
    fails: the agent has lost its stem then, the replay is as it was.
    """
    meter, started, rows, capacity = PeakMeter(), time.perf_counter(), len(replay), replay.capacity
    with returning_blocks(above=LARGE_BLOCK):
        trim()
        windows = _parity_windows(replay, pixels, window, settings.chunk)
        expected, sha256 = _write_stem(agent, settings, windows, folder / ONNX_FILE)
        agent.freeze(settings.cut)
        trim()  # before ONNX Runtime takes as much: the stem is in one place at a time
        encode, difference, refusal = _session(folder / ONNX_FILE, settings, windows, expected)
        del windows, expected
        stored = _representation(replay, pixels, encode, settings)
        if stored.stores == "pixels" and (stem := agent.frozen_stem(folder / ONNX_FILE)) is not None:
            stored, encode, refusal = as_encoded(stem, pixels, replay.rng), stem, None
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
        "provider_passed_over": refusal,
        "peak_extra_bytes": meter.extra_bytes(),
        "child_peak_bytes": None,
    }


@dataclass(frozen=True)
class FreezeSettings:
    """How the encoder is frozen: behind layer `cut`; `store` and `latent_dtype` as in ReplayConfig.

    `provider`: ONNX Runtime's execution provider, if it has parity; `chunk`: windows encoded at a time; `origin`: whose
    encoder it is, for the file's metadata: the run's `env`, `algo` and `encoder`.
    """

    cut: str
    store: str = "auto"
    latent_dtype: str = "float32"
    provider: str = CPU
    chunk: int = CHUNK
    origin: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(config: Config, pixels: Pixels) -> "FreezeSettings":
        """The settings of a run."""
        replay, run = config.replay, config.run
        return FreezeSettings(
            cut=config.agent.cut,
            store=replay.store,
            latent_dtype=replay.latent_dtype,
            provider=config.run.ort_provider,
            chunk=chunk(config.agent.encoder, pixels.shape),
            origin={"env": run.env, "algo": run.algo, "encoder": config.agent.encoder},
        )


def _parity_windows(replay: AnyReplay, pixels: Pixels, window: Array, most: int) -> Array:
    """The windows that parity is checked on: the pending one, and at most `most` of the newest rows with a history.

    At step 0 there are no rows yet.
    """
    pending = pixels.observe(window)[0][None]
    newest = replay.newest(most)
    if not len(newest):
        return np.ascontiguousarray(pending)
    return np.concatenate([pending, pixels.seen(replay.observations(newest))])


def _write_stem(agent: Agent, settings: FreezeSettings, windows: Array, file: Path) -> tuple[Array, str]:
    """Write the layers up to the cut as ONNX; returns their own latents of these windows, and the file's SHA-256."""
    stem, said = agent.stem(settings.cut), {"format": ENCODER_FORMAT, **settings.origin, "cut": settings.cut}
    expected, graph = stem.latents(windows), stem.graph
    latents = Output((), np.float32, graph.latent, f"latents of whole windows, what crosses the cut at {settings.cut}")
    described = NamedGraph(
        "encoder",
        graph.operations,
        {"latents": latents},
        graph.weights,
        graph.window,
        meaning=f"a frozen encoder, up to its layer {settings.cut}",
        window_meaning=WINDOW_MEANING,
    )
    write_pieces(file, pieces(described, {ENCODER_KEY: json.dumps(said)}))
    return expected, digest(file)


def _session(
    file: Path, settings: FreezeSettings, windows: Array, expected: Array
) -> tuple[FrozenStem, float, str | None]:
    """The session that encodes from now on, and how far its latents differ from the expected ones.

    Also why it is not of `settings.provider`, None if it is. Raises FreezeError if parity fails.
    """
    encode, difference, refusal = providers.session(
        file, settings.provider, windows, expected, TOLERANCE, most=settings.chunk
    )
    most = providers.allowed_difference(TOLERANCE, expected)
    if not difference <= most:  # NaN fails too
        raise FreezeError(f"ONNX Runtime differs from the trained encoder by {difference:.3g}, above {most:.3g}")
    return encode, difference, refusal


def _representation(
    replay: AnyReplay, pixels: Pixels, encode: FrozenStem, settings: FreezeSettings
) -> Latents | Encoded:
    """What the replay stores from now on: latents, or the pixels, which the frozen stem then encodes when read."""
    rng, dtype = replay.rng, settings.latent_dtype
    if dtype == "uint8" and len(replay) < MIN_ROWS_FOR_UINT8:
        dtype = "float16"
    latents = as_latents(encode, pixels, rng, dtype)
    if choose_store(settings.store, latents, replay) == "pixels":
        return as_encoded(encode, pixels, rng)
    if latents.scales:
        rows = replay.spread(SCALE_ROWS)
        latents.fit(replay.observations(part) for part in np.array_split(rows, -(-len(rows) // CHUNK)))
    return latents


def choose_store(store: str, latents: Latents, replay: AnyReplay) -> str:
    """Whether the replay is to hold "pixels" or "latents" behind the freeze, as the setting `store` says.

    auto: latents, unless a row of them is larger than a raw frame, or not all rows present would fit.
    """
    larger = nbytes(latents.field) > nbytes(replay.representation.field)
    if store == "pixels" or larger or (store == "auto" and len(replay) > replay.room_for(latents)):
        return "pixels"
    return "latents"


def freeze_line(report: dict[str, Any], capacity: int, asked_dtype: str) -> str:
    """What `freeze` returned, in a line for people; `asked_dtype`: the setting `latent_dtype`."""
    extra, dropped, codec = report["peak_extra_bytes"], report["rows_dropped"], report["codec"]
    if asked_dtype == "uint8" and codec == "float16":
        codec += f", as fewer than {MIN_ROWS_FOR_UINT8} rows give uint8 no scales"
    return (
        f"frozen in {report['seconds']:.2f} s; {report['rows_after']:,} rows kept"
        + (f", the {dropped:,} oldest dropped" if dropped else "")
        + f" ({report['store']}, {codec}), room for {capacity:,}; {report['onnx_file']} encodes, within "
        + f"{report['parity_max_abs_diff']:.1e} of the trained encoder"
        + (f", by {report['provider']}" if report["provider"] != CPU else "")
        + (f"; peak extra {format_bytes(extra)}" if extra is not None else "")
        + (f"; {passed}" if (passed := report["provider_passed_over"]) else "")
    )


def rehearse(agent: Agent, pixels: Pixels, cut: str, provider: str = CPU) -> str | None:
    """Export and run the stem once, before training: what would fail at T_f fails now, and its libraries are loaded.

    Returns why `provider` would not encode; None if it would.
    """
    stem, blank = agent.stem(cut), np.zeros((1, *pixels.shape), np.uint8)
    encode, refusal = agreeing_session(export(stem.graph), provider, pixels.shape, 1)
    for latents in (stem.latents, encode):
        latents(blank)
    return refusal
