"""The catalogue of devices as tables for people."""

from rich.table import Table

import device_profiles
from device_profiles import DeviceProfile, Number
from memory_budget import format_bytes

NUMBERS = ("application", "ram", "clock", "cpu_peak", "gpu_fp32", "gpu_fp16", "bandwidth", "copy", "fill", "power")
CAPTION = (
    "one app: bytes one application may use, also the default process limit\n"
    "GFLOP/s: CPU peak, fp32; copy: GB/s, measured on one core\n"
    "d: derived, u: unverified; edgerl devices --sources names every source"
)


def table() -> Table:
    """One line a device."""
    found = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), caption=CAPTION, caption_justify="left")
    for heading in ("name", "device", "cores", "one app", "GFLOP/s", "copy", "watts"):
        found.add_column(heading, no_wrap=True, justify="left" if heading in ("name", "device") else "right")
    for profile in map(device_profiles.load, device_profiles.names()):
        share = format_bytes(profile.application_bytes) + _mark(profile.application)
        numbers = (_value(number) for number in (profile.cpu_peak, profile.copy, profile.power))
        found.add_row(profile.name, profile.title, str(profile.cores), share, *numbers)
    return found


def sources() -> Table:
    """One line a number: what it is, how it is known and from where."""
    found = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("device", "number", "value", "kind", "source"):
        found.add_column(heading, no_wrap=heading != "source")
    for profile in map(device_profiles.load, device_profiles.names()):
        for name, number in _numbers(profile):
            found.add_row(profile.name, name, f"{number.value:g} {number.unit}", number.kind, number.source)
    return found


def _numbers(profile: DeviceProfile) -> list[tuple[str, Number]]:
    found = ((name, getattr(profile, name)) for name in (*NUMBERS, "storage_write"))
    return [(name, number) for name, number in found if number is not None]


def _value(number: Number | None) -> str:
    return "-" if number is None else f"{number.value:g}{_mark(number)}"


def _mark(number: Number) -> str:
    return {"sourced": "", "derived": " d", "unverified": " u"}[number.kind]
