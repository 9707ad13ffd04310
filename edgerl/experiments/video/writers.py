"""Writing a GIF or an MP4 frame by frame: what is written is not held, however long the film becomes.

Frames are uint8 [H, W, 3], H and W even. What disk or ffmpeg refuse is raised as OSError.
"""

import errno
import math
import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import GifImagePlugin, Image

from edgerl.types import Array


class Gif:
    """A GIF that plays for ever. (Pillow's own writer of many frames holds them all until the end.)"""

    FASTEST = 50.0  # frames a second: browsers take delays below two hundredths of a second for ten

    def __init__(self, file: Path, size: tuple[int, ...], rate: float) -> None:
        self._file, self._rate, self._frames = file.open("wb"), rate, 0
        self._before: Array | None = None
        forever = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
        self._file.write(b"GIF89a" + struct.pack("<HHBBB", size[1], size[0], 0, 0, 0) + forever)

    def write(self, frame: Array) -> None:
        """Append the pixels that changed, in up to 255 colours of their own; the others are transparent."""
        changed = np.ones(frame.shape[:2], bool) if self._before is None else (frame != self._before).any(axis=2)
        self._before = frame
        changed[-1, -1] = True  # a frame has a pixel at least
        top, left = (int(changed.any(axis=axis).argmax()) for axis in (1, 0))
        changed, frame = changed[top:, left:], frame[top:, left:]
        quantised = Image.fromarray(frame[changed][None]).quantize(255)
        numbers = np.asarray(quantised)[0]
        transparent = int(numbers.max()) + 1
        indices = np.full(changed.shape, transparent, np.uint8)
        indices[changed] = numbers
        image = Image.fromarray(indices)
        image.putpalette([*(quantised.getpalette() or [])[: 3 * transparent], 0, 0, 0])
        options = {"duration": self._delay(), "transparency": transparent, "disposal": 1, "include_color_table": True}
        self._file.writelines(GifImagePlugin.getdata(image, (left, top), **options))

    def _delay(self) -> int:
        """Milliseconds that the next frame stays: whole hundredths of a second that add up to the rate."""
        start, end = (round(100 * count / self._rate) for count in (self._frames, self._frames + 1))
        self._frames += 1
        return 10 * (end - start)

    def finish(self) -> None:
        """Make the file whole."""
        self._file.write(b";")
        self._file.close()

    def release(self) -> None:
        """Let go of the file, whole or not."""
        with suppress(OSError):  # of what is still buffered: the file is given up
            self._file.close()


class Mp4:
    """An MP4 in H.264 as browsers and phones play it, made by an ffmpeg that runs beside this process."""

    FASTEST = math.inf

    def __init__(self, file: Path, size: tuple[int, ...], rate: float) -> None:
        given = f"-f rawvideo -pix_fmt rgb24 -s {size[1]}x{size[0]} -framerate {rate:g} -i -"
        made = "-c:v libx264 -crf 20 -pix_fmt yuv420p -movflags +faststart -threads 1 -f mp4"
        command = [get_ffmpeg_exe(), "-v", "error", "-y", *given.split(), *made.split(), f"file:{file}"]
        self._ffmpeg: Any = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603

    def write(self, frame: Array) -> None:
        """Append a frame; waits while ffmpeg is behind."""
        try:
            self._ffmpeg.stdin.write(frame.data)
        except BrokenPipeError:
            self.finish()  # which says why
            raise

    def finish(self) -> None:
        """Make the file whole."""
        errors = self._ffmpeg.communicate()[1].decode(errors="replace").splitlines()
        if self._ffmpeg.returncode:
            reason = errors[0].rpartition("] ")[2] if errors else f"it ended with {self._ffmpeg.returncode}"
            raise OSError(errno.EIO, f"ffmpeg: {reason}")

    def release(self) -> None:
        """End ffmpeg, if it still runs."""
        self._ffmpeg.kill()
        for pipe in (self._ffmpeg.stdin, self._ffmpeg.stderr):
            with suppress(OSError):  # what is still buffered goes nowhere
                pipe.close()
        self._ffmpeg.wait()
