"""`edgerl.ReplayBuffer`: what a training loop of one's own asks of a replay.

Every environment has a ring of its own, an equal part of the budget. So neither a stack nor an n-step window can cross
from one environment into another, and an episode's end adds a row to one ring alone. A batch is drawn from all rings as
from one (`Replays`).
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.errors import ConfigError
from edgerl.replay.buffer import Replay
from edgerl.replay.replays import Replays
from edgerl.replay.representation import Pixels
from edgerl.replay_buffer import options, saved
from edgerl.replay_buffer.stacks import Stacks
from edgerl.types import Array, Batch
from memory_budget import format_bytes
from memory_budget.packed import GROUP


@dataclass(kw_only=True, eq=False, repr=False)
class ReplayBuffer:
    """A replay of pixels in exactly `budget` bytes, allocated at once, for any training loop; it needs no torch.

    `budget`: bytes, or text such as "70MB". `observation`: the shape of one uint8 frame, (H, W) or (C, H, W).
    `action`: how many there are, or the shape of a float32 vector. `history`: frames that a sampled observation stacks.
    `n_step`, `gamma`: of returns; both may be changed between two batches. `prioritized`: draws follow
    `update_priorities`, loss ** `omega` (Schaul et al. 2016 call it alpha). `codec`: "lz4" (lossless: rows vary in
    size) or "raw". `padding`: what an episode's first stacks hold before its first frame, "zeros" or "first" (that
    frame again); "auto": as the stacks that are added have it, zeros if single frames are added. `envs`: environments,
    each of which gets an equal part of the bytes. `seed`: of all draws. Raises ConfigError, naming the option.
    """

    budget: int | str
    observation: tuple[int, ...]
    action: int | tuple[int, ...]
    history: int = 1
    n_step: int = 1
    gamma: float = 0.99
    prioritized: bool = False
    omega: float = 0.5
    codec: str = "lz4"
    padding: str = "auto"
    envs: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        self.observation = options.frame(self.observation)
        vectors = not hasattr(self.action, "__index__")
        self.action = options.shape("action", self.action) if vectors else options.whole("action", self.action, 1)
        self.history = options.whole("history", self.history, 1, 1000)
        self.omega, self.envs = options.share("omega", self.omega), options.whole("envs", self.envs, 1, 65536)
        self.seed = options.whole("seed", self.seed, 0, 2**64)
        self.prioritized = options.flag("prioritized", self.prioritized)
        self.budget = self.budget if isinstance(self.budget, str) else options.nbytes(self.budget)
        self._stacks = Stacks(self.observation, self.history, options.padding(self.padding))
        self._pixels = Pixels(
            self.observation, self.history, refill=self.padding == "first", codec=options.codec(self.codec)
        )
        self._rng = np.random.default_rng(self.seed)
        part = options.nbytes(self.budget) // self.envs
        self._joined = Replays([self._replay(part) for _ in range(self.envs)])
        self.pending: list[Array | None] = [None] * self.envs  # the newest windows: what their rows hold is not known

    def _replay(self, part: int) -> Replay:
        """The empty replay of one environment, in its part of the budget, in bytes."""
        n_step, gamma = self._horizon()
        kind = np.min_scalar_type(self.action - 1) if isinstance(self.action, int) else (np.float32, self.action)
        try:
            replay = Replay(
                part, self._pixels, np.dtype(kind), n_step=n_step, gamma=gamma, omega=self.omega,
                rng=self._rng, sampling="prioritized" if self.prioritized else "uniform",
            )  # fmt: skip
            rows = replay.capacity
        except ValueError:  # less than a ring can be laid out in
            rows = 0
        except OSError as error:
            raise ConfigError(f"budget: {format_bytes(part)} cannot be allocated: {error.strerror}") from None
        # One more than a window takes: its first row may be the last of an episode. Whole groups leave an lz4 ring.
        least = self.history + n_step + 1 + (2 * GROUP if self.codec == "lz4" else 0)
        if rows < least:
            raise ConfigError(
                f"budget: {format_bytes(part)} for each environment are sure of {rows} rows; "
                f"history={self.history} and n_step={n_step} take {least} with codec={self.codec}"
            )
        return replay

    def _horizon(self) -> tuple[int, float]:
        return options.whole("n_step", self.n_step, 1, 1000), options.share("gamma", self.gamma)

    @property
    def replays(self) -> list[Replay]:
        """The replay of each environment."""
        return self._joined.replays

    def __len__(self) -> int:
        """Rows present: a step each, and one for the last observation of every truncated episode."""
        return len(self._joined)

    @property
    def capacity(self) -> int:
        """How many rows fit; with lz4 an estimate by the rows present, without any by frames that do not compress."""
        return self._joined.capacity

    @property
    def nbytes(self) -> int:
        """Bytes of the rows, with all that belongs to them, priorities and free space too: the budget.

        What is not in it: the newest observation of each environment, and batches.
        """
        return self._joined.nbytes

    def add(
        self,
        obs: Array,
        action: Array | int,
        reward: float,
        next_obs: Array | None,
        *,
        terminated: bool,
        truncated: bool = False,
        env: int = 0,
    ) -> None:
        """Store a step of environment `env`: what Gymnasium's `step` gave for `action` at `obs`.

        `obs`, `next_obs`: uint8, both single frames [*observation] or both stacks of `history` of them, the oldest
        first, [history, *observation] or [history C, H, W]. A stack is stored as its newest frame, and rebuilt bit for
        bit. `next_obs` of a truncated step is the episode's last observation; of a terminated one it is not read. If
        `obs` is not the last step's `next_obs`, that episode counts as truncated there. Raises ConfigError for what
        cannot be stored so; nothing is stored then.
        """
        env = options.whole("env", env, 0, self.envs - 1)
        terminated, truncated = options.flag("terminated", terminated), options.flag("truncated", truncated)
        action, reward, stacks, replay = self._action(action), options.reward(reward), self._stacks, self.replays[env]
        window, following, pending = stacks.window("obs", obs, stacks.shape), None, self.pending[env]
        if not terminated:
            following = stacks.window("next_obs", next_obs, np.shape(obs))
            stacks.check_next(window, following)
        goes_on = pending is not None and np.array_equal(pending, window)
        if not goes_on:
            stacks.begin(window)
        stacks.shape, self._pixels.refill = np.shape(obs), stacks.padding == "first"
        if pending is not None and not goes_on:
            replay.truncate(pending[-1])
        replay.append(window[-1], action, reward, terminated=terminated)
        if following is not None and truncated:
            replay.truncate(following[-1])
        self.pending[env] = None if following is None or truncated else following.copy()

    def _action(self, action: Any) -> Any:
        """An action as a row holds it; raises ConfigError if it is none."""
        if not isinstance(self.action, int):
            return options.vector("action", action, self.action)
        array = np.asarray(action)
        return options.whole("action", array.item() if array.size == 1 else action, 0, self.action - 1)

    def sample(self, batch_size: int, beta: float = 0.4) -> Batch:
        """A batch of n-step windows, of all environments: NumPy arrays that the caller owns.

        `obs`, `next_obs`: uint8 [B, history C, H, W]. `action`: [B] or [B, *action]. `reward`: n-step returns.
        `discount`: gamma ** k for a window of k steps, 0 if the episode terminated in it, so that a target is
        reward + discount * value(next_obs); `next_obs` is of no use then. `weight`: importance weights at exponent
        `beta`, the largest 1. `index`: the numbers of the rows, int64 [B], for `update_priorities`. The others are
        float32 [B]. Raises RuntimeError if no row has n_step rows after it yet.
        """
        batch_size, beta = options.whole("batch_size", batch_size, 1), options.share("beta", beta)
        self._joined.look(*self._horizon())
        return self._joined.sample(batch_size, beta)

    def update_priorities(self, index: Array, losses: Array) -> None:
        """Set the priorities of a batch's rows, by its `index` [B], from their losses [B], such as |TD errors|.

        A uniform buffer ignores them, and those of rows that have left since are ignored too. Raises ConfigError if an
        index can be no row's, or a loss is negative, not finite or above 1e30.
        """
        index, losses = np.asarray(index), options.losses(losses)
        if index.shape != losses.shape or index.ndim != 1 or index.dtype.kind not in "iu":
            raise ConfigError(f"losses {list(losses.shape)} do not belong to a batch's index {list(index.shape)}")
        if not ((index >= 0) & (index < self._joined.next_number)).all():
            raise ConfigError(f"index must be a batch's: from 0 to {self._joined.next_number - 1}")
        self._joined.update(index.astype(np.int64), losses)

    def save(self, file: str | Path) -> None:
        """Write everything to one file, whole or not at all; `load` gives a buffer that goes on to the bit.

        Raises OSError, naming the file, if the disk refuses it.
        """
        saved.write(Path(file), *self._state())

    @classmethod
    def load(cls, file: str | Path) -> "ReplayBuffer":
        """The buffer that `save` wrote. Raises CheckpointError, in one line, if the file is damaged or no buffer's."""
        arrays, values = saved.read(Path(file))
        with saved.damage(Path(file)):
            return _restored(cls, arrays, values)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All of it: arrays by name (views of the arena), and plain values."""
        raw, held = self._joined.state()
        arrays = {name: array.reshape(-1).view(np.uint8) for name, array in raw.items()}
        for number, pending in enumerate(self.pending):
            if pending is not None:
                arrays[f"{number}.pending"] = pending
        n_step, gamma = self._horizon()  # as numbers of Python's, whatever a schedule gave
        chosen = {field.name: getattr(self, field.name) for field in fields(self)} | {"n_step": n_step, "gamma": gamma}
        stacks = {"padding": self._stacks.padding, "shape": self._stacks.shape}
        return arrays, {"options": chosen, "stacks": stacks} | held

    def _restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Take over what `_state` gave; this buffer is empty and has the same options."""
        shape, self._stacks.padding = values["stacks"]["shape"], values["stacks"]["padding"]
        self._stacks.shape = None if shape is None else tuple(shape)
        self._pixels.refill = self._stacks.padding == "first"

        def read(name: str, array: Array) -> None:
            array.reshape(-1).view(np.uint8)[:] = arrays[name]

        self._joined.restore(values, read)
        for number in range(self.envs):
            pending = arrays.get(f"{number}.pending")
            self.pending[number] = None if pending is None else pending.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and other libraries' files, in which views of the arena would become arrays of their own."""
        arrays, values = self._state()
        return _restored, (type(self), {name: array.copy() for name, array in arrays.items()}, values)


def _restored(kind: type[ReplayBuffer], arrays: dict[str, Array], values: dict[str, Any]) -> ReplayBuffer:
    """The buffer whose state this is."""
    buffer = kind(**values["options"])
    buffer._restore(arrays, values)
    return buffer
