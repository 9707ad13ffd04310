"""What `edgerl plan` recommends for a device: the largest budget, the store, what T_f costs, how often to save."""

import math
from typing import Any

from device_profiles import DeviceProfile
from edgerl.config.settings import Config
from edgerl.planning import forecast, workload
from edgerl.planning.forecast import Band, Rates
from edgerl.planning.plan import Plan
from edgerl.planning.workload import Unit
from edgerl.types import Phases

STEPS = 10_000  # that costs are told for
SHARE = 0.01  # of the time that checkpoints may take
ROUND = 1000  # steps


def advise(
    config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None, left: int | None
) -> dict[str, Any]:
    """The recommendations as `--json` has them; None for what does not follow from what is known.

    `window`: what an encoder sees; `left`: bytes that the process limit leaves beside the plan.
    """
    rates = None if profile is None else forecast.rates(profile, config)
    hours = None if rates is None else _hours(workload.units(config, plan, window), rates)
    return {
        "largest_budget": None if left is None else max(0, two_digits(left + plan.budget)),
        "store": plan.after.stores,
        "hours_per_10000_steps": hours and {name: band._asdict() for name, band in hours._asdict().items()},
        "checkpoint_every": None if rates is None or hours is None else _interval(plan, rates.before, hours),
        "checkpoint_bytes": workload.checkpoint_bytes(plan),
    }


def two_digits(nbytes: int) -> int:
    """Rounded down to two digits that are not zero, as people write budgets."""
    if nbytes <= 0:
        return 0
    unit = int(10 ** max(0, int(math.log10(nbytes)) - 1))
    return nbytes // unit * unit


def _hours(units: Phases[Unit], rates: Phases[Rates]) -> Phases[Band]:
    """Hours of STEPS steps with an update."""
    before, after = (
        forecast.seconds(unit.encoding + unit.acting + unit.updating, rate).times(STEPS / 3600)
        for unit, rate in zip(units, rates, strict=True)
    )
    return Phases(before, after)


def _interval(plan: Plan, rates: Rates, hours: Phases[Band]) -> int:
    """Steps between checkpoints so that writing them takes SHARE of the fastest phase's time at most."""
    writing = workload.checkpoint_bytes(plan) / rates.write.low / 3600
    fastest = min(band.low for band in hours) / STEPS
    return max(ROUND, math.ceil(writing / SHARE / fastest / ROUND) * ROUND)
