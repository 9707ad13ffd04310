"""Makes the agent that a configuration names, on the engine that suits it. torch is imported only where it computes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from edgerl.agents.agent import Agent
from edgerl.agents.dqn import Dqn
from edgerl.agents.encoder.convolutions import Convolutions
from edgerl.agents.encoder.encoder import right_of
from edgerl.agents.engine_choice import chosen_engine
from edgerl.agents.layers.arrays import Engine
from edgerl.agents.layers.threads import set_threads
from edgerl.agents.rainbow import Rainbow
from edgerl.agents.sac import CurlSac
from edgerl.config.architectures import Layer
from edgerl.config.settings import Config

AGENT_CLASSES: dict[str, Any] = {
    "rainbow": Rainbow,
    "dqn": Dqn,
    "curl": CurlSac,
    "sac": partial(CurlSac, contrast=False),
}


def make_agent(
    config: Config,
    window: tuple[int, ...],
    actions: int,
    rng: np.random.Generator,
    *,
    cut: str | None = None,
    threads: int | None = None,
) -> Agent:
    """The agent that `config` names, for windows of this shape; bounds the threads of its engine (default: the run's).

    `cut`: the last frozen layer of a run that is frozen already. Raises ConfigError if the engine or the accelerator
    asked for is not there.
    """
    layers = right_of(config.agent.encoder, window, cut)
    engine = _engine(config, layers, threads or config.run.threads, frozen=cut is not None)
    crops = {"random_crop": config.replay.random_crop} if config.agent.continuous else {}
    agent: Agent = AGENT_CLASSES[config.run.algo](window, actions, config.agent, rng, engine, cut, **crops)
    return agent


@contextmanager
def computing_as_before() -> Iterator[None]:
    """Within, agents bound the threads of NumPy's BLAS and of torch, and have torch compute repeatably on CUDA.

    Afterwards all is as it was: for callers whose process does more than train.
    """
    libraries = [
        (library, library.num_threads) for library in ThreadpoolController().select(user_api="blas").lib_controllers
    ]
    torch = sys.modules.get("torch")
    of_torch = None if torch is None else torch.get_num_threads()
    repeatable = 0 if torch is None else torch.get_deterministic_debug_mode()
    try:
        yield
    finally:
        for library, count in libraries:
            library.set_num_threads(count)
        if (tensors := sys.modules.get("edgerl.agents.torch_encoder.tensors")) is not None:
            tensors.torch.set_num_threads(of_torch or tensors.DEFAULT_THREADS)
            if tensors.torch.get_deterministic_debug_mode() != repeatable:  # to set it imports much
                tensors.torch.set_deterministic_debug_mode(repeatable)


def numpy_engine(threads: int) -> Engine:
    """NumPy on the CPU, on `threads` threads from now on."""
    set_threads(threads)
    engine: Engine
    engine = Engine("numpy", np.asarray, Convolutions, lambda layers: engine)
    return engine


def _engine(config: Config, layers: list[Layer], threads: int, *, frozen: bool) -> Engine:
    if chosen_engine(config, layers, frozen=frozen) == "numpy":
        return numpy_engine(threads)
    from edgerl.agents.torch_encoder import tensors

    def after_freeze(engine: Engine, layers: list[Layer]) -> Engine:
        return numpy_engine(threads) if chosen_engine(config, layers, frozen=True) == "numpy" else engine

    return tensors.engine(config.run.accelerator, threads, after_freeze)
