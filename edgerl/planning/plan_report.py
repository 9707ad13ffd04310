"""`edgerl plan`: how much memory and arithmetic a run takes, and whether a device has it. Nothing is trained."""

from typing import Any

from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.envs.base import EnvSpec
from edgerl.planning import forecast, plan
from edgerl.planning.advice import advise
from edgerl.planning.plan import Plan
from edgerl.replay import representation
from memory_budget import Watchdog

Report = dict[str, Any]


def report(config: Config, spec: EnvSpec, device: str | None) -> Report:
    """The plan of a run on one device (None: no limit but this machine's), as `--json` prints it. Sizes in bytes."""
    found = plan.make(config, spec)
    profile = load_device(device)
    window = representation.pixels(spec, config.replay).shape
    ledger = found.ledger | forecast.libraries(profile, config)
    total = sum(ledger.values())
    limits = [config.run.process_limit, profile.application_bytes if profile else None]
    limit = min((each for each in limits if each is not None), default=None)
    usable = None if limit is None else int(Watchdog.LEAVE * limit)
    counts, left = found.flops, None if usable is None else usable - total
    expected = forecast.forecast(config, found, window, profile)
    return {
        "device": profile.name if profile else None,
        "fits": None if left is None else left >= 0,
        "hours": expected["hours"],
        "joules": expected["joules"],
        "phases": expected["phases"],
        "advice": advise(config, found, window, profile, left),
        "bytes": {
            "budget": found.budget,
            "row_pixels": found.before.row,
            "row_latents": found.latents.row,
            "columns_pixels": found.before.columns,
            "columns_latents": found.latents.columns,
            "ledger": ledger,
            "process": total,
            "limit": limit,
            "left": left,
        },
        "capacity": {
            "initial": found.before.rows,
            "after_freeze": found.after.rows,
            "paper_initial": found.paper_initial,
            "paper_after_freeze": found.paper_after_freeze,
        },
        "flops": {
            "layers": counts.layers,
            "per_update_before": counts.before.per_update,
            "per_update_after": counts.after.per_update,
            "exact_per_update_before": counts.before.exact_per_update,
            "exact_per_update_after": counts.after.exact_per_update,
            "conversion": counts.conversion(min(found.before.rows, config.run.freeze_at or 0)),
            "run": _run_flops(config, found),
        },
    }


def _run_flops(config: Config, found: Plan) -> int:
    """Multiply-adds of the whole run by the paper's convention."""
    run, start, counts = config.run, config.replay.learn_start, found.flops
    frozen_at = run.steps if run.freeze_at is None else run.freeze_at
    before = max(0, frozen_at - start)
    after = run.steps - max(frozen_at, start)
    total = before * counts.before.per_update + max(0, after) * counts.after.per_update
    return total + (counts.conversion(min(found.before.rows, frozen_at)) if run.freeze_at is not None else 0)
