"""A run that begins as another one did is the run that was trained alone, bit for bit."""

import re
import shutil

import numpy as np
import pytest
from cases import quick
from test_resume import final, logged

from edgerl import configure
from edgerl.errors import CheckpointError, ConfigError
from edgerl.training import fork, train

BEGINNING = {"budget": 1_500_000, "steps": 200, "learn_start": 60, "hidden": 8, "batch_size": 8, "freeze_at": 120}
BEGINNING |= {"until": 120, "eval_every": 60, "eval_episodes": 1, "snapshot_every": 40}
LATER = {  # what differs, all of it from T_f on
    "another T_f": {"freeze_at": 150},
    "no freeze": {"freeze_at": None},
    "uint8 latents": {"latent_dtype": "uint8"},
    "pixels kept": {"store": "pixels"},
    "two updates a step": {"updates_per_step_after_freeze": 2.0},
    "larger batches": {"batch_size_after_freeze": 12},
    "resets of the heads": {"reset_heads_every": 30, "n_step_end": 1, "n_step_anneal": 20},
    "an earlier cut": {"cut": "conv1"},
}


@pytest.fixture(scope="module")
def beginning(small, tmp_path_factory):
    """A run that ended just before its T_f."""
    folder = tmp_path_factory.mktemp("beginning") / "run"
    ended = train.train(small(run=BEGINNING), folder, quiet=True)
    assert (ended["status"], ended["steps"], ended["freeze"]["step"]) == ("finished", 120, None)
    return folder


@pytest.mark.parametrize("later", quick(LATER, "another T_f"))
def test_a_fork_is_the_run_that_was_trained_alone(later, beginning, small, tmp_path):
    config = small(run=BEGINNING | {"until": None} | LATER[later])
    alone, fork = tmp_path / "alone", tmp_path / "fork"
    train.train(config, alone, quiet=True)
    summary = train.train(config, fork, fork=beginning, quiet=True)
    assert summary["fork"] == {"run": str(beginning), "step": 120}
    (arrays, state, raw), (again, state_again, raw_again) = final(alone, 200), final(fork, 200)
    assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
    assert arrays.keys() == again.keys()
    assert state_again["trainer"].pop("fork")["step"] == 120
    assert state["trainer"].pop("fork") is None
    assert state == state_again
    assert raw == raw_again
    assert logged(alone) == logged(fork)
    weights, again = ({file.name: file.read_bytes() for file in run.glob("snapshots/*")} for run in (alone, fork))
    assert len(weights) >= 6
    assert weights == again


def test_a_damaged_snapshot_is_refused_by_name_and_nothing_is_left(beginning, small, tmp_path):
    source = shutil.copytree(beginning, tmp_path / "source")
    snapshot = source / "snapshots/000000040.safetensors"
    snapshot.write_bytes(snapshot.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(snapshot))} is damaged: "):
        train.train(small(run=BEGINNING | {"until": None}), tmp_path / "fork", fork=source, quiet=True)
    assert not (tmp_path / "fork").exists()


@pytest.mark.long
def test_a_fork_that_was_stopped_goes_on(beginning, small, tmp_path):
    """It has all that it began with: the other run may be gone."""
    config = small(run=BEGINNING | {"until": 160})
    train.train(config, tmp_path / "fork", fork=beginning, quiet=True)
    train.train(small(run=BEGINNING | {"until": None}), tmp_path / "fork", resume=True, quiet=True)
    train.train(small(run=BEGINNING | {"until": None}), tmp_path / "alone", quiet=True)
    assert final(tmp_path / "alone", 200)[2] == final(tmp_path / "fork", 200)[2]


def test_a_fork_of_an_older_run_does_what_that_run_did(small, program, tmp_path):
    """A setting that it lacks is not that of today's preset."""
    older = tmp_path / "older"
    train.train(small(run=BEGINNING | {"observation": "older", "until": 40}), older, quiet=True)
    lines = (older / "config.toml").read_text().splitlines(keepends=True)
    (older / "config.toml").write_text("".join(line for line in lines[1:] if not line.startswith("observation")))
    options = ("--until", "60", "--out", tmp_path / "fork", "--quiet")
    assert program("train", "--fork", older, *options) == (0, "", [])
    assert 'observation = "older"' in (tmp_path / "fork/config.toml").read_text()
    assert configure(env="toy/catch").run.observation == "auto"


REFUSED = {  # options, what is said
    "another seed": (["--seed", "8"], "--seed: {} was trained with 0; a fork differs only in what matters after T_f"),
    "another environment": (["--env", "atari/qbert"], "--env: {} was trained with toy/catch; a fork differs only"),
    "another return": (["--set", "n_step=5"], "--set replay.n_step: {} was trained with 3; a fork differs only"),
    "an earlier T_f": (["--freeze-at", "30"], "--freeze-at: 30 is below 40, the step at which {} is forked"),
    "fewer steps": (
        ["--steps", "39", "--freeze-at", "never"],
        "--steps: 39 is below 40, the step at which {} is forked",
    ),
    "a file of settings": (
        ["--config", "mine.toml"],
        "--config: --fork begins with the other run's settings; give --set",
    ),
    "a resume": (["--resume", "elsewhere"], "--fork: cannot change at --resume"),
}


@pytest.fixture(scope="module")
def short(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("short") / "run"
    train.train(small(run={"steps": 60, "freeze_at": 50, "until": 40, "eval_every": 0}), folder, quiet=True)
    return folder


@pytest.mark.parametrize("refused", REFUSED)
def test_what_no_fork_can_be_is_refused_in_one_line(refused, short, program, tmp_path):
    options, said = REFUSED[refused]
    code, _, lines = program("train", "--fork", short, *options, "--out", tmp_path / "run")
    assert code == 2
    assert lines[0].startswith(f"edgerl: {said.format(short)}")
    assert len(lines) == 1
    assert not (tmp_path / "run").exists()


def test_a_run_of_several_environments_is_forked_at_the_round_that_reaches_its_freeze(small, tmp_path):
    run = BEGINNING | {"envs": 2, "steps": 90, "freeze_at": 71, "until": 71, "eval_every": 0}
    train.train(small(run=run), tmp_path / "source", quiet=True)
    assert fork.find(tmp_path / "source", small(run=run | {"until": None})).values["step"] == 72
    for changed, option in (({"until": 70}, "--until: 70"), ({"freeze_at": 69, "until": None}, "--freeze-at: 69")):
        with pytest.raises(ConfigError, match=f"^{option} is below 72, the step at which"):
            fork.find(tmp_path / "source", small(run=run | changed))


def test_a_run_past_its_freeze_or_none_at_all_is_refused(small, program, tmp_path):
    config = small(run={"steps": 60, "freeze_at": 50, "eval_every": 0})
    train.train(config, tmp_path / "frozen", quiet=True)
    with pytest.raises(ConfigError, match="is past its T_f, step 50; --until 50 ends there"):
        train.train(config, tmp_path / "run", fork=tmp_path / "frozen", quiet=True)
    code, _, lines = program("train", "--fork", tmp_path / "none", "--out", tmp_path / "run")
    assert (code, lines) == (2, [f"edgerl: --fork: {tmp_path / 'none' / 'config.toml'} does not exist"])
    assert not (tmp_path / "run").exists()
