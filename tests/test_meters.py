"""What a run measures of itself: speed and highest memory, through a stop and a resume; losses around the freeze."""

import json
from dataclasses import replace

import numpy as np

from edgerl import configure
from edgerl.training import loop, meters, train

TINY = {"env": "toy/catch", "budget": "1.5MB", "threads": 1, "hidden": 8, "batch_size": 4, "eval_every": 0}
TINY |= {"learn_start": 10, "checkpoint_every": 0}


def test_a_resumed_run_still_tells_the_speed_and_the_highest_memory_of_all_its_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(meters, "SETTLE", 20)
    config = configure(**TINY, steps=112, freeze_at=60)
    held = np.ones(300_000_000, np.uint8)
    begun = train.train(replace(config, run=replace(config.run, until=105)), tmp_path / "run", quiet=True)
    del held
    resumed, again = (train.train(config, tmp_path / "run", resume=True, quiet=True) for _ in range(2))
    assert [ended["steps"] for ended in (begun, resumed, again)] == [105, 112, 112]
    before, after = begun["throughput"].values()
    assert min(before, after) > 0
    assert resumed["throughput"]["steps_per_s_before"] == before
    assert resumed["throughput"]["steps_per_s_after"] != after  # it has timed seven steps more
    assert again["throughput"] == resumed["throughput"]
    for peak in ("rss_peak", "rss_peak_after_freeze"):
        for later in (resumed, again):
            assert later["memory"][peak] > begun["memory"][peak] - 100_000_000


def test_a_loss_that_ends_at_the_freeze_is_the_mean_of_the_updates_that_have_it(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 20)
    learn = loop.TrainingLoop.learn

    def with_contrast(own):
        """An update before T_f has another loss beside the one of every update."""
        learn(own)
        for name, value in {"always": 2.0, **({} if own.state.frozen else {"contrast": 6.0})}.items():
            own.state.add(name, value)

    monkeypatch.setattr(loop.TrainingLoop, "learn", with_contrast)
    config = configure(**TINY, steps=40, freeze_at=30)
    train.train(replace(config, run=replace(config.run, until=35)), tmp_path / "run", quiet=True)
    train.train(config, tmp_path / "run", resume=True, quiet=True)
    lines = map(json.loads, (tmp_path / "run/metrics.jsonl").read_text().splitlines())
    logged = [line for line in lines if "train/always" in line]
    assert [(line["step"], line["train/always"], line["train/contrast"]) for line in logged] == [(20, 2, 6), (40, 2, 6)]
