"""What a calibrated profile of this machine predicts for its runs, beside what the runs then measure.

Both agents, before the freeze and after it: steps/s, and the peak of resident memory. Use a quiet machine. It takes
about a quarter of an hour, as an update of CURL-SAC takes a second (`--algo rainbow`: two minutes).
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import device_profiles
import edgerl
from edgerl.envs import suites
from edgerl.planning import forecast, plan, plan_report, workload
from edgerl.planning.workload import Work
from edgerl.replay import representation
from edgerl.training.meters import SETTLE

WITHIN = 1.2  # a ratio of predicted to measured up to this is good
TIMED = 250  # steps that are timed in both phases
RUNS: dict[str, dict[str, Any]] = {
    "rainbow": {"env": "atari/qbert", "budget": "0.07GB", "learn_start": 500},
    "curl": {"env": "dmc/walker-walk", "budget": "0.03GB", "learn_start": 200},
}


def measured(algo: str, threads: int) -> dict[str, float]:
    """Steps/s of a real run in both phases, and its peak of resident memory in MB."""
    settings = RUNS[algo]
    freeze_at = settings["learn_start"] + SETTLE + TIMED
    command = [sys.executable, "-m", "edgerl", "train", "--env", settings["env"], "--budget", settings["budget"]]
    command += ["--threads", str(threads), "--set", f"replay.learn_start={settings['learn_start']}", "--quiet"]
    command += ["--freeze-at", str(freeze_at), "--steps", str(freeze_at + SETTLE + 4 * TIMED)]
    command += ["--eval-every", "0", "--checkpoint-every", "0"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*command, "--out", f"{folder}/run"], check=True)
        summary = json.loads(Path(folder, "run", "summary.json").read_text())
    speeds = summary["throughput"]
    return {
        "steps/s before": speeds["steps_per_s_before"],
        "steps/s after": speeds["steps_per_s_after"],
        "MB": summary["memory"]["rss_peak"] / 1e6,
    }


def predicted(algo: str, threads: int, profile: Path) -> dict[str, float]:
    """The same, as the forecast from a profile says."""
    settings = RUNS[algo]
    config = edgerl.configure(env=settings["env"], budget=settings["budget"], threads=threads)
    spec, device = suites.describe(settings["env"]), device_profiles.load(str(profile))
    planned, window = plan.make_plan(config, spec), representation.pixels(spec, config.replay).shape
    speeds = {}
    for rates, frozen, when in zip(
        forecast.device_rates(device, config, window) or (), (False, True), ("before", "after"), strict=True
    ):
        unit = workload.step_work(config, planned, window).at(frozen)
        low, high = forecast.seconds(unit.encoding + unit.acting + unit.updating + Work(simulated=1), rates)
        speeds[f"steps/s {when}"] = 1 / math.sqrt(low * high)
    return speeds | {"MB": plan_report.report(config, spec, str(profile))["bytes"]["process"] / 1e6}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", choices=RUNS, action="append", help="may be repeated; without it both")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile", type=Path, help="a profile of this machine; without it one is measured first")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        profile = args.profile or Path(folder) / "here.toml"
        if args.profile is None:
            command = [
                sys.executable,
                "-m",
                "edgerl",
                "devices",
                "calibrate",
                "--threads",
                str(args.threads),
            ]
            subprocess.run([*command, "--out", profile], check=True)
        print(f"{f'{args.threads} threads':24}{'predicted':>12}{'measured':>12}{'ratio':>8}   within 20%")
        for algo in args.algo or RUNS:
            expected, actual = predicted(algo, args.threads, profile), measured(algo, args.threads)
            for name, value in actual.items():
                ratio = expected[name] / value
                verdict = "yes" if 1 / WITHIN <= ratio <= WITHIN else "no"
                print(f"{algo:8} {name:15}{expected[name]:12.2f}{value:12.2f}{ratio:8.2f}   {verdict}", flush=True)


if __name__ == "__main__":
    main()
