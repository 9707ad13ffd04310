"""The frozen stem, inference only. `runtime.export` needs torch and is imported where it is used."""

from runtime.session import Session

__all__ = ["Session"]
