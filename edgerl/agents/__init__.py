"""Agents by name, behind one protocol. Importing this package imports torch."""

from typing import Any, Protocol

import numpy as np
import torch

from edgerl.agents.curl_sac import CurlSac
from edgerl.agents.dqn import Dqn
from edgerl.agents.rainbow import Rainbow
from edgerl.config.settings import Config, DqnConfig, RainbowConfig
from edgerl.errors import ConfigError
from edgerl.types import Array, Batch, Update


class Agent(Protocol):
    """What the trainer and the freeze need of an agent. It sees neither environment nor replay."""

    cut: str | None

    def act(self, observation: Array, *, explore: bool) -> Any: ...

    def update(self, batch: Batch) -> Update: ...

    def stem(self, cut: str) -> torch.nn.Module: ...

    def freeze(self, cut: str) -> None: ...

    def adopt(self, arrays: dict[str, Array], stem: dict[str, Array], *, heads: bool) -> None: ...

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]: ...

    def load(self, arrays: dict[str, Array], values: dict[str, Any]) -> None: ...

    def nbytes(self) -> dict[str, int]: ...

    def activations(self, observations: Array, actions: Array) -> dict[str, Array]:
        """What each layer up to the heads' last hidden one gives for a batch, by name and in order, under no noise.

        `actions` [B, ...] are what critics of vectors see beside it. Maps are float32 [B, C, h, w], features [B, n].
        """


def make(
    config: Config, window: tuple[int, ...], actions: int, rng: np.random.Generator, *, threads: int | None = None
) -> Agent:
    """The agent that `config` names, for windows of this shape; sets torch's thread count (default: the run's).

    Raises ConfigError where the accelerator asked for is not there.
    """
    torch.set_num_threads(threads or config.run.threads)
    device, agent, algo = _device(config.run.accelerator), config.agent, config.run.algo
    if isinstance(agent, RainbowConfig):
        return Rainbow(window, actions, agent, rng, device)
    if isinstance(agent, DqnConfig):
        return Dqn(window, actions, agent, rng, device)
    random_crop = config.replay.random_crop
    return CurlSac(window, actions, agent, rng, device, contrast=algo == "curl", random_crop=random_crop)


def _device(accelerator: str) -> torch.device:
    there = torch.cuda.is_available() if accelerator != "cpu" else False
    if accelerator == "cuda" and not there:
        raise ConfigError("--accelerator: torch sees no CUDA device here; cpu works, auto takes what there is")
    return torch.device("cuda" if there else "cpu")
