"""What `edgerl plan` recommends for a device: the largest budget, the store, what T_f costs, how often to save."""

import math
from typing import Any

from device_profiles import DeviceProfile
from edgerl.config.settings import Config
from edgerl.planning import forecast, workload
from edgerl.planning.forecast import Band, Rates
from edgerl.planning.plan import Plan
from edgerl.planning.workload import StepWork
from edgerl.types import Phases

STEPS = 10_000  # the hours of so many steps are told
CHECKPOINT_SHARE = 0.01  # of the time, at most, goes into writing checkpoints
ROUND = 1000  # intervals are a multiple of so many steps


def advise(
    config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None, left: int | None
) -> dict[str, Any]:
    """The recommendations as `--json` has them; None for each that is not known.

    `window`: the shape of what an encoder sees; `left`: bytes that the process limit leaves beside the plan.
    """
    rates = None if profile is None else forecast.device_rates(profile, config, window)
    hours = None if rates is None else _hours(workload.step_work(config, plan, window), rates)
    return {
        "largest_budget": None if left is None else max(0, two_digits(left + plan.budget)),
        "store": plan.after.stores,
        "hours_per_10000_steps": hours and {name: band._asdict() for name, band in hours._asdict().items()},
        "checkpoint_every": None if rates is None or hours is None else _interval(plan, rates.before, hours),
        "checkpoint_bytes": workload.checkpoint_bytes(plan),
    }


def two_digits(nbytes: int) -> int:
    """`nbytes` rounded down to its first two digits, as people write budgets; 0 if it is not positive."""
    if nbytes <= 0:
        return 0
    unit = int(10 ** max(0, int(math.log10(nbytes)) - 1))
    return nbytes // unit * unit


def _hours(work: Phases[StepWork], rates: Phases[Rates]) -> Phases[Band]:
    """Hours that STEPS steps with an update take."""
    before, after = (
        forecast.seconds(step.encoding + step.acting + step.updating, rate).times(STEPS / 3600)
        for step, rate in zip(work, rates, strict=True)
    )
    return Phases(before, after)


def _interval(plan: Plan, rates: Rates, hours: Phases[Band]) -> int:
    """Steps between checkpoints, so that writing them takes at most CHECKPOINT_SHARE of the faster phase's time."""
    writing_hours = workload.checkpoint_bytes(plan) / rates.write.low / 3600
    step_hours = min(band.low for band in hours) / STEPS
    return max(ROUND, math.ceil(writing_hours / CHECKPOINT_SHARE / step_hours / ROUND) * ROUND)
