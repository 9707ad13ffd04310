"""The replay beside those of public libraries: bytes a transition, adds/s and transitions/s, on the same Qbert play.

At equal bytes (0.07 GB) and at equal count (10,000 transitions). Every store has one thread and a process of its own.
One-step windows, batches of 32. B a row: what the store asks for when it is made, over the transitions it then holds;
resident: what the process grew by until the store was full, over the same. The other libraries take whole windows and
give NumPy arrays (cpprb) or CPU tensors (stable-baselines3); ours takes frames and gives NumPy arrays. Missing
libraries are named, with the command that installs them: best into an environment of their own.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from replays import ADDS, BUDGETS, Play, StoreSpeed, empty, fill, head, line, pixels_of, played, timed

import edgerl
from edgerl.config.replay_settings import ReplayConfig
from edgerl.envs import suites
from edgerl.training.policy import Policy
from edgerl.training.train import SCRATCH_BLOCK
from edgerl.types import Array
from memory_budget import format_bytes, rss_bytes
from memory_budget.malloc import keep_blocks, trim

GAME, BATCH, COUNT = "atari/qbert", 32, 10_000
SPEC = suites.describe(GAME)
OURS: dict[str, dict[str, Any]] = {
    f"edgerl {codec}, {sampling}": {"pixel_codec": codec, "sampling": sampling}
    for sampling in ("prioritized", "uniform")
    for codec in ("raw", "lz4")
}


class Peer(Protocol):
    """A library's replay for `rows` transitions."""

    def __init__(self, rows: int) -> None: ...

    def windows(self, windows: Array) -> Array:
        """Windows [B, 4, H, W] laid out as the library takes them, one by one."""

    def add(self, obs: Array, action: int, reward: float, next_obs: Array, *, done: bool, end: bool) -> None: ...

    def sample(self) -> object: ...


class Cpprb:
    """cpprb's prioritized replay with both its compressions: every frame is stored once."""

    def __init__(self, rows: int) -> None:
        import cpprb

        window, byte = {"shape": (*SPEC.frame, SPEC.history), "dtype": np.uint8}, {"dtype": np.uint8}
        columns = {"obs": window, "act": byte, "rew": {}, "done": byte}
        self.buffer = cpprb.PrioritizedReplayBuffer(rows, columns, next_of="obs", stack_compress="obs")

    def windows(self, windows: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(windows, 1, -1))

    def add(self, obs: Array, action: int, reward: float, next_obs: Array, *, done: bool, end: bool) -> None:
        self.buffer.add(obs=obs, act=action, rew=reward, next_obs=next_obs, done=done)
        if end:
            self.buffer.on_episode_end()

    def sample(self) -> object:
        return self.buffer.sample(BATCH, 0.4)


class StableBaselines3:
    """stable-baselines3's replay, which samples uniformly and stores every window twice."""

    optimized = False

    def __init__(self, rows: int) -> None:
        from gymnasium import spaces
        from stable_baselines3.common.buffers import ReplayBuffer

        window, actions = spaces.Box(0, 255, (SPEC.history, *SPEC.frame), np.uint8), spaces.Discrete(SPEC.actions)
        kind = {"optimize_memory_usage": self.optimized, "handle_timeout_termination": not self.optimized}
        self.buffer = ReplayBuffer(rows, window, actions, device="cpu", **kind)

    def windows(self, windows: Array) -> Array:
        return windows[:, None]  # of one environment

    def add(self, obs: Array, action: int, reward: float, next_obs: Array, *, done: bool, end: bool) -> None:
        self.buffer.add(obs, next_obs, np.array([action]), np.array([reward]), np.array([done]), [{}])

    def sample(self) -> object:
        return self.buffer.sample(BATCH)


class StableBaselines3Optimized(StableBaselines3):
    """The same, with next observations read from the next row: every window once."""

    optimized = True


PEERS: dict[str, tuple[str, str, type[Peer]]] = {  # by store: its package, that package's name on PyPI, the store
    "cpprb compressed, prioritized": ("cpprb", "cpprb", Cpprb),
    "stable-baselines3, uniform": ("stable_baselines3", "stable-baselines3", StableBaselines3),
    "its optimize_memory_usage": ("stable_baselines3", "stable-baselines3", StableBaselines3Optimized),
}


def resident() -> int:
    """Resident bytes, without free blocks that malloc keeps."""
    trim()
    return rss_bytes()


def ours(play: Play, config: ReplayConfig, budget: int) -> StoreSpeed:
    """A store of this project in `budget` bytes."""
    before = resident()
    replay = empty(SPEC, config, config.pixel_codec, budget)
    speed = fill(replay, play, play.frames)
    grown = resident() - before
    return replace(speed, resident=grown, seconds=timed(lambda: replay.sample(BATCH, 0.4)))


def asked(kind: type[Peer], rows: int) -> int:
    """Bytes that Python and NumPy are asked for when such a store of `rows` transitions is made."""
    kind(64)  # imports
    tracemalloc.start()
    made = kind(rows)
    nbytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del made
    return nbytes


def theirs(play: Play, config: ReplayConfig, kind: type[Peer], budget: int, rows: int) -> StoreSpeed:
    """A library's store of `rows` transitions; 0: as many as `budget` bytes hold."""
    rows = rows or budget * COUNT // asked(kind, COUNT)
    nbytes, steps, pixels = asked(kind, rows), np.flatnonzero(~play.last), pixels_of(SPEC, config, "raw")
    before, peer = resident(), kind(rows)
    fed, adds = 0, list[float]()
    while fed < rows + 16 * ADDS:
        numbers = steps[np.arange(fed, fed + ADDS) % len(steps)]
        after = np.minimum(numbers + 1, len(play) - 1)
        goes_on = play.first[after] == play.first[numbers]
        newest = play.frames[np.where(goes_on, after, numbers)]  # what followed a terminal step was not kept
        windows = play.windows(numbers, pixels)
        obs, next_obs = map(peer.windows, (windows, np.concatenate([windows[:, 1:], newest[:, None]], axis=1)))
        done = play.terminated[numbers]
        columns = (play.action[numbers].tolist(), play.reward[numbers].tolist(), done.tolist())
        rest = list(zip(*columns, (done | play.last[after]).tolist(), strict=True))
        started = time.perf_counter()
        for n, (action, reward, over, end) in enumerate(rest):
            peer.add(obs[n], action, reward, next_obs[n], done=over, end=end)
        if fed >= rows:
            adds.append(ADDS / (time.perf_counter() - started))
        fed += ADDS
    del obs, next_obs, windows, newest
    grown = resident() - before
    return StoreSpeed(
        rows=rows,
        nbytes=nbytes,
        fed=fed / len(steps),
        adds=statistics.median(adds),
        seconds=timed(peer.sample),
        resident=grown,
    )


def child(store: str, file: str, budget: int, rows: int) -> None:
    """Measure one store on the play in a file, and print JSON."""
    keep_blocks(SCRATCH_BLOCK)
    torch.set_num_threads(1)
    config = replace(edgerl.configure(env=GAME).replay, n_step=1, **OURS.get(store, {}))
    with np.load(file) as arrays:
        play = Play(**arrays)
    speed = ours(play, config, budget) if store in OURS else theirs(play, config, PEERS[store][2], budget, rows)
    print(json.dumps(asdict(speed)))


def measure(policy: Policy | None, steps: int | None) -> None:
    """Print the rows of every store, at equal bytes and at equal count."""
    _, play, who = played(GAME, policy, steps)
    budget, row_bytes = BUDGETS["atari"], dict[str, float]()
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/play.npz"
        np.savez(file, **vars(play))
        for title, rows in ((f"equal bytes, {format_bytes(budget)}", 0), (f"equal count, {COUNT:,}", COUNT)):
            print(f"\n{GAME} at {title}, one-step windows, batches of {BATCH}; {who}")
            for store in [*OURS, *PEERS]:
                if store in PEERS and importlib.util.find_spec(PEERS[store][0]) is None:
                    print(f"{store:33}not installed: pip install {PEERS[store][1]}")
                    continue
                nbytes = round(row_bytes[store] * rows) if rows and store in OURS else budget
                command = [sys.executable, __file__, "--child", store, file, str(nbytes), str(rows)]
                ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                speed = StoreSpeed(**json.loads(ran.stdout))
                row_bytes[store] = speed.nbytes / speed.rows
                print(line(store, speed, BATCH), flush=True)


def main() -> None:
    """Print one table."""
    if sys.argv[1:2] == ["--child"]:
        store, file, *numbers = sys.argv[2:]
        child(store, file, *map(int, numbers))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run of Qbert, whose policy plays")
    parser.add_argument("--frames", type=int, help="steps of play; without it 20,000")
    args = parser.parse_args()
    print(head())
    measure(Policy(args.run) if args.run else None, args.frames)


if __name__ == "__main__":
    main()
