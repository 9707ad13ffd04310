"""The plan of a run as tables on a terminal."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from edgerl.config import updates
from edgerl.config.settings import Config
from edgerl.output.terminal import bold, side_by_side
from edgerl.planning import forecast
from edgerl.planning.introduction import length
from edgerl.planning.plan_report import Report
from memory_budget import Watchdog, format_bytes

Row = tuple[str | Text, ...]


def show(config: Config, reports: list[Report], console: Console) -> None:
    """Print the reports: what is the same for all devices once, the rest device by device, side by side."""
    run, first = config.run, reports[0]
    sizes, flops = first["bytes"], first["flops"]
    latest = run.latest_freeze
    freeze = {None: "never frozen", 0: "frozen from the start"}.get(latest, f"frozen at {latest or 0:,}")
    steps = length(config, first["last_step"])
    console.print(Text.assemble((run.env, "bold"), f", {run.algo}, {steps}, {freeze}"), soft_wrap=True)
    if (checks := first["checks"]) is not None:
        console.print(
            f"  at the latest, which all numbers here assume: earlier if the stem is settled, which is checked every "
            f"{checks['every']:,} steps from step {checks['first']:,} on, on {checks['windows']:,} windows of the "
            f"replay; a check takes {checks['flops']:.3g} multiply-adds",
            style="dim",
            soft_wrap=True,
        )
    console.print()

    console.print(f"{updates.in_words(**first['updates'])}\n", soft_wrap=True)
    keeps_pixels = first["advice"]["store"] == "pixels"
    _show_rows(sizes, first["capacity"], console, keeps_pixels=keeps_pixels, varies=config.replay.pixel_codec == "lz4")
    if keeps_pixels:
        why = "latents are larger than frames: " if sizes["row_latents"] > sizes["row_pixels"] else ""
        console.print(f"  {why}frames stay, and the frozen encoder encodes every batch")
    pixels, latents = (
        " + ".join(f"{name} {nbytes:,}" for name, nbytes in sizes[f"columns_{form}"].items())
        for form in ("pixels", "latents")
    )
    console.print(f"  a row of pixels:  {pixels}\n  a row of latents: {latents}\n", style="dim", soft_wrap=True)

    _show_flops(flops, console)
    console.print(f"  the freeze itself {flops['conversion']:.3g}, the whole run {flops['run']:.3g}\n", style="dim")

    _show_process(reports, console)
    console.print("  scratch: arrays that a step makes and drops", style="dim")
    _show_what_cannot_train(reports, console)
    if not any(report["device"] for report in reports):
        storage = first["storage"]
        console.print(
            f"\nwrites {format_bytes(storage['written'])} to storage: a checkpoint {_every(storage)}", soft_wrap=True
        )
    else:
        console.print()
        _show_forecast(reports, console)
        console.print(
            "  a forecast, not measured; without evaluations, and without the environment if its time is not known\n"
            "  energy: all that time at the profile's watts",
            style="dim",
            soft_wrap=True,
        )


def _show_rows(
    sizes: dict[str, Any], capacity: dict[str, int], console: Console, *, keeps_pixels: bool, varies: bool
) -> None:
    """How many rows fit the budget, before the freeze and after it.

    `varies`: frames are compressed, so that more may fit, and nobody knows how the replay grows.
    """
    table: list[Row] = []
    for name, form, phase in (
        ("pixels", "pixels", "initial"),
        ("after the freeze", "pixels", "after_freeze") if keeps_pixels else ("latents", "latents", "after_freeze"),
    ):
        rows, paper_rows = capacity[phase], capacity[f"paper_{phase}"]
        more, less = (" or more", " or less") if varies and form == "pixels" else ("", "")
        table.append((name, f"{rows:,}{more}", f"{paper_rows:,}", f"{sizes[f'row_{form}']:,}{less}"))
    if not varies:
        ratios = (capacity[f"{count}after_freeze"] / capacity[f"{count}initial"] for count in ("", "paper_"))
        table.append(("growth", *(f"{ratio:.2f}x" for ratio in ratios), ""))
    title, headings = f"replay in {format_bytes(sizes['budget'])}", ("rows", "rows, paper's count", "bytes a row")
    side_by_side(console, title, headings, table)


def _show_flops(flops: dict[str, Any], console: Console) -> None:
    """Multiply-adds of an update, before the freeze and after it."""
    table: list[Row] = []
    for name, key in (("an update, paper's count", "per_update"), ("a step with an update, exact", "exact_per_update")):
        before, after = flops[f"{key}_before"], flops[f"{key}_after"]
        table.append((name, f"{before:,}", f"{after:,}", f"{after / before:.3f}"))
    side_by_side(console, "multiply-adds", ("before", "after", "after/before"), table)


def _show_process(reports: list[Report], console: Console) -> None:
    """The ledger of the whole process, and whether it fits, by device."""
    rows: list[Row] = [
        (name, *(format_bytes(report["bytes"]["ledger"][name]) for report in reports))
        for name in reports[0]["bytes"]["ledger"]
    ]
    answers = {True: Text("yes", "green"), False: Text("no", "red"), None: Text("no limit known")}
    rows += [
        (bold("together"), *(bold(format_bytes(report["bytes"]["process"])) for report in reports)),
        ("limit", *(_bytes(report["bytes"]["limit"]) for report in reports)),
        (f"left below {Watchdog.LEAVE:.0%}", *(_bytes(report["bytes"]["left"]) for report in reports)),
        (bold("memory fits"), *(answers[report["fits"]] for report in reports)),
    ]
    if any(report["possible"] for report in reports):
        words = (report["possible"]["what"] if report["possible"] else "unknown" for report in reports)
        rows.append((bold("possible"), *words))
    side_by_side(console, "process", _device_names(reports), rows)


def _show_what_cannot_train(reports: list[Report], console: Console) -> None:
    """Print why a device cannot train, or why nobody knows whether it can: a line a device."""
    for report in reports:
        possible = report["possible"]
        if possible and possible["what"] != "trains":
            console.print(f"  {report['device']} {possible['what']}: {possible['reason']}", soft_wrap=True)


def _show_forecast(reports: list[Report], console: Console) -> None:
    """Time and energy by device, and the advice that follows from them."""
    rows: list[Row] = []

    def row(name: str | Text, cell: Callable[[Report], str | Text | None]) -> None:
        rows.append((name, *(cell(report) or "unknown" for report in reports)))

    def hours_of(*phases: str) -> Callable[[Report], str | None]:
        return lambda report: report["phases"] and forecast.duration(forecast.total_hours(report["phases"], phases))

    row("before the freeze", hours_of(*forecast.BEFORE))
    row("after it", hours_of(*forecast.AFTER))
    row("checkpoints", hours_of("checkpoints"))
    row(bold("the run"), lambda report: report["hours"] and bold(forecast.duration(report["hours"])))
    row(bold("energy, kJ"), lambda report: report["joules"] and bold(forecast.low_to_high(report["joules"], 1e3)))
    row("a freeze 10,000 steps later", lambda report: _later(report["advice"]["hours_per_10000_steps"]))
    row("a checkpoint every, steps", lambda report: _count(report["storage"]["checkpoint_every"] or None) or "-")
    row("written to storage in all", lambda report: format_bytes(report["storage"]["written"]))
    row("such runs that the storage endures", lambda report: _count(report["storage"]["runs"]))
    row("largest budget that fits", lambda report: _largest(report["advice"]["largest_budget"]))
    row("stored after the freeze", lambda report: str(report["advice"]["store"]))
    side_by_side(console, "forecast", _device_names(reports), rows)


def _device_names(reports: list[Report]) -> list[str]:
    return [report["device"] or "no device" for report in reports]


def _later(hours: dict[str, Any] | None) -> str | None:
    """What a freeze 10,000 steps later adds or saves: the steps between are taken before the freeze, not after it."""
    if hours is None:
        return None
    low, high = sorted(hours["before"][end] - hours["after"][end] for end in ("low", "high"))
    if high <= 0:
        return f"saves {forecast.duration({'low': -high, 'high': -low})}"
    return f"adds {forecast.duration({'low': low, 'high': high})}"


def _every(storage: dict[str, Any]) -> str:
    """How often checkpoints are written, in words."""
    steps = storage["checkpoint_every"]
    return f"every {steps:,} steps" if steps else "at the start and at the end"


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _largest(nbytes: int | None) -> str | None:
    return nbytes if nbytes is None else (format_bytes(nbytes) if nbytes else "none")


def _bytes(nbytes: int | None) -> str:
    return "-" if nbytes is None else format_bytes(nbytes)
