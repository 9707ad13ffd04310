"""The plan of a run as tables on a terminal."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edgerl.config.settings import Config
from edgerl.planning import forecast
from edgerl.planning.plan_report import Report
from edgerl.runs.terminal import plain_table
from memory_budget import Watchdog, format_bytes


def show(config: Config, reports: list[Report], console: Console) -> None:
    """Print the reports: what is the same everywhere once, the devices side by side."""
    run, first = config.run, reports[0]
    sizes, capacity, flops = first["bytes"], first["capacity"], first["flops"]
    freeze = {None: "never frozen", 0: "frozen from the start"}.get(run.freeze_at, f"frozen at {run.freeze_at or 0:,}")
    console.print(f"[bold]{run.env}[/], {run.algo}, {run.steps:,} steps, {freeze}\n")

    table = plain_table(f"replay in {format_bytes(sizes['budget'])}", "rows", "rows, paper's count", "bytes a row")
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

    table = plain_table("multiply-adds", "before", "after", "after/before")
    for name, key in (("an update, paper's count", "per_update"), ("a step with an update, exact", "exact_per_update")):
        before, then = flops[f"{key}_before"], flops[f"{key}_after"]
        table.add_row(name, f"{before:,}", f"{then:,}", f"{then / before:.3f}")
    console.print(table)
    console.print(f"  the freeze itself {flops['conversion']:.3g}, the whole run {flops['run']:.3g}\n", style="dim")

    table = plain_table("process", *(escape(each["device"] or "no device") for each in reports))
    for name in sizes["ledger"]:
        table.add_row(name, *(format_bytes(each["bytes"]["ledger"][name]) for each in reports))
    table.add_row("[bold]together", *(f"[bold]{format_bytes(each['bytes']['process'])}" for each in reports))
    table.add_row("limit", *(_bytes(each["bytes"]["limit"]) for each in reports))
    table.add_row(f"left below {Watchdog.LEAVE:.0%}", *(_bytes(each["bytes"]["left"]) for each in reports))
    words = {True: "[green]yes", False: "[red]no", None: "no limit known"}
    table.add_row("[bold]fits", *(words[each["fits"]] for each in reports))
    console.print(table)
    if any(each["device"] for each in reports):
        console.print()
        console.print(_outlook(reports))
        console.print(
            "  a forecast, not measured; without evaluations and, where its time is not known, the environment\n"
            "  energy: all that time at the profile's watts",
            style="dim",
            soft_wrap=True,
        )


def _outlook(reports: list[Report]) -> Table:
    """What is forecast of the devices, and what would fit them."""
    table = plain_table("forecast", *(escape(each["device"] or "no device") for each in reports))

    def row(name: str, cell: Callable[[Report], str | None]) -> None:
        table.add_row(name, *(cell(each) or "unknown" for each in reports))

    def phases(*names: str) -> Callable[[Report], str | None]:
        return lambda each: each["phases"] and forecast.duration(forecast.together(each["phases"], names))

    row("until T_f", phases(*forecast.BEFORE))
    row("after it", phases(*forecast.AFTER))
    row("checkpoints", phases("checkpoints"))
    row("[bold]the run", lambda each: each["hours"] and f"[bold]{forecast.duration(each['hours'])}")
    row("[bold]energy, kJ", lambda each: each["joules"] and f"[bold]{forecast.spread(each['joules'], 1e3)}")
    row("T_f 10,000 steps later", lambda each: _later(each["advice"]["hours_per_10000_steps"]))
    row("a checkpoint every, steps", lambda each: _count(each["advice"]["checkpoint_every"]))
    row("largest budget that fits", lambda each: _largest(each["advice"]["largest_budget"]))
    row("behind T_f it stores", lambda each: str(each["advice"]["store"]))
    return table


def _later(hours: dict[str, Any] | None) -> str | None:
    """What a later freeze costs: steps before it instead of after it."""
    if hours is None:
        return None
    return forecast.duration({end: hours["before"][end] - hours["after"][end] for end in ("low", "high")})


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _largest(nbytes: int | None) -> str | None:
    return nbytes if nbytes is None else (format_bytes(nbytes) if nbytes else "none")


def _bytes(nbytes: int | None) -> str:
    return "-" if nbytes is None else format_bytes(nbytes)
