"""What a sweep is made of: its grid, and the complete command of every cell."""

import shlex
import subprocess
import sys

import pytest
import typer

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
    beside = {
        name: said.pop(name) for name in ("set_", "config", "out", "resume", "quiet", "verbose", "trust", "track")
    }
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


def test_cells_that_choose_their_freeze_share_the_latest_step():
    cells = made(env=["toy/catch"], freeze_at="auto,300,never", freeze_by=900, steps=1500).cells
    runs = [config_of(cell.arguments).run for cell in cells]
    assert [(run.freeze_at, run.freeze_by) for run in runs] == [("auto", 900), (300, None), (None, None)]
    assert [cell.variant for cell in cells] == ["freeze auto", "freeze 300", "freeze never"]


def test_scale_multiplies_the_latest_step_too():
    (cell,) = made(env=["atari/qbert"], freeze_at="auto", scale=0.5).cells
    assert (config_of(cell.arguments).run.freeze_at, config_of(cell.arguments).run.freeze_by) == ("auto", 50_000)


def test_a_setting_of_a_run_reaches_every_cell(program, tmp_path):
    said = ("--set", "snapshot_every=100", "--set", "ort_provider=xnnpack", "--set", "eval_epsilon=0.5")
    code, printed, _ = program(*SWEEP, *said, "--freeze-at", "500,never", "--out", tmp_path / "s", "--print-commands")
    assert code == 0
    runs = [config_of(shlex.split(line)[2:]).run for line in printed.splitlines()]
    assert [run.freeze_at for run in runs] == [500, None]
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
    assert frozen.checkpoint_every == "auto"
    assert [cell.steps for cell in sweep.cells] == [17_016, 44_609]  # where they have taken 4.5e12 multiply-adds


def test_scale_makes_all_lengths_shorter_and_learning_begin_earlier():
    (cell,) = made(env=["toy/catch"], scale=0.1).cells
    config = config_of(cell.arguments)
    run = config.run
    assert (run.steps, run.freeze_at, run.eval_every, config.replay.learn_start) == (200, 100, 50, 20)


def test_a_scale_that_leaves_nothing_to_learn_is_refused_by_name():
    with pytest.raises(ConfigError, match="--steps: 1 steps make no update"):
        made(env=["toy/catch"], scale=1e-6)


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


def test_the_command_line_starts_without_what_sweeps_need():
    program = "import sys, edgerl.commands.app; loaded = sys.modules"
    program += "; print([name for name in loaded if 'sweeps.' in name or 'rich.live' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
