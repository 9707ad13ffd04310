"""Does a run survive being killed, and does its memory stay flat? Real processes, real kill -9.

Kills: runs of toy/catch are killed again and again, every other time within 2 s of a checkpoint or right after the
freeze, else at any moment. They are resumed each time, and at the end compared with an uninterrupted run, bit for bit.
Flatness: one long run; resident memory, open files and threads after a warm-up and at the end.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import safetensors.numpy

OPTIONS = ["--env", "toy/catch", "--budget", "3MB", "--threads", "1", "--set", "learn_start=60", "--quiet"]
KILLS_A_RUN = 6
NAMES = {
    "checkpoint": "kill -9 within 2 s of a checkpoint",
    "freeze": "kill -9 within 0.3 s of the freeze's first file",
    "any": "kill -9 at any moment",
}


def command(*arguments: str) -> list[str]:
    """A training command."""
    return [sys.executable, "-m", "edgerl", "train", *arguments]


def fresh(out: Path, steps: int) -> list[str]:
    """A new run whose freeze comes between two checkpoints."""
    options = ["--steps", str(steps), "--freeze-at", str(freeze_at(steps)), "--checkpoint-every", str(steps // 15)]
    return command(*OPTIONS, *options, "--eval-every", "0", "--out", str(out))


def freeze_at(steps: int) -> int:
    """A little after the middle, and at no checkpoint."""
    return steps * 5 // 9


def newest(out: Path) -> int:
    """The step of the newest checkpoint by name; -1 if there is none yet."""
    return max((int(place.name) for place in (out / "checkpoint").glob("[0-9]*")), default=-1)


def go_on(out: Path, steps: int) -> list[str]:
    """The command that resumes the run, or starts it again if it was killed before it had written its settings."""
    if (out / "config.toml").exists():
        return command("--resume", str(out), "--quiet")
    shutil.rmtree(out, ignore_errors=True)
    return fresh(out, steps)


def kill_once(out: Path, near: str, steps: int, rng: random.Random) -> bool:
    """Start or resume the run and kill it, near an event or at any moment; returns whether it was killed in time."""
    process = subprocess.Popen(go_on(out, steps))
    before, onnx = newest(out), out / "encoder.onnx"
    written = onnx.stat().st_mtime_ns if onnx.exists() else 0
    deadline = time.monotonic() + (rng.uniform(0.5, 8) if near == "any" else 120)
    while process.poll() is None and time.monotonic() < deadline:
        frozen = onnx.exists() and onnx.stat().st_mtime_ns != written
        if (near == "checkpoint" and newest(out) > before) or (near == "freeze" and frozen):
            time.sleep(rng.uniform(0, 2) if near == "checkpoint" else rng.uniform(0, 0.3))
            break
        time.sleep(0.005)
    if process.poll() is None:
        process.kill()
        process.wait()
        return True
    if process.returncode != 0:
        sys.exit(f"the run failed with exit code {process.returncode}; it is kept in {out}")
    return False


def moment(done: int, step: int, steps: int, rng: random.Random) -> str:
    """When the next kill comes: every other one at an event, a checkpoint or, if it is still ahead, the freeze."""
    if done % 2:
        return "any"
    return rng.choice(["checkpoint", "freeze"]) if step < freeze_at(steps) else "checkpoint"


def final(out: Path, steps: int) -> dict[str, np.ndarray]:
    """The arrays of the last checkpoint."""
    return safetensors.numpy.load_file(out / "checkpoint" / f"{steps:09d}" / "weights.safetensors")


class Survival(NamedTuple):
    """Kills by name, how many runs were killed, and how many of these ended bit-identical."""

    kills: Counter[str]
    runs: int
    identical: int


def kills(count: int, seed: int, steps: int = 900) -> Survival:
    """Kill runs `count` times in all, and compare how they end."""
    rng, injected, runs, identical = random.Random(seed), Counter[str](), 0, 0  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole")
        subprocess.run(fresh(whole, steps), check=True)
        expected = final(whole, steps)
        while (done := injected.total()) < count:
            out = Path(folder, f"run{runs}")
            for _ in range(min(KILLS_A_RUN, count - done)):
                near = moment(injected.total(), newest(out), steps, rng)
                if not kill_once(out, near, steps, rng):
                    break
                injected[near] += 1
                print(f"\r{injected.total()} of {count} kills", end="", file=sys.stderr, flush=True)
            subprocess.run(go_on(out, steps), check=True)
            arrays = final(out, steps)
            identical += arrays.keys() == expected.keys() and all(
                np.array_equal(arrays[name], expected[name]) for name in arrays
            )
            runs += 1
    return Survival(injected, runs, identical)


class Reading(NamedTuple):
    """A running process: agent steps done (to the last 500), resident bytes, open files, threads."""

    step: int
    resident: int
    files: int
    threads: int


def flat(steps: int) -> tuple[Reading, Reading]:
    """One long run; a reading after a tenth of it and one near the end, each that of three with the fewest files.

    The others may have come while a file of metrics was open.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        options = ["--steps", str(steps), "--freeze-at", str(min(1000, steps // 10))]
        options += ["--eval-every", "0", "--checkpoint-every", "0"]
        process = subprocess.Popen(command(*OPTIONS, *options, "--out", str(out)))
        watched, readings = psutil.Process(process.pid), []
        while process.poll() is None:
            metrics = out / "metrics.jsonl"
            try:
                lines = metrics.read_text().count("throughput/") if metrics.exists() else 0
                now = watched.memory_info().rss, watched.num_fds(), watched.num_threads()
            except psutil.Error:
                break
            readings.append(Reading(lines * 500, *now))
            time.sleep(1)
        if process.wait() != 0:
            sys.exit(f"the long run failed with exit code {process.returncode}")
    warm = [reading for reading in readings if steps // 10 <= reading.step < steps]
    first, last = (min(some, key=lambda reading: reading.files) for some in (warm[:3], warm[-4:-1]))
    return first, last


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.kills:
        survival = kills(args.kills, args.seed)
        print(f"\r{'injected':50}times")
        for near, name in NAMES.items():
            print(f"{name:50}{survival.kills[near]:5}")
        print(f"{'runs that were killed, up to six times each':50}{survival.runs:5}")
        print(f"{'survived: finished after all, bit-identical':50}{survival.identical:5}")
        print(f"{'lost':50}{survival.runs - survival.identical:5}")
    if args.steps:
        first, last = flat(args.steps)
        growth = (last.resident - first.resident) / max(1, last.step - first.step) * 100_000 / 1e6
        resident = (
            f"{first.resident / 1e6:.1f} MB at step {first.step:,}, {last.resident / 1e6:.1f} MB at {last.step:,}"
        )
        print(f"{args.steps:,} steps: resident {resident}")
        print(f"growth per 100,000 steps {growth:.2f} MB (goal: under 1)")
        print(f"open files {first.files} and {last.files}, threads {first.threads} and {last.threads}")


if __name__ == "__main__":
    main()
