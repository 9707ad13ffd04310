"""Episodes played into an `edgerl.ReplayBuffer`, and into plain lists, one an environment: what the buffer must hold.

Every frame holds a number of its own, so a window tells which frames it is made of. Compressed rows leave in groups:
which are present is the ring's to say, what they hold is the list's.
"""

from dataclasses import dataclass

import numpy as np
import pytest

import edgerl

FRAME, GAMMA = (8, 8), 0.9
NOISE = np.random.default_rng(0).integers(0, 256, (7, *FRAME), dtype=np.uint8)
ROW_BYTES = {"raw": 90, "lz4": 110}  # at most, of such frames, with priorities
PADDINGS = ("zeros", "first")


@dataclass
class Step:
    """One stored row: its frame's number, and whether its episode starts, terminates or was cut off here."""

    frame: int
    action: int
    reward: float
    first: bool
    terminated: bool
    last: bool


def picture(number):
    """A frame that holds its number (1 to 65,535)."""
    frame = NOISE[number % 7].copy() if number % 50 < 10 else np.full(FRAME, 7, np.uint8)
    frame[0, 0], frame[0, 1] = divmod(number, 256)
    return frame


def numbers(windows):
    """The frames' numbers in windows [..., 8, 8]; 0 for a blank frame."""
    windows = np.asarray(windows, np.int64)
    return windows[..., 0, 0] * 256 + windows[..., 0, 1]


class Player:
    """Plays episodes into a buffer, and writes down what its rows must be, by environment."""

    def __init__(self, buffer, *, stacked, padding="zeros"):
        self.buffer, self.stacked, self.padding = buffer, stacked, padding
        self.rows = [[] for _ in range(buffer.envs)]
        self.frames = [1 + 20_000 * env for env in range(buffer.envs)]  # each environment's next frame
        self.pending = [None] * buffer.envs  # the frame after a step that neither terminated nor was truncated

    def window(self, frames, position):
        """What an environment shows of an episode's frames at a position."""
        if not self.stacked:
            return picture(frames[position])
        filler = 0 if self.padding == "zeros" else frames[0]
        shown = [frames[n] if n >= 0 else filler for n in range(position - self.buffer.history + 1, position + 1)]
        return np.stack([picture(number) if number else np.zeros(FRAME, np.uint8) for number in shown])

    def play(self, env, length, end):
        """One episode, which ends terminated, truncated, or without being told."""
        frames = list(range(self.frames[env], self.frames[env] + length + 1))
        self.frames[env] += length + 1
        rows = self.rows[env]
        if self.pending[env] is not None:
            rows.append(Step(self.pending[env], 0, 0.0, False, False, last=True))
        for position in range(length):
            over = position == length - 1
            step = Step(frames[position], frames[position] % 5, float(frames[position] % 97), position == 0,
                        over and end == "terminated", last=False)  # fmt: skip
            self.buffer.add(
                self.window(frames, position), step.action, step.reward, self.window(frames, position + 1),
                terminated=step.terminated, truncated=over and end == "truncated", env=env,
            )  # fmt: skip
            rows.append(step)
        if end == "truncated":
            rows.append(Step(frames[-1], 0, 0.0, False, False, last=True))
        self.pending[env] = frames[-1] if end == "cut" else None


def stack(rows, index, history, padding):
    """The numbers of the frames in the window of rows[index]."""
    shown = [rows[index].frame]
    while len(shown) < history:
        if rows[index].first:
            shown.insert(0, 0 if padding == "zeros" else shown[0])
        else:
            index -= 1
            shown.insert(0, rows[index].frame)
    return shown


def look_ahead(rows, index, n_step):
    """(return, discount, index of the next observation) by walking the list; the next is None after a terminal."""
    total = 0.0
    for k in range(n_step):
        row = rows[index + k]
        if row.last:
            return total, GAMMA**k, index + k
        total += GAMMA**k * row.reward
        if row.terminated:
            return total, 0.0, None
    return total, GAMMA**n_step, index + n_step


def can_start(player, env):
    """Indices of the rows of an environment that can start a window."""
    rows, kept = player.rows[env], len(player.buffer.replays[env])
    lost = player.buffer.history - 1 if len(rows) > kept else 0
    return [n for n in range(len(rows) - kept + lost, len(rows) - player.buffer.n_step) if not rows[n].last]


def check(player, batch):
    """Every window of a batch is as its environment's list has it; returns (environment, index) of each."""
    buffer, places = player.buffer, []
    obs, following = numbers(batch.obs), numbers(batch.next_obs)
    for n, shown in enumerate(obs.tolist()):
        env = (shown[-1] - 1) // 20_000
        rows = player.rows[env]
        index = next(index for index, row in enumerate(rows) if row.frame == shown[-1])
        total, discount, ahead = look_ahead(rows, index, buffer.n_step)
        assert shown == stack(rows, index, buffer.history, player.padding)
        assert batch.action[n] == rows[index].action
        assert batch.reward[n] == pytest.approx(total, rel=1e-5)
        assert batch.discount[n] == pytest.approx(discount, rel=1e-6)
        if ahead is not None:
            assert following[n].tolist() == stack(rows, ahead, buffer.history, player.padding)
        places.append((env, index))
    return places


def build(rows, *, codec="raw", envs=1, **options):
    """A buffer of about so many rows for each environment; with lz4 of more."""
    options = {"history": 4, "n_step": 1, "gamma": GAMMA} | options
    if codec == "lz4":
        rows += 60
    budget = envs * (rows * ROW_BYTES[codec] + 600)
    return edgerl.ReplayBuffer(budget=budget, observation=FRAME, action=5, codec=codec, envs=envs, **options)
