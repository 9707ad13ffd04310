"""`edgerl plan --measure`: the ladder of stores on real steps."""

import json

import numpy as np
import pytest

from edgerl import configure
from edgerl.envs import suites
from edgerl.experiments.calibration import stores
from edgerl.planning import capacity
from edgerl.training.build import make_env

ARGUMENTS = ("plan", "--env", "toy/catch", "--budget", "3MB", "--measure")
NAMES = {
    "pixels, raw",
    "pixels, raw, stem on read",
    "pixels, lz4",
    "pixels, lz4, stem on read",
    "latents, float32",
    "latents, float16",
    "latents, uint8",
}


def test_every_store_is_measured_and_fixed_rows_are_those_planned(edgerl):
    ended = edgerl(*ARGUMENTS, "--json")
    assert ended.returncode == 0, ended.stderr
    rungs = {rung["store"]: rung for rung in json.loads(ended.stdout)["measured"]}
    assert rungs.keys() == NAMES
    assert [rung["capacity"] for rung in rungs.values()] == sorted(rung["capacity"] for rung in rungs.values())
    assert all(rung["bytes_per_row"] * rung["capacity"] == pytest.approx(3_000_000) for rung in rungs.values())
    assert all(rung["sample_us"] > 0 for rung in rungs.values())
    spec = suites.describe("toy/catch")
    assert rungs["pixels, raw"]["capacity"] == capacity.pixel_store(spec, "raw", "prioritized", 3_000_000).rows
    for dtype in ("float32", "float16", "uint8"):
        planned = capacity.latent_store(spec, (576,), dtype, "prioritized", 3_000_000)
        assert rungs[f"latents, {dtype}"]["capacity"] == planned.rows
    assert rungs["pixels, lz4"]["capacity"] > 20 * rungs["pixels, raw"]["capacity"]  # a ball and a bat on black


def test_the_ladder_is_a_table_for_people(edgerl):
    ended = edgerl(*ARGUMENTS)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert all(any(line.startswith(f"{name}  ") for line in lines) for name in NAMES)
    assert max(map(len, lines)) <= 100


def test_the_same_steps_each_time():
    config = configure(env="toy/catch", budget="3MB", steps=1000, freeze_at="never")
    taken = [stores.steps(make_env(config, np.random.default_rng(0), training=True), 50) for _ in "ab"]
    for one, other in zip(*taken, strict=True):
        assert np.array_equal(one[0], other[0])
        assert one[1:] == other[1:]
