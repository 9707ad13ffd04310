"""Agents by name, behind one protocol. Importing this package imports torch."""

from typing import Any, Protocol

import numpy as np
import torch

from edgerl.agents.rainbow import Rainbow
from edgerl.config import Config, ConfigError
from edgerl.types import Array, Batch, Update


class Agent(Protocol):
    """What the trainer and the freeze need of an agent. It sees neither environment nor replay."""

    cut: str | None

    def act(self, observation: Array, *, explore: bool) -> int: ...

    def update(self, batch: Batch) -> Update: ...

    def stem(self, cut: str) -> torch.nn.Module: ...

    def freeze(self, cut: str) -> None: ...

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]: ...

    def load(self, arrays: dict[str, Array], values: dict[str, Any]) -> None: ...

    def nbytes(self) -> dict[str, int]: ...


def make(
    config: Config, window: tuple[int, ...], actions: int, rng: np.random.Generator, *, threads: int | None = None
) -> Agent:
    """The agent that `config` names, for windows of this shape; sets torch's thread count (default: the run's).

    Raises ConfigError where the accelerator asked for is not there.
    """
    torch.set_num_threads(threads or config.run.threads)
    return Rainbow(window, actions, config.agent, rng, _device(config.run.accelerator))


def _device(accelerator: str) -> torch.device:
    there = torch.cuda.is_available() if accelerator != "cpu" else False
    if accelerator == "cuda" and not there:
        raise ConfigError("--accelerator: torch sees no CUDA device here; cpu works, auto takes what there is")
    return torch.device("cuda" if there else "cpu")
