"""What a run says as it begins: what it will do, in which bytes, and in which folder."""

from pathlib import Path

from edgerl.config import updates
from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.planning.capacity import Store
from edgerl.planning.plan import Plan
from memory_budget import format_bytes


def introduction(config: Config, plan: Plan, limit: int | None, source: str, folder: Path) -> str:
    """The lines that a run starts with: what it will do, in which bytes, and in which folder."""
    run = config.run
    rows = _rows(plan.before)
    if run.latest_freeze is not None:
        what = _rows(plan.after)
        if plan.after.stores == "pixels":
            latents = plan.latents
            what = f"frozen, still pixels: {latents.rows:,} rows of latents would be {latents.row_bytes:,} B each"
        at_the_latest = " at the latest" if run.freeze_at == "auto" else ""
        rows += f", from step {run.latest_freeze:,}{at_the_latest} {what}"
    if run.freeze_at == 0:
        rows = f"{_rows(plan.after)}, frozen from the start"
    profile = load_device(run.device)
    device = f"{profile.name}: " if profile else ""
    threads = f"{run.threads} thread{'s' if run.threads > 1 else ''}"
    bound = f"; process limit {format_bytes(limit)} ({source})" if limit is not None else ""
    return (
        f"{run.env}, {run.algo}, {run.steps:,} steps, seed {run.seed}\n"
        f"replay  {format_bytes(plan.budget)}: {rows}\n"
        f"learns  {updates.in_words(**updates.planned(config))}\n"
        f"machine {device}{threads}{bound}\n"
        f"folder  {folder}"
    )


def _rows(store: Store) -> str:
    """How many rows a store holds, and of what, in words."""
    what = store.stores if store.codec in ("raw", "float32") else f"{store.stores}, {store.codec}"
    if store.varies:
        return f"{store.rows:,} rows or more, each of {store.row_bytes:,} B or less ({what})"
    return f"{store.rows:,} rows of {store.row_bytes:,} B ({what})"
