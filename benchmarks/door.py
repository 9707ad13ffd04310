"""What the door costs: microseconds that it adds to a step, beside a training step of toy/catch and of an Atari game.

The same environment is stepped through the door and past it, in turns, and the median of the differences counts. Only
the ratio says something: a machine's speed varies from day to day.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import edgerl
from edgerl.agents.build import make_agent
from edgerl.envs.door import Door
from edgerl.envs.toy import Catch
from edgerl.experiments.calibration.calibrate import training_step
from edgerl.planning import plan
from edgerl.replay import representation
from edgerl.training.build import make_env, make_replay
from edgerl.types import TimeStep
from memory_budget.malloc import SCRATCH_BLOCK, keep_blocks

ENVS = ("toy/catch", "atari/qbert")
GOAL = 0.01  # of a training step


class Still(Catch):
    """An environment that does nothing, so that a step is all the door's.

    `numpys`: whether its rewards and flags are scalars of NumPy, which the door converts.
    """

    def __init__(self, rng: np.random.Generator, numpys: bool) -> None:
        super().__init__(rng)
        reward, flag = (np.float32(1), np.bool_(False)) if numpys else (1.0, False)
        self._given = TimeStep(self.window, reward, flag, flag, flag)  # type: ignore[arg-type]

    def step(self, action: Any) -> TimeStep:
        return self._given


def door_seconds(rounds: int, steps: int, *, numpys: bool) -> float:
    """Median seconds that the door adds to a step."""
    rng = np.random.default_rng(0)
    door = Door(lambda: Still(rng, numpys), rng, "still")
    door.reset()
    return statistics.median(
        seconds_a_step(door.step, steps) - seconds_a_step(door.env.step, steps) for _ in range(rounds)
    )


def seconds_a_step(step: Callable[[int], TimeStep], steps: int) -> float:
    """Mean seconds of a step."""
    began = time.perf_counter()
    for _ in range(steps):
        step(1)
    return (time.perf_counter() - began) / steps


def training_seconds(env: str, steps: int) -> float:
    """Median seconds of a training step before the freeze, one thread."""
    config = edgerl.configure(env=env, budget="3MB", threads=1, freeze_at="never")
    rng = np.random.default_rng(0)
    door = make_env(config, rng, training=True)
    pixels = representation.pixels(door.spec, config.replay)
    agent = make_agent(config, pixels.shape, door.actions, np.random.default_rng(0))
    replay = make_replay(config, door.spec, plan.make_plan(config, door.spec).budget, pixels, rng)
    door.reset()
    for _ in range(config.replay.batch_size + config.replay.n_step):  # rows to draw from
        _, stored = replay.representation.observe(door.window)
        timestep = door.step(0)
        replay.append(stored, 0, timestep.reward, terminated=timestep.terminated)
        if timestep.terminated:
            door.reset()
    spent = [float(np.sum(training_step(door, agent, replay, config.replay.batch_size))) for _ in range(steps)]
    door.close()
    return statistics.median(spent[steps // 10 :])


def main() -> None:
    """Print one line a door and an environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="training steps that are timed")
    steps = parser.parse_args().steps
    keep_blocks(SCRATCH_BLOCK)  # as a run does
    doors = {"Python's own numbers": False, "NumPy's numbers": True}
    added = {what: door_seconds(21, 50 * steps, numpys=numpys) for what, numpys in doors.items()}
    for env in ENVS:
        training = training_seconds(env, steps)
        for what, seconds in added.items():
            share = seconds / training
            verdict = "below" if share < GOAL else "NOT below"
            times = f"training step {1e6 * training:7,.0f} us, door {1e6 * seconds:5.2f} us ({what})"
            print(f"{env:12} {times}: {share:.3%}, {verdict} {GOAL:.0%}")


if __name__ == "__main__":
    main()
