"""What may change when a run is resumed: few settings, and the others are refused by name."""

import math

import pytest

from edgerl import configure
from edgerl.config.changes import check_forked, check_resumed
from edgerl.errors import ConfigError
from edgerl.training import train

REFUSED = {
    "another environment": (["--env", "atari/qbert"], "--env"),
    "another budget": (["--budget", "1GB"], "--budget"),
    "another seed": (["--seed", "1"], "--seed"),
    "another freeze": (["--freeze-at", "never"], "--freeze-at"),
    "another folder": (["--out", "x"], "--out"),
    "fewer steps than were done": (["--steps", "10"], "--steps"),
}


def test_what_may_not_change_at_resume_is_refused_by_name(small, program, tmp_path):
    train.train(small(run={"steps": 50, "freeze_at": None}), tmp_path / "run", quiet=True)
    before = (tmp_path / "run/config.toml").read_text()
    for arguments, option in REFUSED.values():
        code, _, (line,) = program("train", "--resume", tmp_path / "run", *arguments)
        assert (code, option in line) == (2, True)
    assert (tmp_path / "run/config.toml").read_text() == before


def test_a_run_that_is_not_frozen_yet_cannot_end_before_its_freeze(small, program, tmp_path):
    train.train(small(run={"steps": 50, "freeze_at": 45, "until": 40}), tmp_path / "run", quiet=True)
    before = (tmp_path / "run/config.toml").read_text()
    code, _, lines = program("train", "--resume", tmp_path / "run", "--until", "never", "--steps", 45)
    why = "which cannot change at a resume; give 46 or more"
    assert (code, lines) == (2, [f"edgerl: --steps: 45 end before the freeze at step 45, {why}"])
    assert (tmp_path / "run/config.toml").read_text() == before


def test_a_run_whose_environment_has_an_argument_that_is_no_number_goes_on(tmp_path):
    """NaN differs from itself."""

    def chosen(reward):
        return configure(env="gym/CartPole-v1", algo="rainbow", steps=50, freeze_at="never", env_arg={"reward": reward})

    begun, theirs, other = chosen(math.nan), chosen(float("nan")), chosen(1.0)
    check_resumed(begun, theirs)
    check_forked(begun, theirs, tmp_path)
    with pytest.raises(ConfigError, match=r"^--env-arg: the run was begun with"):
        check_resumed(other, begun)


def test_a_script_may_not_change_more_at_a_resume_than_the_command(small, tmp_path):
    settings = {"steps": 50, "freeze_at": None, "learn_start": 7}
    train.train(small(run=settings), tmp_path / "run", quiet=True)
    before = (tmp_path / "run/config.toml").read_text()
    changed = {
        "--budget": {"budget": 4_000_000},
        "--set replay.n_step": {"n_step": 7},
        "--priority": {"priority": "kl"},
    }
    for name, change in changed.items():
        with pytest.raises(ConfigError, match=f"^{name}: the run was begun with .*cannot change at a resume$"):
            train.train(small(run=settings | change), tmp_path / "run", resume=True, quiet=True)
    assert (tmp_path / "run/config.toml").read_text() == before


def test_an_unbounded_replay_has_room_for_the_steps_that_the_run_was_begun_with(small, program, tmp_path):
    settings = {"steps": 50, "budget": "unbounded", "freeze_at": 45, "until": 40, "pixel_codec": "raw"}
    train.train(small(run=settings), tmp_path / "run", quiet=True)
    for words in (["--resume", tmp_path / "run"], ["--fork", tmp_path / "run", "--out", tmp_path / "fork"]):
        code, _, (line,) = program("train", *words, "--steps", 60)
        assert code == 2
        assert line.startswith("edgerl: --steps: ")
        assert " with 50 and --budget unbounded, which makes room for so many; " in line
    assert program("train", "--resume", tmp_path / "run", "--until", "never", "--quiet")[0] == 0
