"""What `edgerl plan --json` prints: the memory and arithmetic that a run takes, and whether a device has them."""

from dataclasses import asdict
from typing import Any

from device_profiles import DeviceProfile
from edgerl.config import updates
from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.envs.base import EnvSpec
from edgerl.planning import forecast, workload
from edgerl.planning.advice import advise, settled
from edgerl.planning.plan import Plan, make_plan
from edgerl.replay import representation
from memory_budget import Watchdog

Report = dict[str, Any]


def report(config: Config, spec: EnvSpec, device: str | None) -> Report:
    """The plan of a run on one device (None: no limit but this machine's), as `--json` prints it. Sizes in bytes.

    `freeze_at`: T_f, with `auto` the latest step, None without a freeze. `fits` is about memory alone; `possible` says
    what the device can do with edgerl, and why.
    """
    planned = make_plan(config, spec)
    profile = load_device(device)
    window = representation.pixels(spec, config.replay).shape
    ledger = planned.ledger | forecast.calibrated_libraries(profile, planned)
    total = sum(ledger.values())
    limits = (config.run.process_limit, profile.application_bytes if profile else None)
    limit = min((nbytes for nbytes in limits if nbytes is not None), default=None)
    left = None if limit is None else int(Watchdog.LEAVE * limit) - total
    config = settled(config, planned, window, profile)
    expected = forecast.forecast(config, planned, window, profile)
    return {
        "device": profile.name if profile else None,
        "fits": None if left is None else left >= 0,
        "possible": asdict(profile.possible) if profile and profile.possible else None,
        "hours": expected["hours"],
        "joules": expected["joules"],
        "phases": expected["phases"],
        "advice": advise(config, planned, window, profile, left),
        "bytes": {
            "budget": planned.budget,
            "row_pixels": planned.before.row_bytes,
            "row_latents": planned.latents.row_bytes,
            "columns_pixels": planned.before.columns,
            "columns_latents": planned.latents.columns,
            "ledger": ledger,
            "process": total,
            "limit": limit,
            "left": left,
        },
        "capacity": {
            "initial": planned.before.rows,
            "after_freeze": planned.after.rows,
            "paper_initial": planned.paper_initial,
            "paper_after_freeze": planned.paper_after_freeze,
        },
        "storage": _storage(config, planned, window, profile),
        "freeze_at": config.run.latest_freeze,
        "last_step": planned.last_step,
        "updates": updates.planned(config, planned.last_step),
        "flops": _flops(config, planned),
        "checks": None if planned.checks is None else asdict(planned.checks),
    }


def _storage(
    config: Config, planned: Plan, window: tuple[int, ...], profile: DeviceProfile | None
) -> dict[str, int | None]:
    """Bytes that the run writes, its pace, and `runs`: how many such runs the storage endures, None if not known."""
    written = {name: round(nbytes) for name, nbytes in workload.written(config, planned, window).items()}
    endurance = profile.storage_endurance if profile else None
    runs = None if endurance is None else endurance.bytes // sum(written.values())
    return {"checkpoint_every": config.run.pace, **written, "written": sum(written.values()), "runs": runs}


def _flops(config: Config, planned: Plan) -> dict[str, Any]:
    """Multiply-adds of a layer, of an update, of the freeze, and of the whole run by the paper's convention."""
    counts = planned.flops
    return {
        "layers": counts.layers,
        "per_update_before": counts.before.per_update,
        "per_update_after": counts.after.per_update,
        "exact_per_update_before": counts.before.exact_per_update,
        "exact_per_update_after": counts.after.exact_per_update,
        "conversion": counts.conversion(min(planned.before.rows, config.run.latest_freeze or 0)),
        "run": planned.total_flops,
    }
