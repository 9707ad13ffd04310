"""What is wrong with a sweep is one line that names it, and nothing is written."""

from dataclasses import replace

import pytest
from test_sweep_grid import made

from edgerl import configure
from edgerl.envs.suites import describe
from edgerl.errors import ConfigError
from edgerl.experiments.sweeps import grid, manifest, runner
from edgerl.planning.plan import make_plan
from memory_budget import tree_bytes

SWEEP = ("sweep", "--env", "toy/catch")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 7}', '{"format": 1, "cells": [3]}', "[" * 100_000])
def test_a_sweep_json_that_is_none_is_named(text, tmp_path, program):
    (tmp_path / "sweep.json").write_text(text)
    code, _, (line,) = program("sweep", "--resume", tmp_path)
    assert code == 2
    assert "sweep.json" in line


def test_a_file_is_no_sweep(tmp_path, program):
    (tmp_path / "file").touch()
    assert program("sweep", "--resume", tmp_path / "file") == (
        2,
        "",
        [f"edgerl: --resume: {tmp_path}/file is no folder"],
    )


BAD = {
    "no environment": (["sweep"], "--env"),
    "an unknown environment": (["sweep", "--env", "toy/ctch"], "toy/catch"),
    "an environment twice": ([*SWEEP, "--env", "toy/catch"], "twice"),
    "a budget without a unit": ([*SWEEP, "--budgets", "3"], "--budgets"),
    "a budget twice": ([*SWEEP, "--budgets", "3MB,3MB"], "--budgets"),
    "a budget that holds no batch": ([*SWEEP, "--budgets", "3MB,100kB"], "cell toy/catch, 100kB"),
    "a budget above the machine": ([*SWEEP, "--budgets", "90000GB"], "larger than this machine"),
    "a budget that fits no device": (
        [*SWEEP, "--budgets", "3MB,200MB", "--process-limit", "250MB"],
        "(cell toy/catch, 200MB)",
    ),
    "an empty budget": ([*SWEEP, "--budgets", "3MB,,2MB"], "--budgets"),
    "seeds in words": ([*SWEEP, "--seeds", "many"], "--seeds"),
    "no seeds": ([*SWEEP, "--seeds", "0"], "--seeds"),
    "more seeds than anyone has time for": ([*SWEEP, "--seeds", "9" * 18], "--seeds"),
    "too many cells": ([*SWEEP, "--seeds", "5001", "--budgets", "3MB,2MB"], "10,002 cells"),
    "a seed that is none": ([*SWEEP, "--seeds", "1,-2"], "--seeds"),
    "a latest freeze and none to choose": ([*SWEEP, "--freeze-at", "300", "--freeze-by", "200"], "--freeze-by"),
    "a T_f in two words": (
        [*SWEEP, "--steps", "300", "--freeze-at", "never,preset"],
        "preset, seed 0' are the same run",
    ),
    "a value in two words": (
        [*SWEEP, "--vary", "gamma=0.9,0.90"],
        "gamma 0.9, seed 0' and 'toy/catch, gamma 0.90, seed 0'",
    ),
    "a freeze in words": ([*SWEEP, "--freeze-at", "soon"], "--freeze-at"),
    "a freeze after the run": ([*SWEEP, "--freeze-at", "50,100", "--steps", "100"], "cell toy/catch, freeze 100"),
    "an unknown setting": ([*SWEEP, "--vary", "gama=0.9,0.8"], "nearest is gamma"),
    "a setting out of bounds": ([*SWEEP, "--vary", "gamma=0.9,2"], "--vary"),
    "a setting without values": ([*SWEEP, "--vary", "gamma"], "--vary"),
    "a setting varied twice": ([*SWEEP, "--vary", "gamma=0.9", "--vary", "replay.gamma=0.8"], "--vary"),
    "a setting set and varied": ([*SWEEP, "--set", "gamma=0.9", "--vary", "gamma=0.8"], "--set"),
    "a setting that is an axis": ([*SWEEP, "--vary", "seed=1,2"], "--seeds"),
    "a setting that is an option": ([*SWEEP, "--set", "steps=3", "--steps", "4"], "--steps"),
    "a setting that the paper decides": ([*SWEEP, "--paper", "--vary", "latent_dtype=uint8,float16"], "--paper"),
    "a bad setting": ([*SWEEP, "--set", "gamma"], "--set"),
    "an unknown algorithm": ([*SWEEP, "--algo", "ppo"], "--algo"),
    "an unknown device": ([*SWEEP, "--device", "nano"], "jetson_nano"),
    "an unknown experiment": (["sweep", "--preset", "paper/figure44"], "paper/figure4"),
    "an environment of another experiment": (["sweep", "--preset", "paper/figure5", "--env", "atari/qbert"], "--env"),
    "a length beside an experiment": (["sweep", "--preset", "paper/figure5", "--steps", "0"], "--scale"),
    "a scale beside a length": ([*SWEEP, "--scale", "0.1", "--steps", "100"], "--steps 100"),
    "a scale beside a freeze": ([*SWEEP, "--scale", "0.1", "--freeze-at", "never,100"], "--freeze-at"),
    "a scale beside multiply-adds": ([*SWEEP, "--scale", "0.1", "--stop-at-flops", "1e12"], "--stop-at-flops 1e12"),
    "a scale beside a setting": ([*SWEEP, "--scale", "0.1", "--set", "eval_every=9"], "--scale"),
    "a scale of nothing": ([*SWEEP, "--scale", "0"], "--scale"),
    "a scale that is no number": ([*SWEEP, "--scale", "nan"], "--scale"),
    "a scale beyond all patience": ([*SWEEP, "--scale", "1e300"], "--scale"),
    "no jobs": ([*SWEEP, "--jobs", "0"], "--jobs"),
    "no threads": ([*SWEEP, "--threads", "0"], "--threads"),
    "more threads than cores": ([*SWEEP, "--seeds", "2", "--threads", "99", "--jobs", "2"], "--jobs"),
    "less memory than a cell takes": ([*SWEEP, "--memory-limit", "60MB"], "cell toy/catch, preset, seed 0"),
    "a memory limit without a unit": ([*SWEEP, "--memory-limit", "2"], "--memory-limit"),
    "an unknown executor": ([*SWEEP, "--executor", "pbs"], "--executor"),
    "Slurm's parameters without Slurm": ([*SWEEP, "--slurm", "partition=gpu"], "--slurm"),
    "a parameter that is none": ([*SWEEP, "--executor", "slurm", "--slurm", "gpu"], "--slurm"),
    "a memory limit for a cluster": ([*SWEEP, "--executor", "ray", "--memory-limit", "3GB"], "--memory-limit"),
    "a value twice": ([*SWEEP, "--vary", "encoder=canonical,data_efficient,canonical "], "twice"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case)
def test_what_is_wrong_is_one_line_and_nothing_is_written(case, program, tmp_path):
    arguments, says = BAD[case]
    code, printed, errors = program(*arguments, "--out", tmp_path / "sweep")
    assert (code, printed, len(errors)) == (2, "", 1)
    assert errors[0].startswith("edgerl: ")
    assert says in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_two_variants_do_not_share_a_folder():
    config = configure(env="toy/catch", steps=20, freeze_at="never")
    planned = make_plan(config, describe("toy/catch"))
    cells = [grid._cell(grid.Resolved(variant, config, planned), 0, {})[0] for variant in ("a b", "a, b")]
    with pytest.raises(ConfigError, match="would share the folder toy-catch__a-b__0"):
        grid._check_folders(tuple(cells))


def test_a_sweep_needs_a_folder_that_is_new(program, tmp_path):
    assert "--out" in program(*SWEEP)[2][0]
    (tmp_path / "mine.txt").write_text("mine")
    code, _, (line,) = program(*SWEEP, "--out", tmp_path)
    assert (code, "not empty" in line) == (2, True)
    code, _, (line,) = program(*SWEEP, "--out", tmp_path / "mine.txt" / "sweep")
    assert (code, "--out" in line) == (2, True)
    (tmp_path / "sweep.json").write_text("{}")
    code, _, (line,) = program(*SWEEP, "--out", tmp_path)
    assert (code, f"edgerl sweep --resume {tmp_path}" in line) == (2, True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.txt", "sweep.json"]


def test_what_is_resumed_is_the_sweep_that_was_begun(program, tmp_path):
    code, _, (line,) = program("sweep", "--resume", tmp_path)
    assert (code, "sweep.json does not exist" in line) == (2, True)
    code, _, (line,) = program("sweep", "--resume", tmp_path, "--seeds", "3")
    assert code == 2
    assert line.startswith("edgerl: --seeds: cannot change at --resume; what can: --jobs, --memory-limit")


def test_all_cells_together_take_no_more_than_a_control_group_leaves(monkeypatch):
    cells = made(env=["toy/catch"], budgets="2MB,3MB").cells
    monkeypatch.setattr(runner, "cgroup_bytes", lambda: tree_bytes() + 1_000_000_000)
    assert runner.memory_limit(None, cells) == pytest.approx(runner.SHARE * 1e9, rel=0.1)
    monkeypatch.setattr(runner, "cgroup_bytes", lambda: tree_bytes() + 50_000_000)
    with pytest.raises(ConfigError, match=r"^--memory-limit: .* is too little for one cell"):
        runner.memory_limit(None, cells)


def test_a_sweep_without_cells_is_none(tmp_path):
    sweep = made(env=["toy/catch"], budgets="2MB")
    manifest.write(replace(sweep, cells=()), tmp_path)
    with pytest.raises(ConfigError, match=r"is not a sweep's: it has no cells$"):
        manifest.read(tmp_path)
