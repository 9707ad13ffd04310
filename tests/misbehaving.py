"""A module of environments that misbehave, each in its own way."""

import numpy as np

from edgerl.envs import suites

MODULE = """
import functools
import os
import signal
import sys

import numpy as np

from edgerl.envs import EnvSpec
from edgerl.types import TimeStep

made, closed, calls = [], [], []
faults = {}  # by method: at which of its calls it fails
once = []  # filled while the only instance of Once exists


class Plain:
    \"\"\"Episodes of seven steps, of which each counts one.\"\"\"

    spec = EnvSpec(frame=(84, 84), history=2, actions=2, repeat=1)
    actions, name = 2, "plain"

    def __init__(self, rng):
        made.append(self)
        self.rng, self.window, self.age = rng, np.zeros((2, 84, 84), np.uint8), 0

    def reset(self):
        self.count("reset")
        self.age, self.window[:] = 0, 0
        return TimeStep(self.window, 0.0, False, False, False)

    def step(self, action):
        self.count("step")
        self.age += 1
        self.window[0] = self.window[1]
        self.window[1] = 20 * self.age + 10 * action + self.rng.integers(10)
        return TimeStep(self.window, 1.0, self.age == 7, False, self.age == 7)

    def close(self):
        closed.append(self)
        self.count("close")

    def count(self, method):
        calls.append(method)
        if calls.count(method) == faults.get(method):
            raise ValueError(f"no more {method}\\nof two lines")  # the line that is named


class Saving(Plain):
    def state(self):
        self.count("state")
        return {"window": self.window}, {"age": self.age, "rng": self.rng.bit_generator.state}

    def restore(self, arrays, values):
        self.count("restore")
        self.window[:] = arrays["window"]
        self.age, self.rng.bit_generator.state = values["age"], values["rng"]


class Numbered(Saving):
    def state(self):
        arrays, values = super().state()
        return arrays, values | {"seen": {3: 1}}


class Once(Plain):
    def __init__(self, rng):
        if once:
            raise OSError("the camera is in use")
        super().__init__(rng)
        once.append(self)

    def close(self):
        super().close()
        once.remove(self)


@functools.cache
def single():
    return Plain(np.random.default_rng(0))


class Endless(Plain):
    def step(self, action):
        return super().step(action)._replace(terminated=False, over=False)


class Unnamed(Plain):
    name = property(lambda self: (_ for _ in ()).throw(AttributeError("name")))


class ManyActions(Plain):
    spec, actions = Plain.spec._replace(actions=300), 300


class NoAction(Plain):
    spec, actions = Plain.spec._replace(actions=0), 0


class OtherActions(Plain):
    actions = 3


class FlatSpec(Plain):
    spec = Plain.spec._replace(frame=84)


class FloatLimit(Plain):
    most_steps = 500.0


class OfAPort(Plain):
    interface = "COM3"


class FloatWindow(Plain):
    def __init__(self, rng):
        super().__init__(rng)
        self.window = np.zeros((2, 84, 84), np.float32)


class SmallWindow(Plain):
    def __init__(self, rng):
        super().__init__(rng)
        self.window = np.zeros((2, 80, 80), np.uint8)


class Five(Plain):
    def step(self, action):
        window, reward, terminated, truncated, _ = super().step(action)
        return window, reward, terminated, truncated, {}


class ResetOfTwo(Plain):
    def reset(self):
        return super().reset().window, {}


class Huge(Plain):
    def step(self, action):
        return super().step(action)._replace(reward=1e308)


class Growing(Plain):
    # the third that is made, and later ones, have one action more

    def __init__(self, rng):
        super().__init__(rng)
        if len(made) > 2:
            self.spec, self.actions = Plain.spec._replace(actions=3), 3


class OverAlone(Plain):
    def step(self, action):
        return super().step(action)._replace(terminated=False)


class Interrupting(Plain):
    # its simulator ends with a Ctrl-C in the terminal, at the 40th step
    def step(self, action):
        if calls.count("step") == 39:
            os.kill(os.getpid(), signal.SIGINT)
            raise EOFError("the simulator has ended")
        return super().step(action)


class Handling(Plain):
    # takes Ctrl-C over as it is made, and at its fourth reset
    def __init__(self, rng):
        super().__init__(rng)
        signal.signal(signal.SIGINT, lambda *_: sys.exit(0))

    def reset(self):
        if calls.count("reset") == 3:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return super().reset()


class Misspelt(Plain):
    def __init__(self, rng):
        self.rmg.integers(2)  # the line that is named


class Leaving(Plain):
    def __init__(self, rng):
        sys.exit(0)  # the line that is named


class Quitting(Plain):
    def step(self, action):
        if calls.count("step") == 39:
            sys.exit(0)
        return super().step(action)
"""
SMALL = {"budget": 3_000_000, "threads": 1, "steps": 60, "freeze_at": "never", "learn_start": 20, "batch_size": 4}
SMALL |= {"algo": "rainbow", "hidden": 8, "eval_every": 0, "checkpoint_every": 0, "eval_episodes": 2}


def opened(name):
    return suites.make(f"mine:{name}", np.random.default_rng(0), training=True)


def place(statement):
    """Where a statement stands in the module, as an error names it."""
    lines = MODULE.splitlines()
    return f"(mine.py, line {next(n for n, line in enumerate(lines, 1) if line.strip().startswith(statement))})"
