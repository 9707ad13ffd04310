"""Do memory, open files, threads, children and the run's files stay as they are over a long run? In real processes.

    python benchmarks/flatness.py                                   # 1,000,000 steps before the freeze, and behind it
    python benchmarks/flatness.py --steps 100000 --phases behind

toy/catch in a replay that wraps at once. Read once a second; a line for each tenth of the run. Ends with exit code 1 if
a goal is missed: growth of resident memory under 1 MB per 100,000 steps after the first tenth, and as many open files,
threads and children at the end as then.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

OPTIONS = ["--env", "toy/catch", "--budget", "3MB", "--threads", "1", "--eval-every", "0", "--quiet"]
SETTINGS = ["learn_start=60", "batch_size=8", "hidden=32", "updates_per_step=0.25"]  # so that many steps are few hours
PHASES = {"before": "never", "behind": "600"}  # the freeze: the step of it
CHECKPOINTS, LINES = 50, 10  # of a run
GOAL = 1.0  # MB of growth in 100,000 steps


class Reading(NamedTuple):
    """A running process and its files: agent steps done, resident bytes, counts, and bytes on the disk.

    `anonymous`: the resident bytes that are no page of a file and not the replay's.
    """

    step: int
    resident: int
    anonymous: int
    files: int
    threads: int
    children: int
    metrics: int
    events: int
    checkpoints: int


def watch(phase: str, steps: int, *, apart: float = 1.0) -> list[Reading]:
    """Readings of one run of so many steps, so many seconds `apart`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        options = ["--steps", str(steps), "--freeze-at", PHASES[phase], "--out", str(out)]
        options += ["--checkpoint-every", str(max(1, steps // CHECKPOINTS))]
        options += [word for setting in SETTINGS for word in ("--set", setting)]
        process = subprocess.Popen([sys.executable, "-m", "edgerl", "train", *OPTIONS, *options])
        watched, readings = psutil.Process(process.pid), []
        while process.poll() is None:
            try:
                readings.append(read(watched, out))
            except (psutil.Error, OSError):  # it has ended, or a checkpoint was removed
                continue
            finally:
                time.sleep(apart)
        if process.returncode != 0:
            sys.exit(f"the run failed with exit code {process.returncode}")
    return readings


def read(process: psutil.Process, out: Path) -> Reading:
    """One reading of the process that trains in the folder `out`."""
    memory = process.memory_info()
    return Reading(
        newest_step(out / "metrics.jsonl"),
        memory.rss,
        memory.rss - memory.shared,
        process.num_fds(),
        process.num_threads(),
        len(process.children(recursive=True)),
        *(
            sum(file.stat().st_size for file in out.glob(pattern))
            for pattern in ("metrics.jsonl", "events.*", "checkpoint/*/*")
        ),
    )


def newest_step(metrics: Path) -> int:
    """The step of the last whole line; -1 if there is none."""
    if not metrics.exists():
        return -1
    with metrics.open("rb") as file:
        file.seek(max(0, metrics.stat().st_size - 2**14))
        lines = file.read().split(b"\n")[:-1]
    return int(json.loads(lines[-1])["step"]) if lines else -1


def growth(readings: list[Reading], of: str = "resident") -> float:
    """MB by which that field grows in 100,000 steps: the slope of a line through the readings."""
    steps, nbytes = (np.array([getattr(reading, name) for reading in readings], float) for name in ("step", of))
    return float(np.polyfit(steps, nbytes, 1)[0] * 100_000 / 1e6)


def warm(readings: list[Reading], steps: int) -> list[Reading]:
    """The readings after the first tenth of a run and before its last step."""
    return [reading for reading in readings if steps // 10 <= reading.step < steps]


def steady(readings: list[Reading]) -> tuple[int, int, int]:
    """Open files, threads and children that these readings have at least: a checkpoint under way adds for a moment."""
    return (
        min(reading.files for reading in readings),
        min(reading.threads for reading in readings),
        min(reading.children for reading in readings),
    )


def lines(readings: list[Reading], steps: int) -> list[Reading]:
    """A reading for each tenth of the run."""
    chosen = [next((r for r in readings if r.step >= n * steps // LINES), readings[-1]) for n in range(1, LINES)]
    return [*chosen, readings[-1]]


def is_flat(readings: list[Reading], steps: int) -> bool:
    """Print the table of a run; returns whether the goals are met."""
    late = warm(readings, steps)
    print(f"{'step':>11} {'resident MB':>12} {'anonymous MB':>13} {'files':>6} {'threads':>8} {'children':>9}", end=" ")
    print(f"{'metrics MB':>11} {'events MB':>10} {'checkpoints MB':>15}")
    for reading in lines(late, steps):
        print(f"{reading.step:11,} {reading.resident / 1e6:12.2f} {reading.anonymous / 1e6:13.2f}", end=" ")
        print(f"{reading.files:6} {reading.threads:8}", end=" ")
        print(f"{reading.children:9} {reading.metrics / 1e6:11.2f} {reading.events / 1e6:10.2f}", end=" ")
        print(f"{reading.checkpoints / 1e6:15.2f}")
    slope, tenth = growth(late), max(1, len(late) // LINES)
    first, last = steady(late[:tenth]), steady(late[-tenth:])
    print(f"growth per 100,000 steps {slope:.2f} MB (goal: under {GOAL}),", end=" ")
    print(f"anonymous memory's {growth(late, 'anonymous'):.2f} MB;", end=" ")
    print("as many files, threads and children at the end" if first == last else f"counts went from {first} to {last}")
    return slope < GOAL and first == last


def main() -> None:
    """Print a table for each phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000, help="of each run")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES), help="of the freeze")
    args = parser.parse_args()
    flat = True
    for phase in args.phases:
        began = time.monotonic()
        readings = watch(phase, args.steps)
        print(f"\n{phase} the freeze, {args.steps:,} steps in {(time.monotonic() - began) / 60:.1f} minutes")
        flat &= is_flat(readings, args.steps)
    sys.exit(0 if flat else 1)


if __name__ == "__main__":
    main()
