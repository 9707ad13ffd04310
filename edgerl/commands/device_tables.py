"""Devices as tables for people, and as plain data for programs."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table

from device_profiles import CLOCKED, DeviceProfile, Number
from edgerl.runs import terminal
from edgerl.runs.terminal import PipeSafeConsole, plain_table
from memory_budget import format_bytes

NUMBERS = ("application", "ram", *CLOCKED, "storage_write")
BYTES = ("application", "ram")
UNITS = {"cpu_peak": "GFLOP/s", "gpu_clock": "GHz", "gpu_fp32": "GFLOP/s", "gpu_fp16": "GFLOP/s", "power": "W"}
UNITS |= {"bandwidth": "GB/s", "copy": "GB/s", "fill": "GB/s", "storage_write": "MB/s"}
WORDS = ("", "name", "device", "modes", "number", "value", "kind", "source")  # columns of text, aligned left
WITH_TITLES, WIDEST = 98, 10  # characters: the least width of a listing with titles; a comparison's widest number
LANES = "fp32 lanes of the core's vector units, x 2"
MARKS = "d: derived, u: unverified, -: unknown"
LEGEND = (
    "one app: what one application may use, the process limit that --device sets\n"
    "GFLOP/s: CPU peak, fp32; copy: GB/s on one core; watts: budget, or measured\n"
    f"modes: of power, as in jetson_nano:5w; {MARKS}\n"
    "edgerl devices show NAME: every number with its source"
)


def console() -> PipeSafeConsole:
    """The console for tables."""
    return terminal.console()


def listing(groups: dict[str, list[DeviceProfile]], width: int) -> Table:
    """A line for every device, by group; without titles if `width`, in characters, is below WITH_TITLES."""
    titles = ["device"] if width >= WITH_TITLES else []
    table = _table("name", *titles, "cores", "one app", "GFLOP/s", "copy", "watts", "modes")
    for column in table.columns[:-1]:
        column.no_wrap = True
    for group, profiles in groups.items():
        table.add_row(group, style="bold")
        for profile in profiles:
            title = [profile.title] if titles else []
            cells = (_cell(key, getattr(profile, key)) for key in ("application", "cpu_peak", "copy", "power"))
            modes = " ".join(str(mode.mode) for mode in profile.modes)
            table.add_row(profile.name, *title, str(profile.cores), *cells, modes)
    return table


def sheet(profile: DeviceProfile) -> Table:
    """Every number of a device and of its power modes, with its kind and source."""
    table = _table("number", "value", "kind", "source")
    for column in table.columns[:3]:
        column.no_wrap = True
    for described in (profile, *profile.modes):
        if described is not profile:
            table.add_row()
            table.add_row(described.mode, style="bold")
        above = ""
        for number, value, kind, source in _rows(described, NUMBERS if described is profile else tuple(CLOCKED)):
            table.add_row(number, value, kind, "as above" if source == above else source)
            above = source
    return table


def unknown(profile: DeviceProfile) -> list[str]:
    """The keys of the numbers that are not known."""
    return [key for key in ("cores", *NUMBERS) if getattr(profile, key) is None]


def comparisons(profiles: list[DeviceProfile], width: int) -> list[Table]:
    """Devices side by side; all but the first with the ratio of their numbers to the first's.

    A table has as many devices as `width`, in characters, has room for; the first one is in every table.
    """
    first, *others = profiles
    groups: list[list[DeviceProfile]] = []
    room = 0
    for other in others:
        taken = max(len(other.name), WIDEST) + len("  ratio  ")
        if not groups or room < taken:
            groups.append([])
            room = width - len("storage_write, MB/s  ") - max(len(first.name), WIDEST)
        groups[-1].append(other)
        room -= taken
    return [_comparison([first, *group]) for group in groups]


def _comparison(profiles: list[DeviceProfile]) -> Table:
    first, *others = profiles
    table = _table("", first.name, *(heading for other in others for heading in (other.name, "ratio")))
    for key in ("cores", *NUMBERS):
        values = [_amount(getattr(profile, key)) for profile in profiles]
        if all(value is None for value in values):
            continue
        cells = [_cell(key, getattr(first, key))]
        for other, value in zip(others, values[1:], strict=True):
            ratio = f"{value / values[0]:.2f}" if value is not None and values[0] is not None else ""
            cells += [_cell(key, getattr(other, key)), ratio]
        table.add_row(f"{key}, {UNITS[key]}" if key in UNITS else key, *cells)
    return table


def plain(profile: DeviceProfile) -> dict[str, Any]:
    """A profile as JSON prints it: all its fields, cores and `application_bytes`; null if unknown."""
    fields = asdict(profile)
    fields["modes"] = [plain(mode) for mode in profile.modes]
    return fields | {"cores": profile.cores, "application_bytes": profile.application_bytes}


def _table(*headings: str) -> Table:
    return plain_table(*headings, left=WORDS, column={"overflow": "fold"}, pad_edge=False)


def _rows(profile: DeviceProfile, keys: Iterable[str]) -> Iterator[tuple[str, str, str, str]]:
    for cluster in profile.clusters:
        clock = "" if cluster.clock is None else f" at {cluster.clock:g} GHz"
        yield "cores", f"{cluster.count} x {cluster.core}{clock}", cluster.kind, cluster.source
        if cluster.flop_per_cycle is not None:
            yield "", f"{cluster.flop_per_cycle:g} FLOP/cycle each", "derived", LANES
    for key, number in [*((key, getattr(profile, key)) for key in keys), *profile.calibrated.items()]:
        if number is not None:
            yield key, f"{number.value:g} {number.unit}", number.kind, number.source


def _amount(value: Number | int | None) -> float | None:
    """A number that can be divided by another of its key, whatever their units; None if unknown."""
    if not isinstance(value, Number):
        return value
    return value.bytes if value.unit.endswith("B") else value.value


def _cell(key: str, value: Number | int | None) -> str:
    if not isinstance(value, Number):
        return "-" if value is None else str(value)
    amount = format_bytes(value.bytes) if key in BYTES else f"{value.value:g}"
    return amount + {"derived": " d", "unverified": " u"}.get(value.kind, "")
