"""A camera as an environment: push every part off a belt, at the moment it passes the gate.

The camera reads its frames from a file, so that this runs without hardware. `python camera_environment.py` records a
file, trains and prints the score. To train by command, in this folder:

python -c "import camera_environment; camera_environment.record('belt.npz')"
edgerl train --env camera_environment:Gate --env-arg path=belt.npz
"""

import tempfile
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces

import edgerl

SIZE = (48, 64, 3)  # height, width, colours


class FileCamera:
    """Frames uint8 [48, 64, 3] from a file, one after another, and whether a light barrier at the gate is broken."""

    def __init__(self, path: str) -> None:
        recorded = np.load(path)
        self.frames, self.broken = recorded["frames"], recorded["broken"]
        self.place = 0

    def seek(self, place: int) -> None:
        """Go on from this frame. (A real camera cannot, so what it shows cannot be played again at a resume.)"""
        self.place = place

    def read(self) -> tuple[np.ndarray, bool]:
        """The next frame, and the barrier as it was taken; from the last frame on to the first."""
        place, self.place = self.place, (self.place + 1) % len(self.frames)
        return self.frames[place], bool(self.broken[place])


class Gate(gymnasium.Env):
    """An episode is 20 frames. Action 1 pushes: 1 if a part is at the gate, else -1; action 0 waits."""

    def __init__(self, path: str) -> None:
        self.observation_space = spaces.Box(0, 255, SIZE, np.uint8)
        self.action_space = spaces.Discrete(2)
        self.camera = FileCamera(path)
        self.broken, self.steps = False, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Begin anywhere in the recording: all that is random comes from the seed, so a resume plays it again."""
        super().reset(seed=seed)
        self.camera.seek(int(self.np_random.integers(len(self.camera.frames))))
        self.steps = 0
        frame, self.broken = self.camera.read()
        return frame, {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """The time limit truncates: the belt runs on, so the last frame is no end."""
        reward = (1.0 if self.broken else -1.0) if action == 1 else 0.0
        frame, self.broken = self.camera.read()
        self.steps += 1
        return frame, reward, False, self.steps == 20, {}


def record(path: Path, count: int = 400) -> float:
    """Write what a camera would have seen: bright parts on a dark belt, in noise. Returns the share at the gate."""
    rng = np.random.default_rng(0)
    frames = rng.integers(20, 60, (count, *SIZE)).astype(np.uint8)
    left = -12  # where the part begins
    for frame in frames:
        left = left + 4 if left < SIZE[1] else -int(rng.integers(12, 40))
        frame[16:32, max(0, left) : max(0, left + 12)] = (200, 180, 90)
    broken = (frames[:, 24, 36:44, 0] == 200).any(axis=1)
    np.savez_compressed(path, frames=frames, broken=broken)
    return float(broken.mean())


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp())
    best = 20 * record(folder / "belt.npz")
    settings = {"steps": 900, "freeze_at": 600, "learn_start": 100, "n_step": 1, "gamma": 0.0, "batch_size": 16}
    settings |= {"hidden": 32, "v_min": -1.0, "v_max": 1.0, "target_every": 50, "learning_rate": 1e-3}
    settings |= {"eval_every": 900, "eval_episodes": 20, "env_arg": {"path": str(folder / "belt.npz")}}
    config = edgerl.configure(env="camera_environment:Gate", budget="5MB", threads=1, **settings)
    summary = edgerl.train(config, folder / "run")
    print(f"mean score {summary['returns'][-1]['mean']:.1f} of {best:.1f}")
