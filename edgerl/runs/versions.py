"""What a run ran with: packages, system and processor."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("edgerl", "torch", "onnxruntime", "numpy", "ale-py", "dm_control", "gymnasium")


def found() -> dict[str, str | None]:
    """The versions of Python and of the packages that numbers depend on (None: not installed), system and processor."""
    packages = {name: _version(name) for name in PACKAGES}
    cores = f"{_processor()}, {os.cpu_count()} cores"
    return packages | {"python": platform.python_version(), "system": platform.platform(), "processor": cores}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """What Linux calls the processor (boards on ARM: its architecture, and the board)."""
    for file, key in (("/proc/cpuinfo", "model name"), ("/proc/device-tree/model", "")):
        try:
            text = Path(file).read_text(errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip() if key else line.strip("\0")
    return platform.machine()
