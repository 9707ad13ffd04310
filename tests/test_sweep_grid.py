"""What a sweep is made of: its grid, the complete command of every cell, and one line for what is wrong with it."""

import shlex
import subprocess
import sys

import pytest
import typer

from edgerl import configure
from edgerl.commands import app
from edgerl.config import resolve
from edgerl.config.settings import SETTINGS
from edgerl.errors import ConfigError
from edgerl.experiments.sweeps import axes, grid, manifest, paper

SWEEP = ("sweep", "--env", "toy/catch")
NONE = dict.fromkeys(
    ("preset", "budgets", "freeze_at", "seeds", "steps", "scale", "algo", "device", "eval_every", "eval_episodes")
)
NONE |= dict.fromkeys(("checkpoint_every", "jobs", "threads", "pretrained")) | {
    "env": [],
    "vary": [],
    "set": [],
    "paper": False,
}


def made(**given):
    return grid.make(NONE | given, local=True)[0]


def config_of(arguments):
    """The configuration that `edgerl train` makes of a command's arguments."""
    train = typer.main.get_command(app.app).commands["train"]
    said = train.make_context("train", list(arguments)).params
    beside = {name: said.pop(name) for name in ("set_", "config", "out", "resume", "quiet")}
    return resolve.started(said, beside["config"], list(beside["set_"] or []))[0]


def test_a_grid_is_every_environment_with_every_variant_and_seed():
    cells = made(env=["toy/catch"], budgets="2MB,unbounded", freeze_at="300,never,preset", seeds="2", steps=1500).cells
    assert [cell.seed for cell in cells] == [0] * 6 + [1] * 6  # one seed after the other: early cells can be compared
    names = [cell.variant for cell in cells[:6]]
    assert names == [f"{b}, freeze {f}" for b in ("2MB", "unbounded") for f in ("300", "never", "preset")]
    assert cells[0].folder == "toy-catch__2MB-freeze-300__0"
    assert len({cell.folder for cell in cells}) == 12
    configs = [config_of(cell.arguments) for cell in cells]
    assert [(config.run.budget, config.run.freeze_at) for config in configs[6:]] == [
        (2_000_000, 300),
        (2_000_000, None),
        (2_000_000, 1000),
        ("unbounded", 300),
        ("unbounded", None),
        ("unbounded", 1000),
    ]
    assert {config.run.steps for config in configs} == {1500}
    assert [config.run.seed for config in configs] == [0] * 6 + [1] * 6


def test_a_setting_of_a_run_reaches_every_cell(program, tmp_path):
    said = ("--set", "snapshot_every=100", "--set", "ort_provider=xnnpack", "--set", "eval_epsilon=0.5")
    code, printed, _ = program(*SWEEP, *said, "--freeze-at", "50,never", "--out", tmp_path / "s", "--print-commands")
    assert code == 0
    runs = [config_of(shlex.split(line)[2:]).run for line in printed.splitlines()]
    assert [run.freeze_at for run in runs] == [50, None]
    for run in runs:
        assert (run.snapshot_every, run.ort_provider, run.eval_epsilon) == (100, "XnnpackExecutionProvider", 0.5)


def test_a_varied_setting_of_a_run_makes_two_different_cells():
    one, other = (
        config_of(cell.arguments) for cell in made(env=["toy/catch"], vary=["run.snapshot_every=50,100"]).cells
    )
    assert (one.run.snapshot_every, other.run.snapshot_every) == (50, 100)


def test_a_sweep_takes_the_options_that_train_has(program, tmp_path):
    said = (
        "--batch-size",
        "16",
        "--encoder",
        "canonical",
        "--cut",
        "conv2",
        "--pixel-codec",
        "lz4",
        "--budgets",
        "9MB",
    )
    code, printed, _ = program(*SWEEP, *said, "--out", tmp_path / "sweep", "--print-commands")
    assert code == 0
    config = config_of(shlex.split(printed)[2:])
    assert (config.replay.batch_size, config.replay.pixel_codec) == (16, "lz4")
    assert (config.agent.encoder, config.agent.cut) == ("canonical", "conv2")
    with_set = program(*SWEEP, *said, "--set", "batch_size=8", "--out", tmp_path / "sweep", "--print-commands")
    assert (with_set[0], "batch_size is for --batch-size to say" in with_set[2][0]) == (2, True)


def test_train_plan_and_sweep_have_the_same_options_of_settings():
    names = {}
    for command in ("train", "plan", "sweep"):
        parameters = typer.main.get_command(app.app).commands[command].params
        names[command] = {parameter.name for parameter in parameters}
    settings = {setting.name for setting in SETTINGS.values() if setting.option}
    assert settings - names["train"] == settings - names["plan"] == set()
    assert settings - names["sweep"] == {"seed", "budget"}  # its axes --seeds and --budgets


def test_seeds_are_counted_or_named():
    assert axes.seeds("5", 1) == [0, 1, 2, 3, 4]
    assert axes.seeds("3,7", 1) == [3, 7]
    assert axes.seeds("3,", 1) == [3]
    assert axes.seeds(None, 2) == [0, 1]


def test_any_setting_is_an_axis():
    vary = ["replay.latent_dtype=float32,uint8", "n_step=1,3"]
    cells = made(env=["toy/catch"], vary=vary, set=["hidden=32", "steps=1200"]).cells
    assert [cell.variant for cell in cells] == [
        f"latent_dtype {dtype}, n_step {n}" for dtype in ("float32", "uint8") for n in (1, 3)
    ]
    found = [config_of(cell.arguments) for cell in cells]
    assert [(each.replay.latent_dtype, each.replay.n_step) for each in found] == [
        ("float32", 1),
        ("float32", 3),
        ("uint8", 1),
        ("uint8", 3),
    ]
    assert {(each.agent.hidden, each.run.steps) for each in found} == {(32, 1200)}


def test_a_grid_without_axes_is_one_cell_of_the_preset():
    (cell,) = made(env=["toy/catch"], threads=1).cells
    assert (cell.variant, cell.seed) == ("preset", 0)
    assert config_of(cell.arguments) == resolve.started({"env": "toy/catch", "threads": 1}, None, [])[0]


def test_threads_are_what_the_jobs_leave_each_other(monkeypatch):
    monkeypatch.setattr(grid, "available_cores", lambda: 8)
    for given, threads in (
        ({"seeds": "20"}, 1),
        ({"seeds": "2"}, 4),
        ({"seeds": "20", "jobs": 3}, 2),
        ({"seeds": "20", "jobs": 30}, 1),
        ({"seeds": "2", "threads": 3}, 3),
    ):
        cells = made(env=["toy/catch"], **given).cells
        assert {config_of(cell.arguments).run.threads for cell in cells} == {threads} == {c.threads for c in cells}


@pytest.mark.parametrize("name", [each for each in paper.names() if paper.load(each).begins_with is None])
def test_every_experiment_of_the_paper_is_a_grid(name):
    experiment = paper.load(name)
    assert experiment.x in ("steps", "env_steps", "flops")
    assert experiment.title
    sweep = made(preset=name, seeds="3,")
    assert (sweep.preset, sweep.title) == (name, experiment.title)
    assert [(cell.env, cell.variant, cell.seed) for cell in sweep.cells] == [
        (env, variant, 3) for env in experiment.envs for variant in experiment.variants
    ]
    assert experiment.printed.keys() <= set(experiment.envs)
    assert all(scores.keys() <= experiment.variants.keys() for scores in experiment.printed.values())
    for cell in sweep.cells:
        found, said = config_of(cell.arguments), experiment.variants[cell.variant]
        asked = {"env": cell.env, "seed": 3, "threads": cell.threads, "paper": True, **said}
        assert found == resolve.started(asked, None, [])[0]
        assert (found.replay.pixel_codec, found.replay.latent_dtype) == ("raw", "float32")


def test_an_experiment_has_all_its_seeds_and_environments_unless_fewer_are_named():
    assert len(made(preset="paper/table1-memory").cells) == 8 * 2 * 5
    few = made(preset="paper/figure11", env=["atari/Qbert"], seeds="2").cells  # like Figure 4
    assert [(cell.env, cell.variant, cell.seed) for cell in few] == [
        ("atari/qbert", variant, seed)
        for seed in (0, 1)
        for variant in ("Rainbow", "Rainbow+LeVER", "Rainbow, unbounded")
    ]
    assert few[2].folder == "atari-qbert__Rainbow-unbounded__0"


def test_scale_multiplies_every_length():
    sweep = made(preset="paper/table1-flops", env=["atari/seaquest"], seeds="1", scale=0.1)
    never, frozen = (config_of(cell.arguments).run for cell in sweep.cells)
    assert sweep.scale == 0.1
    assert (never.steps, never.freeze_at, never.eval_every, never.stop_at_flops) == (50_000, None, 1000, 4.5e12)
    assert (frozen.steps, frozen.freeze_at, frozen.eval_every, frozen.stop_at_flops) == (50_000, 5000, 1000, 4.5e12)
    assert frozen.checkpoint_every == 10_000
    assert [cell.steps for cell in sweep.cells] == [50_000, 50_000]


def test_scale_leaves_at_least_one_step_and_the_freeze_within_the_run():
    (cell,) = made(env=["toy/catch"], scale=1e-6).cells
    run = config_of(cell.arguments).run
    assert (run.steps, run.freeze_at, run.eval_every) == (1, 0, 1)


def test_printed_commands_are_complete_and_nothing_is_written(program, tmp_path):
    out = tmp_path / "two words"
    axes_ = (
        "--budgets",
        "2MB,3MB",
        "--freeze-at",
        "300,never",
        "--seeds",
        "4,9",
        "--steps",
        "400",
        "--device",
        "pixel_6",
    )
    code, printed, errors = program(*SWEEP, *axes_, "--set", "v_max=3.0", "--print-commands", "--out", out)
    assert (code, errors) == (0, [])
    assert not out.exists()
    lines = [shlex.split(line) for line in printed.splitlines()]
    assert len(lines) == 8
    for words, (seed, budget, freeze) in zip(
        lines, [(s, b, f) for s in (4, 9) for b in ("2MB", "3MB") for f in ("300", "never")], strict=True
    ):
        assert words[:2] == ["edgerl", "train"]
        place = words.index("--out")
        assert words[place + 1] == str(out / f"toy-catch__{budget}-freeze-{freeze}__{seed}")
        said = {"env": "toy/catch", "budget": budget, "freeze_at": freeze, "seed": seed, "steps": 400}
        said |= {"device": "pixel_6", "threads": config_of(words[2:]).run.threads}
        assert config_of(words[2:]) == resolve.started(said, None, ["v_max=3.0"])[0]


def test_a_freeze_that_a_short_run_does_not_reach_is_noted_once(program, tmp_path):
    (note,) = grid.make(NONE | {"env": ["toy/catch"], "steps": 300, "budgets": "2MB,3MB"}, local=True)[1]
    assert "no freeze" in note


def test_sweep_json_is_read_as_it_was_written(tmp_path):
    sweep = made(env=["toy/catch"], seeds="2", budgets="2MB")
    manifest.write(sweep, tmp_path)
    assert manifest.read(tmp_path) == sweep


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 7}', '{"format": 1, "cells": [3]}', "[" * 100_000])
def test_a_sweep_json_that_is_none_is_named(text, tmp_path, program):
    (tmp_path / "sweep.json").write_text(text)
    code, _, (line,) = program("sweep", "--resume", tmp_path)
    assert code == 2
    assert "sweep.json" in line


BAD = {
    "no environment": (["sweep"], "--env"),
    "an unknown environment": (["sweep", "--env", "toy/ctch"], "toy/catch"),
    "an environment twice": ([*SWEEP, "--env", "toy/catch"], "twice"),
    "a budget without a unit": ([*SWEEP, "--budgets", "3"], "--budgets"),
    "a budget twice": ([*SWEEP, "--budgets", "3MB,3MB"], "--budgets"),
    "a budget that holds no batch": ([*SWEEP, "--budgets", "3MB,100kB"], "cell toy/catch, 100kB"),
    "a budget above the machine": ([*SWEEP, "--budgets", "90000GB"], "larger than this machine"),
    "an empty budget": ([*SWEEP, "--budgets", "3MB,,2MB"], "--budgets"),
    "seeds in words": ([*SWEEP, "--seeds", "many"], "--seeds"),
    "no seeds": ([*SWEEP, "--seeds", "0"], "--seeds"),
    "more seeds than anyone has time for": ([*SWEEP, "--seeds", "9" * 18], "--seeds"),
    "too many cells": ([*SWEEP, "--seeds", "5001", "--budgets", "3MB,2MB"], "10,002 cells"),
    "a seed that is none": ([*SWEEP, "--seeds", "1,-2"], "--seeds"),
    "a freeze in words": ([*SWEEP, "--freeze-at", "soon"], "--freeze-at"),
    "a freeze after the run": ([*SWEEP, "--freeze-at", "9,100", "--steps", "100"], "cell toy/catch, freeze 100"),
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
    "a scale beside a setting": ([*SWEEP, "--scale", "0.1", "--set", "eval_every=9"], "--scale"),
    "a scale of nothing": ([*SWEEP, "--scale", "0"], "--scale"),
    "a scale that is no number": ([*SWEEP, "--scale", "nan"], "--scale"),
    "a scale beyond all patience": ([*SWEEP, "--scale", "1e300"], "--scale"),
    "no jobs": ([*SWEEP, "--jobs", "0"], "--jobs"),
    "no threads": ([*SWEEP, "--threads", "0"], "--threads"),
    "more threads than cores": ([*SWEEP, "--seeds", "2", "--threads", "99", "--jobs", "2"], "--jobs"),
    "less memory than a cell takes": ([*SWEEP, "--memory-limit", "200MB"], "cell toy/catch, preset, seed 0"),
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
    cells = [grid._cell(grid.Resolved(variant, config, 1), 0, {}) for variant in ("a b", "a, b")]
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


def test_the_command_line_starts_without_what_sweeps_need():
    program = "import sys, edgerl.commands.app; loaded = sys.modules"
    program += "; print([name for name in loaded if 'sweeps.' in name or 'rich.live' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
