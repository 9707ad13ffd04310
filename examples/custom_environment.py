"""An environment and an encoder of one's own: go to the lit side.

`python custom_environment.py` trains on it for some seconds and prints the score. To train by command, in this folder:

edgerl train --env custom_environment:Lights --encoder custom_environment:small_encoder
"""

import tempfile

import numpy as np

import edgerl
from edgerl import Conv, EnvSpec, TimeStep


def small_encoder() -> list[Conv]:
    """Convolutions from the frames inwards: channels, kernel, stride."""
    return [Conv(16, 8, 8), Conv(16, 5, 5)]


class Lights:
    """One step an episode: the left or the right half is lit; action 0 goes left, 1 goes right."""

    spec = EnvSpec(frame=(84, 84), history=2, actions=2, repeat=1)
    actions = 2
    name = "lights"

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.window = np.zeros((2, 84, 84), np.uint8)
        self.side = 0

    def reset(self) -> TimeStep:
        """Light one half."""
        self.side = int(self.rng.integers(2))
        self.window[:] = 0
        self.window[-1, :, self.side * 42 : (self.side + 1) * 42] = 255
        return TimeStep(self.window, 0.0, False, False, False)

    def step(self, action: int) -> TimeStep:
        """1 for the lit side."""
        return TimeStep(self.window, float(action == self.side), True, False, True)

    def state(self) -> tuple[dict, dict]:
        """For checkpoints: all that determines what follows."""
        return {"window": self.window}, {"side": self.side, "rng": self.rng.bit_generator.state}

    def restore(self, arrays: dict, values: dict) -> None:
        """Go on from what `state` gave."""
        self.window[:] = arrays["window"]
        self.side, self.rng.bit_generator.state = values["side"], values["rng"]


if __name__ == "__main__":
    settings = {"steps": 500, "freeze_at": 300, "learn_start": 100, "n_step": 1, "batch_size": 16, "hidden": 32}
    settings |= {"v_min": -1.0, "v_max": 1.0, "target_every": 50, "learning_rate": 1e-3, "eval_every": 500}
    settings |= {"encoder": "custom_environment:small_encoder"}
    config = edgerl.configure(env="custom_environment:Lights", budget="3MB", threads=1, **settings)
    summary = edgerl.train(config, tempfile.mkdtemp() + "/run")
    print(f"mean score {summary['returns'][-1]['mean']:.2f} of 1")
