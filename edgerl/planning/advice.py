"""What `edgerl plan` recommends for a device: the largest budget, the store, what T_f costs, how often to save."""

import math
from dataclasses import replace
from typing import Any

from device_profiles import DeviceProfile
from edgerl.config.settings import PACE, Config
from edgerl.planning import forecast, workload
from edgerl.planning.forecast import Band, Rates
from edgerl.planning.plan import Plan
from edgerl.planning.workload import Saving, StepWork
from edgerl.types import Phases

STEPS = 10_000  # the hours of so many steps are told
WRITING_SHARE = 0.1  # of the time, at most, the storage writes checkpoints, while training goes on
WEAR_SHARE = 0.001  # of what the storage endures, at most, one run writes to it
ROUND = 500  # intervals are a multiple of so many steps


def advise(
    config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None, left: int | None
) -> dict[str, Any]:
    """The recommendations as `--json` has them; None for each that is not known.

    `window`: the shape of what an encoder sees; `left`: bytes that the process limit leaves beside the plan.
    """
    rates = None if profile is None else forecast.device_rates(profile, config, window)
    hours = None if rates is None else _hours(config, workload.step_work(config, plan, window), rates)
    return {
        "largest_budget": None if left is None else max(0, two_digits(left + plan.budget)),
        "store": plan.after.stores,
        "hours_per_10000_steps": hours and {name: band._asdict() for name, band in hours._asdict().items()},
        "checkpoint_every": None if rates is None else pace(config, plan, window, profile),
        "checkpoint_bytes": workload.saving(config, plan, window).after.after(config.run.pace or plan.last_step),
    }


def settled(config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None) -> Config:
    """The configuration with the pace of its checkpoints as a number. The arguments are those of `pace`."""
    if config.run.checkpoint_every != "auto":
        return config
    return replace(config, run=replace(config.run, checkpoint_every=pace(config, plan, window, profile)))


def pace(config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None) -> int:
    """Steps between checkpoints that the device's storage allows by its speed and, if that is known, its endurance.

    Not below PACE if it is not. `window`: the shape of what an encoder sees.
    """
    rates = None if profile is None else forecast.device_rates(profile, config, window)
    if profile is None or rates is None:
        return PACE
    hours = _hours(config, workload.step_work(config, plan, window), rates)
    endurance, savings = profile.storage_endurance, workload.saving(config, plan, window)
    worn = math.inf if endurance is None else WEAR_SHARE * endurance.bytes / plan.last_step
    intervals = [
        _interval(
            savings.at(frozen), min(WRITING_SHARE * hours.at(frozen).low * 3600 / STEPS * rates.before.write.low, worn)
        )
        for frozen in (False, True)
    ]
    return max(PACE if endurance is None else ROUND, math.ceil(max(intervals) / ROUND) * ROUND)


def two_digits(nbytes: int) -> int:
    """`nbytes` rounded down to its first two digits, as people write budgets; 0 if it is not positive."""
    if nbytes <= 0:
        return 0
    unit = int(10 ** max(0, int(math.log10(nbytes)) - 1))
    return nbytes // unit * unit


def _hours(config: Config, work: Phases[StepWork], rates: Phases[Rates]) -> Phases[Band]:
    """Hours that STEPS learning steps take."""
    before, after = (
        forecast.seconds(step.encoding + step.acting + updates * step.updating, rate).times(STEPS / 3600)
        for step, updates, rate in zip(work, config.replay.rates, rates, strict=True)
    )
    return Phases(before, after)


def _interval(saving: Saving, allowed: float) -> float:
    """The fewest steps between checkpoints at which they write no more than `allowed` bytes a step."""
    steps = saving.fixed / (allowed - saving.row) if allowed > saving.row else math.inf
    return steps if steps <= saving.rows else saving.after(saving.rows) / allowed
