"""The frozen stem, inference only. `runtime.export` and `runtime.model_file` write and read its file."""

from runtime.session import CPU, Session

__all__ = ["CPU", "Session"]
