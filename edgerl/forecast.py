"""How long a run will take on a device, and with how much energy: always from what to what, and never a measurement.

A phase's seconds are max(operations / rate, bytes / bandwidth) + calls x overhead, as the roofline has it. Rates are a
share of the CPU's peak, fitted on published measurements (`device_profiles/validation.toml`), or a calibration's own.
"""

import math
import statistics
from dataclasses import dataclass
from typing import Any, NamedTuple

from device_profiles import DeviceProfile, Number, points
from edgerl.config import Config
from edgerl.plan import Plan
from edgerl.work import Work, phases

# Student's t, two-sided 90%, by degrees of freedom (one less than the points): what a prediction reaches to each side.
STUDENT = {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 6: 1.943, 7: 1.895, 8: 1.860}
CYCLES = (10_000.0, 60_000.0)  # of the fastest core for a call of torch: out-of-order cores here, in-order ones at most
CARD = 10e6  # bytes/s of an SD card of class A1, at least: what a device writes where nothing better is known


class Band(NamedTuple):
    """From `low` to `high`."""

    low: float
    high: float

    def __add__(self, other: object) -> "Band":
        assert isinstance(other, tuple)  # noqa: S101
        return Band(self.low + other[0], self.high + other[1])

    def times(self, factor: float) -> "Band":
        return Band(factor * self.low, factor * self.high)


@dataclass(frozen=True)
class Rates:
    """What a device does: operations/s in training and inference, bytes/s, and seconds of a call.

    `step`: seconds of a step of the environment (None: not known, and not counted); `write`: bytes/s to storage.
    """

    training: Band
    inference: Band
    memory: Band
    call: Band
    write: Band
    step: Band | None = None


def efficiency(kind: str, without: str | None = None) -> Band:
    """Shares of peak between which 90% of such work lies: log-normal, from the published points of this kind.

    `without`: the description of a point to leave out, so that it can be predicted from the others.
    """
    logs = [math.log(point.efficiency) for point in points() if point.kind == kind and point.name != without]
    mean, spread = statistics.mean(logs), statistics.stdev(logs)
    reach = STUDENT[len(logs) - 1] * spread * math.sqrt(1 + 1 / len(logs))
    return Band(math.exp(mean - reach), min(1.0, math.exp(mean + reach)))


def rates(profile: DeviceProfile, threads: int) -> Rates | None:
    """The rates of a device's CPU with so many threads; None where the profile lacks what they follow from."""
    memory = _memory(profile)
    if profile.cpu_peak is None or profile.clock is None or memory is None:
        return None
    peak = 1e9 * profile.cpu_peak.value * min(1.0, threads / profile.cores)
    cycle = 1 / (1e9 * profile.clock.value)
    write = _rate(profile.storage_write)
    return Rates(
        training=efficiency("training").times(peak),
        inference=efficiency("inference").times(peak),
        memory=memory,
        call=Band(*CYCLES).times(cycle),
        write=Band(CARD, math.inf) if write is None else Band(write, write),
    )


def _memory(profile: DeviceProfile) -> Band | None:
    """Bytes/s: what one core copies, read and written, and twice that for several.

    Where only the nominal bandwidth is known, the shares of it that the catalogue's other devices copy.
    """
    if profile.copy is not None:
        return Band(2.0, 4.0).times(profile.copy.value * 1e9)
    if profile.bandwidth is None:
        return None
    return Band(*_SHARE).times(2 * profile.bandwidth.value * 1e9)


_SHARE = (0.05, 0.35)  # copy over nominal bandwidth: AGX Orin's and Raspberry Pi 5's are the least and the greatest


def _rate(number: Number | None) -> float | None:
    return None if number is None else number.bytes


def seconds(work: Work, rates: Rates) -> Band:
    """How long it takes, from everything at its best to everything at its worst."""
    ends = []
    for end in ("high", "low"):  # of a rate: the high one gives the low time
        other = "low" if end == "high" else "high"
        computed = 2 * work.trained / getattr(rates.training, end) + 2 * work.inferred / getattr(rates.inference, end)
        moved = work.moved / getattr(rates.memory, end)
        simulated = work.simulated * getattr(rates.step, other) if rates.step is not None else 0.0
        written = work.written / getattr(rates.write, end)
        ends.append(max(computed, moved) + work.calls * getattr(rates.call, other) + simulated + written)
    return Band(*ends)


def report(config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None) -> dict[str, Any]:
    """The forecast as `--json` and summary.json have it: hours and joules of the run and its phases, {low, high}.

    What the profile does not know is None. Not in it: evaluations, and the environment's own steps where the profile
    has no time for one.
    """
    found = None if profile is None else rates(profile, config.run.threads)
    if found is None or profile is None:
        return {"hours": None, "joules": None, "phases": None}
    power = None if profile.power is None else profile.power.value
    parts = {name: seconds(work, found) for name, work in phases(config, plan, window).items()}
    total = sum(parts.values(), Band(0.0, 0.0))
    return {
        "hours": _ends(total.times(1 / 3600)),
        "joules": None if power is None else _ends(total.times(power)),
        "phases": {name: _ends(each.times(1 / 3600)) for name, each in parts.items()},
    }


def _ends(band: Band) -> dict[str, float]:
    return {"low": band.low, "high": band.high}
