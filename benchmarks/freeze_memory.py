"""What a freeze of a full, wrapped replay takes beyond it, and what the budget is in resident memory.

Two runs of real Qbert, at 0.07GB and at 0.01GB, each in a process of its own: fill and wrap the ring by playing, then
400 updates on pixels, the freeze, and 400 updates on latents, filling and wrapping the larger ring too.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

MB = 1e6


def measure(budget: int) -> dict:
    """The summary of one run at this budget (bytes), in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--child", str(budget), f"{folder}/run"]
        subprocess.run(command, check=True)
        return json.loads(Path(folder, "run", "summary.json").read_text())


def child(budget: int, out: str) -> None:
    """One run; the ring wraps before the freeze."""
    from edgerl import config, run

    tables = config.preset("atari/qbert")
    tables["run"] |= {"env": "atari/qbert", "budget": budget, "seed": 0, "threads": 2, "steps": 11_400}
    tables["run"] |= {"freeze_at": 11_000, "eval_every": 0, "checkpoint_every": 0}
    tables["replay"] |= {"learn_start": 10_600}
    run.train(config.build(tables), Path(out), quiet=True)


def main() -> None:
    """Print one table."""
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]), sys.argv[3])
        return
    found = {budget: measure(budget) for budget in (70_000_000, 10_000_000)}
    large, small = found[70_000_000], found[10_000_000]
    freeze, memory = large["freeze"], large["memory"]
    print(f"0.07GB, Qbert: {freeze['rows_before']:,} rows frozen in {freeze['seconds']:.2f} s")
    print(f"peak extra memory at the freeze     {freeze['peak_extra_bytes'] / MB:7.2f} MB (goal: at most 16)")
    change = memory["rss_after_freeze"] - memory["rss_before_freeze"]
    print(f"resident after minus before         {change / MB:7.2f} MB (goal: at most 8)")
    ends = [sum(line["measured"] for line in each["budget"]["ledger"].values()) for each in (large, small)]
    print(f"at the end, 0.07GB less 0.01GB      {(ends[0] - ends[1]) / MB:7.2f} MB (goal: 60, within 2)")
    for name in ("rss_before_freeze", "rss_after_freeze", "rss_peak"):
        difference = memory[name] - small["memory"][name]
        print(f"{name:18} 0.07GB less 0.01GB {difference / MB:6.2f} MB")


if __name__ == "__main__":
    main()
