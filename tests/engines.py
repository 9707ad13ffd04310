"""The engines for tests of agents: NumPy, torch's CPU tensors, and both in float64."""

from dataclasses import replace

import numpy as np
import torch

from edgerl.agents.build import numpy_engine
from edgerl.agents.torch_encoder import tensors


def _doubled(array):
    return array.astype(np.float64) if array.dtype == np.float32 else array


def _in_float64(engine, array):
    """The engine in float64; what is left behind a cut stays there."""
    doubled = replace(engine, array=array, frozen=lambda layers: doubled)
    return doubled


NUMPY = numpy_engine(1)
TORCH = tensors.engine("cpu", 1, lambda engine, layers: engine)
NUMPY64 = _in_float64(NUMPY, _doubled)
TORCH64 = _in_float64(TORCH, lambda array: torch.from_numpy(_doubled(array)))
BOTH = [NUMPY, TORCH]
BOTH64 = [NUMPY64, TORCH64]


def name(engine):
    """What a test of this engine is called."""
    return engine.name
