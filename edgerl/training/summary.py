"""summary.json, a contract that other programs read, and the same for people."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from edgerl.planning import forecast
from edgerl.runs import versions
from edgerl.runs.files import write_whole
from edgerl.runs.terminal import plain_table
from edgerl.training import transfer
from edgerl.training.loop import Trainer
from memory_budget import format_bytes

FREEZE_KEYS = (
    "step",
    "seconds",
    "rows_before",
    "rows_after",
    "rows_dropped",
    "capacity_before",
    "store",
    "codec",
    "parity_max_abs_diff",
    "onnx_file",
    "onnx_sha256",
    "peak_extra_bytes",
    "child_peak_bytes",
    "provider",
    "provider_passed_over",
)


def collect(trainer: Trainer, status: str, baseline: int, expected: dict[str, Any]) -> dict[str, Any]:
    """The summary of a run that has ended as `status`; all keys are always there. Sizes in bytes.

    `baseline`: resident after imports; `expected`: what a forecast says of these steps on the run's device.
    """
    run, replay, plan = trainer.config.run, trainer.replay, trainer.plan
    flops = trainer.flops
    around = trainer.rss_around_freeze or (None, None)
    initial, after = replay.capacity, plan.after.rows
    if trainer.freeze_report is not None:
        initial, after = trainer.freeze_report["capacity_before"], replay.capacity
    return {
        "status": status,
        "env": trainer.env.name,
        "algo": run.algo,
        "seed": run.seed,
        "device": run.device,
        "steps": trainer.step,
        "episodes_restarted": trainer.episodes_restarted,
        "transfer": trainer.origin,
        "store": replay.representation.stores,
        "codec": replay.representation.codec,
        "checkpoint": None if trainer.checkpoint is None else str(trainer.checkpoint.relative_to(trainer.folder)),
        "budget": {
            "requested_bytes": plan.budget,
            "replay_bytes_peak": replay.ring.arena.nbytes,
            "ledger": trainer.accounts().lines,
        },
        "capacity": {
            "initial": initial,
            "after_freeze": after,
            "paper_initial": plan.paper_initial,
            "paper_after_freeze": plan.paper_after_freeze,
        },
        "replay": {
            "rows": len(replay),
            "bytes_per_row": replay.bytes_per_row,
            "projected_rows": replay.capacity,
        },
        "freeze": trainer.freeze_report or dict.fromkeys(FREEZE_KEYS),
        "memory": {
            "rss_baseline": baseline,
            "rss_before_freeze": around[0],
            "rss_after_freeze": around[1],
            "rss_peak": trainer.watchdog.peak,
            "limit_bytes": trainer.watchdog.limit_bytes,
        },
        "throughput": {
            "steps_per_s_before": trainer.stopwatch.before,
            "steps_per_s_after": trainer.stopwatch.after,
        },
        "flops": {
            "total": trainer.flops_total,
            "per_update_before": flops.per_update(frozen=False),
            "per_update_after": flops.per_update(frozen=True),
            "exact_total": trainer.flops_exact,
            "exact_per_update_before": flops.exact_per_update(frozen=False),
            "exact_per_update_after": flops.exact_per_update(frozen=True),
        },
        "forecast": expected,
        "returns": trainer.returns,
        "versions": versions.found(),
    }


def write(trainer: Trainer, status: str, baseline: int, expected: dict[str, Any]) -> dict[str, Any]:
    """Collect the summary and write it to the run folder, whole or not at all.

    Where the disk refuses that of a failed run, this is only said: the error that is under way tells more.
    """
    found = collect(trainer, status, baseline, expected)
    try:
        write_whole(trainer.folder / "summary.json", (json.dumps(found, indent=1) + "\n").encode())
    except OSError as error:
        if status != "failed":
            raise
        trainer.reporter.say(f"no summary.json: {error.strerror}")
    return found


def show(found: dict[str, Any], folder: Path, console: Console) -> None:
    """Print a summary for people."""
    table = plain_table("", "what", left=["what"], show_header=False)
    for name, text in rows(found):
        table.add_row(f"[bold]{name}", text)
    console.print()
    console.print(table)
    console.print(f"\nsummary.json, metrics.jsonl and checkpoints are in {folder}", soft_wrap=True)


def rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The summary as (name, text) lines."""
    budget, capacity, freeze = found["budget"], found["capacity"], found["freeze"]
    memory, speed, flops = found["memory"], found["throughput"], found["flops"]
    limit = f" of {format_bytes(memory['limit_bytes'])} allowed" if memory["limit_bytes"] else ""
    lines = [
        ("status", f"{found['status']} after {found['steps']:,} steps of {found['env']} (seed {found['seed']})"),
        (
            "replay",
            f"{format_bytes(budget['replay_bytes_peak'])} of {format_bytes(budget['requested_bytes'])}: "
            f"{found['replay']['rows']:,} rows of {found['replay']['bytes_per_row']:,} B "
            f"({found['store']}, {found['codec']})",
        ),
    ]
    if found["transfer"] is not None:
        lines.append(("begun", f"with {transfer.told(found['transfer'])}"))
    if freeze["step"] is None:
        lines.append(("freeze", f"none; capacity {capacity['initial']:,} rows"))
    else:
        extra = f", peak extra {format_bytes(freeze['peak_extra_bytes'])}" if freeze["peak_extra_bytes"] else ""
        lines += [
            (
                "freeze",
                f"at step {freeze['step']:,} in {freeze['seconds']:.2f} s{extra}; {freeze['rows_after']:,} rows kept"
                + (f", the {freeze['rows_dropped']:,} oldest dropped" if freeze["rows_dropped"] else ""),
            ),
            (
                "capacity",
                f"{capacity['initial']:,} rows of pixels to {capacity['after_freeze']:,} of {found['store']}, "
                f"{capacity['after_freeze'] / capacity['initial']:.2f}x",
            ),
            ("parity", f"{freeze['parity_max_abs_diff']:.1e} between ONNX Runtime and torch ({freeze['onnx_file']})"),
        ]
    rates = [
        f"{speed[key]:.0f} steps/s {word}"
        for key, word in (("steps_per_s_before", "before the freeze"), ("steps_per_s_after", "after it"))
        if speed[key]
    ]
    lines += [
        ("speed", ", ".join(rates) or "too short to tell"),
        (
            "memory",
            f"{format_bytes(memory['rss_peak'])} at most{limit}; {format_bytes(memory['rss_baseline'])} is libraries",
        ),
        (
            "flops",
            f"{flops['total']:.3g} ({flops['per_update_before']:.3g} an update before a freeze, "
            f"{flops['per_update_after']:.3g} after)",
        ),
    ]
    if found["forecast"]["hours"] is not None:
        lines.append(("forecast", forecast.words(found["forecast"], found["device"])))
    if found["returns"]:
        last = found["returns"][-1]
        lines.append(
            (
                "score",
                f"{last['mean']:,.1f} +- {last['std']:,.1f} over {last['episodes']} games at step {last['step']:,}",
            )
        )
    return lines
