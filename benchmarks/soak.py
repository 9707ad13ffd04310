"""Does a run survive being killed, and does its memory stay flat? Real processes, real kill -9.

Kills: runs of toy/catch are killed again and again, half of the time within 2 s of a checkpoint or of the freeze,
half at any moment, resumed each time, and at the end compared with an uninterrupted run, bit for bit.
Flatness: one long run; resident memory, open files and threads after a warm-up and at the end.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import safetensors.numpy

STEPS, FREEZE_AT, EVERY = 900, 500, 60
OPTIONS = ["--env", "toy/catch", "--budget", "3MB", "--threads", "1", "--quiet"]


def command(*arguments: str) -> list[str]:
    """A training command."""
    return [sys.executable, "-m", "edgerl.cli", "train", *arguments]


def fresh(out: Path) -> list[str]:
    """A new run whose freeze comes between two checkpoints."""
    options = ["--steps", str(STEPS), "--freeze-at", str(FREEZE_AT), "--checkpoint-every", str(EVERY)]
    return command(*OPTIONS, *options, "--eval-every", "0", "--out", str(out))


def newest(out: Path) -> int:
    """The step of the newest checkpoint by name; -1 where there is none yet."""
    return max((int(place.name) for place in (out / "checkpoint").glob("[0-9]*")), default=-1)


def kill_once(out: Path, near: str | None, rng: random.Random) -> tuple[bool, int]:
    """Start or resume the run, kill it near an event or at any moment; (whether it was killed, its newest step)."""
    first = not (out / "config.toml").exists()
    if first:
        shutil.rmtree(out, ignore_errors=True)
    process = subprocess.Popen(fresh(out) if first else command("--resume", str(out), "--quiet"))
    before, onnx = newest(out), out / "encoder.onnx"
    written = onnx.stat().st_mtime_ns if onnx.exists() else 0
    deadline = time.monotonic() + (rng.uniform(0.5, 8) if near is None else 120)
    while process.poll() is None and time.monotonic() < deadline:
        frozen = onnx.exists() and onnx.stat().st_mtime_ns != written
        if (near == "checkpoint" and newest(out) > before) or (near == "freeze" and frozen):
            time.sleep(rng.uniform(0, 2) if near == "checkpoint" else rng.uniform(0, 0.3))
            break
        time.sleep(0.005)
    if process.poll() is None:
        process.kill()
        process.wait()
        return True, newest(out)
    if process.returncode != 0:
        sys.exit(f"the run failed with exit code {process.returncode}; it is kept in {out}")
    return False, newest(out)


def moment(done: int, step: int, rng: random.Random) -> str | None:
    """Every other kill comes at an event: a checkpoint, or the freeze where it is still ahead."""
    if done % 2:
        return None
    return rng.choice(["checkpoint", "freeze"]) if step < FREEZE_AT else "checkpoint"


def final(out: Path) -> dict[str, np.ndarray]:
    """The arrays of the last checkpoint."""
    place = out / "checkpoint" / f"{STEPS:09d}"
    return safetensors.numpy.load_file(place / "weights.safetensors")


def kills(count: int, seed: int) -> None:
    """Inject `count` kills and print what survived."""
    rng, table = random.Random(seed), dict.fromkeys(("checkpoint", "freeze", None), 0)  # noqa: S311
    done, runs, identical = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole")
        subprocess.run(fresh(whole), check=True)
        expected = final(whole)
        while done < count:
            out = Path(folder, f"run{runs}")
            for _ in range(6):
                near = moment(done, newest(out), rng)
                killed, _ = kill_once(out, near, rng)
                if not killed:
                    break
                done, table[near] = done + 1, table[near] + 1
                print(f"\r{done} of {count} kills", end="", file=sys.stderr, flush=True)
            subprocess.run(command("--resume", str(out), "--quiet"), check=True)
            found = final(out)
            identical += found.keys() == expected.keys() and all(np.array_equal(found[n], expected[n]) for n in found)
            runs += 1
    print("\rinjected (kill -9)                        times")
    print(f"within 2 s of a checkpoint                {table['checkpoint']:5}")
    print(f"within 0.3 s of the freeze's first file   {table['freeze']:5}")
    print(f"at any moment                             {table[None]:5}")
    print(f"runs                                      {runs:5}")
    print(f"finished after all, bit-identical         {identical:5}")
    print(f"lost                                      {runs - identical:5}")


def flat(steps: int) -> None:
    """One long run; memory, files and threads after a tenth of it and at the end."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        options = ["--steps", str(steps), "--freeze-at", "1000", "--eval-every", "0", "--checkpoint-every", "0"]
        process = subprocess.Popen(command(*OPTIONS, *options, "--out", str(out)))
        watched, readings = psutil.Process(process.pid), []
        while process.poll() is None:
            try:
                lines = (
                    (out / "metrics.jsonl").read_text().count("throughput/") if (out / "metrics.jsonl").exists() else 0
                )
                readings.append((lines * 500, watched.memory_info().rss, watched.num_fds(), watched.num_threads()))
            except psutil.Error:
                break
            time.sleep(1)
        if process.wait() != 0:
            sys.exit(f"the long run failed with exit code {process.returncode}")
    warm = [reading for reading in readings if steps // 10 <= reading[0] < steps]
    first, last = warm[0], warm[-2]
    growth = (last[1] - first[1]) / max(1, last[0] - first[0]) * 100_000 / 1e6
    print(
        f"{steps:,} steps: resident {first[1] / 1e6:.1f} MB at step {first[0]:,}, {last[1] / 1e6:.1f} MB at {last[0]:,}"
    )
    print(f"growth per 100,000 steps {growth:.2f} MB (goal: under 1)")
    print(f"open files {first[2]} and {last[2]}, threads {first[3]} and {last[3]}")


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.kills:
        kills(args.kills, args.seed)
    if args.steps:
        flat(args.steps)


if __name__ == "__main__":
    main()
