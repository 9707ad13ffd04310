"""Updates per second of every encoder before the freeze and after it, with the multiply-adds that explain them.

Random frames; every encoder is measured in a process of its own. Sampling is timed with the update, as in a run. If
latents are larger than frames (canonical), frames stay, and the frozen stem encodes what is sampled.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import edgerl
from edgerl.agents import agent
from edgerl.agents.build import make_agent
from edgerl.envs import suites
from edgerl.envs.base import EnvSpec
from edgerl.planning import plan
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.training.build import make_replay
from edgerl.training.freeze import FreezeSettings, freeze
from memory_budget.malloc import SCRATCH_BLOCK, keep_blocks

ENVS = {"rainbow": "atari/qbert", "curl": "dmc/walker-walk"}
CASES = [
    ("rainbow", "data_efficient"),
    ("rainbow", "canonical"),
    ("rainbow", "impala"),
    ("curl", "curl"),
    ("curl", "impala"),
]
AFTER = 10  # times as many updates are timed after the freeze: they are faster


def fill(replay: Replay, spec: EnvSpec, rng: np.random.Generator) -> None:
    """Append random frames until the replay is full."""
    frames = rng.integers(0, 256, (8, *spec.frame), np.uint8)
    for n in range(replay.capacity):
        action = rng.uniform(-1, 1, spec.actions) if spec.continuous else int(rng.integers(spec.actions))
        replay.append(frames[n % 8], action, float(rng.random()), terminated=False)


def speed(agent: agent.Agent, replay: Replay, batch_size: int, updates: int) -> float:
    """Updates/s over `updates` of them, after a fifth as many that are not timed."""
    warm_up = max(2, updates // 5)
    for n in range(warm_up + updates):
        if n == warm_up:
            start = time.perf_counter()
        update = agent.update(batch := replay.sample(batch_size, 1.0))
        replay.prioritize(batch.index, update.priority)
    return updates / (time.perf_counter() - start)


def measure(algo: str, encoder: str, settings: dict[str, Any], updates: int) -> dict[str, Any]:
    """One encoder in both phases: updates/s, the paper's multiply-adds, and what the replay holds after the freeze."""
    keep_blocks(SCRATCH_BLOCK)  # as a run does
    env, rng = ENVS[algo], np.random.default_rng(0)
    config = edgerl.configure(env=env, algo=algo, encoder=encoder, budget="10MB", freeze_at="never", **settings)
    spec, batch_size = suites.describe(env), config.replay.batch_size
    pixels, planned = representation.pixels(spec, config.replay), plan.make_plan(config, spec)
    replay = make_replay(config, spec, planned.budget, pixels, rng)
    fill(replay, spec, rng)
    agent = make_agent(config, pixels.shape, spec.actions, np.random.default_rng(1))
    before = speed(agent, replay, batch_size, updates)
    window = rng.integers(0, 256, (spec.history, *spec.frame), np.uint8)
    freezing = FreezeSettings.of(config, pixels)
    with tempfile.TemporaryDirectory() as folder:
        report = freeze(agent, replay, pixels=pixels, window=window, folder=Path(folder), settings=freezing)
    return {
        "batch": batch_size,
        "before": before,
        "after": speed(agent, replay, batch_size, AFTER * updates),
        "flops": [planned.flops.phases.at(frozen).per_update for frozen in (False, True)],
        "store": report["store"],
        "freeze_extra_bytes": report["peak_extra_bytes"],
    }


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--updates", type=int, default=30, help="timed before the freeze; after it ten times as many")
    parser.add_argument("--batch-size", type=int, help="default: 32 of rainbow, 128 of curl")
    parser.add_argument("--case", nargs=2, metavar=("ALGO", "ENCODER"), help="this one only, as JSON")
    args = parser.parse_args()
    if args.case:
        batch = {"batch_size": args.batch_size} if args.batch_size else {}
        print(json.dumps(measure(*args.case, {"threads": args.threads, **batch}, args.updates)))
        return
    headings = "batch  updates/s before     after   ratio   multiply-adds    after/before  holds"
    print(f"{f'{args.threads} threads':23}{headings}")
    for algo, encoder in CASES:
        command = [sys.executable, __file__, *sys.argv[1:], "--case", algo, encoder]
        measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        (before, after), speeds = measured["flops"], (measured["before"], measured["after"])
        print(
            f"{algo:8} {encoder:14}{measured['batch']:5}{speeds[0]:18.2f}{speeds[1]:10.2f}{speeds[1] / speeds[0]:7.2f}x"
            f"{before:16.3g}{after / before:16.4f}  {measured['store']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
