"""The frozen stem in a run's folder, and the representation that the replay has because of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgerl import reading
from edgerl.errors import CheckpointError
from edgerl.replay.latents import Encoded, Latents, Stem
from edgerl.replay.representation import CHUNK, Pixels
from edgerl.runs.files import digest
from edgerl.types import Array
from runtime import CPU, Session, providers

ONNX_FILE = "encoder.onnx"
TOLERANCE = 1e-4  # ONNX Runtime against the trained encoder, float32; as a share of latents above 1


class FrozenStem(Protocol):
    """What runs a frozen stem: windows uint8 [B, ...] to latents float32 [B, *shape]. `provider`: its name.

    Latents are NumPy's; on an accelerator they are arrays of it, which only an agent there can read.
    """

    provider: str
    shape: tuple[int, ...]

    def __call__(self, windows: Array) -> Array: ...


MakeStem = Callable[[Path], FrozenStem | None]


def frozen(
    folder: Path,
    pixels: Pixels,
    rng: np.random.Generator,
    report: dict[str, Any],
    *,
    accelerated: MakeStem = lambda file: None,
    provider: str = CPU,
    chunk: int = CHUNK,
    say: Callable[[str], None] = lambda line: None,
) -> Latents | Encoded:
    """The representation of a run since the freeze that `report` describes, by the stem in the run's folder.

    `rng` draws the crops. `accelerated`: the agent's `frozen_stem`; where frames are kept and it makes a stem, that one
    encodes. Otherwise `provider` encodes, or the CPU if it does not agree with the CPU, and `say` is told why. `chunk`:
    how many windows are encoded at a time. Raises CheckpointError if the file is not the one that the run wrote.
    """
    file = stem_file(folder, report)
    if report["store"] == "pixels" and (stem := accelerated(file)) is not None:
        return as_encoded(stem, pixels, rng)
    encode, refusal = agreeing_session(file, provider, pixels.shape, chunk)
    if refusal:
        say(refusal)
    if report["store"] == "pixels":
        return as_encoded(encode, pixels, rng)
    return as_latents(encode, pixels, rng, report["codec"])


def stem_file(folder: Path, report: dict[str, Any]) -> Path:
    """The file of the stem in a run's folder; raises CheckpointError if it is not the one that the run wrote."""
    file = folder / ONNX_FILE
    try:
        if reading.inside(folder, ONNX_FILE).stat().st_size > reading.MOST_MODEL:
            raise CheckpointError(f"{file} has more than {reading.MOST_MODEL:,} bytes")
        if digest(file) != report["onnx_sha256"]:
            raise CheckpointError(f"{file} is damaged: its checksum differs")
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return file


def as_latents(encode: FrozenStem, pixels: Pixels, rng: np.random.Generator, dtype: str) -> Latents:
    """Rows of latents by this stem; K a row if the run augments."""
    return Latents(Stem(encode, encode.shape, pixels, views=pixels.augment, rng=rng), dtype)


def as_encoded(encode: FrozenStem, pixels: Pixels, rng: np.random.Generator) -> Encoded:
    """Rows of frames that this stem encodes when they are read."""
    return Encoded(Stem(encode, encode.shape, pixels, views=min(1, pixels.augment), rng=rng))


def agreeing_session(
    model: Path | bytes, provider: str, shape: tuple[int, ...], most: int
) -> tuple[Session, str | None]:
    """The stem on `provider` if that agrees with the CPU on a window of noise, else on the CPU, and why."""
    noise = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    encode, _, refusal = providers.session(model, provider, noise, None, TOLERANCE, most=most)
    return encode, refusal
