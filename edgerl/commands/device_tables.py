"""Devices as tables for people, and as plain data for programs."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table

from device_profiles import CLOCKED, DeviceProfile, Number
from edgerl.output.terminal import plain_table
from memory_budget import format_bytes

NUMBERS = ("application", "ram", *CLOCKED, "storage_write")
CARD = ("storage_endurance",)  # of the card that the user has put in: not missed where it is not said
BYTES = ("application", "ram")
UNITS = {"cpu_peak": "GFLOP/s", "gpu_clock": "GHz", "gpu_fp32": "GFLOP/s", "gpu_fp16": "GFLOP/s", "power": "W"}
UNITS |= {"bandwidth": "GB/s", "copy": "GB/s", "fill": "GB/s", "storage_write": "MB/s", "storage_endurance": "TB"}
WORDS = ("", "name", "device", "possible", "modes", "number", "value", "kind", "source")  # of text, aligned left
WITH_ALL, WIDEST = 112, 10  # characters: the least width of a listing of all columns; a comparison's widest number
LANES = "fp32 lanes of the core's vector units, x 2"
MARKS = "d: derived, u: unverified, -: unknown"
LEGEND = (
    "possible: with edgerl; acts only: it runs a policy that another machine trained\n"
    "one app: what one application may use, the process limit that --device sets\n"
    "GFLOP/s: CPU peak, fp32; copy: GB/s on one core; watts: budget, or measured\n"
    f"modes: of power, as in jetson_nano:5w; {MARKS}\n"
    "edgerl devices show NAME: why, and every number with its source"
)


def listing(groups: dict[str, list[DeviceProfile]], width: int) -> Table:
    """A line for every device, by group; if `width`, in characters, is below WITH_ALL, without `device` and `copy`."""
    headings = ["name", "device", "possible", "cores", "one app", "GFLOP/s", "copy", "watts", "modes"]
    if width < WITH_ALL:
        headings = [heading for heading in headings if heading not in ("device", "copy")]
    table = _table(*headings)
    for column in table.columns[:-1]:
        column.no_wrap = True
    for group, profiles in groups.items():
        table.add_row(group, style="bold")
        for profile in profiles:
            cells = _listed(profile)
            table.add_row(*(cells[heading] for heading in headings))
    return table


def _listed(profile: DeviceProfile) -> dict[str, str]:
    """The cells of a device in a listing, by heading."""
    return {
        "name": profile.name,
        "device": profile.title,
        "possible": what_is_possible(profile),
        "cores": str(profile.cores),
        "one app": _cell("application", profile.application),
        "GFLOP/s": _cell("cpu_peak", profile.cpu_peak),
        "copy": _cell("copy", profile.copy),
        "watts": _cell("power", profile.power),
        "modes": " ".join(str(mode.mode) for mode in profile.modes),
    }


def what_is_possible(profile: DeviceProfile) -> str:
    """What a device can do with edgerl, in a word or two; `-` if its profile does not say."""
    return "-" if profile.possible is None else profile.possible.what


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
        for number, value, kind, source in _rows(
            described, (*NUMBERS, *CARD) if described is profile else tuple(CLOCKED)
        ):
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
    for profile in others:
        taken = max(len(profile.name), WIDEST) + len("  ratio  ")
        if not groups or room < taken:
            groups.append([])
            room = width - len("storage_write, MB/s  ") - max(len(first.name), WIDEST)
        groups[-1].append(profile)
        room -= taken
    return [_comparison([first, *group]) for group in groups]


def _comparison(profiles: list[DeviceProfile]) -> Table:
    first, *others = profiles
    table = _table("", first.name, *(heading for compared in others for heading in (compared.name, "ratio")))
    for key in ("cores", *NUMBERS):
        values = [_amount(getattr(profile, key)) for profile in profiles]
        if all(value is None for value in values):
            continue
        cells = [_cell(key, getattr(first, key))]
        for compared, value in zip(others, values[1:], strict=True):
            ratio = f"{value / values[0]:.2f}" if value is not None and values[0] is not None else ""
            cells += [_cell(key, getattr(compared, key)), ratio]
        table.add_row(f"{key}, {UNITS[key]}" if key in UNITS else key, *cells)
    if any(profile.possible for profile in profiles):
        words = (cell for compared in others for cell in (what_is_possible(compared), ""))
        table.add_row("possible", what_is_possible(first), *words)
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
