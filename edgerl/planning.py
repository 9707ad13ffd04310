"""`edgerl plan`: how much memory and arithmetic a run takes, and whether a device has it. Nothing is trained."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edgerl import plan
from edgerl.config import Config
from edgerl.envs import EnvSpec
from edgerl.options import load_device
from edgerl.plan import Plan
from memory_budget import Watchdog, format_bytes

Report = dict[str, Any]


def report(config: Config, spec: EnvSpec, device: str | None) -> Report:
    """The plan of a run on one device (None: no limit but this machine's), as `--json` prints it. Sizes in bytes."""
    found = plan.make(config, spec)
    profile = load_device(device)
    ledger = found.ledger
    total = sum(ledger.values())
    limits = [config.run.process_limit, profile.application_bytes if profile else None]
    limit = min((each for each in limits if each is not None), default=None)
    usable = None if limit is None else int(Watchdog.LEAVE * limit)
    counts = found.flops
    return {
        "device": profile.name if profile else None,
        "fits": None if usable is None else total <= usable,
        "bytes": {
            "budget": found.budget,
            "row_pixels": found.before.row,
            "row_latents": found.latents.row,
            "columns_pixels": found.before.columns,
            "columns_latents": found.latents.columns,
            "ledger": ledger,
            "process": total,
            "limit": limit,
            "left": None if usable is None else usable - total,
        },
        "capacity": {
            "initial": found.before.rows,
            "after_freeze": found.after.rows,
            "paper_initial": found.paper_initial,
            "paper_after_freeze": found.paper_after_freeze,
        },
        "flops": {
            "layers": counts.layers,
            "per_update_before": counts.per_update(frozen=False),
            "per_update_after": counts.per_update(frozen=True),
            "exact_per_update_before": counts.exact_per_update(frozen=False),
            "exact_per_update_after": counts.exact_per_update(frozen=True),
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
    total = before * counts.per_update(frozen=False) + max(0, after) * counts.per_update(frozen=True)
    return total + (counts.conversion(min(found.before.rows, frozen_at)) if run.freeze_at is not None else 0)


def show(config: Config, reports: list[Report], console: Console) -> None:
    """Print the reports: what is the same everywhere once, the devices side by side."""
    run, first = config.run, reports[0]
    sizes, capacity, flops = first["bytes"], first["capacity"], first["flops"]
    freeze = {None: "never frozen", 0: "frozen from the start"}.get(run.freeze_at, f"frozen at {run.freeze_at or 0:,}")
    console.print(f"[bold]{run.env}[/], {run.algo}, {run.steps:,} steps, {freeze}\n")

    table = _table(f"replay in {format_bytes(sizes['budget'])}", "rows", "rows, paper's count", "bytes a row")
    pixels, latents = (
        " + ".join(f"{name} {nbytes:,}" for name, nbytes in sizes[f"columns_{form}"].items())
        for form in ("pixels", "latents")
    )
    table.add_row("pixels", f"{capacity['initial']:,}", f"{capacity['paper_initial']:,}", f"{sizes['row_pixels']:,}")
    after = f"{capacity['after_freeze']:,}", f"{capacity['paper_after_freeze']:,}", f"{sizes['row_latents']:,}"
    kept = sizes["row_latents"] > sizes["row_pixels"]
    table.add_row("after the freeze" if kept else "latents", *after)
    ratios = (capacity[f"{kind}after_freeze"] / capacity[f"{kind}initial"] for kind in ("", "paper_"))
    table.add_row("growth", *(f"{ratio:.2f}x" for ratio in ratios), "")
    console.print(table)
    if kept:
        console.print("  latents are larger than frames: frames stay, and the frozen stem encodes every batch")
    console.print(f"  a row of pixels:  {pixels}\n  a row of latents: {latents}\n", style="dim", soft_wrap=True)

    table = _table("multiply-adds", "before", "after", "after/before")
    for name, key in (("an update, paper's count", "per_update"), ("a step with an update, exact", "exact_per_update")):
        before, then = flops[f"{key}_before"], flops[f"{key}_after"]
        table.add_row(name, f"{before:,}", f"{then:,}", f"{then / before:.3f}")
    console.print(table)
    console.print(f"  the freeze itself {flops['conversion']:.3g}, the whole run {flops['run']:.3g}\n", style="dim")

    table = _table("process", *(escape(each["device"] or "no device") for each in reports))
    for name in sizes["ledger"]:
        table.add_row(name, *(format_bytes(each["bytes"]["ledger"][name]) for each in reports))
    table.add_row("[bold]together", *(f"[bold]{format_bytes(each['bytes']['process'])}" for each in reports))
    table.add_row("limit", *(_bytes(each["bytes"]["limit"]) for each in reports))
    table.add_row(f"left below {Watchdog.LEAVE:.0%}", *(_bytes(each["bytes"]["left"]) for each in reports))
    words = {True: "[green]yes", False: "[red]no", None: "no limit known"}
    table.add_row("[bold]fits", *(words[each["fits"]] for each in reports))
    console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(title)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _bytes(nbytes: int | None) -> str:
    return "-" if nbytes is None else format_bytes(nbytes)
