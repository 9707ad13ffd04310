"""summary.json, a contract that other programs read, and the summary that people read."""

from pathlib import Path
from typing import Any

from rich.console import Console

from edgerl.config import updates
from edgerl.envs.human_scores import is_below_random, references
from edgerl.output.messages import figure
from edgerl.output.terminal import bold, plain_table
from edgerl.planning import forecast
from edgerl.runs import strict_json, versions
from edgerl.runs.files import write_whole
from edgerl.runs.metrics import LAST_GAMES
from edgerl.training import transfer
from edgerl.training.state import Parts, State, accounts
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
    "chosen_by",
    "why",
)


def collect(parts: Parts, state: State, status: str, expected: dict[str, Any]) -> dict[str, Any]:
    """The summary of a run that has ended with `status`; all keys are always there. Sizes are in bytes.

    `expected`: the forecast of these steps on the run's device.
    """
    run, replay, plan, flops = parts.config.run, parts.replay, parts.plan, state.flops
    update_counts = parts.config.replay.updates(state.step, state.frozen_at)
    around = state.rss_around_freeze or (None, None)
    initial, after = replay.capacity, plan.after.rows
    if state.freeze_report is not None:
        initial, after = state.freeze_report["capacity_before"], replay.capacity
    return {
        "status": status,
        "env": parts.env.name,
        "algo": run.algo,
        "seed": run.seed,
        "device": run.device,
        "steps": state.step,
        "updates": {"before_freeze": update_counts.before, "total": sum(update_counts)},
        "episodes_restarted": state.episodes_restarted,
        "transfer": state.origin,
        "fork": state.fork,
        "store": replay.representation.stores,
        "codec": replay.representation.codec,
        "checkpoint": None if state.checkpoint is None else str(state.checkpoint.relative_to(parts.folder)),
        "budget": {
            "requested_bytes": plan.budget,
            "replay_bytes_peak": replay.nbytes,
            "ledger": accounts(parts).lines,
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
        "freeze": dict.fromkeys(FREEZE_KEYS) | (state.freeze_report or {}),
        "memory": {
            "rss_baseline": parts.baseline,
            "rss_before_freeze": around[0],
            "rss_after_freeze": around[1],
            "rss_peak": parts.watchdog.peak,
            "rss_peak_after_freeze": parts.watchdog.peak_after_freeze,
            "torch_loaded": versions.is_loaded("torch"),
            "limit_bytes": parts.watchdog.smallest_limit,
            "limit_reached": parts.watchdog.reason,
        },
        "throughput": {
            "steps_per_s_before": state.stopwatch.before,
            "steps_per_s_after": state.stopwatch.after,
        },
        "flops": {
            "total": state.flops_total,
            "per_update_before": flops.before.per_update,
            "per_update_after": flops.after.per_update,
            "exact_total": state.flops_exact,
            "exact_per_update_before": flops.before.exact_per_update,
            "exact_per_update_after": flops.after.exact_per_update,
        },
        "forecast": expected,
        "returns": state.returns,
        "training": {"games": state.games, f"mean_of_last_{LAST_GAMES}": state.training_mean},
        "versions": versions.installed(),
    }


def write(parts: Parts, state: State, status: str, expected: dict[str, Any]) -> dict[str, Any]:
    """Collect the summary and write it to the run folder, whole or not at all.

    If the disk refuses the summary of a failed run, the run only says so: the error that ended it says more.
    """
    summary = collect(parts, state, status, expected)
    try:
        write_whole(parts.folder / "summary.json", (strict_json.dumps(summary, indent=1) + "\n").encode())
    except OSError as error:
        if status != "failed":
            raise
        parts.reporter.say(f"no summary.json: {error.strerror}")
    return summary


def show(summary: dict[str, Any], folder: Path, console: Console) -> None:
    """Print a summary as a table."""
    table = plain_table("", "what", left=["what"], show_header=False)
    for name, text in rows(summary):
        table.add_row(bold(name), text)
    console.print()
    console.print(table)
    console.print(f"\nsummary.json, metrics.jsonl and checkpoints are in {folder}", soft_wrap=True)


def rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of that table: (name, text)."""
    budget, capacity, freeze = summary["budget"], summary["capacity"], summary["freeze"]
    memory, speed, flops = summary["memory"], summary["throughput"], summary["flops"]
    limit = f" of {format_bytes(memory['limit_bytes'])} allowed" if memory["limit_bytes"] else ""
    lines = [
        (
            "status",
            f"{summary['status']} after {summary['steps']:,} steps of {summary['env']} (seed {summary['seed']})",
        ),
        (
            "replay",
            f"{format_bytes(budget['replay_bytes_peak'])} of {format_bytes(budget['requested_bytes'])}: "
            f"{summary['replay']['rows']:,} rows of {summary['replay']['bytes_per_row']:,} B "
            f"({summary['store']}, {summary['codec']})",
        ),
    ]
    if summary["transfer"] is not None:
        lines.append(("begun", f"with {transfer.in_words(summary['transfer'])}"))
    if summary["fork"] is not None:
        lines.append(("forked", f"at step {summary['fork']['step']:,} from {summary['fork']['run']}"))
    if freeze["step"] is None:
        lines.append(("freeze", f"none; capacity {capacity['initial']:,} rows"))
    else:
        extra = f", peak extra {format_bytes(freeze['peak_extra_bytes'])}" if freeze["peak_extra_bytes"] else ""
        lines += [("why then", freeze["why"])] if freeze["why"] is not None else []
        lines += [
            (
                "freeze",
                f"at step {freeze['step']:,} in {freeze['seconds']:.2f} s{extra}; {freeze['rows_after']:,} rows kept"
                + (f", the {freeze['rows_dropped']:,} oldest dropped" if freeze["rows_dropped"] else ""),
            ),
            (
                "capacity",
                f"{capacity['initial']:,} rows of pixels to {capacity['after_freeze']:,} of {summary['store']}, "
                f"{capacity['after_freeze'] / capacity['initial']:.2f}x",
            ),
            (
                "encoder",
                f"now {freeze['onnx_file']} in ONNX Runtime, whose latents differ from the trained encoder's by "
                f"{freeze['parity_max_abs_diff']:.1e} at most",
            ),
        ]
    rates = [
        f"{speed[key]:.0f} steps/s {when}"
        for key, when in (("steps_per_s_before", "before the freeze"), ("steps_per_s_after", "after the freeze"))
        if speed[key]
    ]
    lines += [
        ("updates", updates.in_words(**summary["updates"])),
        ("speed", ", ".join(rates) or "too short to tell"),
        (
            "memory",
            f"{format_bytes(memory['rss_peak'])} at most{limit}",
        ),
        (
            "arithmetic",
            f"{flops['total']:.3g} multiply-adds ({flops['per_update_before']:.3g} an update before the freeze, "
            f"{flops['per_update_after']:.3g} after it)",
        ),
    ]
    if summary["forecast"]["hours"] is not None:
        lines.append(("forecast", forecast.line(summary["forecast"], summary["device"])))
    return lines + scores(summary)


def scores(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines on scores: the last evaluation, the last training games, and what they are to be held against."""
    env, lines = summary["env"], []
    evaluated = summary["returns"][-1] if summary["returns"] else None
    if evaluated is not None:
        games = f"over {evaluated['episodes']} games at step {evaluated['step']:,}"
        lines.append(("score", f"{figure(evaluated['mean'])} +- {figure(evaluated['std'])} {games}"))
    games, trained = summary["training"]["games"], summary["training"][f"mean_of_last_{LAST_GAMES}"]
    if trained is not None:
        last = f"the last {LAST_GAMES} of {games:,}" if games > LAST_GAMES else f"all {games:,}"
        lines.append(("training games", f"{figure(trained)} on average, {last}, exploration included"))
    known = references(env)
    if known is not None:
        lines.append(("for comparison", known.words))
    if evaluated is not None and is_below_random(env, evaluated["mean"]):
        lines.append(("below random", "the score is below that of random play: it shows no learning"))
    return lines
