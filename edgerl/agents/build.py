"""Makes the agent that a configuration names. Importing this module imports torch."""

import numpy as np
import torch

from edgerl.agents.agent import Agent
from edgerl.agents.dqn import Dqn
from edgerl.agents.rainbow import Rainbow
from edgerl.agents.sac import CurlSac
from edgerl.config.settings import Config, DqnConfig, RainbowConfig
from edgerl.errors import ConfigError


def make_agent(
    config: Config, window: tuple[int, ...], actions: int, rng: np.random.Generator, *, threads: int | None = None
) -> Agent:
    """The agent that `config` names, for windows of this shape; sets torch's thread count (default: the run's).

    Raises ConfigError if the accelerator asked for is not there.
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
    """torch's device for the setting `accelerator`: cpu, cuda or auto."""
    has_cuda = torch.cuda.is_available() if accelerator != "cpu" else False
    if accelerator == "cuda" and not has_cuda:
        raise ConfigError("--accelerator: torch sees no CUDA device here; cpu works, auto takes what there is")
    return torch.device("cuda" if has_cuda else "cpu")
