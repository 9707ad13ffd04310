"""One fixed batch of observations to compare layers on: what a run's own policy sees when it plays."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import psutil

from edgerl.envs.base import random_action
from edgerl.errors import ConfigError
from edgerl.replay import crops, representation
from edgerl.replay.representation import Pixels
from edgerl.training.build import make_env
from edgerl.training.policy import Policy
from edgerl.types import Array
from memory_budget import format_bytes

RANDOM = 0.2  # of the actions: a greedy policy may see little
BATCH = 32  # windows at a time: all layers' activations of CURL's encoder are then 25 MB


@dataclass(frozen=True)
class Observations:
    """Windows uint8 [N, C, H, W] in the order they were played, and the actions [N, ...] taken on them.

    `offsets`: int64 [views, N, 2], the crops of each window; `starts`: indices of the windows that begin an episode.
    """

    windows: Array
    actions: Array
    offsets: Array
    starts: list[int]
    pixels: Pixels

    @property
    def count(self) -> int:
        """How many observations there are: every window under each of its crops."""
        return len(self.offsets) * len(self.windows)

    def batches(self) -> Iterator[tuple[Array, Array]]:
        """Observations [b, C, side, side] as an agent is trained on them, and their actions, in a fixed order."""
        side = self.pixels.shape[1]
        for offsets in self.offsets:
            for low in range(0, len(self.windows), BATCH):
                part = slice(low, low + BATCH)
                yield crops.crop(self.windows[part], offsets[part], side), self.actions[part]

    def centred(self, indices: Array) -> Array:
        """These windows, centre-cropped as the agent sees them to act: [b, C, side, side]."""
        return np.ascontiguousarray(self.pixels.seen(self.windows[indices]))

    def frame(self, index: int) -> Array:
        """The newest frame of a centre-cropped window, for people: uint8 [side, side] or [side, side, 3]."""
        frame = self.centred(np.array([index])).reshape(self.pixels.history, -1, *self.pixels.shape[1:])[-1]
        colours: Array = frame.transpose(1, 2, 0) if len(frame) == 3 else frame[-1]
        return colours


def play(policy: Policy, frames: int, rng: np.random.Generator, played: Callable[[int], None]) -> Observations:
    """Play whole games one by one until there are `frames` windows: greedily, but for a share `RANDOM` of the actions.

    A window has K random crops if the agent was trained on such, else its centre. `played` is told how many windows
    there are so far. Raises ConfigError if memory has no room for them.
    """
    config = policy.config
    pixels = representation.pixels(policy.spec, config.replay)
    nbytes = frames * int(np.prod(pixels.whole))
    if nbytes > psutil.virtual_memory().available:
        raise ConfigError(f"--frames: {frames:,} windows are {format_bytes(nbytes)}, more than this machine has free")
    env_rng, actions_rng, crops_rng = rng.spawn(3)
    windows, actions, starts = np.empty((frames, *pixels.whole), np.uint8), [], []
    over = True
    with closing(make_env(config, env_rng, training=False)) as env:
        for index in range(frames):
            if index % BATCH == 0:
                played(index)
            if over:
                timestep = env.reset()
                starts.append(index)
            windows[index] = pixels.window(timestep.window)
            if actions_rng.random() < RANDOM:
                action = random_action(env, actions_rng)
            else:
                action = policy.agent.act(policy.representation.see(timestep.window), explore=False)
            actions.append(action)
            timestep = env.step(action)
            over = timestep.terminated or timestep.truncated
    return Observations(windows, np.array(actions), _offsets(pixels, windows, crops_rng), starts, pixels)


def views(pixels: Pixels) -> int:
    """How many observations a window is: K random crops, or one."""
    return max(1, pixels.augment)


def _offsets(pixels: Pixels, windows: Array, rng: np.random.Generator) -> Array:
    """The crops of each window, int64 [views, N, 2]: K random ones, or its centre."""
    if pixels.augment:
        return np.stack([crops.draw(windows, pixels.crop, rng) for _ in range(pixels.augment)])
    middle = (np.array(windows.shape[-2:]) - pixels.shape[1:]) // 2
    return np.broadcast_to(middle, (1, len(windows), 2))
