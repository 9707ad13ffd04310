"""Updates per second of CURL-SAC beside a plain loop, before the freeze and after it, in one run on one machine.

The plain loop is a script of its own, `plain_curl.py` (eager PyTorch, nothing done for speed); its path is an option.
Both see random data, batches of 128 and the same number of action dimensions. Both phases are measured several times
in turn; what counts is the ratio of the medians, as machines are noisy.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import edgerl
from edgerl.agents.build import make_agent
from edgerl.envs.base import EnvSpec
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.training.freeze import FreezeSettings, freeze
from memory_budget.malloc import SCRATCH_BLOCK, keep_blocks

SPEC = EnvSpec((3, 100, 100), 3, 6, 4, continuous=True, refill=True)
UPDATES, WARM_UP = {"pixels": 8, "latents": 100}, {"pixels": 2, "latents": 20}
YARDSTICK = Path(__file__).parents[2] / "shared" / "yardstick" / "plain_curl.py"


def filled(config: edgerl.Config, rng: np.random.Generator) -> tuple[Replay, representation.Pixels]:
    """A full replay of random frames."""
    pixels = representation.pixels(SPEC, config.replay)
    replay = Replay(30_000_000, pixels, SPEC.action, n_step=1, gamma=0.99, rng=rng, sampling="uniform")
    frames = rng.integers(0, 256, (8, *SPEC.frame), np.uint8)
    for n in range(replay.capacity):
        replay.append(frames[n % 8], rng.uniform(-1, 1, SPEC.actions), float(rng.random()), terminated=False)
    return replay, pixels


def ours(threads: int, updates: dict[str, int]) -> dict[str, float]:
    """Updates/s in both phases, sampling included, as in a run; and seconds to encode the crops of a step."""
    keep_blocks(SCRATCH_BLOCK)  # as a run does
    config = edgerl.configure(env="dmc/walker-walk", budget="30MB", threads=threads, steps=1000, freeze_at="never")
    rng = np.random.default_rng(0)
    replay, pixels = filled(config, rng)
    agent = make_agent(config, pixels.shape, SPEC.actions, np.random.default_rng(1))
    window, speeds = rng.integers(0, 256, (3, *SPEC.frame), np.uint8), {}
    for phase, count in updates.items():
        if phase == "latents":
            with tempfile.TemporaryDirectory() as folder:
                settings = FreezeSettings(config.agent.cut)
                freeze(agent, replay, pixels=pixels, window=window, folder=Path(folder), settings=settings)
        for n in range(WARM_UP[phase] + count):
            if n == WARM_UP[phase]:
                start = time.perf_counter()
            agent.update(replay.sample(config.replay.batch_size, 1.0))
        speeds[phase] = count / (time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(50):
        replay.representation.observe(window)
    return speeds | {"encoding": (time.perf_counter() - start) / 50}


def script(*arguments: object) -> dict[str, float]:
    """The JSON that a script prints, run in a process of its own."""
    command = [sys.executable, *map(str, arguments)]
    printed: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return printed


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--yardstick", type=Path, default=YARDSTICK, help="the plain loop's script")
    parser.add_argument("--ours", action="store_true", help="measure ours only, and print JSON")
    args = parser.parse_args()
    if args.ours:
        print(json.dumps(ours(args.threads, UPDATES)))
        return
    if not args.yardstick.exists():
        sys.exit(f"--yardstick: {args.yardstick} does not exist")
    speeds: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        own = script(__file__, "--ours", "--threads", args.threads)
        for phase, options in (("pixels", []), ("latents", ["--latents"])):
            plain = script(args.yardstick, "--threads", args.threads, *options)["updates_per_s"]
            speeds.setdefault(f"plain {phase}", []).append(plain)
            speeds.setdefault(phase, []).append(own[phase])
        speeds.setdefault("encoding", []).append(own["encoding"])
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"CURL-SAC, a batch of 128, {args.threads} threads, median of {args.rounds}   updates/s   plain loop   ratio")
    for phase, goal in (("pixels", 1.8), ("latents", 1.2)):
        speed, plain = medians[phase], medians[f"plain {phase}"]
        print(f"{phase:45}{speed:12.2f}{plain:13.2f}{speed / plain:7.2f}x (goal {goal}x)")
    print(f"a step's five crops through ONNX Runtime, one thread: {1000 * medians['encoding']:.1f} ms")


if __name__ == "__main__":
    main()
