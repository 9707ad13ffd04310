"""Experiments whose runs begin with those of another sweep: which run each begins with, and what is said without it."""

import json
import shlex

import pytest
from test_sweep_grid import config_of, made

from edgerl.config import resolve
from edgerl.experiments.sweeps import manifest, paper

OF_OTHERS = {name: found for name in paper.names() if (found := paper.load(name)).begins_with}


def trained(folder, preset, finished=lambda cell: True, **given):
    """A sweep of pretraining as it is when it has ended: sweep.json, and of every run the summary."""
    sweep = made(preset=preset, **given)
    folder.mkdir()
    manifest.write(sweep, folder)
    for cell in sweep.cells:
        (folder / cell.folder).mkdir()
        status = "finished" if finished(cell) else "interrupted"
        (folder / cell.folder / "summary.json").write_text(json.dumps({"status": status, "steps": cell.steps}))
    return folder


def test_the_papers_transfers_are_there():
    assert set(OF_OTHERS) == {"paper/figure7a", "paper/figure8", "paper/figure9a", "paper/figure9b"}
    for name in ("paper/pretraining", "paper/pretraining-lengths"):
        for cell in made(preset=name, seeds="1").cells:
            found = config_of(cell.arguments)
            assert (found.run.env, found.run.algo, found.run.freeze_at) == ("dmc/walker-stand", "curl", None)
            assert found.run.steps * found.run.action_repeat == 1000 * int(cell.variant.removesuffix("K"))


@pytest.mark.parametrize("name", OF_OTHERS)
def test_every_cell_begins_with_the_run_of_its_seed_and_is_frozen_at_the_start(name, tmp_path):
    experiment = OF_OTHERS[name]
    pretrained = trained(tmp_path / "others", experiment.begins_with, seeds="1,3")
    cells = made(preset=name, seeds="1,3", pretrained=pretrained).cells
    assert len(cells) == 2 * len(experiment.envs) * len(experiment.variants)
    for cell in cells:
        found, said = config_of(cell.arguments), experiment.variants[cell.variant]
        if "encoder_from" in said:
            folder = pretrained / f"dmc-walker-stand__{said['encoder_from']}__{cell.seed}"
            assert folder.is_dir()
            assert (found.run.encoder_from, found.run.freeze_at) == (str(folder), 0)
            assert (found.run.transfer, found.agent.cut) == (said["transfer"], said["cut"])
            said = said | {"encoder_from": str(folder)}
        else:
            assert (found.run.encoder_from, found.run.freeze_at) == (None, None)
        asked = {"env": cell.env, "seed": cell.seed, "threads": cell.threads, "paper": True, **said}
        assert found == resolve.started(asked, None, [])[0]


def test_one_run_serves_all_seeds_and_a_longer_sweep_a_shorter_one(tmp_path):
    pretrained = trained(tmp_path / "others", "paper/pretraining-lengths", seeds="7,")
    cells = made(preset="paper/figure7a", seeds="2", pretrained=pretrained).cells
    sources = [config_of(cell.arguments).run.encoder_from for cell in cells]
    assert sources == [None, str(pretrained / "dmc-walker-stand__60K__7")] * 2


def test_a_scale_leaves_the_freeze_at_the_start(tmp_path):
    pretrained = trained(tmp_path / "others", "paper/pretraining", seeds="1", scale=0.1)
    cells = made(preset="paper/figure8", seeds="1", scale=0.1, pretrained=pretrained).cells
    found = [config_of(cell.arguments).run for cell in cells]
    assert [(each.env, each.steps, each.freeze_at) for each in found] == [
        ("dmc/cheetah-run", 12_500, None),
        ("dmc/cheetah-run", 12_500, 0),
        ("dmc/hopper-hop", 12_500, None),
        ("dmc/hopper-hop", 12_500, 0),
    ]


def test_printed_commands_name_the_runs_to_begin_with(program, tmp_path):
    pretrained = trained(tmp_path / "the others", "paper/pretraining", seeds="1")
    arguments = ["sweep", "--preset", "paper/figure9a", "--seeds", "1", "--out", tmp_path / "out"]
    code, printed, errors = program(*arguments, "--pretrained", pretrained, "--print-commands")
    assert (code, errors) == (0, [])
    lines = [shlex.split(line) for line in printed.splitlines()]
    assert [words[words.index("--cut") + 1] for words in lines] == ["conv1", "conv2", "conv3", "conv4"]
    for words in lines:
        assert words[words.index("--encoder-from") + 1] == str(pretrained / "dmc-walker-stand__60K__0")
        assert words[words.index("--freeze-at") + 1] == "0"
    assert not (tmp_path / "out").exists()


def test_a_run_to_begin_with_is_a_setting_of_any_sweep(tmp_path):
    cells = made(env=["toy/catch"], freeze_at="0", vary=["encoder_from=runs/a,runs/b"], set=["transfer=all"]).cells
    found = [config_of(cell.arguments).run for cell in cells]
    assert [(each.encoder_from, each.transfer, each.freeze_at) for each in found] == [
        ("runs/a", "all", 0),
        ("runs/b", "all", 0),
    ]


FIGURE = ["sweep", "--preset", "paper/figure9b", "--seeds", "2", "--scale", "0.5"]
TRAIN = "edgerl sweep --preset paper/pretraining-lengths --seeds 2 --scale 0.5 --out"
SAID = {  # options, what is said of FOLDER
    "none is named": ([], f"train these with {TRAIN} DIR, then give --pretrained DIR"),
    "there is none": (["--pretrained", "FOLDER/nowhere"], f"this makes it: {TRAIN} FOLDER/nowhere"),
    "one has not ended": (
        ["--pretrained", "FOLDER/unended"],
        "FOLDER/unended/dmc-walker-stand__40K__1 has not finished; go on with it: edgerl sweep --resume FOLDER/unended",
    ),
    "one is of other lengths": (["--pretrained", "FOLDER/shorter"], "FOLDER/shorter has no run '20K' of seed 0"),
    "a seed is missing": (["--pretrained", "FOLDER/seeds"], "FOLDER/seeds has no run '20K' of seed 0"),
    "sweep.json is none": (["--pretrained", "FOLDER/damaged"], "sweep.json is not a sweep's"),
}


@pytest.mark.parametrize("case", SAID)
def test_without_the_runs_to_begin_with_one_line_says_how_they_are_made(case, program, tmp_path):
    trained(tmp_path / "unended", "paper/pretraining-lengths", lambda cell: cell.folder[-6:] != "40K__1", seeds="2")
    trained(tmp_path / "shorter", "paper/pretraining", seeds="2")
    trained(tmp_path / "seeds", "paper/pretraining-lengths", seeds="3,4")
    trained(tmp_path / "damaged", "paper/pretraining", seeds="1")
    (tmp_path / "damaged/sweep.json").write_text("[]")
    given, says = SAID[case]
    given = [word.replace("FOLDER", str(tmp_path)) for word in given]
    code, printed, errors = program(*FIGURE, *given, "--out", tmp_path / "out")
    assert (code, printed, len(errors)) == (2, "", 1)
    assert errors[0].startswith("edgerl: --pretrained: ")
    assert says.replace("FOLDER", str(tmp_path)) in errors[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("preset", [[], ["--preset", "paper/figure4"]])
def test_other_sweeps_begin_with_nothing(preset, program, tmp_path):
    arguments = preset or ["--env", "toy/catch"]
    code, _, (line,) = program("sweep", *arguments, "--pretrained", tmp_path, "--out", tmp_path / "out")
    assert (code, "whose runs begin with others', such as paper/figure7a" in line) == (2, True)


def test_what_an_experiment_says_of_a_transfer_is_not_said_again(program, tmp_path):
    code, _, (line,) = program("sweep", "--preset", "paper/figure7a", "--set", "cut=conv2", "--out", tmp_path / "out")
    assert (code, line) == (2, "edgerl: --set: cut is for --preset to say")
