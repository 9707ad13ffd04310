"""Games of `edgerl eval`, and the same games played by `edgerl_run` in a venv that has NumPy and ONNX Runtime alone.

    python benchmarks/runner_scores.py RUN [RUN ...]

Each run's policy is exported. The environment stays in this process: the runner gets raw screens through a pipe, makes
windows of them itself, and gives actions back. The scores must be the same, game by game: to the point where actions
are numbers, within a thousandth where they are vectors (another sum of float32 moves a simulator's later digits). Exit
code 1 if they are not.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
from runner_child import receive, send

import edgerl
from edgerl.envs.base import Environment
from edgerl.training.build import make_env
from edgerl.training.evaluate import Games, evaluate
from edgerl.training.policy import Policy
from edgerl.types import TimeStep

ROOT = Path(__file__).parents[1]
CLOSE = 1e-3  # of the scores of actions that are vectors
CHILD = Path(__file__).with_name("runner_child.py")


class RawScreens:
    """An environment that also shows what a camera would: its newest screen, and for Atari the one before it."""

    def __init__(self, env: Environment) -> None:
        self._door: Any = env
        self._env: Any = getattr(env, "env", env)
        self.is_first = True
        self.actions, self.spec = env.actions, env.spec
        if self._has_emulator:
            self._env.render()  # from here on it keeps the screen before the newest

    @property
    def _has_emulator(self) -> bool:
        return hasattr(self._env, "ale")

    def reset(self) -> TimeStep:
        self.is_first = True
        return self._door.reset()

    def step(self, action: Any) -> TimeStep:
        self.is_first = False
        return self._door.step(action)

    def screens(self) -> tuple[Any, Any]:
        """The newest screen, uint8 [H, W] or [H, W, 3], and the one before it; empty if there is none to look at."""
        nothing = np.empty(0, np.uint8)
        if self._has_emulator:
            before = self._env._before
            return self._env.ale.getScreenRGB(), nothing if before is None else before
        newest = self._env.window[-1]
        return (newest if newest.ndim == 2 else newest.transpose(1, 2, 0)), nothing


class Runner:
    """`edgerl_run` in another Python, as an agent that acts on an environment's raw screens."""

    def __init__(self, python: Path, policy: Path, env: RawScreens) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [str(python), str(CHILD), str(policy)]
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._env = env

    def act(self, window: Any, *, explore: bool) -> Any:
        """The runner's action; it does not get the window."""
        stdin, stdout = self._pipes()
        for array in (np.array(self._env.is_first), *self._env.screens()):
            send(stdin, array)
        action = receive(stdout)
        return action if action.ndim else int(action)

    def close(self) -> None:
        self._pipes()[0].close()
        self._process.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the runner has no pipes")
        return self._process.stdin, self._process.stdout


def scores(folder: Path, python: Path, episodes: int, seed: int) -> tuple[list[float], list[float]]:
    """Of the program and of the runner, game by game."""
    policy = Policy(folder)
    own = evaluate(policy.agent, policy.representation, _env(policy, seed), _games(policy, episodes, seed)).scores
    env = RawScreens(_env(policy, seed))
    with tempfile.TemporaryDirectory() as exported:
        file = Path(exported, "policy.onnx")
        edgerl.export(folder, file)
        runner = Runner(python, file, env)
        blind: Any = SimpleNamespace(see=lambda window: None)
        of_runner = evaluate(runner, blind, env, _games(policy, episodes, seed)).scores
        runner.close()
    return own, of_runner


def _env(policy: Policy, seed: int) -> Environment:
    return make_env(policy.config, np.random.default_rng(seed), training=False)


def _games(policy: Policy, episodes: int, seed: int) -> Games:
    return Games(episodes, policy.config.run.eval_epsilon, np.random.default_rng(seed))


def main() -> None:
    """Print a table; exit code 1 if a game has another score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    differ = False
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder, "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "-qq", ROOT / "edgerl_run"], check=True)
        for run in args.runs:
            own, of_runner = scores(run, python, args.episodes, args.seed)
            same = np.allclose(own, of_runner, rtol=CLOSE if Policy(run).spec.continuous else 0, atol=0)
            differ |= not same
            means = f"edgerl eval {np.mean(own):,.1f}, edgerl_run {np.mean(of_runner):,.1f}"
            print(f"{run.name}: {means} over {len(own)} games: {'the same' if same else 'OTHERS'}")
            print("  ", *(f"{score:,.1f}" for score in of_runner))
    sys.exit(differ)


if __name__ == "__main__":
    main()
