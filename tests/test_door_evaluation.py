"""Environments of users' own that can exist only once, or never end: how they are evaluated."""

import numpy as np
import pytest
from misbehaving import SMALL
from remaining import assert_same, left
from stopping import stopped_after

import edgerl
from edgerl.errors import EnvFailed


def test_what_exists_once_is_evaluated_between_two_of_its_episodes(mine, tmp_path, capsys):
    """A run of 60 steps whose episodes end at 7, 14, ...: evaluations of 20, 40 and 60 are played at 21, 42 and 60."""
    config = edgerl.configure(env="mine:Once", **SMALL | {"eval_every": 20})
    whole = edgerl.train(config, tmp_path / "whole", quiet=False)
    said = [line for line in capsys.readouterr().err.splitlines() if "training environment" in line]
    assert len(said) == 1
    assert said[0].startswith("evaluations are played on the training environment, after an episode: ")
    assert "OSError: the camera is in use (mine.py, line" in said[0]
    assert [(entry["step"], entry["mean"]) for entry in whole["returns"]] == [(21, 7.0), (42, 7.0), (60, 7.0)]
    assert whole["training"]["games"] == 8
    assert whole["replay"]["rows"] == 60 + 1  # the last episode was cut off for the last evaluation
    assert mine.once == []
    with stopped_after(24):
        edgerl.train(config, tmp_path / "parts")
    edgerl.train(config, tmp_path / "parts", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts", 60)


def test_what_a_callable_gives_again_and_again_is_one_environment(mine, tmp_path, program):
    whole = edgerl.train(edgerl.configure(env="mine:single", **SMALL | {"eval_every": 20}), tmp_path / "run")
    assert [entry["step"] for entry in whole["returns"]] == [21, 42, 60]
    assert mine.made == mine.closed
    code, said, _ = program("check", "mine:single", "--steps", 20)
    assert code == 0
    assert "cannot be made: evaluations wait for an episode's end ('mine:single' cannot be loaded" in said
    assert "it is one environment, and in use" in said


def test_an_evaluation_on_the_training_environment_is_played_again_if_it_was_interrupted(mine, tmp_path):
    config = edgerl.configure(env="mine:Once", **SMALL | {"eval_every": 20})
    edgerl.train(config, tmp_path / "whole")
    with stopped_after(21):
        assert edgerl.train(config, tmp_path / "parts")["returns"] == []
    edgerl.train(config, tmp_path / "parts", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts", 60)


def test_evaluations_on_the_training_environment_do_not_change_training(mine, tmp_path):
    for name, every in (("with", 20), ("without", 0)):
        edgerl.train(edgerl.configure(env="mine:Once", **SMALL | {"eval_every": every, "until": 56}), tmp_path / name)
    arrays, others = left(tmp_path / "with", 56)[0], left(tmp_path / "without", 56)[0]
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []


def test_one_that_is_another_the_next_time_is_not_played_on(mine, tmp_path):
    config = edgerl.configure(env="mine:Growing", **SMALL | {"eval_every": 20})
    with pytest.raises(EnvFailed, match=r"^step 20: plain is not always the same: EnvSpec\(.*actions=3.*before .*=2"):
        edgerl.train(config, tmp_path / "run")
    assert set(mine.made) == set(mine.closed)


def test_a_game_without_an_end_is_cut_and_counts(mine, tmp_path, program):
    settings = SMALL | {"steps": 30, "eval_every": 30, "eval_max_steps": 12}
    ended = edgerl.train(edgerl.configure(env="mine:Endless", **settings), tmp_path / "run")
    (result,) = ended["returns"]
    assert (result["scores"], result["cut"]) == ([12.0, 12.0], 2)
    code, out, _ = program("eval", tmp_path / "run", "--episodes", 3, "--eval-max-steps", 5)
    assert code == 0
    assert "score 5 +- 0 (5 to 5)" in out
    assert "3 of 3 games were cut at their longest (--eval-max-steps)" in out
    code, _, lines = program("eval", tmp_path / "run", "--eval-max-steps", 0)
    assert (code, lines) == (2, ["edgerl: --eval-max-steps: 0 is below 1"])
    assert set(mine.made) == set(mine.closed)
