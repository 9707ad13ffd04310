"""What is known of a device: its profile, each number with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

KINDS = ("sourced", "derived", "unverified", "measured")
PLATFORMS = ("linux", "android", "ios")
POSSIBLE = ("trains", "acts only", "unverified")

_BYTES = {"MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30, "MB/s": 10**6, "GB/s": 10**9, "TB": 10**12}


class ProfileError(ValueError):
    """A device's table is malformed; the message is one line that names the device or the file, and the key."""


class UnknownDevice(ValueError):
    """No device has this name, or several have; the message is one line with the nearest name, or with all these."""


class UnknownMode(ValueError):
    """The device has no power mode of this name; the message is one line with those it has."""


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
class Cluster:
    """Cores of one kind: `count` of them at `clock` GHz at most, each doing `flop_per_cycle` in fp32.

    The last two are None if unknown. `source` and `kind`: of core, count and clock; FLOP per cycle is derived from the
    core's vector units.
    """

    core: str
    count: int
    clock: float | None
    flop_per_cycle: float | None
    source: str
    kind: str

    @property
    def peak(self) -> float | None:
        """GFLOP/s in fp32 of all its cores; None if clock or FLOP per cycle is unknown."""
        if self.clock is None or self.flop_per_cycle is None:
            return None
        return self.count * self.clock * self.flop_per_cycle


@dataclass(frozen=True)
class Possible:
    """Which of POSSIBLE a device can do with edgerl: `what`, and why, in one sentence: `reason`."""

    what: str
    reason: str


@dataclass(frozen=True)
class DeviceProfile:
    """One device in one of its power modes; a number is None if nobody has published or measured it.

    `name`: for people (`jetson_nano:5w`; of a file, its stem); `reference`: what `load` takes in any folder. `threads`:
    how many to use by default, one a core; all of the device's cores if a mode's cores are unknown, as no mode has
    more. `modes`: the device's other power modes; a mode has none. `possible`: None if the profile does not say.

    Units: `gpu_clock` GHz; `cpu_peak`, `gpu_fp32`, `gpu_fp16` GFLOP/s; `bandwidth` (nominal), `copy` and `fill`
    (measured on one core) GB/s; `power` W; `storage_write` MB/s; `storage_endurance` TB (what may be
    written to it before it is worn out). `ram` (what the system sees; a phone's nominal) and
    `application` (what one application may use) are memory: take `bytes`. `calibrated`: what `edgerl devices calibrate`
    measured, by its own names; empty if it has not been run, and in every mode.
    """

    name: str
    reference: str
    title: str
    platform: str
    clusters: tuple[Cluster, ...]
    threads: int
    mode: str | None = None
    possible: Possible | None = None
    application: Number | None = None
    ram: Number | None = None
    cpu_peak: Number | None = None
    gpu_clock: Number | None = None
    gpu_fp32: Number | None = None
    gpu_fp16: Number | None = None
    bandwidth: Number | None = None
    copy: Number | None = None
    fill: Number | None = None
    power: Number | None = None
    storage_write: Number | None = None
    storage_endurance: Number | None = None
    calibrated: Mapping[str, Number] = field(default_factory=dict)
    modes: tuple[DeviceProfile, ...] = ()

    @property
    def application_bytes(self) -> int | None:
        """What one application may use, in bytes: the default limit of a process; None if unknown."""
        return None if self.application is None else self.application.bytes

    @property
    def cores(self) -> int | None:
        """Cores of all clusters; None if a power mode's are unknown."""
        return sum(cluster.count for cluster in self.clusters) or None

    @property
    def clock(self) -> float | None:
        """GHz of the fastest cores; None if no cluster's is known."""
        return max((cluster.clock for cluster in self.clusters if cluster.clock is not None), default=None)

    @property
    def peak_of_clusters(self) -> float | None:
        """GFLOP/s in fp32 of all clusters whose peak is known; None if none is."""
        return sum(cluster.peak for cluster in self.clusters if cluster.peak is not None) or None
