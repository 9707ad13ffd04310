"""What a run says as it begins: what it will do, in which bytes, for how long, and in which folder."""

from dataclasses import replace
from pathlib import Path

from edgerl.config import updates
from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.errors import ConfigError
from edgerl.planning import forecast
from edgerl.planning.capacity import Store
from edgerl.planning.here import this_machine
from edgerl.planning.plan import Plan
from memory_budget import format_bytes

LONG = 0.5  # hours; the user of a longer run is told how a shorter one is made
TENTH = 10


def introduction(
    config: Config, plan: Plan, limit: int | None, source: str, folder: Path, window: tuple[int, ...]
) -> str:
    """The lines that a run starts with. `limit`: bytes of the process, by `source`; `window`: the shape of a window."""
    run = config.run
    rows = _rows(plan.before)
    if run.latest_freeze is not None:
        what = _rows(plan.after)
        if plan.after.stores == "pixels":
            what = "frames still"
            if config.replay.store != "pixels":
                what += f", as {plan.latents.rows:,} rows of latents would be {plan.latents.row_bytes:,} B each"
        at_the_latest = " at the latest" if run.freeze_at == "auto" else ""
        rows += f"; after the freeze at step {run.latest_freeze:,}{at_the_latest}: {what}"
    if run.freeze_at == 0:
        rows = f"{_rows(plan.after)}, frozen from the start"
    profile = load_device(run.device)
    device = f"{profile.name}, " if profile else ""
    threads = f"{run.threads} thread{'s' if run.threads > 1 else ''}"
    allowed = f", {format_bytes(limit)} allowed ({source})" if limit is not None else ""
    several = f" ({run.envs} environments at once)" if run.envs > 1 else ""
    lines = [
        f"{run.env}{several}, {run.algo}, {length(config, plan.last_step)}, seed {run.seed}",
        f"replay   {format_bytes(plan.budget)}: {rows}",
        f"learns   {updates.in_words(**updates.planned(config, plan.last_step))}",
        f"machine  {device}{threads}",
        f"memory   {format_bytes(sum(plan.ledger.values()))} planned for the whole process{allowed}",
        f"time     {_time(config, plan, window)}",
        f"folder   {folder}",
    ]
    return "\n".join(lines)


def length(config: Config, last_step: int) -> str:
    """How many agent steps a run makes, in words; where it ends before --steps, which option ends it."""
    run = config.run
    if last_step == run.steps:
        return f"{last_step:,} steps"
    option = "--until" if run.until is not None and last_step >= run.until else "--stop-at-flops"
    return f"{last_step:,} of {run.steps:,} steps ({option})"


def _rows(store: Store) -> str:
    """How many rows a store holds, and of what, in words."""
    what = store.stores if store.codec in ("raw", "float32") else f"{store.stores}, {store.codec}"
    if store.varies:
        return f"{store.rows:,} rows or more, each of {store.row_bytes:,} B or less ({what})"
    return f"{store.rows:,} rows of {store.row_bytes:,} B ({what})"


def _time(config: Config, plan: Plan, window: tuple[int, ...]) -> str:
    """How long the run will take, on its device and on this machine, and what would make it shorter."""
    profile = load_device(config.run.device)
    device = (
        "" if profile is None else f"{forecast.line(forecast.forecast(config, plan, window, profile), profile.name)}, "
    )
    hours = forecast.forecast(config, plan, window, this_machine(config.run.threads))["hours"]
    here = "unknown here" if hours is None else f"{forecast.duration(hours)} here"
    is_long = hours is not None and hours["high"] > LONG
    shorter = _shorter(config, plan, window) if is_long else ""
    return f"{device}{here} (a forecast, without evaluations){shorter}"


def _shorter(config: Config, plan: Plan, window: tuple[int, ...]) -> str:
    """The options of a run of a tenth of the steps that still freezes halfway, and its time; empty if there is none.

    There is none of a run that ends before --steps, or that chooses its freeze on the way.
    """
    run = config.run
    if plan.last_step < run.steps or run.freeze_at == "auto":
        return ""
    steps = run.steps // TENTH // run.envs * run.envs
    half = steps // 2 if run.freeze_at else run.freeze_at
    shorter = replace(config, run=replace(run, steps=steps, freeze_at=half))
    try:
        updates.check_updates(shorter)
    except ConfigError:
        return ""
    hours = forecast.forecast(shorter, plan, window, this_machine(run.threads), steps)["hours"]
    options = f"--steps {steps}" + (f" --freeze-at {half}" if half else "")
    return f"; {options} takes {forecast.duration(hours)}"
