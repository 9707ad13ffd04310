"""The frozen stem, inference only. `runtime.export` needs onnx and is imported where it is used."""

from runtime.session import CPU, Session

__all__ = ["CPU", "Session"]
