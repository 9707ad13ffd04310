"""benchmarks/learning.py: what is read at equal steps, multiply-adds and time, what is left out, and what it trains."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import learning
import learning_picture
import learning_report
import learning_results
import learning_runs

STUDY = """
games = ["qbert", "krull"]
seeds = [0, 1]
jobs = 2
paper = "frozen"

[every]
budget = "3MB"
steps = 400
learn_start = 40
freeze_at = 300
eval_every = 100
threads = 1

[variants.never]
settings = { freeze_at = "never" }

[variants.frozen]
settings = {}

[variants.small]
settings = { latent_dtype = "uint8" }
games = ["krull"]
"""
SETTINGS = {"never": {"freeze_at": "never"}, "frozen": {}, "small": {"latent_dtype": "uint8"}}
RANDOM, HUMAN = {"qbert": 163.9, "krull": 1598.0}, {"qbert": 13455.0, "krull": 2665.5}  # Wang et al. 2016


@pytest.fixture
def study(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    return learning_runs.load(file)


@pytest.fixture
def finished(another, tmp_path):
    """Make a finished run of the study: its scores every 100 steps, what a step takes, and how many seconds."""

    def make(name, scores, flops=10, seconds=6.0, **changed):
        game, _, cell = name.partition("/")
        variant, _, seed = cell.partition("__")
        settings = {"env": f"atari/{game}", "seed": int(seed), "eval_every": 100} | SETTINGS[variant] | changed
        folder = another(f"runs/{name}", settings=settings)
        summary = json.loads((folder / "summary.json").read_text())
        steps = [100 * (index + 1) for index in range(len(scores))]
        last = summary["returns"][-1]
        summary["returns"] = [
            last | {"step": step, "flops": step * flops, "mean": score}
            for step, score in zip(steps, scores, strict=True)
        ]
        (folder / "summary.json").write_text(json.dumps(summary))
        lines = [{"step": step, "seconds": step * seconds} for step in [0, *steps]]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))

    return make


def report(study, tmp_path, kept=None):
    results, unfinished = learning_results.read(study, tmp_path / "runs", kept or {})
    tables = learning_report.tables(study, results, unfinished)
    return {table.title: table for table in tables}


def rows(table):
    return {row[0]: row[1:] for row in table.rows}


def points(game, worth):
    """Game points of a human-normalised score."""
    return RANDOM[game] + worth * (HUMAN[game] - RANDOM[game])


@pytest.fixture
def all_runs(finished):
    """Runs that all take 400 steps; a step of a never frozen one takes twice the multiply-adds and about the time."""
    for game in RANDOM:
        for seed in (0, 1):
            never = [points(game, worth) for worth in (0.1, 0.3, 0.5, 0.7)]
            finished(f"{game}/never__{seed}", never, flops=20, seconds=12)
            frozen = [points(game, worth + seed) for worth in (0, 1, 2, 3)]
            finished(f"{game}/frozen__{seed}", frozen, flops=10, seconds=6 + seed)


def test_at_equal_steps_the_last_three_evaluations_count(study, all_runs, tmp_path):
    table = rows(report(study, tmp_path)["qbert, krull: at equal steps"])
    assert table["never"][:2] == ["4 of 4", "0.500 [0.500, 0.500]"]
    assert table["frozen"][:2] == ["4 of 4", "2.500 [2.000, 3.000]"]
    assert table["frozen"][2] == "33,392 [26,746, 40,037]"  # qbert: 2 to 3 times 13,291.1 above random play
    assert table["random play"] == ["", "0", "164", "1,598"]
    assert table["human tester"] == ["", "1", "13,455", "2,666"]
    assert "small" not in table  # no run of it


def test_at_equal_multiply_adds_every_run_is_read_at_those_of_the_cheapest_ones_last_evaluations(
    study, all_runs, tmp_path
):
    table = rows(report(study, tmp_path)["qbert, krull: at equal multiply-adds"])
    assert table["frozen"][1] == "2.500 [2.000, 3.000]"  # at 2,000, 3,000 and 4,000 multiply-adds: its last three
    assert table["frozen"][2].endswith(" at 400")
    assert table["never"][1] == "0.200 [0.200, 0.200]"  # of 0.1, 0.2 and 0.3: steps 100, 150 (between two) and 200
    assert table["never"][2].endswith(" at 200")


def test_a_run_of_steady_progress_is_not_compared_over_a_longer_window(study, finished, tmp_path):
    for seed in (0, 1):  # both score 1 for every 1,000 multiply-adds
        finished(f"qbert/never__{seed}", [points("qbert", worth) for worth in (2, 4, 6, 8)], flops=20)
        finished(f"qbert/frozen__{seed}", [points("qbert", worth) for worth in (1, 2, 3, 4)], flops=10)
    table = rows(report(study, tmp_path)["qbert, krull: at equal multiply-adds"])
    assert table["never"][1] == table["frozen"][1] == "3.000 [3.000, 3.000]"


def test_a_run_is_not_read_before_its_first_evaluation(study, finished, tmp_path):
    finished("qbert/never__0", [points("qbert", worth) for worth in (2, 4, 6, 8)], flops=30)
    finished("qbert/frozen__0", [points("qbert", worth) for worth in (1, 2, 3, 4)], flops=10)
    finished("qbert/frozen__1", [points("qbert", worth) for worth in (1, 2, 3, 4)], flops=9)
    table = rows(report(study, tmp_path)["qbert, krull: at equal multiply-adds"])
    assert table["never"][1] == "2.333"  # at 3,000 and 4,000 multiply-adds: 2 and 2 2/3
    assert table["never"][2].endswith(" at 133 (2)")
    assert table["frozen"][1] == "3.093 [3.000, 3.185]"  # seed 1 ends at 3,600, and is read there for 4,000


def test_at_equal_wall_time_every_run_of_the_fastest_variant_is_read_whole(study, all_runs, tmp_path):
    shown = report(study, tmp_path)
    table = rows(shown["qbert, krull: at equal wall time"])
    assert table["frozen"][2].endswith(" at 400")  # the slower seed takes 7 seconds a step, 2,800 in all
    assert table["never"][2].endswith(" at 233")  # of 12 seconds each
    results, _ = learning_results.read(study, tmp_path / "runs", {})
    assert learning_results.amounts("qbert", results, "minutes") == pytest.approx(np.array([1400, 2100, 2800]) / 60)
    assert "2 at a time" in learning_report.about(study)


def test_the_rule_for_defaults_by_hand(study, all_runs, finished, tmp_path):
    table = rows(report(study, tmp_path)["The rule for defaults"])
    assert table == {"never": ["0.500 against 2.500", "qbert, krull", "no"]}
    better = learning_runs.Study(study.games, study.seeds, study.jobs, study.variants, "never")
    assert rows(report(better, tmp_path)["The rule for defaults"]) == {"frozen": ["2.500 against 0.500", "none", "yes"]}


def test_a_variant_of_fewer_games_is_compared_in_these(study, all_runs, finished, tmp_path):
    for seed in (0, 1):
        finished(f"krull/small__{seed}", [1600] * 4)
    shown = report(study, tmp_path)
    assert set(rows(shown["krull: at equal steps"])) >= {"never", "frozen", "small"}
    assert "small" not in rows(shown["qbert, krull: at equal steps"])


def test_scores_below_random_play_are_marked(study, finished, tmp_path):
    finished("qbert/never__0", [100, 200, 100, 100])
    shown = report(study, tmp_path)
    every = shown["qbert: every evaluation"]
    assert every.rows[0][2:7] == ["100†", "200", "100†", "100†", "133†"]
    assert "†: below random play" in every.notes
    assert rows(shown["qbert, krull: at equal steps"])["never"][1:3] == ["-0.002†", "133†"]
    assert "every variant here has a finished run: qbert." in shown["qbert, krull: at equal steps"].notes


def test_what_did_not_finish_or_was_trained_otherwise_is_named(study, finished, tmp_path):
    finished("qbert/never__0", [1, 2, 3])
    finished("qbert/frozen__0", [1, 2, 3, 4], budget=4_000_000)
    finished("qbert/frozen__1", [1, 2, 3, 4])
    (tmp_path / "runs/qbert/frozen__1/summary.json").unlink()
    table = report(study, tmp_path)["Not finished"]
    assert [row[1:] for row in table.rows if row[0] == "qbert/never"] == [
        ["0", "not finished: 3 of 4 evaluations"],
        ["1", "not begun"],
    ]
    assert [row[1:] for row in table.rows if row[0] == "qbert/frozen"] == [
        ["0", "trained with run.budget = 4000000 instead of 3000000"],
        ["1", "no summary.json: it did not come to its end (step 400 of 400 is saved)"],
    ]
    assert [row[1:] for row in table.rows if row[0] == "krull/small"] == [["0, 1", "not begun"]]


def test_what_is_kept_says_the_same_without_the_folders(study, all_runs, tmp_path):
    shown = report(study, tmp_path)
    results, _ = learning_results.read(study, tmp_path / "runs", {})
    file = tmp_path / "kept.json"
    learning_results.keep(results, {}, file)
    shutil.rmtree(tmp_path / "runs")
    kept = learning_results.load_kept(file)
    again = report(study, tmp_path, kept)
    for axis in ("steps", "multiply-adds"):
        title = f"qbert, krull: at equal {axis}"
        assert again[title] == shown[title]
    assert again["The rule for defaults"] == shown["The rule for defaults"]
    assert "qbert, krull: at equal wall time" not in again  # another machine's minutes say nothing
    results, _ = learning_results.read(study, tmp_path / "runs", kept)
    assert learning_picture.picture(study, results).startswith(b"\x89PNG")
    whole, few = (learning_runs.sweep_of(study, study, done)[0] for done in ((), kept))
    assert {cell.name for cell in whole.cells} - set(kept) == {cell.name for cell in few.cells}


def test_what_is_kept_counts_no_more_once_the_variant_has_changed(study, all_runs, tmp_path):
    results, _ = learning_results.read(study, tmp_path / "runs", {})
    learning_results.keep(results, {}, tmp_path / "kept.json")
    shutil.rmtree(tmp_path / "runs")
    kept = learning_results.load_kept(tmp_path / "kept.json")
    kept["qbert/never__0"]["settings"]["steps"] = 500
    table = report(study, tmp_path, kept)["Not finished"]
    assert ["qbert/never", "0", "not begun"] in table.rows


def test_the_study_that_is_shipped_is_well_formed():
    shipped = Path(learning.__file__)
    study = learning_runs.load(shipped.with_suffix(".toml"))
    kept = learning_results.load_kept(shipped.with_suffix(".json"))
    assert {cell.name for cell in study.cells() if learning_results.is_kept(cell, kept)} == set(kept)
    assert study.paper in {variant.name for variant in study.variants}
    assert len(study.cells()) == 6 * 4 * 3 + 3 * 3 + 6 * 2 * 3
    main = [cell for cell in study.cells() if cell.variant.games == study.games]
    assert {cell.config().run.steps for cell in main} == {60_000}
    assert {cell.config().run.freeze_at for cell in main} == {20_000, None}


def test_the_papers_table_is_as_the_paper_has_it():
    study = learning_runs.load(Path(learning.__file__).with_name("table1.toml"))
    runs = {(cell.game, cell.variant.name): cell.config().run for cell in study.cells()}
    assert {(game, run.freeze_at) for (game, name), run in runs.items() if name == "rainbow-lever"} == {
        ("krull", 50_000),
        ("crazy_climber", 100_000),
    }
    assert {run.freeze_at for (_, name), run in runs.items() if name == "rainbow"} == {None}
    assert {(run.steps, run.budget) for run in runs.values()} == {(500_000, 70_000_000)}
    sweep, _ = learning_runs.sweep_of(study, study)
    assert len(sweep.cells) == 8
    assert len(sweep.beginnings) == 4


def test_a_run_that_is_chosen_alone_begins_as_it_does_among_all():
    whole = learning_runs.load(Path(learning.__file__).with_suffix(".toml"))
    some = whole.only(["road_runner"], ["frozen-cross_entropy-4", "frozen-kl-4", "frozen-uniform"])
    sweep, refused = learning_runs.sweep_of(some, whole)
    everything, _ = learning_runs.sweep_of(whole, whole)
    assert refused == {}
    assert len(sweep.cells) == 9
    assert set(sweep.cells) <= set(everything.cells)
    assert {cell.begins_in for cell in sweep.cells} - {None} == {beginning.folder for beginning in sweep.beginnings}
    assert sum(cell.begins_in is not None for cell in sweep.cells) == 6


@pytest.mark.long
def test_what_is_missing_is_trained_from_shared_beginnings_and_what_ended_early_goes_on(tmp_path, monkeypatch, capsys):
    text = STUDY.replace('"qbert", "krull"', '"qbert"').replace("[0, 1]", "[3]").partition("[variants.small]")[0]
    text = text.replace("400", "1040").replace("300", "1000").replace("eval_every = 100", "eval_every = 520")
    text += "[variants.odd]\nsettings = { no_such_setting = 1 }\n"
    (tmp_path / "study.toml").write_text(text.replace("threads = 1", "threads = 1\neval_episodes = 1"))
    words = ["--study", str(tmp_path / "study.toml"), "--runs", str(tmp_path / "runs")]
    monkeypatch.setenv("PYTHONPATH", "")  # which the benchmark sets, and no other test is to see

    def call(*more):
        monkeypatch.setattr(sys, "argv", ["learning.py", *words, *more])
        with pytest.raises(SystemExit) as left:
            learning.main()
        return left.value.code, *capsys.readouterr()

    code, shown, told = call()
    assert code == 0
    assert "### qbert: every evaluation" in shown
    assert "odd is not trained: unknown key 'no_such_setting'" in told
    frozen, never = (tmp_path / "runs/qbert" / name for name in ("frozen__3", "never__3"))
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (frozen, never)]
    assert [summary["fork"]["step"] for summary in summaries] == [1000, 1000]
    (frozen / "summary.json").unlink()
    before = (never / "summary.json").stat().st_mtime_ns
    file = tmp_path / "study.json"
    assert set(json.loads(file.read_text())) == {"qbert/frozen__3", "qbert/never__3"}
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({name: run for name, run in kept.items() if name != "qbert/frozen__3"}))
    code, shown, _ = call("--json", "--picture", str(tmp_path / "curves.png"))
    assert code == 0
    assert (never / "summary.json").stat().st_mtime_ns == before
    assert json.loads((frozen / "summary.json").read_text())["returns"] == summaries[0]["returns"]
    (run,) = [run for run in json.loads(shown)["runs"] if run["variant"] == "frozen"]
    assert [evaluation["score"] for evaluation in run["evaluations"]] == [
        evaluation["mean"] for evaluation in summaries[0]["returns"]
    ]
    assert np.all(np.diff([evaluation["flops"] for evaluation in run["evaluations"]]) >= 0)
    assert json.loads(file.read_text()) == kept
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
