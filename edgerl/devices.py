"""The catalogue of devices as a table for people."""

from rich.table import Table

import device_profiles
from memory_budget import format_bytes


def table() -> Table:
    """One line a device: cores, what one application may use, peak arithmetic, bandwidth, power; with sources below."""
    found = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("name", "device", "CPU", "application may use", "CPU peak", "copy", "power"):
        found.add_column(heading, no_wrap=heading == "name")
    for name in device_profiles.names():
        profile = device_profiles.load(name)
        found.add_row(
            name,
            profile.title,
            profile.cpu,
            format_bytes(profile.application_bytes) + _mark(profile.application),
            *(_number(number) for number in (profile.cpu_peak, profile.copy, profile.power)),
        )
    found.caption = "d: derived   u: unverified   others: sourced; every source is in device_profiles/catalog.toml"
    return found


def _number(number: device_profiles.Number | None) -> str:
    return "-" if number is None else f"{number.value:g} {number.unit}{_mark(number)}"


def _mark(number: device_profiles.Number) -> str:
    return {"sourced": "", "derived": " d", "unverified": " u"}[number.kind]
