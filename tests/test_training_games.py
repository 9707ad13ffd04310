"""The mean of the last training games: in metrics, summary and checkpoints; and scores held against random play."""

import copy
import json

import numpy as np
import pytest

from edgerl.training import summary, train
from edgerl.training.state import State


def logged(folder):
    """What a run logged of its training games, by agent step: score and mean of the last 20."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    games = {line["step"]: line for line in lines if "train/score" in line}
    return {step: (line["train/score"], line["train/score_mean_20"]) for step, line in games.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder and the summary of a run of more than 20 games, evaluated twice."""
    from edgerl import configure

    folder = tmp_path_factory.mktemp("games") / "run"
    settings = {
        "budget": 3_000_000,
        "threads": 1,
        "steps": 700,
        "freeze_at": 400,
        "checkpoint_every": 0,
        "learn_start": 200,
        "hidden": 8,
        "batch_size": 4,
    }
    config = configure(env="toy/catch", **settings, eval_every=300, eval_episodes=1)
    return folder, train.train(config, folder, quiet=True)


def test_the_mean_of_the_last_20_training_games_is_kept_logged_and_reported(trained):
    folder, ended = trained
    games = logged(folder)
    scores = [score for score, _ in games.values()]
    assert len(scores) > 25
    assert len(set(scores)) > 1
    means = [float(np.mean(scores[max(0, count - 20) : count])) for count in range(1, len(scores) + 1)]
    assert [mean for _, mean in games.values()] == means
    assert ended["training"] == {"games": len(scores), "mean_of_last_20": means[-1]}
    for evaluation in ended["returns"]:
        until = [mean for step, (_, mean) in games.items() if step <= evaluation["step"]]
        assert evaluation["training_mean"] == until[-1]


def test_a_resumed_run_reports_the_same_training_games(trained, small, tmp_path):
    folder, ended = trained
    changes = {"steps": 700, "freeze_at": 400, "eval_every": 300, "eval_episodes": 1, "learn_start": 200}
    changes |= {"hidden": 8, "batch_size": 4}
    train.train(small(run=changes | {"stop_at_flops": 1e8}), tmp_path / "run", quiet=True)
    stopped = json.loads((tmp_path / "run/summary.json").read_text())
    assert 20 < stopped["training"]["games"] < ended["training"]["games"]
    resumed = train.train(small(run=changes), tmp_path / "run", resume=True, quiet=True)
    assert resumed["training"] == ended["training"]
    assert logged(tmp_path / "run") == logged(folder)


def test_a_checkpoint_of_an_older_run_has_no_training_games_yet():
    state = State(flops=None, score=2.0)
    older = {name: value for name, value in state.kept().items() if name not in ("games", "last_scores")}
    restored = State(flops=None)
    restored.restore(older)
    assert (restored.games, restored.training_mean) == (0, None)
    assert restored.end_game() == {"train/score": 2.0, "train/score_mean_20": 2.0}
    again = State(flops=None)
    again.restore(older)
    assert (again.games, again.last_scores) == (0, [])  # not those of the run before


def test_the_final_table_has_evaluation_training_games_and_no_references_without_constants(trained):
    _, ended = trained
    lines = dict(summary.rows(ended))
    assert "over 1 games at step 700" in lines["score"]
    count, mean = ended["training"]["games"], ended["training"]["mean_of_last_20"]
    assert lines["training games"] == f"{mean:,.1f} on average, the last 20 of {count}, exploration included"
    assert not {"for comparison", "below random"} & lines.keys()


@pytest.mark.parametrize(("score", "below"), [(163.8, True), (163.9, False)])
def test_a_score_below_random_play_is_said_to_be(trained, score, below):
    ended = copy.deepcopy(trained[1]) | {"env": "atari/qbert"}
    ended["returns"][-1]["mean"] = score
    lines = dict(summary.rows(ended))
    assert lines["for comparison"] == "random play 164, a human tester 13,455"
    assert ("below random" in lines) is below
