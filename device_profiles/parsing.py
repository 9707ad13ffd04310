"""Checks a table of the catalogue, or of a user's file, and makes a profile of it."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from device_profiles.profile import (
    KINDS,
    PLATFORMS,
    POSSIBLE,
    Cluster,
    DeviceProfile,
    Number,
    Possible,
    ProfileError,
)

_MEMORY = ("MB", "MiB", "GB", "GiB")
FIXED = {"application": _MEMORY, "ram": _MEMORY, "storage_write": ("MB/s",), "storage_endurance": ("TB",)}
CLOCKED = {  # what a power mode changes
    "cpu_peak": ("GFLOP/s",),
    "gpu_clock": ("GHz",),
    "gpu_fp32": ("GFLOP/s",),
    "gpu_fp16": ("GFLOP/s",),
    "bandwidth": ("GB/s",),
    "copy": ("GB/s",),
    "fill": ("GB/s",),
    "power": ("W",),
}
# The smallest and the largest value allowed in each unit; outside lie slips of units, such as MHz for GHz.
BOUNDS: dict[str, tuple[float, float]] = {
    "cores": (1, 1024),
    "GHz": (0.01, 10),
    "FLOP/cycle": (0.1, 1024),
    "MB": (1, 4 * 2**40 / 10**6),
    "MiB": (1, 4 * 2**20),
    "GB": (0.001, 4 * 2**40 / 10**9),
    "GiB": (0.001, 4 * 2**10),
    "GFLOP/s": (0.001, 1_000_000),
    "GB/s": (0.001, 10_000),
    "MB/s": (0.001, 100_000),
    "TB": (0.001, 1_000_000),
    "W": (0.001, 10_000),
    "us": (0.001, 1_000_000),
    "ms": (0.001, 1_000_000),
    "threads": (1, 1024),
}
_REQUIRED = ("title", "platform", "clusters")
_ORIGIN = ("source", "kind")
_OTHERS = ("possible", "modes", "calibrated")
_POSSIBLE = ("what", "reason")
_CLUSTER = ("core", "count", "clock", "flop_per_cycle")
_MODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

Table = Mapping[str, object]


def parse(name: str, table: object, where: str = "", reference: str = "") -> DeviceProfile:
    """The profile that a table describes; the head of catalog/jetson.toml explains the layout.

    `where`: the beginning of every message (default: the device's name); `reference`: of the profile (default: the
    name). Raises ProfileError for a missing or unknown key, a wrong type, a unit that the key does not take, a number
    outside BOUNDS, and for an application that may use more than the device's RAM.
    """
    at = f"{where or f'device {name!r}'}: "
    entries = _entries(at, table, _REQUIRED, (*_REQUIRED, *_ORIGIN, *FIXED, *CLOCKED, *_OTHERS))
    clusters = _clusters(at, entries)
    device = DeviceProfile(
        name=name,
        reference=reference or name,
        title=_text(f"{at}title", entries["title"]),
        platform=_one_of(f"{at}platform", entries["platform"], PLATFORMS),
        clusters=clusters,
        threads=sum(cluster.count for cluster in clusters),
        possible=_possible(f"{at}possible", entries["possible"]) if "possible" in entries else None,
        calibrated=_calibrated(at, entries),
        **_numbers(at, entries, FIXED | CLOCKED),
    )
    if device.application and device.ram and device.application.bytes > device.ram.bytes:
        raise ProfileError(f"{at}application: is more than ram, {device.ram.value:g} {device.ram.unit}")
    return replace(device, modes=_modes(at, entries.get("modes", {}), device))


def _possible(where: str, table: object) -> Possible:
    entries = _entries(f"{where}: ", table, _POSSIBLE, _POSSIBLE)
    what = _one_of(f"{where}.what", entries["what"], POSSIBLE)
    return Possible(what, _text(f"{where}.reason", entries["reason"]))


def _calibrated(at: str, entries: Table) -> dict[str, Number]:
    """What a calibration measured, by the calibration's own names, in any known unit."""
    table = entries.get("calibrated", {})
    if not isinstance(table, Mapping):
        raise ProfileError(f"{at}calibrated: must be a table, not {_shown(table)}")
    origin = {key: entries[key] for key in _ORIGIN if key in entries}
    names = [key for key in table if key not in _ORIGIN]
    return _numbers(f"{at}calibrated.", origin | dict(table), dict.fromkeys(names, tuple(BOUNDS)))


def _modes(at: str, table: object, device: DeviceProfile) -> tuple[DeviceProfile, ...]:
    if not isinstance(table, Mapping):
        raise ProfileError(f"{at}modes: must be a table, not {_shown(table)}")
    modes: dict[str, DeviceProfile] = {}
    for name, entries in table.items():
        if not _MODE_NAME.fullmatch(name):
            raise ProfileError(f"{at}modes: {_shown(name)} is no name of a mode: letters, digits, _ . - only")
        if name.lower() in modes:
            raise ProfileError(f"{at}modes: {name!r} is there twice, as upper and lower case are the same")
        modes[name.lower()] = _mode(f"{at}modes.{name}", entries, device, name.lower())
    return tuple(modes.values())


def _mode(where: str, table: object, device: DeviceProfile, mode: str) -> DeviceProfile:
    """The device in a mode: what depends on clocks is what the mode's table says, or unknown."""
    entries = _entries(f"{where}: ", table, (), (*_ORIGIN, "clusters", *CLOCKED))
    at = f"{where}."
    clusters = _clusters(at, entries) if "clusters" in entries else ()
    clocked: dict[str, Any] = dict.fromkeys(CLOCKED) | {"calibrated": {}}
    clocked |= _numbers(at, entries, CLOCKED)
    return replace(
        device,
        name=f"{device.name}:{mode}",
        reference=f"{device.reference}:{mode}",
        mode=mode,
        clusters=clusters,
        threads=sum(cluster.count for cluster in clusters) or device.threads,
        **clocked,
    )


def _clusters(at: str, entries: Table) -> tuple[Cluster, ...]:
    tables = entries["clusters"]
    if not isinstance(tables, list) or not tables:
        raise ProfileError(f"{at}clusters: must be a list of one table or more, not {_shown(tables)}")
    clusters = tuple(_cluster(f"{at}clusters, no. {i}: ", table, entries) for i, table in enumerate(tables, 1))
    _within(f"{at}clusters", sum(cluster.count for cluster in clusters), "cores")
    return clusters


def _cluster(at: str, table: object, beside: Table) -> Cluster:
    entries = _entries(at, _with_origin(table, beside), ("core", "count", *_ORIGIN), (*_CLUSTER, *_ORIGIN))
    count = entries["count"]
    if isinstance(count, bool) or not isinstance(count, int):
        raise ProfileError(f"{at}count: must be a whole number, not {_shown(count)}")
    _within(f"{at}count", count, "cores")
    clock, flop = (
        _within(f"{at}{key}", entries[key], unit) if key in entries else None
        for key, unit in (("clock", "GHz"), ("flop_per_cycle", "FLOP/cycle"))
    )
    return Cluster(_text(f"{at}core", entries["core"]), count, clock, flop, *_origin(at, entries))


def _numbers(at: str, entries: Table, units: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The numbers in a table by key; `units`: the units that each key takes."""
    for key, check in (("source", _text), ("kind", _kind)):
        if key in entries:
            check(f"{at}{key}", entries[key])
    return {key: _number(f"{at}{key}", entries[key], units[key], entries) for key in units if key in entries}


def _number(where: str, table: object, units: tuple[str, ...], beside: Table) -> Number:
    keys = ("value", "unit", *_ORIGIN)
    entries = _entries(f"{where}: ", _with_origin(table, beside), keys, keys)
    unit = _one_of(f"{where}.unit", entries["unit"], units)
    return Number(_within(f"{where}.value", entries["value"], unit), unit, *_origin(f"{where}.", entries))


def _with_origin(table: object, beside: Table) -> object:
    """A table with the source and the kind that stand beside it, unless it has its own."""
    if not isinstance(table, Mapping):
        return table
    return {key: beside[key] for key in _ORIGIN if key in beside} | dict(table)


def _origin(at: str, entries: Table) -> tuple[str, str]:
    return _text(f"{at}source", entries["source"]), _kind(f"{at}kind", entries["kind"])


def _entries(at: str, table: object, required: Collection[str], known: Collection[str]) -> Table:
    if not isinstance(table, Mapping):
        raise ProfileError(f"{at}must be a table, not {_shown(table)}")
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"the nearest is {near[0]!r}" if near else f"known: {', '.join(known)}"
            raise ProfileError(f"{at}unknown key {_shown(key)}; {hint}")
    for key in required:
        if key not in table:
            raise ProfileError(f"{at}missing key {key!r}")
    return table


def _within(where: str, value: object, unit: str) -> float:
    least, most = BOUNDS[unit]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProfileError(f"{where}: must be a number, not {_shown(value)}")
    if not least <= value <= most:
        raise ProfileError(f"{where}: must be from {least:g} to {most:g} {unit}, not {_shown(value)}")
    return float(value)


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ProfileError(f"{where}: must be one line of text that is not empty, not {_shown(value)}")
    return value


def _kind(where: str, value: object) -> str:
    return _one_of(where, value, KINDS)


def _one_of(where: str, value: object, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ProfileError(f"{where}: must be one of {', '.join(choices)}, not {_shown(value)}")
    return str(value)


def _shown(value: object) -> str:
    """A value as messages show it: on one line, shortened if it is long."""
    return reprlib.repr(value)
