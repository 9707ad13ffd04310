"""How long a report of 30 runs of 500,000 steps takes, and how large the page is.

One short run of toy/catch is trained; its folder is copied 30 times (2 budgets, 3 freezes, 5 seeds), with as many lines
of metrics and evaluations as a run of 500,000 steps leaves. Goal: under 10 s and under 6 MB.
"""

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edgerl import configure, train

STEPS, EVERY, EVALUATIONS, GAMES = 500_000, 500, 50, 2_000


def stretch(source: Path, folder: Path, budget: int, freeze_at: int | str, seed: int) -> None:
    """A run folder like `source`, as long as the paper's runs."""
    rng = np.random.default_rng([budget, 0 if freeze_at == "never" else int(freeze_at), seed])
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("checkpoint", "events*"))
    settings = {"steps": STEPS, "budget": budget, "freeze_at": freeze_at, "seed": seed}
    (folder / "config.toml").write_text(configure(env="toy/catch", threads=1, **settings).to_toml())
    summary = json.loads((source / "summary.json").read_text()) | {"steps": STEPS, "seed": seed}
    steps = np.arange(1, EVALUATIONS + 1) * (STEPS // EVALUATIONS)
    like = summary["returns"][-1]
    scores = 1 - np.exp(-steps / 1e5) + rng.normal(0, 0.1, EVALUATIONS)
    summary["returns"] = [
        like | {"step": int(step), "env_steps": int(step), "flops": int(step) * 10**8, "mean": float(score)}
        for step, score in zip(steps, scores, strict=True)
    ]
    (folder / "summary.json").write_text(json.dumps(summary, indent=1))
    games = sorted(rng.choice(STEPS, GAMES, replace=False).tolist())
    lines = [{"step": step, "train/score": 1.0} for step in games]
    for step in range(EVERY, STEPS + 1, EVERY):
        rss = 400_000_000 + int(rng.integers(5_000_000))
        logged = {"replay/rows": min(step, 30_000), "memory/rss_bytes": rss, "memory/tree_peak_bytes": 405_000_000}
        logged |= {"flops/total": step * 10**8, "throughput/steps_per_s": 40.123456789, "train/loss": 0.123456789}
        lines.append({"step": step, **logged})
    stamped = ({"time": 1.79e9 + line["step"] / 40, "seconds": line["step"] / 40} for line in lines)
    text = "\n".join(json.dumps(line | stamp) for line, stamp in zip(lines, stamped, strict=True))
    (folder / "metrics.jsonl").write_text(text + "\n")


def main() -> None:
    """Make the runs, then time the command as a user types it."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        config = configure(env="toy/catch", budget="3MB", steps=600, freeze_at=400, threads=1, eval_every=300)
        train(config, source, quiet=True)
        runs = Path(scratch) / "runs"
        for number, (budget, freeze_at, seed) in enumerate(
            itertools.product((30_000_000, 70_000_000), (50_000, 100_000, "never"), range(5))
        ):
            stretch(source, runs / f"run{number:02d}", budget, freeze_at, seed)
        lines = sum(len((folder / "metrics.jsonl").read_text().splitlines()) for folder in runs.iterdir())
        print(f"{len(list(runs.iterdir()))} runs of {STEPS:,} steps, {lines:,} lines of metrics")
        for name in ("report.html", "report.md", "report.json", "report.png"):
            out = Path(scratch) / name
            began = time.perf_counter()
            command = [sys.executable, "-m", "edgerl", "report", str(runs), "--out", str(out)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - began
            print(f"{name:<12} {seconds:5.1f} s  {out.stat().st_size / 1e6:6.2f} MB")


if __name__ == "__main__":
    main()
