"""What a device is: how much memory, speed and power it has, each number with its source."""

from device_profiles.profile import (
    KINDS,
    DeviceProfile,
    Number,
    ProfileError,
    UnknownDevice,
    load,
    names,
    parse,
)

__all__ = [
    "KINDS",
    "DeviceProfile",
    "Number",
    "ProfileError",
    "UnknownDevice",
    "load",
    "names",
    "parse",
]
