"""What `edgerl plan` recommends for a device: the largest budget, the store, what T_f costs, how often to save."""

import math
from typing import Any

from device_profiles import DeviceProfile
from edgerl.config.settings import Config
from edgerl.planning import forecast, workload
from edgerl.planning.forecast import Band, Rates
from edgerl.planning.plan import Plan

STEPS = 10_000  # that costs are told for
SHARE = 0.01  # of the time that checkpoints may take
ROUND = 1000  # steps


def advise(
    config: Config, plan: Plan, window: tuple[int, ...], profile: DeviceProfile | None, left: int | None
) -> dict[str, Any]:
    """The recommendations as `--json` has them; None for what does not follow from what is known.

    `window`: what an encoder sees; `left`: bytes that the process limit leaves beside the plan.
    """
    found = None if profile is None else forecast.rates(profile, config)
    units = [workload.unit(config, plan, window, frozen=frozen) for frozen in (False, True)]
    hours = None
    if found is not None:
        bands = [
            forecast.seconds(unit.encoding + unit.acting + unit.updating, rates)
            for unit, rates in zip(units, found, strict=True)
        ]
        hours = [each.times(STEPS / 3600) for each in bands]
    return {
        "largest_budget": None if left is None else max(0, two_digits(left + plan.budget)),
        "store": plan.after.stores,
        "hours_per_10000_steps": None
        if hours is None
        else dict(zip(("before", "after"), (each._asdict() for each in hours), strict=True)),
        "checkpoint_every": None if found is None or hours is None else _interval(plan, found[0], hours),
        "checkpoint_bytes": workload.checkpoint_bytes(plan),
    }


def two_digits(nbytes: int) -> int:
    """Rounded down to two digits that are not zero, as people write budgets."""
    if nbytes <= 0:
        return 0
    unit = int(10 ** max(0, int(math.log10(nbytes)) - 1))
    return nbytes // unit * unit


def _interval(plan: Plan, rates: Rates, hours: list[Band]) -> int:
    """Steps between checkpoints so that writing them takes SHARE of the fastest phase's time at most."""
    writing = workload.checkpoint_bytes(plan) / rates.write.low / 3600
    fastest = min(each.low for each in hours) / STEPS
    return max(ROUND, math.ceil(writing / SHARE / fastest / ROUND) * ROUND)
