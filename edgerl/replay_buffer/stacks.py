"""Observations as frames: of a stack only the newest frame is stored, so what is no stack is refused at the door."""

from math import prod
from typing import Any

import numpy as np

from edgerl.errors import ConfigError
from edgerl.types import Array

PADDINGS = ("zeros", "first")  # what stands in a stack before its episode's first frame; "first": that frame again
_WORDS = {None: "zeros or copies of it", "zeros": "zeros", "first": "copies of it"}


class Stacks:
    """What observations are made of: single frames, or stacks of `history` frames, the oldest first.

    `shape`: of every observation, None until one is stored. `padding`: of PADDINGS; None until a stack has shown it.
    """

    def __init__(self, frame: tuple[int, ...], history: int, padding: str | None) -> None:
        self.frame, self.history, self.padding = frame, history, padding
        self.shape: tuple[int, ...] | None = None
        stacks = [(history, *frame), (history * prod(frame[:-2]), *frame[-2:])]
        self.frames_of = dict.fromkeys(stacks, history) | {frame: 1}  # how many an observation of each shape holds

    def window(self, name: str, observation: Any, shape: tuple[int, ...] | None) -> Array:
        """An observation as its frames, [1 or history, *frame].

        Raises ConfigError if it is not uint8 of this shape; None: of one that holds frames.
        """
        array = np.asarray(observation)
        allowed = list(self.frames_of) if shape is None else [shape]
        if array.dtype != np.uint8 or array.shape not in allowed:
            words = " or ".join(str(list(shape)) for shape in allowed)
            raise ConfigError(f"{name} must be uint8 {words}, not {array.dtype} {list(array.shape)}")
        return array.reshape(self.frames_of[array.shape], *self.frame)

    def begin(self, window: Array) -> None:
        """Check that an episode can begin with this window; the first one that shows its padding decides on it.

        Raises ConfigError if it cannot be rebuilt from its newest frame.
        """
        before, newest = window[:-1], window[-1]
        fits = {"zeros": not before.any(), "first": bool((before == newest).all())}
        if all(fits.values()):  # a black first frame, or single frames
            return
        if self.padding is None:
            self.padding = next((padding for padding in PADDINGS if fits[padding]), None)
        if self.padding is None or not fits[self.padding]:
            raise ConfigError(
                f"obs is neither the last step's next_obs nor an episode's first stack of {self.history} frames: "
                f"before its newest frame stand no {_WORDS[self.padding]}; frames that are not stacked take history=1"
            )

    def check_next(self, window: Array, following: Array) -> None:
        """Raise ConfigError unless `following` is `window` moved on by one frame."""
        if not np.array_equal(window[1:], following[:-1]):
            raise ConfigError(
                f"next_obs is not obs moved on by one frame, as stacks of {self.history} frames are; after a truncated "
                "step it is the episode's last observation, and frames that are not stacked take history=1"
            )
