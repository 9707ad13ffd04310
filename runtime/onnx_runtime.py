"""ONNX Runtime, which reports nothing to its maker.

Its packages for Linux and macOS send what they run to Microsoft from 1.29 on, and keep an identifier of the machine in
the user's cache: another thread and 2 MB resident (1.31.1). It decides as it is imported. Who sets
ORT_DISABLE_TELEMETRY, even to 0, decides instead.
"""

import os

SWITCH = "ORT_DISABLE_TELEMETRY"

set_by_user = SWITCH in os.environ
os.environ.setdefault(SWITCH, "1")
try:
    import onnxruntime
finally:
    if not set_by_user:
        del os.environ[SWITCH]

__all__ = ["onnxruntime"]
