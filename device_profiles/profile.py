"""Device profiles: read from a table, checked, and never guessed."""

from __future__ import annotations

import difflib
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files

KINDS = ("sourced", "derived", "unverified")

_BYTES = {"MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30, "MB/s": 10**6, "GB/s": 10**9}
_MEMORY = ("MB", "MiB", "GB", "GiB")
_OPTIONAL_NUMBERS = {
    "clock": ("GHz",),
    "ram": _MEMORY,
    "cpu_peak": ("GFLOP/s",),
    "gpu_fp32": ("GFLOP/s",),
    "gpu_fp16": ("GFLOP/s",),
    "bandwidth": ("GB/s",),
    "copy": ("GB/s",),
    "fill": ("GB/s",),
    "power": ("W",),
    "storage_write": ("MB/s",),
}
_REQUIRED = ("title", "cpu", "cores", "application")
_KEYS = (*_REQUIRED, *_OPTIONAL_NUMBERS, "power_modes")


class ProfileError(ValueError):
    """A device's table is malformed; the message is one line naming the device and the key."""


class UnknownDevice(ValueError):
    """No device has this name; the message is one line with the nearest name and all known ones."""


@dataclass(frozen=True)
class Number:
    """One fact about a device: a value in `unit`, where it comes from, and which of KINDS it is."""

    value: float
    unit: str
    source: str
    kind: str

    @property
    def bytes(self) -> int:
        """The value in bytes (in bytes per second for a rate), rounded down; ProfileError for other units."""
        if self.unit not in _BYTES:
            raise ProfileError(f"a number in {self.unit} has no size in bytes")
        return int(Decimal(repr(self.value)) * _BYTES[self.unit])


@dataclass(frozen=True)
class DeviceProfile:
    """What one device is; a number that nobody could give is None.

    Units: `clock` (of the fastest cores) GHz; `cpu_peak`, `gpu_fp32`, `gpu_fp16` GFLOP/s; `bandwidth`
    (nominal), `copy` and `fill` (measured on one core) GB/s; `power` W; `storage_write` MB/s; `ram` (what the
    system sees; a phone's nominal) and `application` (what one application may use) are memory: take `bytes`.
    """

    name: str
    title: str
    cpu: str
    cores: int
    application: Number
    clock: Number | None = None
    ram: Number | None = None
    cpu_peak: Number | None = None
    gpu_fp32: Number | None = None
    gpu_fp16: Number | None = None
    bandwidth: Number | None = None
    copy: Number | None = None
    fill: Number | None = None
    power: Number | None = None
    storage_write: Number | None = None
    power_modes: str | None = None

    @property
    def application_bytes(self) -> int:
        """What one application may use, in bytes: the default limit of a process."""
        return self.application.bytes

    @property
    def threads(self) -> int:
        """How many threads to use unless told otherwise: one for each core."""
        return self.cores


def names() -> list[str]:
    """The names of the devices in the catalogue, in its order."""
    return list(_catalog())


def load(name: str) -> DeviceProfile:
    """The catalogue's profile of one device.

    Raises UnknownDevice for a name that is not in the catalogue.
    """
    catalog = _catalog()
    if name not in catalog:
        nearest = difflib.get_close_matches(name.lower(), list(catalog), n=1, cutoff=0.0)[0]
        raise UnknownDevice(f"unknown device {name!r}; the nearest is {nearest}; known: {', '.join(catalog)}")
    return parse(name, catalog[name])


def parse(name: str, table: object) -> DeviceProfile:
    """The profile that a table describes, laid out as in catalog.toml.

    Raises ProfileError for a missing or unknown key, a wrong type, a unit that the key does not take,
    and a number that is not positive and finite.
    """
    entries = _entries(f"device {name!r}", table, required=_REQUIRED, known=_KEYS)

    def where(key: str) -> str:
        return f"device {name!r}: {key}"

    cores = _number(where("cores"), entries["cores"], units=("cores",))
    if not cores.value.is_integer():
        raise ProfileError(f"{where('cores')}: must be a whole number, not {cores.value}")
    modes = entries.get("power_modes")
    return DeviceProfile(
        name=name,
        title=_text(where("title"), entries["title"]),
        cpu=_sourced_text(where("cpu"), entries["cpu"]),
        cores=int(cores.value),
        application=_number(where("application"), entries["application"], units=_MEMORY),
        power_modes=None if modes is None else _sourced_text(where("power_modes"), modes),
        **{key: _number(where(key), entries[key], units) for key, units in _OPTIONAL_NUMBERS.items() if key in entries},
    )


@cache
def _catalog() -> dict[str, object]:
    return tomllib.loads(files("device_profiles").joinpath("catalog.toml").read_text(encoding="utf-8"))


def _number(where: str, table: object, units: tuple[str, ...]) -> Number:
    keys = ("value", "unit", "source", "kind")
    entries = _entries(where, table, required=keys, known=keys)
    unit = _one_of(f"{where}.unit", entries["unit"], units)
    return Number(_positive(f"{where}.value", entries["value"]), unit, *_origin(where, entries))


def _sourced_text(where: str, table: object) -> str:
    keys = ("text", "source", "kind")
    entries = _entries(where, table, required=keys, known=keys)
    _origin(where, entries)
    return _text(f"{where}.text", entries["text"])


def _origin(where: str, entries: Mapping[str, object]) -> tuple[str, str]:
    return _text(f"{where}.source", entries["source"]), _one_of(f"{where}.kind", entries["kind"], KINDS)


def _entries(where: str, table: object, required: tuple[str, ...], known: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(table, Mapping):
        raise ProfileError(f"{where}: must be a table, not {table!r}")
    for key in required:
        if key not in table:
            raise ProfileError(f"{where}: missing key {key!r}")
    for key in table:
        if key not in known:
            raise ProfileError(f"{where}: unknown key {key!r}")
    return table


def _positive(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProfileError(f"{where}: must be a number, not {value!r}")
    if not 0 < value <= sys.float_info.max:
        raise ProfileError(f"{where}: must be positive and finite")
    return float(value)


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ProfileError(f"{where}: must be a text that is not empty, not {value!r}")
    return value


def _one_of(where: str, value: object, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ProfileError(f"{where}: must be one of {', '.join(choices)}, not {value!r}")
    return str(value)
