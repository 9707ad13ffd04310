"""stable-baselines3's DQN on Atari with its own replay buffer and with edgerl's: learning curves from the same seed.

Each buffer trains in a process of its own, on one thread. stable-baselines3's has room for every step, edgerl's gets 70
MB. A row: the mean score of the games that ended in those steps. The two draw other batches, so curves of one seed
differ as those of two seeds do. Needs stable-baselines3: `make peers`, then
`.venv-peers/bin/python benchmarks/replay_learning.py`.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

BUFFERS = ("stable-baselines3", "edgerl")
POINTS = 10  # of a curve
BUDGET = "70MB"


def train(buffer: str, game: str, steps: int, seed: int) -> dict[str, Any]:
    """Train with one of BUFFERS; returns its episodes as [step, score], its seconds and bytes."""
    import ale_py
    import gymnasium
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    episodes = list[tuple[int, float]]()

    class Episodes(BaseCallback):
        """Notes the score of every whole game."""

        def _on_step(self) -> bool:
            ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
            episodes.extend((self.num_timesteps, float(score)) for score in ended)
            return True

    gymnasium.register_envs(ale_py)
    torch.set_num_threads(1)
    options: dict[str, Any] = {"buffer_size": steps}
    if buffer == "edgerl":
        from edgerl.sb3 import BudgetReplayBuffer

        options = {"replay_buffer_class": BudgetReplayBuffer, "replay_buffer_kwargs": {"budget": BUDGET}}
    env = VecFrameStack(make_atari_env(game, n_envs=1, seed=seed), 4)
    model = DQN("CnnPolicy", env, seed=seed, learning_starts=steps // 20, device="cpu", learning_rate=1e-4, **options)
    own, started = model.replay_buffer, time.perf_counter()
    model.learn(steps, callback=Episodes())
    held = own.rows.nbytes if buffer == "edgerl" else own.observations.nbytes + own.next_observations.nbytes
    seconds, peak = time.perf_counter() - started, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"episodes": episodes, "seconds": seconds, "replay_bytes": held, "peak_bytes": peak, "rows": own.size()}


def curve(episodes: list[tuple[int, float]], steps: int) -> list[float]:
    """The mean score of the games that ended in each of POINTS parts of the run; nan where none did."""
    part = [min(POINTS - 1, (step - 1) * POINTS // steps) for step, _ in episodes]
    scores = [[score for (_, score), at in zip(episodes, part, strict=True) if at == n] for n in range(POINTS)]
    return [float(np.mean(ended)) if ended else float("nan") for ended in scores]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="BreakoutNoFrameskip-v4")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--buffer", choices=BUFFERS, help="train with this one here, and print JSON")
    args = parser.parse_args()
    if args.buffer:
        print(json.dumps(train(args.buffer, args.game, args.steps, args.seed)))
        return
    print(f"{args.game}, {args.steps:,} steps, seed {args.seed}")
    print(f"{'up to step':18}" + "".join(f"{(n + 1) * args.steps // POINTS:>8,}" for n in range(POINTS)))
    for buffer in BUFFERS:
        ran = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--buffer", buffer], stdout=subprocess.PIPE, check=True
        )
        done = json.loads(ran.stdout.splitlines()[-1])
        print(f"{buffer:18}" + "".join(f"{score:8.2f}" for score in curve(done["episodes"], args.steps)))
        speed = f"{args.steps / done['seconds']:.1f} steps/s"
        sizes = (
            f"{done['rows']:,} rows in {done['replay_bytes'] / 1e6:,.0f} MB, peak {done['peak_bytes'] / 1e6:,.0f} MB"
        )
        print(f"{'':18}{len(done['episodes'])} games; {sizes}; {speed}", flush=True)


if __name__ == "__main__":
    main()
