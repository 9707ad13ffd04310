"""What several environments at once save: microseconds of a step in one process, and in N processes of their own.

A step is one decision in one environment, without learning. `turns`: the N environments in this process one after the
other; `at once`: in their processes, which take what pipes and waiting cost. It pays where `at once` is below `turns`.
`--cores` holds all processes to so many cores: only the ratio says something, and only on a quiet machine.
"""

import argparse
import os
import statistics
import time
from contextlib import closing

import numpy as np

from edgerl.envs import suites
from edgerl.envs.base import EnvOptions, random_action
from edgerl.envs.door import Door
from edgerl.envs.fleet.fleet import Fleet

DEFAULT = EnvOptions()


def in_turns(door: Door, rng: np.random.Generator, steps: int) -> float:
    """Mean seconds of a step in this process."""
    began = time.perf_counter()
    for _ in range(steps):
        timestep = door.step(random_action(door, rng))  # type: ignore[arg-type]
        if timestep.terminated or timestep.truncated:
            door.reset()
    return (time.perf_counter() - began) / steps


def at_once(fleet: Fleet, rng: np.random.Generator, steps: int) -> float:
    """Mean seconds of a step in a fleet."""
    rounds, began = steps // len(fleet), time.perf_counter()
    for _ in range(rounds):
        fleet.begin()
        fleet.step([random_action(fleet, rng) for _ in range(len(fleet))])  # type: ignore[arg-type]
    return (time.perf_counter() - began) / (rounds * len(fleet))


def main() -> None:
    """Measure and print, a line for each environment and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", default=["atari/qbert", "dmc/cartpole-swingup", "toy/catch"])
    parser.add_argument("--envs", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="cores that all processes may use")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5, help="the median of so many")
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    rng = np.random.default_rng(0)
    print(f"{args.cores} cores; microseconds a step, the median of {args.rounds} times {args.steps} steps")
    for name in args.env:
        for count in args.envs:
            with (
                closing(suites.make(name, np.random.default_rng(0), training=True)) as door,
                closing(Fleet(name, DEFAULT, count, np.random.default_rng(0))) as fleet,
            ):
                door.reset()
                fleet.reset()
                times = [(in_turns(door, rng, args.steps), at_once(fleet, rng, args.steps)) for _ in range(args.rounds)]
            turns, once = (1e6 * statistics.median(kind) for kind in zip(*times, strict=True))
            print(
                f"{name}, {count} environments: turns {turns:.0f}, at once {once:.0f}, {turns / once:.2f} times as fast"
            )


if __name__ == "__main__":
    main()
