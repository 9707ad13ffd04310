"""toy/catch is really learned, before the freeze and through it; the same seed gives the same run."""

import json

import numpy as np
import pytest
import safetensors.numpy

from edgerl.replay.buffer import Replay
from edgerl.training import train


def test_catch_is_learned(small, tmp_path):
    """Any player that does not look catches one in seven and scores -0.71; what is asked for here needs eyes."""
    settings = {"steps": 1600, "freeze_at": 1000, "learn_start": 200, "budget": 10_000_000}
    config = small(run=settings | {"eval_every": 800, "eval_episodes": 40})
    found = train.train(config, tmp_path / "run", quiet=True)
    assert found["store"] == "latents"
    assert found["returns"][0]["mean"] >= -0.3  # on pixels
    assert found["returns"][-1]["mean"] >= 0.5


@pytest.mark.long
def test_the_same_seed_gives_the_same_run_and_another_seed_another(small, tmp_path):
    def weights(name, seed):
        run = {"seed": seed, "eval_every": 150, "eval_episodes": 2, "hidden": 16, "batch_size": 8}
        train.train(small(run=run), tmp_path / name, quiet=True)
        return safetensors.numpy.load_file(tmp_path / name / "checkpoint/000000400/weights.safetensors")

    first, again, other = weights("a", 0), weights("b", 0), weights("c", 1)
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["online.head.value.weight_mu"], other["online.head.value.weight_mu"])
    lines = [
        [
            {k: v for k, v in json.loads(line).items() if k not in ("time", "seconds", "freeze/seconds")}
            for line in text.splitlines()
        ]
        for text in ((tmp_path / name / "metrics.jsonl").read_text() for name in "ab")
    ]
    timed = ("throughput/steps_per_s", "memory/rss_bytes", "memory/tree_peak_bytes", "checkpoint/bytes")
    strip = [
        [{k: v for k, v in line.items() if k not in timed and not k.startswith("ledger/")} for line in run_lines]
        for run_lines in lines
    ]
    assert strip[0] == strip[1]


@pytest.mark.long
def test_evaluation_does_not_change_training(small, tmp_path):
    for name, every in (("with", 100), ("without", 0)):
        run = {"eval_every": every, "eval_episodes": 3, "hidden": 16, "batch_size": 8}
        train.train(small(run=run), tmp_path / name, quiet=True)
    first, second = (
        safetensors.numpy.load_file(tmp_path / name / "checkpoint/000000400/weights.safetensors")
        for name in ("with", "without")
    )
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_freeze_before_anything_is_stored_trains_on_latents_from_the_start(small, tmp_path):
    found = train.train(small(run={"freeze_at": 0}), tmp_path / "run", quiet=True)
    assert (found["freeze"]["step"], found["freeze"]["rows_before"]) == (0, 0)
    assert found["freeze"]["parity_max_abs_diff"] <= 1e-4
    assert found["replay"]["rows"] == 400


def test_a_run_ends_at_its_multiply_adds(small, tmp_path):
    """100 updates of toy/catch on pixels, and the evaluation that belongs at the end."""
    per_update = 16 * 5 * (1_280_000 + 87_116)
    config = small(
        run={
            "stop_at_flops": 99.5 * per_update,
            "eval_every": 1000,
            "eval_episodes": 2,
            "freeze_at": None,
            "learn_start": 200,
        }
    )
    found = train.train(config, tmp_path / "run", quiet=True)
    assert (found["status"], found["steps"]) == ("finished", 300)
    assert found["flops"]["total"] == 100 * per_update
    assert [entry["step"] for entry in found["returns"]] == [300]


def test_batches_have_another_size_behind_the_freeze(small, tmp_path, monkeypatch):
    sizes = []
    sample = Replay.sample
    monkeypatch.setattr(Replay, "sample", lambda self, count, beta: sizes.append(count) or sample(self, count, beta))
    config = small(replay={"batch_size": 8, "batch_size_after_freeze": 24, "learn_start": 250})
    found = train.train(config, tmp_path / "run", quiet=True)
    assert sizes == [8] * 50 + [24] * 100
    before, after = (found["flops"][f"per_update_{when}"] for when in ("before", "after"))
    conversion = found["flops"]["total"] - 50 * before - 100 * after
    assert 0 < conversion < 300 * before / 8
