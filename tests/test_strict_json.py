"""What programs read is strict JSON, whatever rewards come to; a torn line is not glued to the next one."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from edgerl import plugins
from edgerl.envs.toy import Catch
from edgerl.runs import strict_json
from edgerl.runs.metrics import Metrics
from edgerl.training import train


def strictly(text):
    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, np.float64("inf")])
def test_a_number_that_is_not_finite_is_null(number):
    value = {"a": [1.5, number, (number, 2)], "b": {"c": number, "d": "inf", "e": True, "f": 2**70}}
    assert strictly(strict_json.dumps(value)) == {
        "a": [1.5, None, [None, 2]], "b": {"c": None, "d": "inf", "e": True, "f": 2**70}
    }  # fmt: skip


def test_what_is_finite_is_written_as_python_does():
    value = {"a": [1e308, -0.0, 5e-324], "b": None, "ü": "\u2028"}
    assert strict_json.dumps(value, indent=1) == json.dumps(value, indent=1)
    assert strict_json.dumps(value, compact=True) == json.dumps(value, separators=(",", ":"))


class Rich(Catch):
    """Rewards as large as rows hold; their float32 sums are infinite."""

    def step(self, action):
        return super().step(action)._replace(reward=3e38)


def test_the_largest_rewards_leave_strict_files(small, tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "load", lambda name: lambda rng: Rich(rng))
    config = small(run={"steps": 60, "freeze_at": None, "eval_every": 30, "eval_episodes": 2})
    config = replace(config, run=replace(config.run, env="mine:Rich"))
    train.train(config, tmp_path / "run", quiet=True)
    summary = strictly((tmp_path / "run/summary.json").read_text())
    assert summary["status"] == "finished"
    assert [entry["mean"] for entry in summary["returns"]] == [pytest.approx(6 * 3e38)] * 2
    lines = [strictly(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert 6 * 3e38 in [pytest.approx(line.get("train/score", 0)) for line in lines]


def test_a_line_torn_before_the_checkpoint_is_cut_off(tmp_path):
    metrics = Metrics(tmp_path)
    metrics.write(1, {"a": 1.0})
    metrics.write(2, {"a": 2.0})
    size = metrics.sync()
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[: size - 7])  # a disk that lost what was synced last
    again = Metrics(tmp_path)
    again.cut(size, 2)
    again.write(3, {"a": 3.0})
    assert [strictly(line)["step"] for line in file.read_text().splitlines()] == [1, 3]


@pytest.mark.parametrize("left", [b"", b"no line is whole"])
def test_a_file_without_one_whole_line_becomes_empty(left, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(left)
    Metrics(tmp_path).cut(100, 2)
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""
