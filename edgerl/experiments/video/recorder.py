"""A video of the games that a trained agent plays: `edgerl eval RUN --video FILE`."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np

from edgerl.envs.base import Environment
from edgerl.envs.door import Door
from edgerl.envs.outside.limited import Limited
from edgerl.envs.resumable import Resumable
from edgerl.errors import ConfigError, EnvFailed
from edgerl.output.messages import figure
from edgerl.types import Array
from memory_budget import format_bytes

try:
    from PIL import Image, ImageDraw, ImageFont

    from edgerl.experiments.video.writers import GifWriter, Mp4Writer
except ImportError as error:
    raise ConfigError(
        f"--video: needs the package {error.name}: pip install -c constraints.txt -e '.[video]'"
    ) from error

WRITERS: dict[str, type[GifWriter] | type[Mp4Writer]] = {".gif": GifWriter, ".mp4": Mp4Writer}
SPEED, SLOWEST = 15.0, 0.1  # agent steps a second, if the environment does not say; the fewest that it may say
HEIGHT, WIDTH = 320, 280  # pixels: least height of a picture, least width of a frame
STRIP, MARGIN, LETTERS = 34, 12, 16  # pixels: the caption's height, its margins, its letters
GROUND, LABEL, VALUE = (24, 26, 30), (150, 156, 165), (236, 238, 242)  # the caption's colours


class VideoRecorder:
    """Records the first `games` games it is shown as a video in `file`: a context manager.

    The file appears, in place of an older one, when the block is left and the video is whole; an error leaves nothing
    of it. Raises ConfigError if the file cannot be written, OSError, naming the file, if the disk or ffmpeg fails on
    the way, and EnvFailed if an environment draws something other than a picture.
    """

    def __init__(self, file: Path, games: int = 1) -> None:
        self.file, self.games = file, games
        self.frames, self.seconds = 0, 0.0
        self._game, self._step, self._shape = -1, 0, (0, 0)
        self._writer: GifWriter | Mp4Writer | None = None
        self._target, self._part = check(file)

    def show(self, env: Environment, game: int, score: float) -> None:
        """Append what `env` shows now, if `game` (from 0) is recorded. Call it after each reset and each step."""
        if game >= self.games:
            return
        self._step = self._step + 1 if game == self._game else 0
        self._game = game
        drawn = picture(env)
        frame = framed(drawn, f"game {game + 1}   step {self._step:,}", f"score {figure(score)}")
        with self._named():
            if self._writer is None:
                writer = WRITERS[self.file.suffix.lower()]
                self._speed = min(speed(env), writer.FASTEST)
                self._shape, self._writer = drawn.shape, writer(self._part, frame.shape, self._speed)
            if drawn.shape != self._shape:
                raise EnvFailed(f"{env.name} failed: it drew {list(drawn.shape)} after {list(self._shape)}")
            self._writer.write(frame)
        self.frames += 1
        self.seconds = self.frames / self._speed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writer is None:
            return
        try:
            with self._named():
                if kind is None:
                    self._writer.finish()
                    self._part.rename(self._target)
        finally:
            self._writer.release()
            self._part.unlink(missing_ok=True)

    def __str__(self) -> str:
        size = format_bytes(self.file.stat().st_size)
        return f"video {self.file}: {self.frames:,} frames, {self.seconds:.1f} s, {size}"

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Make an error of the disk name the video, not the half-written file beside it."""
        try:
            yield
        except OSError as error:
            error.filename, error.filename2 = str(self.file), None
            raise


def check(file: Path) -> tuple[Path, Path]:
    """Where a video is written to, through links, and where it is before it is whole; ConfigError if it cannot be."""
    if file.suffix.lower() not in WRITERS:
        raise ConfigError(f"--video: {file} is neither .gif nor .mp4")
    if not file.parent.is_dir():
        raise ConfigError(f"--video: {file}: there is no folder {file.parent}")
    if file.is_dir():
        raise ConfigError(f"--video: {file} is a folder")
    target = Path(os.path.realpath(file))
    part = target.with_name(f".{target.name}.part")
    try:
        part.touch()
        part.unlink()
    except OSError as error:
        raise ConfigError(f"--video: {file} cannot be written: {error.strerror}") from None
    return target, part


def picture(env: Environment) -> Array:
    """What people see of an environment, uint8 [H, W, 3]; without a render() it is the window's newest frame.

    Raises EnvFailed if render() returns something else.
    """
    if hasattr(_unwrapped(env), "render"):
        drawn = np.asarray(env.render())
    else:
        drawn = env.window[-1]
        drawn = drawn[:, :, None] if drawn.ndim == 2 else drawn.transpose(1, 2, 0)
    if drawn.dtype != np.uint8 or drawn.ndim != 3 or drawn.shape[2] not in (1, 3):
        raise EnvFailed(f"{env.name} failed: it drew {drawn.dtype} {list(drawn.shape)}, not uint8 [H, W, 3]")
    return np.broadcast_to(drawn, (*drawn.shape[:2], 3))


def speed(env: Environment) -> float:
    """Agent steps a second for watching: the environment's `steps_per_second`, or SPEED if it has none of use."""
    said = float(getattr(_unwrapped(env), "steps_per_second", SPEED))
    return said if said >= SLOWEST else SPEED


def _unwrapped(env: Environment) -> Environment:
    """What is in wrappers of ours, which have render() even if the environment does not."""
    while isinstance(env, Door | Resumable | Limited):
        env = env.env
    return env


def framed(drawn: Array, left: str, right: str) -> Array:
    """A picture, enlarged by a whole factor, over a caption: uint8 [H, W, 3]; H and W are even, as MP4 needs."""
    factor = max(1, math.ceil(HEIGHT / drawn.shape[0]))
    height, width = drawn.shape[0] * factor, drawn.shape[1] * factor
    frame = np.full((height + height % 2 + STRIP, max(width + width % 2, WIDTH), 3), GROUND, np.uint8)
    edge = (frame.shape[1] - width) // 2
    frame[:height, edge : edge + width] = drawn.repeat(factor, axis=0).repeat(factor, axis=1)
    caption = Image.new("RGB", (frame.shape[1], STRIP), GROUND)
    draw, font = ImageDraw.Draw(caption), ImageFont.load_default(LETTERS)
    draw.text((MARGIN, STRIP / 2), left, LABEL, font, anchor="lm")
    draw.text((frame.shape[1] - MARGIN, STRIP / 2), right, VALUE, font, anchor="rm")
    frame[-STRIP:] = np.asarray(caption)
    return frame
