"""The errors that end a command in one line: the message is that line, `exit_code` how the program leaves."""


class ConfigError(ValueError):
    """A setting the user must change; the message is one line that names it."""

    exit_code = 2


class EnvError(ValueError):
    """An environment that does not exist or cannot start; the message is one line for the user."""

    exit_code = 2


class NotTrusted(ConfigError):
    """Code that a file names and nobody asked for: it is not imported. The message is one line."""


class EpisodeLost(RuntimeError):
    """An environment cannot go on where its saved episode stood; the message says why."""

    exit_code = 1


class EnvFailed(RuntimeError):
    """The environment failed during the run; the message is one line, with its name and why."""

    exit_code = 1


class FreezeError(RuntimeError):
    """ONNX Runtime's latents differ from the trained encoder's: the run ends, and its checkpoints stay as they were."""

    exit_code = 1


class ExportError(RuntimeError):
    """An exported policy acts otherwise than the program: nothing is written. The message is one line."""

    exit_code = 1


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one line."""

    exit_code = 1


class MemoryLimitError(RuntimeError):
    """A memory limit was lowered, and leaves no room to begin or to go on; the message is one line."""

    exit_code = 3


class CheckpointError(ValueError):
    """No checkpoint that can be read; the message is one line."""

    exit_code = 2


class StopTraining(Exception):
    """What a listener of `edgerl.train` raises to end the run in order, with a checkpoint."""
