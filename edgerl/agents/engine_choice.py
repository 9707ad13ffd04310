"""Which engine trains which layers, NumPy or torch; neither torch nor the agents are imported."""

import importlib.util
from collections.abc import Sequence

from edgerl.config import architectures
from edgerl.config.architectures import Block, Layer, Shape, of_patches
from edgerl.config.settings import Config
from edgerl.errors import ConfigError
from edgerl.types import Phases

INSTALL = "pip install 'edgerl[torch]'"
SLOWER = "1.3 to 3 times"  # an update of canonical (32 windows), and of curl (128); 2 threads


def engines(config: Config, window: Shape) -> Phases[str]:
    """numpy or torch: what trains a run before its freeze and after it, wherever what it needs is installed.

    Raises ConfigError, in one line, for an engine that cannot train the encoder.
    """
    layers = architectures.layers(config.agent.encoder, window)
    behind = 1 + [layer.name for layer in layers].index(config.agent.cut)
    return Phases(_suiting(config, layers, frozen=False), _suiting(config, layers[behind:], frozen=True))


def chosen_engine(config: Config, layers: Sequence[Layer], *, frozen: bool) -> str:
    """numpy or torch: what trains these layers of a run's encoder here; right of the cut, if it is `frozen`.

    Raises ConfigError, in one line, if that is torch and it is not installed, and as `engines` does.
    """
    engine, run = _suiting(config, layers, frozen=frozen), config.run
    if engine == "numpy" or has_torch():
        return engine
    if run.accelerator == "cuda":
        raise ConfigError(f"--accelerator: cuda needs torch, which is not installed; {INSTALL}")
    if run.engine == "torch":
        raise ConfigError(f"--engine: torch is not installed; {INSTALL}")
    raise ConfigError(f"--encoder: {config.agent.encoder} has blocks, which only torch trains; {INSTALL}")


def _suiting(config: Config, layers: Sequence[Layer], *, frozen: bool) -> str:
    """What suits these layers; torch also where it is not installed, if nothing else will do."""
    run, encoder = config.run, config.agent.encoder
    frozen = frozen or run.freeze_at == 0  # then no encoder is trained, and one window is all that it encodes
    has_blocks = any(isinstance(layer.spec, Block) for layer in layers)
    if run.engine == "numpy" and run.accelerator == "cuda":
        raise ConfigError("--engine: numpy computes on the CPU; give torch or auto with --accelerator cuda")
    if run.engine == "numpy" and has_blocks:
        raise ConfigError(f"--engine: numpy trains plain convolutions, and {encoder} has blocks; give torch or auto")
    if run.engine == "numpy":
        return "numpy"
    if has_blocks or run.accelerator == "cuda" or (run.engine == "torch" and not frozen):
        return "torch"
    better = run.accelerator == "auto" or run.keep_torch or not (frozen or of_patches(layers))
    return "torch" if better and has_torch() else "numpy"


def torch_is_missed(config: Config, window: Shape, *, frozen: bool) -> str | None:
    """What a run that goes on without torch should know, in one line, where torch is not installed; else None.

    `frozen`: it is frozen already, and has nothing left of the cut to train.
    """
    if has_torch():
        return None
    if config.run.keep_torch:
        return f"--keep-torch: torch is not installed, NumPy trains after T_f; {INSTALL}"
    encoder, layers = config.agent.encoder, architectures.layers(config.agent.encoder, window)
    if frozen or of_patches(layers) or config.run.engine == "numpy":
        return None
    return f"--engine: torch is not installed, and NumPy takes {SLOWER} as long to train {encoder} until T_f; {INSTALL}"


def has_torch() -> bool:
    """Whether torch is installed; does not import it."""
    return importlib.util.find_spec("torch") is not None
