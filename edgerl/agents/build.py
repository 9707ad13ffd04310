"""Makes the agent that a configuration names. Importing this module imports torch."""

import os
from functools import partial
from typing import Any

import numpy as np
import torch

from edgerl.agents.agent import Agent
from edgerl.agents.dqn import Dqn
from edgerl.agents.rainbow import Rainbow
from edgerl.agents.sac import CurlSac
from edgerl.config.settings import Config
from edgerl.errors import ConfigError

AGENT_CLASSES: dict[str, Any] = {
    "rainbow": Rainbow,
    "dqn": Dqn,
    "curl": CurlSac,
    "sac": partial(CurlSac, contrast=False),
}


def make_agent(
    config: Config, window: tuple[int, ...], actions: int, rng: np.random.Generator, *, threads: int | None = None
) -> Agent:
    """The agent that `config` names, for windows of this shape; sets torch's thread count (default: the run's).

    Raises ConfigError if the accelerator asked for is not there.
    """
    torch.set_num_threads(threads or config.run.threads)
    crops = {"random_crop": config.replay.random_crop} if config.agent.continuous else {}
    kind, device = AGENT_CLASSES[config.run.algo], _device(config.run.accelerator)
    agent: Agent = kind(window, actions, config.agent, rng, device, **crops)
    return agent


def _device(accelerator: str) -> torch.device:
    """torch's device for the setting `accelerator`: cpu, cuda or auto."""
    has_cuda = torch.cuda.is_available() if accelerator != "cpu" else False
    if accelerator == "cuda" and not has_cuda:
        raise ConfigError("--accelerator: torch sees no CUDA device here; cpu works, auto takes what there is")
    if has_cuda:
        _compute_repeatably()
    return torch.device("cuda" if has_cuda else "cpu")


def _compute_repeatably() -> None:
    """Have CUDA give the same from the same: one seed is one run, and a resumed run goes on bit for bit."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(True)
