"""What is checked before a run starts, so that it says at second 0 what it could only say at hour 5."""

from pathlib import Path

from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.planning.capacity import Store
from edgerl.planning.plan import Plan
from memory_budget import format_bytes


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
