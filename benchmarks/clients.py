"""Environments that people bring, each through a freeze and a resume: `python benchmarks/clients.py [NAME ...]`.

Prints the table of docs/environments.md. A client whose package is not installed is named and left out. To install:
pip install minigrid crafter gymnasium[box2d] vizdoom miniworld gymnasium-robotics metaworld mujoco==3.3.7
"""

import contextlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from edgerl.config.toml import load
from edgerl.envs import suites

HERE = Path(__file__).parent
LIMIT = 600  # seconds of a run
RUN = "--budget 6MB --threads 1 --batch-size 8 --set learn_start=40 --set hidden=16 --steps 300"
RUN += " --freeze-at 150 --until 220 --eval-every 150 --eval-episodes 1 --checkpoint-every 70 --env-max-steps 60"

VECTORS = "--set random_steps=40"


class Client(NamedTuple):
    """An environment as a user names it, with more options; `module`: what must be installed."""

    env: str
    module: str
    options: str = ""
    quick: str = ""  # options that make the run short, and that the table leaves out


CLIENTS = {
    "MiniGrid, whole": Client("gym/minigrid:MiniGrid-Empty-5x5-v0", "minigrid"),
    "MiniGrid, partial view": Client("clients:partial_view", "minigrid", "--env-arg id=MiniGrid-Empty-5x5-v0"),
    "LunarLander": Client("gym/LunarLander-v3", "Box2D", "--frame-skip 4"),
    "LunarLander, continuous": Client(
        "gym/LunarLander-v3", "Box2D", "--env-arg continuous=true --frame-skip 4", VECTORS
    ),
    "CarRacing": Client("gym/CarRacing-v3", "Box2D", "--frame-skip 4", VECTORS),
    "CarRacing, discrete": Client("gym/CarRacing-v3", "Box2D", "--env-arg continuous=false --frame-skip 4"),
    "ViZDoom": Client("gym/vizdoom.gymnasium_wrapper:VizdoomBasic-v1", "vizdoom", "--env-arg frame_skip=4"),
    "Crafter": Client("clients:Crafter", "crafter"),
    "MiniWorld": Client("gym/miniworld:MiniWorld-Hallway-v0", "miniworld"),
    "Gymnasium-Robotics": Client("gym/gymnasium_robotics:FetchReach-v4", "gymnasium_robotics", "", VECTORS),
    "Meta-World": Client("gym/metaworld:Meta-World/MT1", "metaworld", "--env-arg env_name=reach-v3", VECTORS),
}


def partial_view(id: str) -> gymnasium.Env:
    """A MiniGrid environment of this id, in which the agent sees what lies before it, as a picture."""
    import minigrid.wrappers

    env = gymnasium.make(id)
    return minigrid.wrappers.ImgObsWrapper(minigrid.wrappers.RGBImgPartialObsWrapper(env))


class Crafter(gymnasium.Env):
    """Crafter, which speaks old Gym (four values of a step, no seed at a reset), as Gymnasium has it."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(17)
        self._game: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        """A world of this seed."""
        import crafter

        self._game = crafter.Env(seed=seed)
        return self._game.reset(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """A death terminates; the length limit of 10,000 steps truncates."""
        seen, reward, over, info = self._game.step(action)
        died = info["discount"] == 0.0
        return seen, float(reward), over and died, over and not died, info


def played(client: Client, folder: Path) -> list[str]:
    """Train through the freeze and go on from a checkpoint after it; what the run sees, its actions, what happened."""
    run = folder / "run"
    began = edgerl("train", "--env", client.env, *f"{client.options} {client.quick} {RUN}".split(), "--out", str(run))
    seen = re.search(r"^sees +(.*?)(?: \(what it observes.*\))?(, .*)", began, re.MULTILINE)
    if ended(run) != 220:
        return [seen[1] + seen[2] if seen else "", "", f"stopped: {last_line(began)}"]
    again = edgerl("train", "--resume", str(run), "--until", "never")
    if ended(run) != 300:
        return [seen[1] + seen[2] if seen else "", actions(run), f"froze, but the resume stopped: {last_line(again)}"]
    lost = re.search(r"the episode under way starts again: (.*)", again)
    resumed = f"resumed, but {lost[0]}" if lost else "resumed in the same episode"
    return [seen[1] + seen[2] if seen else "", actions(run), f"froze, {resumed}"]


def edgerl(*arguments: str) -> str:
    """All that `edgerl ARGUMENTS` prints, run beside this file."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "COLUMNS": "200"}
    command = [sys.executable, "-m", "edgerl", *arguments]
    try:
        done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"not done after {LIMIT} s"
    return done.stdout + done.stderr


def ended(run: Path) -> int | None:
    """The step at which a run has finished with a frozen encoder; None if it has not."""
    try:
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return summary["steps"] if summary["status"] == "finished" and summary["freeze"]["step"] == 150 else None


def actions(run: Path) -> str:
    """The actions of a run, in words."""
    config = load(run / "config.toml").run
    sys.path.insert(0, str(HERE))
    with contextlib.redirect_stdout(io.StringIO()):  # some print when they are made
        spec = suites.describe(config.env, config.env_options)
    return f"a vector of {spec.actions}" if spec.continuous else f"{spec.actions} choices"


def last_line(printed: str) -> str:
    """Its last line, for a cell."""
    return printed.strip().rpartition("\n")[2].replace("|", "/")


def main(names: list[str]) -> None:
    """Print the table, a row as soon as it is known; of the clients of these names, or of all."""
    print("| environment | as it is named | what the agent sees | actions | 300 steps, a freeze at 150, a resume |")
    print("|---|---|---|---|---|", flush=True)
    for name in names or CLIENTS:
        client = CLIENTS[name]
        words = f"`--env {' '.join([client.env, client.options]).strip()}`"
        if importlib.util.find_spec(client.module) is None:
            cells = ["", "", f"not installed here ({client.module})"]
        else:
            with tempfile.TemporaryDirectory() as folder:
                cells = played(client, Path(folder))
        print(f"| {name} | {words} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
