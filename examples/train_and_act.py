"""Train on the built-in task from a script, then act with what was learned. About half a minute."""

import tempfile

import numpy as np

import edgerl

config = edgerl.configure(env="toy/catch", budget="5MB", steps=1500, freeze_at=800, eval_every=0, threads=1)
folder = tempfile.mkdtemp() + "/run"
summary = edgerl.train(config, folder)
print(f"{summary['replay']['rows']:,} rows in {summary['budget']['replay_bytes_peak']:,} bytes, as {summary['store']}")

policy = edgerl.load(folder)
env = edgerl.make_env("toy/catch", np.random.default_rng(1))
caught = 0
for _ in range(20):
    timestep = env.reset()
    while not timestep.terminated:
        timestep = env.step(policy.act(timestep.window))
    caught += timestep.reward > 0
print(f"caught {caught} of 20")
