"""stable-baselines3's replay in a byte budget, for its off-policy algorithms on pixels (DQN and SAC with CnnPolicy).

    from edgerl.sb3 import BudgetReplayBuffer
    DQN("CnnPolicy", env, replay_buffer_class=BudgetReplayBuffer, replay_buffer_kwargs={"budget": "70MB"})

Nothing else of edgerl imports this file: it needs stable-baselines3, and torch with it.
"""

from typing import Any

import numpy as np

from edgerl.errors import ConfigError
from edgerl.replay_buffer.buffer import ReplayBuffer
from edgerl.types import Array

try:
    from stable_baselines3.common import buffers, type_aliases
except ModuleNotFoundError as missing:
    raise ImportError("edgerl.sb3 needs stable-baselines3: pip install stable-baselines3") from missing


class BudgetReplayBuffer(buffers.ReplayBuffer):  # type: ignore[misc]  # of a package without types
    """A `ReplayBuffer` of stable-baselines3 that holds what fits `budget` bytes; `buffer_size` is not read.

    `replay_buffer_kwargs`: `budget`: bytes, or text such as "70MB", for all environments together. `history`: frames
    that an observation stacks (VecFrameStack, or 1 for none); each is stored once. `codec`: "lz4" or "raw". `n_steps`,
    `gamma`: of n-step returns, as NStepReplayBuffer has them; of 1 step the algorithm's own gamma counts. `seed`: of
    the draws; None: from NumPy's global generator, which the algorithm's seed sets. `handle_timeout_termination`: as in
    stable-baselines3. Rows are drawn uniformly, each when n_steps more rows of its environment are there. Raises
    ConfigError for spaces and observations that it does not store.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: Any,
        action_space: Any,
        device: Any = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        budget: int | str,
        history: int = 4,
        codec: str = "lz4",
        n_steps: int = 1,
        gamma: float = 0.99,
        seed: int | None = None,
    ) -> None:
        super(buffers.ReplayBuffer, self).__init__(buffer_size, observation_space, action_space, device, n_envs=n_envs)
        if optimize_memory_usage:
            raise ConfigError("optimize_memory_usage must be False: the budget decides how much memory is used")
        self.optimize_memory_usage, self.handle_timeout_termination = False, handle_timeout_termination
        self.rows = ReplayBuffer(
            budget=budget,
            observation=_frame(observation_space, history),
            action=_action(action_space, self.action_dim),
            history=history,
            n_step=n_steps,
            gamma=gamma,
            codec=codec,
            envs=n_envs,
            seed=int(np.random.randint(2**31)) if seed is None else seed,  # noqa: NPY002  # the algorithm seeds this one
        )

    def size(self) -> int:
        """Rows present for each environment."""
        return len(self.rows) // int(self.n_envs)

    def reset(self) -> None:
        """Drop all rows."""
        options = {name: getattr(self.rows, name) for name in self.rows.__dataclass_fields__}
        del self.rows  # its bytes are free before the new ones are taken
        self.rows = ReplayBuffer(**options)

    def add(
        self, obs: Array, next_obs: Array, action: Array, reward: Array, done: Array, infos: list[dict[str, Any]]
    ) -> None:
        """Store a step of every environment, each array [n_envs, ...]; `next_obs`: where done, the last observation.

        Raises ConfigError if an observation is not the stack of frames that `history` says.
        """
        actions = action.reshape(self.n_envs, self.action_dim)
        for env, info in enumerate(infos):
            truncated = self.handle_timeout_termination and bool(info.get("TimeLimit.truncated", False))
            self.rows.add(
                obs[env],
                actions[env],
                reward[env],
                next_obs[env],
                terminated=bool(done[env]) and not truncated,
                truncated=truncated,
                env=env,
            )

    def sample(self, batch_size: int, env: Any = None) -> Any:
        """A batch of torch tensors on the buffer's device, as `ReplayBufferSamples`; `env`: normalises, if it is given.

        Raises RuntimeError if no row can be drawn yet: learning_starts must be above n_steps.
        """
        batch = self.rows.sample(batch_size)
        reward = self._normalize_reward(batch.reward.reshape(-1, 1), env)
        dtype = self._maybe_cast_dtype(self.action_space.dtype)
        arrays = {
            "observations": self._normalize_obs(batch.obs, env),
            "actions": batch.action.reshape(batch_size, -1).astype(dtype, copy=False),
            "next_observations": self._normalize_obs(batch.next_obs, env),
            "dones": (batch.discount == 0).astype(np.float32).reshape(-1, 1),
            "rewards": reward,
        }
        if self.rows.n_step > 1:
            arrays["discounts"] = batch.discount.reshape(-1, 1)
        return type_aliases.ReplayBufferSamples(**{name: self.to_torch(a, copy=False) for name, a in arrays.items()})


def _frame(space: Any, history: int) -> tuple[int, ...]:
    """The shape of one frame of stacks [history C, H, W]; raises ConfigError if the space has no such stacks."""
    shape = tuple(space.shape or ())
    if space.dtype != np.uint8 or len(shape) != 3:
        raise ConfigError(f"BudgetReplayBuffer stores observations uint8 [C, H, W], not {space}")
    if not isinstance(history, int) or history < 1 or shape[0] % history:
        raise ConfigError(f"history = {history!r} does not divide the {shape[0]} channels of {list(shape)}")
    channels = shape[0] // history
    return shape[1:] if channels == 1 else (channels, *shape[1:])


def _action(space: Any, components: int) -> int | tuple[int, ...]:
    """What `ReplayBuffer` takes for an action of this space; raises ConfigError for spaces that it does not store."""
    if hasattr(space, "n") and getattr(space, "start", 1) == 0:
        return int(space.n)
    if np.dtype(space.dtype).kind == "f":
        return (components,)
    raise ConfigError(f"BudgetReplayBuffer stores actions of a Discrete (from 0) or a Box of floats, not {space}")
