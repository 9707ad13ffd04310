"""What a device is: how much memory, speed and power it has, each number with its source."""

from device_profiles.loading import in_catalogue, load, names, own_files, own_folder, read
from device_profiles.parsing import CLOCKED, FIXED, parse
from device_profiles.profile import (
    KINDS,
    PLATFORMS,
    POSSIBLE,
    Cluster,
    DeviceProfile,
    Number,
    Possible,
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
    "POSSIBLE",
    "Cluster",
    "DeviceProfile",
    "Number",
    "Point",
    "Possible",
    "ProfileError",
    "UnknownDevice",
    "UnknownMode",
    "in_catalogue",
    "load",
    "names",
    "own_files",
    "own_folder",
    "parse",
    "points",
    "read",
]
