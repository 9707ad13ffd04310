"""What is checked before a run starts, so that it says at second 0 what it could only say at hour 5."""

import math
from pathlib import Path

import psutil

from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.errors import ConfigError
from edgerl.plan import Plan
from edgerl.stores import Store
from memory_budget import Watchdog, format_bytes
from memory_budget.limits import cgroup_bytes, smallest

LIMIT_NAMES = {"given": "--process-limit", "device": "--device", "cgroup": "the control group's memory limit"}


def process_limit(config: Config) -> tuple[int | None, str]:
    """What the process tree may hold, in bytes, and where that comes from: the smallest limit rules."""
    profile = load_device(config.run.device)
    limit, name = smallest(
        given=config.run.process_limit,
        device=profile.application_bytes if profile else None,
        cgroup=cgroup_bytes(),
    )
    return limit, LIMIT_NAMES.get(name, "")


def check_size(plan: Plan, limit: int | None, source: str) -> None:
    """Raise ConfigError where replay or networks alone are more than the machine, or the limit, can give now."""
    available = psutil.virtual_memory().available
    networks = plan.ledger["networks"] + plan.ledger["optimizer"]
    for name, nbytes in (("--budget", plan.budget), ("networks and optimizer", networks)):
        if nbytes > available:
            raise ConfigError(
                f"{name}: {format_bytes(nbytes)} is larger than this machine: {format_bytes(available)} are available"
            )
        if limit is not None and nbytes > limit:
            raise ConfigError(
                f"{name}: {format_bytes(nbytes)} is larger than what {source} leaves the process, {format_bytes(limit)}"
            )


def check_fit(plan: Plan, libraries: int, limit: int | None, source: str) -> None:
    """Raise ConfigError, with the ledger, where the run as planned is more than the limit.

    `libraries`: bytes resident before networks and replay are made.
    """
    lines = plan.ledger | {"libraries": libraries}
    needed = sum(lines.values())
    if limit is not None and needed > Watchdog.LEAVE * limit:
        parts = ", ".join(f"{name} {format_bytes(nbytes)}" for name, nbytes in lines.items())
        raise ConfigError(
            f"{source}: {format_bytes(limit)} is too little for the {format_bytes(needed)} that this run needs "
            f"({parts}); at least {math.ceil(needed / Watchdog.LEAVE)}B, as a run ends at {Watchdog.LEAVE:.0%}"
        )


def introduction(config: Config, plan: Plan, limit: int | None, source: str, folder: Path) -> str:
    """The lines a run starts with: what will be done, in which bytes, and where it goes."""
    run = config.run
    rows = _rows(plan.before)
    if run.freeze_at is not None:
        what = _rows(plan.after)
        if plan.after.stores == "pixels":
            what = f"frozen, still pixels: {plan.latents.rows:,} rows of latents would be {plan.latents.row:,} B each"
        rows += f", from step {run.freeze_at:,} {what}"
    if run.freeze_at == 0:
        rows = f"{_rows(plan.after)}, frozen from the start"
    profile = load_device(run.device)
    device = f"{profile.name}: " if profile else ""
    threads = f"{run.threads} thread{'s' if run.threads > 1 else ''}"
    bound = f"; process limit {format_bytes(limit)} ({source})" if limit is not None else ""
    return (
        f"{run.env}, {run.algo}, {run.steps:,} steps, seed {run.seed}\n"
        f"replay  {format_bytes(plan.budget)}: {rows}\n"
        f"machine {device}{threads}{bound}\n"
        f"folder  {folder}"
    )


def _rows(store: Store) -> str:
    what = store.stores if store.codec in ("raw", "float32") else f"{store.stores}, {store.codec}"
    if store.varies:
        return f"{store.rows:,} rows or more, each of {store.row:,} B or less ({what})"
    return f"{store.rows:,} rows of {store.row:,} B ({what})"
