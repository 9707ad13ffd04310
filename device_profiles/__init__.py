"""What a device is: how much memory, speed and power it has, each number with its source."""

from device_profiles.loading import load, names, own_files, own_folder, read
from device_profiles.parsing import CLOCKED, FIXED, parse
from device_profiles.profile import (
    KINDS,
    PLATFORMS,
    Cluster,
    DeviceProfile,
    Number,
    ProfileError,
    UnknownDevice,
    UnknownMode,
)
from device_profiles.validation import Point, points

__all__ = [
    "CLOCKED",
    "FIXED",
    "KINDS",
    "PLATFORMS",
    "Cluster",
    "DeviceProfile",
    "Number",
    "Point",
    "ProfileError",
    "UnknownDevice",
    "UnknownMode",
    "load",
    "names",
    "own_files",
    "own_folder",
    "parse",
    "points",
    "read",
]
