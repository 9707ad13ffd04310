"""DQN in a plain loop, as CleanRL writes it, with edgerl's replay: prioritized 3-step windows of Pong in 70 MB.

It needs the extras torch, atari and gym. `python dqn_loop.py [STEPS FIRST_UPDATE]`; by default 1,000,000 and 80,000.
"""

import copy
import sys

import ale_py
import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation
from torch import nn

import edgerl

STEPS, START = [int(number) for number in sys.argv[1:3]] or [1_000_000, 80_000]
gym.register_envs(ale_py)
env = FrameStackObservation(AtariPreprocessing(gym.make("ALE/Pong-v5", frameskip=1)), 4)
rng, actions = np.random.default_rng(1), int(env.action_space.n)
replay = edgerl.ReplayBuffer(
    budget="70MB", observation=(84, 84), action=actions, history=4, n_step=3, prioritized=True, codec="lz4"
)
layers = [nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU()]
values = nn.Sequential(*layers, nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, actions))
target, optimizer = copy.deepcopy(values), torch.optim.Adam(values.parameters(), lr=1e-4)
obs, _ = env.reset(seed=1)
for step in range(STEPS):
    greedy = rng.random() > max(0.01, 1 - step / 100_000)
    action = int(values(torch.tensor(obs)[None] / 255).argmax()) if greedy else int(rng.integers(actions))
    next_obs, reward, terminated, truncated, _ = env.step(action)
    replay.add(obs, action, np.sign(reward), next_obs, terminated=terminated, truncated=truncated)
    obs = env.reset()[0] if terminated or truncated else next_obs
    if step >= START and step % 4 == 0:
        batch = replay.sample(32, beta=0.4)
        with torch.no_grad():
            following = target(torch.tensor(batch.next_obs) / 255).max(1).values
        goal = torch.tensor(batch.reward) + torch.tensor(batch.discount) * following
        error = goal - values(torch.tensor(batch.obs) / 255)[torch.arange(32), torch.tensor(batch.action).long()]
        optimizer.zero_grad()
        (torch.tensor(batch.weight) * error**2).mean().backward()
        optimizer.step()
        replay.update_priorities(batch.index, error.detach().abs().numpy())
    if step % 1000 == 0:
        target.load_state_dict(values.state_dict())
print(f"{len(replay):,} transitions of {replay.capacity:,} that fit {replay.nbytes:,} bytes")
