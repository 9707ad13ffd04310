"""Writes a GIF or an MP4 frame by frame: frames are not kept, so a video may be of any length.

Frames are uint8 [H, W, 3], H and W even. Raises OSError if the disk or ffmpeg refuses to write.
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


class GifWriter:
    """A GIF that plays for ever. (Pillow's own writer keeps all frames in memory until the end.)"""

    FASTEST = 50.0  # frames a second: browsers show a delay below two hundredths of a second as ten

    def __init__(self, file: Path, size: tuple[int, ...], rate: float) -> None:
        self._file, self._rate, self._frames = file.open("wb"), rate, 0
        self._before: Array | None = None
        forever = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
        self._file.write(b"GIF89a" + struct.pack("<HHBBB", size[1], size[0], 0, 0, 0) + forever)

    def write(self, frame: Array) -> None:
        """Append a frame: the pixels that changed, in a palette of up to 255 colours; the others are transparent."""
        changed = np.ones(frame.shape[:2], bool) if self._before is None else (frame != self._before).any(axis=2)
        self._before = frame
        changed[-1, -1] = True  # a GIF's frame needs at least one pixel
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
        """Milliseconds the next frame stays: whole hundredths of a second that add up to the rate."""
        start, end = (round(100 * count / self._rate) for count in (self._frames, self._frames + 1))
        self._frames += 1
        return 10 * (end - start)

    def finish(self) -> None:
        """Make the file whole."""
        self._file.write(b";")
        self._file.close()

    def release(self) -> None:
        """Let go of the file, whole or not."""
        with suppress(OSError):  # the buffer may not fit on the disk, but the file is given up
            self._file.close()


class Mp4Writer:
    """An MP4 in H.264 as browsers and phones play it, made by an ffmpeg process."""

    FASTEST = math.inf

    def __init__(self, file: Path, size: tuple[int, ...], rate: float) -> None:
        source = f"-f rawvideo -pix_fmt rgb24 -s {size[1]}x{size[0]} -framerate {rate:g} -i -"
        encoding = "-c:v libx264 -crf 20 -pix_fmt yuv420p -movflags +faststart -threads 1 -f mp4"
        command = [get_ffmpeg_exe(), "-v", "error", "-y", *source.split(), *encoding.split(), f"file:{file}"]
        # Not imageio_ffmpeg.write_frames: it drops ffmpeg's exit status and leaves ffmpeg's stderr to the terminal. A
        # short video on a full disk would end without any error there, and no error would have ffmpeg's reason.
        self._ffmpeg: Any = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603

    def write(self, frame: Array) -> None:
        """Append a frame; waits while ffmpeg is behind."""
        try:
            self._ffmpeg.stdin.write(frame.data)
        except BrokenPipeError:
            self.finish()  # raises ffmpeg's reason
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
            with suppress(OSError):  # the rest of the buffer has no reader
                pipe.close()
        self._ffmpeg.wait()
