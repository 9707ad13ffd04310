"""Estimated time and energy of a run on a device: always a range, never a measurement.

The seconds of a phase are max(operations / rate, bytes / bandwidth) + calls x overhead, as in the roofline model. Rates
are shares of the CPU's peak, fitted to published measurements (`device_profiles/validation.toml`), or come from a
calibration.
"""

import math
import statistics
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from device_profiles import DeviceProfile, points
from edgerl.agents.algorithms import ALGORITHMS
from edgerl.agents.engine_choice import engines
from edgerl.config.settings import Config
from edgerl.envs.suites import suite_of
from edgerl.planning.memory import library_bytes
from edgerl.planning.plan import Plan
from edgerl.planning.workload import Work, run_work
from edgerl.types import Phases

# Student's t, two-sided 90%, by degrees of freedom (one less than the points).
STUDENT = {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 6: 1.943, 7: 1.895, 8: 1.860}
# Cycles of the fastest core for a call of an engine's library: an out-of-order core, an in-order one (6 times as many).
# NumPy's: the median time of acts and updates of agents whose layers have 8 units, by the calls that they make, was 0.9
# to 2.2 us at 2.6 GHz.
CALL_CYCLES = {"numpy": (4_000.0, 24_000.0), "torch": (10_000.0, 60_000.0)}
CARD_SPEED = 10e6  # bytes/s that an SD card of class A1 writes at least: taken if a device's storage is not known
COPIED = (0.05, 0.36)  # the share of its nominal bandwidth that one core of a board copies: the catalogue's range
CALIBRATION_ERROR = 1.15  # of a calibrated forecast: published profiled models come within 15% of the time
TIME_UNITS = ((1 / 3600, "s"), (1 / 60, "min"), (1.0, "h"), (24.0, "days"))  # hours in one, and its name
LARGEST_NUMBER = 100  # of a unit; longer times are told in the next one
CALIBRATED = ("training_before", "training_after", "acting_before", "acting_after", "encoding")
BEFORE = ("acting before T_f", "updating before T_f")
AFTER = ("conversion", "encoding after T_f", "acting after T_f", "updating after T_f")


class Band(NamedTuple):
    """A range, from `low` to `high`."""

    low: float
    high: float

    def __add__(self, other: object) -> "Band":
        assert isinstance(other, tuple)  # noqa: S101
        return Band(self.low + other[0], self.high + other[1])

    def times(self, factor: float) -> "Band":
        return Band(factor * self.low, factor * self.high)


@dataclass(frozen=True)
class Rates:
    """What a device does: operations/s in training, in acting and in ONNX Runtime (`inference`).

    `memory`, `write`: bytes/s in memory and to storage; `call`: seconds that a call of the engine takes beside its
    operations; `step`: seconds of a step of the environment (None: not known, and not counted).
    """

    training: Band
    acting: Band
    inference: Band
    memory: Band
    call: Band
    write: Band
    step: Band | None = None


def efficiency(kind: str, without: str | None = None) -> Band:
    """The range of shares of peak that holds 90% of such work: log-normal, from the published points of this kind.

    `without`: the name of a point to leave out, which is then predicted from the others.
    """
    logs = [math.log(point.efficiency) for point in points() if point.kind == kind and point.name != without]
    mean, deviation = statistics.mean(logs), statistics.stdev(logs)
    reach = STUDENT[len(logs) - 1] * deviation * math.sqrt(1 + 1 / len(logs))
    return Band(math.exp(mean - reach), min(1.0, math.exp(mean + reach)))


def device_rates(profile: DeviceProfile, config: Config, window: tuple[int, ...]) -> Phases[Rates] | None:
    """A device's rates for a run, before T_f and after it; None if its profile lacks what they are derived from.

    `window`: the shape of what an encoder sees, which decides on the engine.
    """
    if profile.calibrated:
        return _calibrated(profile, config)
    memory, peak, clock = _memory(profile), _peak(profile), profile.clock
    if memory is None or peak is None or clock is None:
        return None
    storage, inference = profile.storage_write, efficiency("inference").times(peak)
    cycles = Phases(*(Band(*CALL_CYCLES[engine]).times(1e-9 / clock) for engine in engines(config, window)))
    rates = Rates(
        training=efficiency("training").times(peak),
        acting=inference,
        inference=inference,
        memory=memory,
        call=cycles.before,
        write=Band(CARD_SPEED, math.inf) if storage is None else Band(storage.bytes, storage.bytes),
    )
    return Phases(rates, replace(rates, call=cycles.after))


def _peak(profile: DeviceProfile) -> float | None:
    """Operations/s of all cores, which a run uses; None if not known."""
    peak = profile.peak_of_clusters if profile.cpu_peak is None else profile.cpu_peak.value
    return None if peak is None else 1e9 * peak


def _memory(profile: DeviceProfile) -> Band | None:
    """Bytes/s read and written: from what one core copies to twice that, for several cores.

    If only the nominal bandwidth is known, from the shares of it that boards copy (COPIED).
    """
    if profile.copy is not None:
        return Band(2.0, 4.0).times(profile.copy.value * 1e9)
    if profile.bandwidth is None:
        return None
    return Band(2 * COPIED[0], 4 * COPIED[1]).times(profile.bandwidth.value * 1e9)


def _calibrated(profile: DeviceProfile, config: Config) -> Phases[Rates] | None:
    """The rates that a calibration measured at the algorithm's own shapes, give or take CALIBRATION_ERROR.

    They include the time of memory, so that memory itself is without limit.
    """
    numbers, algo = profile.calibrated, ALGORITHMS[config.run.algo].calibrated_as
    keys = [f"{algo}_{part}" for part in CALIBRATED]
    if not {*keys, "call"} <= numbers.keys():
        return None
    step = numbers.get(f"{suite_of(config.run.env)}_step")

    def band(value: float) -> Band:
        return Band(value / CALIBRATION_ERROR, value * CALIBRATION_ERROR)

    training, training_after, acting, acting_after, encoding = (band(1e9 * numbers[key].value) for key in keys)
    before = Rates(
        training=training,
        acting=acting,
        inference=encoding,
        memory=Band(math.inf, math.inf),
        call=band(1e-6 * numbers["call"].value),
        write=Band(CARD_SPEED, math.inf) if profile.storage_write is None else band(profile.storage_write.bytes),
        step=None if step is None else band(1e-3 * step.value),
    )
    return Phases(before, replace(before, training=training_after, acting=acting_after))


def seconds(work: Work, rates: Rates) -> Band:
    """How long the work takes: from all rates at their best to all at their worst."""
    times = []
    for end in ("high", "low"):  # the high end of a rate gives the low time
        opposite = "low" if end == "high" else "high"  # of rates given in seconds
        computed = 2 * work.trained / getattr(rates.training, end) + 2 * work.acted / getattr(rates.acting, end)
        computed += 2 * work.inferred / getattr(rates.inference, end)
        moved = work.moved / getattr(rates.memory, end)
        simulated = work.simulated * getattr(rates.step, opposite) if rates.step is not None else 0.0
        written = work.written / getattr(rates.write, end)
        times.append(max(computed, moved) + work.calls * getattr(rates.call, opposite) + simulated + written)
    return Band(*times)


def forecast(
    config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None, steps: int | None = None
) -> dict[str, Any]:
    """Hours and joules of a run on a device and the hours of its phases, {low, high}, as `--json` and summary.json.

    Numbers that the profile does not give are None. Evaluations are not counted, nor is the environment if the profile
    has no time for its steps. `steps`: count only the first so many agent steps; `window`: the shape of what an
    encoder sees.
    """
    rates = None if profile is None else device_rates(profile, config, window)
    if rates is None or profile is None:
        return {"hours": None, "joules": None, "phases": None}
    phases = {
        name: seconds(work, rates.at(name in AFTER))
        for name, work in run_work(config, plan, window, steps=steps).items()
    }
    total = sum(phases.values(), Band(0.0, 0.0))
    power = profile.power
    return {
        "hours": total.times(1 / 3600)._asdict(),
        "joules": None if power is None else total.times(power.value)._asdict(),
        "phases": {name: time.times(1 / 3600)._asdict() for name, time in phases.items()},
    }


def line(expected: dict[str, Any], device: str) -> str:
    """The forecast of a run on one line."""
    if expected["hours"] is None:
        return f"unknown on {device}, whose profile lacks peak, clock or bandwidth"
    joules = "" if expected["joules"] is None else f", {low_to_high(expected['joules'], 1e3)} kJ"
    return f"{duration(expected['hours'])}{joules} on {device}"


def total_hours(phases: dict[str, dict[str, float]], names: tuple[str, ...]) -> dict[str, float]:
    """The hours of the named phases together, {low, high}."""
    return {end: sum(phases[name][end] for name in names) for end in ("low", "high")}


def calibrated_libraries(profile: DeviceProfile | None, plan: Plan) -> dict[str, int]:
    """The ledger's line "libraries", if a calibration has measured that of Rainbow on Atari in NumPy; else no line."""
    measured = profile.calibrated.get("libraries") if profile else None
    if measured is None:
        return {}
    return {"libraries": measured.bytes + plan.ledger["libraries"] - library_bytes("atari/qbert", "numpy")}


def low_to_high(ends: dict[str, float], unit: float = 1.0) -> str:
    """`low to high`, each with two significant digits; one number if both are the same."""
    return " to ".join(dict.fromkeys(_digits(ends[end] / unit) for end in ("low", "high")))


def duration(hours: dict[str, float]) -> str:
    """`low to high` in the unit that suits the longer of them."""
    fitting = (unit for unit in TIME_UNITS if hours["high"] < LARGEST_NUMBER * unit[0])
    unit, name = next(fitting, TIME_UNITS[-1])
    return f"{low_to_high(hours, unit)} {name}"


def so_far(config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None, steps: int) -> str:
    """The time that so many steps would have taken on the device, to be shown beside progress; empty if not known."""
    expected = forecast(config, plan, window, profile, steps)
    if expected["hours"] is None or profile is None:
        return ""
    return f"  {profile.name} {duration(expected['hours'])} (forecast)"


def _digits(value: float) -> str:
    """A number with two significant digits."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"
