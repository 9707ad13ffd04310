"""Does a run survive being killed? Real processes, real kill -9. (flatness.py watches a long run's memory.)

Runs of toy/catch are killed again and again, every other time within 2 s of a checkpoint or right after the
freeze, else at any moment. They are resumed each time, and at the end compared with an uninterrupted run, bit for bit.
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


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    survival = kills(args.kills, args.seed)
    print(f"\r{'injected':50}times")
    for near, name in NAMES.items():
        print(f"{name:50}{survival.kills[near]:5}")
    print(f"{'runs that were killed, up to six times each':50}{survival.runs:5}")
    print(f"{'survived: finished after all, bit-identical':50}{survival.identical:5}")
    print(f"{'lost':50}{survival.runs - survival.identical:5}")


if __name__ == "__main__":
    main()
