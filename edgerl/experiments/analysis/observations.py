"""One fixed batch of observations to compare layers on: what a run's own policy sees when it plays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import psutil

from edgerl.envs.base import random_action
from edgerl.errors import ConfigError
from edgerl.replay import crops
from edgerl.replay.representation import Pixels, pixels
from edgerl.training.build import make_env
from edgerl.training.policy import Policy
from edgerl.types import Array
from memory_budget import format_bytes

RANDOM = 0.2  # of the actions: a greedy policy may see little
BATCH = 32  # windows at a time: all layers' activations of CURL's encoder are then 25 MB


@dataclass(frozen=True)
class Observations:
    """Windows uint8 [N, C, H, W] as they were played one after the other, and the actions [N, ...] taken on them.

    `offsets`: int64 [views, N, 2], the crops under which each is seen; `starts`: the windows that begin an episode.
    """

    windows: Array
    actions: Array
    offsets: Array
    starts: list[int]
    pixels: Pixels

    @property
    def seen(self) -> int:
        """How many observations there are: every window under each of its crops."""
        return len(self.offsets) * len(self.windows)

    def batches(self) -> Iterator[tuple[Array, Array]]:
        """Observations [b, C, side, side] as an agent is trained on them, and their actions, in a fixed order."""
        side = self.pixels.shape[1]
        for offsets in self.offsets:
            for low in range(0, len(self.windows), BATCH):
                part = slice(low, low + BATCH)
                yield crops.crop(self.windows[part], offsets[part], side), self.actions[part]

    def centred(self, numbers: Array) -> Array:
        """Some of the windows as they are seen to act, [b, C, side, side]."""
        return np.ascontiguousarray(self.pixels.seen(self.windows[numbers]))

    def shown(self, number: int) -> Array:
        """The newest frame of such a window for people: uint8 [side, side] or, in colours, [side, side, 3]."""
        frame = self.centred(np.array([number])).reshape(self.pixels.history, -1, *self.pixels.shape[1:])[-1]
        colours: Array = frame.transpose(1, 2, 0) if len(frame) == 3 else frame[-1]
        return colours


def play(policy: Policy, frames: int, rng: np.random.Generator, playing: Callable[[int], None]) -> Observations:
    """Play until there are so many windows: greedily but for a share of `RANDOM` actions, whole games one by one.

    Where the agent was trained on random crops each window is seen under K of them, else in its centre. `playing` is
    told how many windows there are. Raises ConfigError where they are more than memory has room for.
    """
    config = policy.config
    pixel = pixels(policy.spec, config.replay)
    nbytes = frames * int(np.prod(pixel.whole))
    if nbytes > psutil.virtual_memory().available:
        raise ConfigError(f"--frames: {frames:,} windows are {format_bytes(nbytes)}, more than this machine has free")
    env_rng, actions_rng, crops_rng = rng.spawn(3)
    env = make_env(config, env_rng, training=False)
    windows, actions, starts = np.empty((frames, *pixel.whole), np.uint8), [], []
    over = True
    for number in range(frames):
        if number % BATCH == 0:
            playing(number)
        if over:
            timestep = env.reset()
            starts.append(number)
        windows[number] = pixel.window(timestep.window)
        if actions_rng.random() < RANDOM:
            action = random_action(env, actions_rng)
        else:
            action = policy.agent.act(policy.representation.see(timestep.window), explore=False)
        actions.append(action)
        timestep = env.step(action)
        over = timestep.terminated or timestep.truncated
    return Observations(windows, np.array(actions), _offsets(pixel, windows, crops_rng), starts, pixel)


def views(pixel: Pixels) -> int:
    """How many observations a window is: K random crops, or one."""
    return max(1, pixel.augment)


def _offsets(pixel: Pixels, windows: Array, rng: np.random.Generator) -> Array:
    if pixel.augment:
        return np.stack([crops.draw(windows, pixel.crop, rng) for _ in range(pixel.augment)])
    middle = (np.array(windows.shape[-2:]) - pixel.shape[1:]) // 2
    return np.broadcast_to(middle, (1, len(windows), 2))
