"""The replays of public libraries, and edgerl's own as other libraries take it, behind one interface (replay_peers.py).

Each is made as its documentation has it for stacked Atari frames. All take one-step windows and give batches of 32.
"""

import warnings
from typing import Any, Protocol

import numpy as np

import edgerl
from edgerl.envs import suites
from edgerl.types import Array

GAME, BATCH = "atari/qbert", 32
SPEC = suites.describe(GAME)


class Peer(Protocol):
    """A library's replay for `size` transitions, or in `size` bytes if its class `budgeted` says so.

    `grows`: what it holds depends on the content, so its bytes are counted when it is filled.
    """

    budgeted: bool
    grows: bool

    def __init__(self, size: int) -> None: ...

    def windows(self, windows: Array) -> Array:
        """Windows [B, 4, H, W] laid out as the library takes them, one by one."""

    def add(self, obs: Array, action: int, reward: float, next_obs: Array, *, done: bool, end: bool) -> None: ...

    def sample(self) -> object: ...

    def tensor_bytes(self) -> int:
        """Bytes of tensors, which Python's tracing does not see."""

    def rows(self) -> tuple[int, bool]:
        """Of a budgeted replay: how many transitions it holds, and whether any have left."""


class _Sized:
    """What most of them have in common."""

    budgeted = grows = False

    def tensor_bytes(self) -> int:
        return 0


def spaces_of_game() -> tuple[Any, Any]:
    """The game's spaces as stable-baselines3 takes them."""
    from gymnasium import spaces

    return spaces.Box(0, 255, (SPEC.history, *SPEC.frame), np.uint8), spaces.Discrete(SPEC.actions)


class Cpprb(_Sized):
    """cpprb's prioritized replay with both its compressions: every frame is stored once."""

    def __init__(self, size: int) -> None:
        import cpprb

        window, byte = {"shape": (*SPEC.frame, SPEC.history), "dtype": np.uint8}, {"dtype": np.uint8}
        columns = {"obs": window, "act": byte, "rew": {}, "done": byte}
        self.buffer = cpprb.PrioritizedReplayBuffer(size, columns, next_of="obs", stack_compress="obs")

    def windows(self, windows: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(windows, 1, -1))

    def add(self, obs: Array, action: int, reward: float, next_obs: Array, *, done: bool, end: bool) -> None:
        self.buffer.add(obs=obs, act=action, rew=reward, next_obs=next_obs, done=done)
        if end:
            self.buffer.on_episode_end()

    def sample(self) -> object:
        return self.buffer.sample(BATCH, 0.4)


class StableBaselines3(_Sized):
    """stable-baselines3's replay, which samples uniformly and stores every window twice."""

    def __init__(self, size: int) -> None:
        self.buffer = self.made(size)

    def made(self, size: int) -> Any:
        """The library's buffer."""
        from stable_baselines3.common.buffers import ReplayBuffer

        return ReplayBuffer(size, *spaces_of_game(), device="cpu")

    def windows(self, windows: Array) -> Array:
        return windows[:, None]  # of one environment

    def add(self, obs: Array, action: int, reward: float, next_obs: Array, *, done: bool, end: bool) -> None:
        info = {"TimeLimit.truncated": end and not done}
        self.buffer.add(obs, next_obs, np.array([action]), np.array([reward]), np.array([end]), [info])

    def sample(self) -> object:
        return self.buffer.sample(BATCH)


class StableBaselines3Optimized(StableBaselines3):
    """The same, with next observations read from the next row: every window once."""

    def made(self, size: int) -> Any:
        from stable_baselines3.common.buffers import ReplayBuffer

        once = {"optimize_memory_usage": True, "handle_timeout_termination": False}
        return ReplayBuffer(size, *spaces_of_game(), device="cpu", **once)


class ExtraBuffers(StableBaselines3):
    """sb3-extra-buffers: each window compressed by lz4; next observations apart.

    Not by zstd, which its README has at 1.4% of the bytes: what the zstd package (1.5.7.2) gives is as short, but keeps
    the memory of the whole window.
    """

    grows = True
    once = False

    def made(self, size: int) -> Any:
        from sb3_extra_buffers.compressed import CompressedReplayBuffer

        kind = {"optimize_memory_usage": self.once, "handle_timeout_termination": not self.once}
        return CompressedReplayBuffer(size, *spaces_of_game(), device="cpu", compression_method="lz4-block/5", **kind)


class ExtraBuffersOptimized(ExtraBuffers):
    """The same with optimize_memory_usage: every window once."""

    once = True


class TorchRL(_Sized):
    """TorchRL's tensor storage of windows and next windows, drawn uniformly."""

    def __init__(self, size: int) -> None:
        from torchrl.data import ReplayBuffer

        warnings.filterwarnings("ignore", message="The last dimension of the tensordict")
        self.number = 0
        self.buffer = ReplayBuffer(batch_size=BATCH, **self.parts(size))

    def parts(self, size: int) -> dict[str, Any]:
        """What the buffer is made of."""
        from torchrl.data import LazyTensorStorage

        return {"storage": LazyTensorStorage(size)}

    def windows(self, windows: Array) -> Array:
        return windows

    def stored(self, obs: Array, next_obs: Array) -> dict[Any, Any]:
        """What a transition stores of its observations."""
        import torch

        return {"obs": torch.from_numpy(obs), "next_obs": torch.from_numpy(next_obs)}

    def add(self, obs: Array, action: int, reward: float, next_obs: Array, *, done: bool, end: bool) -> None:
        import torch
        from tensordict import TensorDict

        columns: dict[Any, Any] = {
            "action": torch.tensor(action, dtype=torch.uint8),
            "episode": torch.tensor(self.number),
        }
        columns |= {("next", "reward"): torch.tensor([reward]), ("next", "done"): torch.tensor([end])}
        columns |= {("next", "terminated"): torch.tensor([done])}
        self.buffer.add(TensorDict(columns | self.stored(obs, next_obs), []))
        self.number += end

    def sample(self) -> object:
        return self.buffer.sample()

    def tensor_bytes(self) -> int:
        held = getattr(self.buffer.storage, "_storage", None)
        return int(held.bytes()) if hasattr(held, "bytes") else 0


class TorchRLFrames(TorchRL):
    """The same with single frames, which CatFrames stacks when slices of four are drawn: each frame twice."""

    def parts(self, size: int) -> dict[str, Any]:
        from torchrl.envs import CatFrames

        stacking = CatFrames(N=SPEC.history, dim=-3, in_keys=["pixels"], out_keys=["stack"], reset_key="_reset")
        transform, sampler = stacking.make_rb_transform_and_sampler(batch_size=BATCH, traj_key="episode")
        return super().parts(size) | {"transform": transform, "sampler": sampler}

    def stored(self, obs: Array, next_obs: Array) -> dict[Any, Any]:
        import torch

        return {"pixels": torch.from_numpy(obs[-1:]), ("next", "pixels"): torch.from_numpy(next_obs[-1:])}


class TorchRLCompressed(TorchRL):
    """TorchRL's compressed list (zlib on Python below 3.14), of windows and next windows."""

    grows = True

    def parts(self, size: int) -> dict[str, Any]:
        from torchrl.data import CompressedListStorage

        return {"storage": CompressedListStorage(size)}

    def tensor_bytes(self) -> int:
        return 0  # of memory that Python gives, which its tracing sees


class Public(_Sized):
    """`edgerl.ReplayBuffer`, prioritized, given whole windows."""

    budgeted = True

    def __init__(self, size: int) -> None:
        self.buffer = edgerl.ReplayBuffer(
            budget=size, observation=SPEC.frame, action=SPEC.actions, history=SPEC.history, prioritized=True
        )

    def windows(self, windows: Array) -> Array:
        return windows

    def add(self, obs: Array, action: int, reward: float, next_obs: Array, *, done: bool, end: bool) -> None:
        self.buffer.add(obs, action, reward, next_obs, terminated=done, truncated=end and not done)

    def sample(self) -> object:
        return self.buffer.sample(BATCH)

    def rows(self) -> tuple[int, bool]:
        return len(self.buffer), self.buffer.replays[0].ring.wrapped


class InStableBaselines3(StableBaselines3):
    """`edgerl.sb3.BudgetReplayBuffer`: CPU tensors, drawn uniformly."""

    budgeted = True

    def made(self, size: int) -> Any:
        from edgerl.sb3 import BudgetReplayBuffer

        return BudgetReplayBuffer(0, *spaces_of_game(), device="cpu", budget=size)

    def rows(self) -> tuple[int, bool]:
        return len(self.buffer.rows), self.buffer.rows.replays[0].ring.wrapped


SB3 = ("stable_baselines3", "stable-baselines3")
EXTRA, TORCHRL = ("sb3_extra_buffers", "sb3-extra-buffers"), ("torchrl", "torchrl")
PEERS: dict[str, tuple[tuple[str, str] | None, type[Peer]]] = {  # by store: its package and where it comes from
    "edgerl.ReplayBuffer, lz4, prio.": (None, Public),
    "edgerl.sb3, lz4, uniform": (SB3, InStableBaselines3),
    "cpprb compressed, prioritized": (("cpprb", "cpprb"), Cpprb),
    "stable-baselines3, uniform": (SB3, StableBaselines3),
    "its optimize_memory_usage": (SB3, StableBaselines3Optimized),
    "sb3-extra-buffers lz4, uniform": (EXTRA, ExtraBuffers),
    "with optimize_memory_usage": (EXTRA, ExtraBuffersOptimized),
    "TorchRL tensors, uniform": (TORCHRL, TorchRL),
    "TorchRL single frames, CatFrames": (TORCHRL, TorchRLFrames),
    "TorchRL compressed list, uniform": (TORCHRL, TorchRLCompressed),
}
