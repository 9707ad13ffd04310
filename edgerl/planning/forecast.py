"""How long a run will take on a device, and with how much energy: always from what to what, and never a measurement.

A phase's seconds are max(operations / rate, bytes / bandwidth) + calls x overhead, as the roofline has it. Rates are a
share of the CPU's peak, fitted on published measurements (`device_profiles/validation.toml`), or a calibration's own.
"""

import math
import statistics
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from device_profiles import DeviceProfile, points
from edgerl.agents.algorithms import ALGORITHMS
from edgerl.config.settings import Config
from edgerl.envs.suites import suite_of
from edgerl.planning.plan import SUITES, Plan
from edgerl.planning.workload import Work, phases
from edgerl.types import Phases

# Student's t, two-sided 90%, by degrees of freedom (one less than the points): what a prediction reaches to each side.
STUDENT = {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 6: 1.943, 7: 1.895, 8: 1.860}
CYCLES = (10_000.0, 60_000.0)  # of the fastest core for a call of torch: out-of-order cores here, in-order ones at most
CARD = 10e6  # bytes/s of an SD card of class A1, at least: what a device writes where nothing better is known
COPIED = (0.05, 0.36)  # of its nominal bandwidth, what one core of a board copies: the catalogue's least and most
ERROR = 1.15  # of a calibrated forecast: published profiled models come within 15% of the time
UNITS, LONGEST = ((1 / 3600, "s"), (1 / 60, "min"), (1.0, "h"), (24.0, "days")), 100
CALIBRATED = ("training_before", "training_after", "acting_before", "acting_after", "encoding")
BEFORE = ("acting before T_f", "updating before T_f")
AFTER = ("conversion", "encoding after T_f", "acting after T_f", "updating after T_f")


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
    """What a device does: operations/s in training, acting and ONNX Runtime's inference, bytes/s, seconds of a call.

    `write`: bytes/s to storage; `step`: seconds of a step of the environment (None: not known, and not counted).
    """

    training: Band
    acting: Band
    inference: Band
    memory: Band
    call: Band
    write: Band
    step: Band | None = None


def efficiency(kind: str, without: str | None = None) -> Band:
    """Shares of peak between which 90% of such work lies: log-normal, from the published points of this kind.

    `without`: the name of a point to leave out, so that it can be predicted from the others.
    """
    logs = [math.log(point.efficiency) for point in points() if point.kind == kind and point.name != without]
    mean, spread = statistics.mean(logs), statistics.stdev(logs)
    reach = STUDENT[len(logs) - 1] * spread * math.sqrt(1 + 1 / len(logs))
    return Band(math.exp(mean - reach), min(1.0, math.exp(mean + reach)))


def rates(profile: DeviceProfile, config: Config) -> Phases[Rates] | None:
    """A device's rates for a run, before T_f and after it; None where its profile lacks what they follow from."""
    if profile.calibrated:
        return _calibrated(profile, config)
    memory, peak, clock = _memory(profile), _peak(profile), profile.clock
    if memory is None or peak is None or clock is None:
        return None
    written, inference = profile.storage_write, efficiency("inference").times(peak)
    found = Rates(
        training=efficiency("training").times(peak),
        acting=inference,
        inference=inference,
        memory=memory,
        call=Band(*CYCLES).times(1e-9 / clock),
        write=Band(CARD, math.inf) if written is None else Band(written.bytes, written.bytes),
    )
    return Phases(found, found)


def _peak(profile: DeviceProfile) -> float | None:
    """Operations/s of all cores, as a run there takes; None where not known."""
    peak = profile.peak_of_clusters if profile.cpu_peak is None else profile.cpu_peak.value
    return None if peak is None else 1e9 * peak


def _memory(profile: DeviceProfile) -> Band | None:
    """Bytes/s: what one core copies, read and written, and twice that for several.

    Where only the nominal bandwidth is known, the shares of it that boards copy.
    """
    if profile.copy is not None:
        return Band(2.0, 4.0).times(profile.copy.value * 1e9)
    if profile.bandwidth is None:
        return None
    return Band(2 * COPIED[0], 4 * COPIED[1]).times(profile.bandwidth.value * 1e9)


def _calibrated(profile: DeviceProfile, config: Config) -> Phases[Rates] | None:
    """What a calibration found at the algorithm's own shapes, give or take ERROR; memory is in its rates."""
    numbers, algo = profile.calibrated, ALGORITHMS[config.run.algo].calibrated_as
    keys = [f"{algo}_{part}" for part in CALIBRATED]
    if not {*keys, "call"} <= numbers.keys():
        return None
    step = numbers.get(f"{suite_of(config.run.env)}_step")

    def band(value: float) -> Band:
        return Band(value / ERROR, value * ERROR)

    training, training_after, acting, acting_after, encoding = (band(1e9 * numbers[key].value) for key in keys)
    before = Rates(
        training=training,
        acting=acting,
        inference=encoding,
        memory=Band(math.inf, math.inf),
        call=band(1e-6 * numbers["call"].value),
        write=Band(CARD, math.inf) if profile.storage_write is None else band(profile.storage_write.bytes),
        step=None if step is None else band(1e-3 * step.value),
    )
    return Phases(before, replace(before, training=training_after, acting=acting_after))


def seconds(work: Work, rates: Rates) -> Band:
    """How long it takes, from everything at its best to everything at its worst."""
    ends = []
    for end in ("high", "low"):  # of a rate: the high one gives the low time
        other = "low" if end == "high" else "high"
        computed = 2 * work.trained / getattr(rates.training, end) + 2 * work.acted / getattr(rates.acting, end)
        computed += 2 * work.inferred / getattr(rates.inference, end)
        moved = work.moved / getattr(rates.memory, end)
        simulated = work.simulated * getattr(rates.step, other) if rates.step is not None else 0.0
        written = work.written / getattr(rates.write, end)
        ends.append(max(computed, moved) + work.calls * getattr(rates.call, other) + simulated + written)
    return Band(*ends)


def forecast(
    config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None, steps: int | None = None
) -> dict[str, Any]:
    """Hours and joules of a run on a device and hours of its phases, {low, high}, as `--json` and summary.json have it.

    What the profile does not know is None. Not in it: evaluations, and the environment's own steps where the profile
    has no time for one. `steps`: of the first so many agent steps only; `window`: what an encoder sees.
    """
    found = None if profile is None else rates(profile, config)
    if found is None or profile is None:
        return {"hours": None, "joules": None, "phases": None}
    parts = {
        name: seconds(work, found.at(name in AFTER)) for name, work in phases(config, plan, window, steps=steps).items()
    }
    total = sum(parts.values(), Band(0.0, 0.0))
    power = profile.power
    return {
        "hours": total.times(1 / 3600)._asdict(),
        "joules": None if power is None else total.times(power.value)._asdict(),
        "phases": {name: each.times(1 / 3600)._asdict() for name, each in parts.items()},
    }


def words(found: dict[str, Any], device: str) -> str:
    """A forecast on one line."""
    if found["hours"] is None:
        return f"{device}: unknown, as its profile lacks peak, clock or bandwidth"
    joules = "" if found["joules"] is None else f", {spread(found['joules'], 1e3)} kJ"
    return f"{device}, not measured: {duration(found['hours'])}{joules}"


def together(phases: dict[str, dict[str, float]], names: tuple[str, ...]) -> dict[str, float]:
    """The sum of some phases."""
    return {end: sum(phases[name][end] for name in names) for end in ("low", "high")}


def libraries(profile: DeviceProfile | None, config: Config) -> dict[str, int]:
    """The ledger's line of libraries, where a calibration has measured it; else nothing."""
    measured = profile.calibrated.get("libraries") if profile else None
    return {} if measured is None else {"libraries": measured.bytes + SUITES.get(suite_of(config.run.env), 0)}


def spread(ends: dict[str, float], unit: float = 1.0) -> str:
    """`low to high`, with two digits that count; one number where both are the same."""
    return " to ".join(dict.fromkeys(_digits(ends[end] / unit) for end in ("low", "high")))


def duration(hours: dict[str, float]) -> str:
    """`low to high` in the unit that suits the longer of them."""
    unit, name = next(each for each in UNITS if hours["high"] < LONGEST * each[0] or each is UNITS[-1])
    return f"{spread(hours, unit)} {name}"


def so_far(config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None, steps: int) -> str:
    """What so many steps would have taken on the device, to be shown beside progress; empty where nobody knows."""
    found = forecast(config, plan, window, profile, steps)
    if found["hours"] is None or profile is None:
        return ""
    return f"  {profile.name} {duration(found['hours'])} (forecast)"


def _digits(value: float) -> str:
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"
