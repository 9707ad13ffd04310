"""Draws what processes hold, line by line, from the ledgers that runs wrote: docs/memory.svg.

python tools/memory_picture.py OUT.svg LABEL=RUN ...   # the largest ledger of each run before its freeze, and after it
"""

import json
import sys
from pathlib import Path

from matplotlib import pyplot

COLOURS = {
    "libraries": "#8a94a6",
    "networks": "#4c78a8",
    "optimizer": "#72a0c1",
    "replay": "#54a24b",
    "scratch": "#e0a33e",
}
ROOM = 345  # MB that a Raspberry Pi Zero 2 W leaves an application (device_profiles/catalog)


def ledgers(run: Path) -> dict[str, dict[str, float]]:
    """The largest measured ledger of a run before its freeze and after it, in MB by line."""
    freeze = json.loads((run / "summary.json").read_text())["freeze"]["step"]
    largest: dict[str, dict[str, float]] = {}
    begun = False
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "freeze/seconds" in record:
            begun = True
        if "ledger/libraries" in record:
            when = "after T_f" if begun or record["step"] > freeze else "before T_f"
            held = {name: record[f"ledger/{name}"] / 1e6 for name in COLOURS}
            held["scratch"] += record.get("ledger/unaccounted", 0) / 1e6
            if sum(held.values()) > sum(largest.get(when, {}).values()):
                largest[when] = held
    return largest


def main() -> None:
    """Draw one bar for each run and phase."""
    out, *runs = sys.argv[1:]
    bars = [
        (f"{label}, {when}", held)
        for label, _, folder in (text.partition("=") for text in runs)
        for when, held in ledgers(Path(folder)).items()
    ]
    figure, axes = pyplot.subplots(figsize=(8, 0.55 * len(bars) + 1.3))
    for row, (_, held) in enumerate(bars):
        left = 0.0
        for name, megabytes in held.items():
            axes.barh(row, megabytes, left=left, color=COLOURS[name], label=name if not row else None, height=0.62)
            if megabytes > 18:
                axes.text(left + megabytes / 2, row, f"{megabytes:.0f}", ha="center", va="center", color="white")
            left += megabytes
        axes.text(left + 5, row, f"{left:.0f} MB", va="center", fontweight="bold")
    axes.axvline(ROOM, color="#c0392b", linestyle="--", linewidth=1.2)
    axes.text(
        ROOM + 5, len(bars) - 1, "345 MB: what a Pi Zero 2 W\nleaves an application", color="#c0392b", va="center"
    )
    axes.set_yticks(range(len(bars)), [name for name, _ in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, max(sum(held.values()) for _, held in bars) * 1.16)
    axes.set_xlabel("resident memory, MB")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)
    axes.legend(ncols=len(COLOURS), loc="lower center", bbox_to_anchor=(0.45, 1.0), frameon=False, fontsize=9)
    figure.savefig(out, bbox_inches="tight")


if __name__ == "__main__":
    main()
