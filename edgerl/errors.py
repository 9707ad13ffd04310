"""The errors that end a command in one line; each message is that line."""


class ConfigError(ValueError):
    """A setting the user must change; the message is one line that names it."""


class EnvError(ValueError):
    """An environment that does not exist or cannot start; the message is one line for the user."""


class EpisodeLost(RuntimeError):
    """An environment cannot go on where its saved episode stood; the message says why."""


class EnvFailed(RuntimeError):
    """The environment failed during the run; the message is one line, with its name and why."""


class FreezeError(RuntimeError):
    """ONNX Runtime's latents are not torch's: the run ends, and its checkpoints are of before."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one line."""


class CheckpointError(ValueError):
    """No checkpoint that can be read; the message is one line."""
