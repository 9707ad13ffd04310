"""A sweep trains what its cells share once, and each cell is what it would have been alone, bit for bit."""

import json
import os

import numpy as np
import pytest
from test_resume import final

from edgerl.config import resolve
from edgerl.experiments.sweeps import grid, manifest
from edgerl.runs.files import write_whole
from edgerl.training import train

QUICK = (
    "--threads",
    "1",
    "--eval-every",
    "0",
    "--set",
    "learn_start=980",
    "--set",
    "hidden=8",
    "--set",
    "batch_size=4",
)
GRID = ("--env", "toy/catch", "--budgets", "2MB", "--freeze-at", "1000,1030,never", "--steps", "1060", *QUICK)
GIVEN = dict.fromkeys(
    ("preset", "budgets", "freeze_at", "seeds", "scale", "threads", "jobs", "steps", "algo", "pretrained")
)
GIVEN |= {"env": ["toy/catch"], "vary": [], "set": [], "paper": False}
FAILING = """
class Failing(Catch):
    def step(self, action):
        raise RuntimeError("the joystick came off")
"""


def made(**given):
    return grid.make(GIVEN | {"threads": 1, "steps": 5000} | given, local=True)


def config_of(arguments):
    """The configuration that `edgerl train` gets from a cell's arguments."""
    options = {arguments[n].removeprefix("--").replace("-", "_"): arguments[n + 1] for n in range(0, len(arguments), 2)}
    options.pop("set", None)
    numbers = {name: int(value) for name, value in options.items() if name in ("steps", "seed", "threads")}
    assignments = [arguments[n + 1] for n in range(0, len(arguments), 2) if arguments[n] == "--set"]
    return resolve.started(options | numbers, None, assignments)[0]


@pytest.mark.parametrize(
    ("given", "beginnings", "saved"),
    [
        ({"freeze_at": "2000,3000,never"}, [2000], 4000),
        (
            {"freeze_at": "2000", "vary": ["latent_dtype=float32,uint8", "updates_per_step_after_freeze=1,4"]},
            [2000],
            6000,
        ),
        ({"freeze_at": "2000,never", "seeds": "2"}, [2000, 2000], 4000),
        ({"freeze_at": "2000,never", "vary": ["n_step=3,5"]}, [2000, 2000], 4000),
        ({"freeze_at": "2000,never", "budgets": "2MB,unbounded"}, [2000], 2000),
        ({"freeze_at": "999,never"}, [], 0),  # too short to pay
        ({"freeze_at": "never", "vary": ["latent_dtype=float32,uint8"]}, [], 0),
        ({"freeze_at": "2000"}, [], 0),
        ({"freeze_at": "2000,never", "until": 4000}, [2000], 2000),
        ({"freeze_at": "2000,never", "until": 1500}, [], 0),  # before any of them freezes
    ],
)
def test_cells_share_what_does_not_depend_on_what_comes_after_the_freeze(given, beginnings, saved, tmp_path):
    sweep, notes = made(**given)
    assert [beginning.steps for beginning in sweep.beginnings] == beginnings
    assert any(f"{saved:,} steps less" in note for note in notes) == bool(saved)
    manifest.write(sweep, tmp_path)
    assert manifest.read(tmp_path) == sweep
    for beginning in sweep.beginnings:
        config, folder = config_of(beginning.arguments), tmp_path / beginning.folder
        assert (config.run.freeze_at, config.run.until) == (beginning.steps, beginning.steps)
        folder.mkdir()
        write_whole(folder / "config.toml", config.to_toml().encode())
        for cell in sweep.cells:
            if cell.begins_in == beginning.folder:
                assert resolve.forked(folder, {}, list(cell.differs[1::2]))[0] == config_of(cell.arguments)


@pytest.mark.long
def test_a_sweep_with_a_shared_beginning_gives_what_its_cells_give_alone(edgerl, tmp_path):
    ended = edgerl("sweep", *GRID, "--out", tmp_path / "sweep")
    assert ended.returncode == 0, ended.stderr
    assert "3 cells: 3 finished" in ended.stdout
    sweep = manifest.read(tmp_path / "sweep")
    (beginning,) = sweep.beginnings
    assert (tmp_path / "sweep" / beginning.folder / "summary.json").exists()
    for cell in sweep.cells:
        alone, fork = tmp_path / cell.folder, tmp_path / "sweep" / cell.folder
        train.train(config_of(cell.arguments), alone, quiet=True)
        assert json.loads((fork / "summary.json").read_text())["fork"]["step"] == 1000
        (arrays, state, raw), (again, state_again, raw_again) = final(alone, 1060), final(fork, 1060)
        assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
        assert raw == raw_again
        assert state["trainer"] | {"fork": None} == state_again["trainer"] | {"fork": None}


@pytest.mark.long
def test_cells_whose_beginning_fails_say_so_and_go_on_once_it_is_mended(edgerl, tmp_path):
    given = ("--budgets", "2MB", "--freeze-at", "1000,never", "--steps", "1010", *QUICK)
    program, out = tmp_path / "mine.py", tmp_path / "sweep"
    program.write_text(f"from edgerl.envs.toy import Catch\n{FAILING}")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    ended = edgerl("sweep", "--env", "mine:Failing", *given, "--out", out, env=env)
    (beginning,) = manifest.read(out).beginnings
    assert ended.returncode == 1
    assert ended.stderr.count(f"its beginning {beginning.folder}: ") >= 2
    assert "the joystick came off" in ended.stderr
    program.write_text("from edgerl.envs.toy import Catch as Failing\n")
    ended = edgerl("sweep", "--resume", out, env=env)
    assert ended.returncode == 0, ended.stderr
    assert "2 cells: 2 finished" in ended.stdout
