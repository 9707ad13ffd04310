"""The device profile that a run names, and the cores of the machine it runs on."""

import os

import device_profiles
from device_profiles import DeviceProfile
from edgerl.errors import ConfigError


def load_device(reference: str | None) -> DeviceProfile | None:
    """The profile of a name, perhaps with a power mode, or of a file, if one is given; raises ConfigError otherwise."""
    if reference is None:
        return None
    try:
        return device_profiles.load(reference)
    except ValueError as error:
        raise ConfigError(f"--device: {error}") from None


def available_cores() -> int:
    """How many cores this process may use: those it is bound to, or all of the machine's if the system cannot tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
