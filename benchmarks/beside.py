"""This checkout's `edgerl train` beside another one's, in turn, with the same packages: speed, memory, start.

    git worktree add ../before b26208f
    python benchmarks/beside.py ../before                  # Rainbow on Qbert at 0.07 GB
    python benchmarks/beside.py ../before --threads 1
    python benchmarks/beside.py ../before --ours="--engine torch --keep-torch"
    python benchmarks/beside.py ../before --env dmc/walker-walk --budget 0.03GB --steps 1700 --freeze-at 1350

Medians of all rounds. Memory is the highest resident memory of the process tree, read 20 times a second. Use a quiet
machine.
"""

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

OURS = Path(__file__).parents[1]
START = "from edgerl.{} import main; main()"  # the program's place, in this checkout and in older ones
FIGURES = ("steps/s before", "steps/s after", "MB before", "MB after", "s to the first step")


def run(checkout: Path, options: list[str]) -> dict[str, float | None]:
    """Train once with a checkout's program; the figures by name."""
    place = "commands.app" if (checkout / "edgerl" / "commands" / "app.py").exists() else "cli"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "run")
        command = [sys.executable, "-c", START.format(place), "train", *options, "--out", str(folder), "--quiet"]
        began = time.monotonic()
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        process = psutil.Popen(command, env=environment, cwd=temporary)
        started, peaks = None, {False: 0, True: 0}
        while process.poll() is None:
            frozen = (folder / "encoder.onnx").exists()
            peaks[frozen] = max(peaks[frozen], resident(process))
            if started is None and (folder / "checkpoint").exists():  # written just before step 0
                started = time.monotonic() - began
            time.sleep(0.05)
        if process.returncode:
            sys.exit(f"{checkout}: exit code {process.returncode}")
        speeds = json.loads((folder / "summary.json").read_text())["throughput"]
    measured = [
        speeds["steps_per_s_before"],
        speeds["steps_per_s_after"],
        peaks[False] / 1e6,
        peaks[True] / 1e6,
        started,
    ]
    return dict(zip(FIGURES, measured, strict=True))


def resident(process: psutil.Process) -> int:
    """Resident bytes of a process and its children; 0 if it has ended."""
    try:
        return sum(member.memory_info().rss for member in [process, *process.children(recursive=True)])
    except psutil.Error:
        return 0


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--env", default="atari/qbert")
    parser.add_argument("--budget", default="0.07GB")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--freeze-at", type=int, default=3500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours", default="", help="more options for this checkout's program")
    args = parser.parse_args()
    options = ["--env", args.env, "--budget", args.budget, "--steps", str(args.steps), "--threads", str(args.threads)]
    options += ["--freeze-at", str(args.freeze_at), "--eval-every", "0", "--checkpoint-every", "0"]
    theirs, ours = [], []
    for _ in range(args.rounds):
        theirs.append(run(args.other.resolve(), options))
        ours.append(run(OURS, [*options, *shlex.split(args.ours)]))
    print(f"{args.env}, {args.budget}, {args.threads} threads, {args.rounds} rounds {args.ours}")
    print(f"{'':20} {'other':>9} {'this':>9} {'ratio':>7}")
    for name in FIGURES:
        pair = [[round_[name] for round_ in rounds if round_[name] is not None] for rounds in (theirs, ours)]
        if all(pair):
            before, now = map(statistics.median, pair)
            print(f"{name:20} {before:9.1f} {now:9.1f} {now / before:6.2f}x")


if __name__ == "__main__":
    main()
