"""What a program that trains is told, and what becomes of the run if it fails or has seen enough."""

import json

import pytest

import edgerl

TINY = {"env": "toy/catch", "budget": 1_500_000, "threads": 1, "steps": 600, "freeze_at": 500, "learn_start": 100}
TINY |= {"hidden": 8, "batch_size": 4, "eval_every": 0, "checkpoint_every": 200}


def logged(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A finished run, and what it was told: metrics, episodes and checkpoints."""
    folder, told = tmp_path_factory.mktemp("told") / "run", {"metrics": [], "episode": [], "checkpoint": []}
    listeners = {f"on_{name}": lambda step, what, name=name: told[name].append((step, what)) for name in told}
    edgerl.train(edgerl.configure(**TINY), folder, **listeners)
    return folder, told


def test_metrics_are_those_of_the_file(told):
    folder, told = told
    own = ("step", "time", "seconds")
    lines = [(line["step"], {name: line[name] for name in line if name not in own}) for line in logged(folder)]
    assert [(step, dict(values)) for step, values in told["metrics"]] == lines


def test_episodes_are_told_with_their_scores(told):
    folder, told = told
    scores = [(line["step"], line["train/score"]) for line in logged(folder) if "train/score" in line]
    assert told["episode"] == scores
    assert len(scores) > 20


def test_checkpoints_are_told_once_they_are_on_the_disk(told):
    folder, told = told
    assert [step for step, _ in told["checkpoint"]] == [0, 200, 400, 600]
    assert told["checkpoint"][-1][1] == folder / "checkpoint/000000600"


def test_a_run_that_is_listened_to_is_the_same_run(told, tmp_path):
    edgerl.train(edgerl.configure(**TINY), tmp_path / "alone")
    name = "checkpoint/000000600/weights.safetensors"
    assert (tmp_path / "alone" / name).read_bytes() == (told[0] / name).read_bytes()


@pytest.mark.parametrize("name", ["on_metrics", "on_episode", "on_checkpoint"])
def test_what_a_listener_raises_is_told_once_and_ends_nothing(name, tmp_path, capsys):
    def fail(step, what):
        raise KeyError("mine")

    config = edgerl.configure(**TINY | {"steps": 240, "freeze_at": 200})
    assert edgerl.train(config, tmp_path / "run", **{name: fail})["status"] == "finished"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{name} failed: KeyError: 'mine'; going on")


def test_a_listener_that_has_seen_enough_ends_the_run_in_order(tmp_path):
    def enough(step, values):
        if step >= 150:
            raise edgerl.StopTraining

    summary = edgerl.train(edgerl.configure(**TINY), tmp_path / "run", on_episode=enough)
    assert summary["status"] == "interrupted"
    assert 150 <= summary["steps"] < 200
    assert edgerl.load(tmp_path / "run").step == summary["steps"]
    assert edgerl.train(edgerl.configure(**TINY), tmp_path / "run", resume=True)["status"] == "finished"
