"""What may change when a run is resumed: few settings, and the others are refused by name."""

import pytest

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
