"""Steps per second before and after the freeze, beside a plain Rainbow loop on the same game and threads.

The plain loop runs before and after ours; ratios are to the faster of its two runs. Use a quiet machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

YARDSTICK = Path(__file__).parents[2] / "shared" / "yardstick" / "plain_rainbow.py"


def plain(script: Path, game: str, threads: int) -> float:
    """The plain loop's steps/s."""
    command = [sys.executable, script, "--game", game, "--threads", str(threads), "--steps", "3000"]
    return float(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["steps_per_s"])


def ours(game: str, threads: int) -> dict[str, float]:
    """steps_per_s_before and steps_per_s_after of `edgerl train` at 0.07GB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "edgerl",
            "train",
            "--env",
            f"atari/{game}",
            "--threads",
            str(threads),
        ]
        command += ["--steps", "5000", "--freeze-at", "3200", "--eval-every", "0", "--checkpoint-every", "0"]
        subprocess.run([*command, "--quiet", "--out", f"{folder}/run"], check=True)
        speeds: dict[str, float] = json.loads(Path(folder, "run", "summary.json").read_text())["throughput"]
        return speeds


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="qbert")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--yardstick", type=Path, default=YARDSTICK, help="the plain loop's script")
    args = parser.parse_args()
    if not args.yardstick.exists():
        sys.exit(f"--yardstick: {args.yardstick} does not exist")
    first = plain(args.yardstick, args.game, args.threads)
    speeds = ours(args.game, args.threads)
    second = plain(args.yardstick, args.game, args.threads)
    faster = max(first, second)
    print(f"{args.game}, {args.threads} threads, 0.07GB       steps/s   to the plain loop")
    print(f"plain loop, before and after ours   {first:.1f} and {second:.1f}")
    for name, goal in (("before", 1.4), ("after", 3.3)):
        speed = speeds[f"steps_per_s_{name}"]
        print(f"edgerl {name:6} the freeze            {speed:7.1f}   {speed / faster:.2f}x (goal {goal}x)")


if __name__ == "__main__":
    main()
