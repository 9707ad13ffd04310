"""The packages, system and processor that a run used."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("edgerl", "torch", "onnxruntime", "numpy", "ale-py", "dm_control", "gymnasium")


def installed() -> dict[str, str | None]:
    """Versions of Python and of the packages that results depend on (None: not installed); system and processor."""
    packages = {name: _version(name) for name in PACKAGES}
    cores = f"{_processor()}, {os.cpu_count()} cores"
    return packages | {"python": platform.python_version(), "system": platform.platform(), "processor": cores}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name in Linux; on ARM boards the board's name, else the architecture."""
    for file, key in (("/proc/cpuinfo", "model name"), ("/proc/device-tree/model", "")):
        try:
            text = Path(file).read_text(errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip() if key else line.strip("\0")
    return platform.machine()


def is_loaded(package: str) -> bool:
    """Whether this process has imported a package."""
    return sys.modules.get(package) is not None
