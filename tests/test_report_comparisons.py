"""What a report compares: with random play and a human, multiply-adds to a final score, one T_f with another."""

import json

import pytest

from edgerl.experiments.reports import contents, freeze_steps, reaching, reading, write
from edgerl.experiments.reports.groups import groups

QBERT = {"random": 163.9, "human": 13455.0}  # Wang et al. 2016


@pytest.fixture
def curve(another):
    """Make a run with these scores, evaluated every 100 steps, each of which takes `each_step` multiply-adds."""

    def make(name, scores, each_step=10, **settings):
        frozen = settings.get("freeze_at") != "never"
        summary = json.loads((another(f"{name}-source") / "summary.json").read_text())
        last = summary["returns"][-1]
        steps = [100 * (index + 1) for index in range(len(scores))]
        returns = [
            last | {"step": step, "env_steps": step, "flops": step * each_step, "mean": score}
            for step, score in zip(steps, scores, strict=True)
        ]
        freeze = summary["freeze"] if frozen else dict.fromkeys(summary["freeze"])
        folder = another(name, settings=settings, returns=returns[-2:], freeze=freeze)
        whole = json.loads((folder / "summary.json").read_text()) | {"returns": returns}
        (folder / "summary.json").write_text(json.dumps(whole))
        (folder / "metrics.jsonl").write_text("")
        return folder

    return make


def variants(folders):
    (by_env,) = groups(reading.read(folders).runs).values()
    return by_env


def section(folders):
    (only,) = contents.collect(reading.read(folders), None).sections
    return only


def test_random_play_and_a_human_stand_in_the_table_and_beside_the_curves(curve):
    shown = section([curve("run", [100, 200, 300], env="atari/qbert")])
    random, human = shown.scores.rows[-2:]
    assert (random[0], random[3], random[-1]) == ("random play", "164", "0")
    assert (human[0], human[3], human[-1]) == ("human tester", "13,455", "1")
    assert shown.curves["references"] == QBERT
    assert "elow random" not in shown.scores.notes


def test_scores_below_random_play_are_named(curve):
    folders = [
        curve("low", [400, 100], env="atari/qbert", latent_dtype="uint8"),
        curve("high", [100, 400], env="atari/qbert"),
    ]
    notes = section(folders).scores.notes
    assert "Below random play (163.9), so that they rank nothing: the scores of latent_dtype uint8." in notes


def test_other_environments_have_no_references(curve):
    shown = section([curve("run", [0.5, 0.5, -9])])
    assert [row[0] for row in shown.scores.rows] == ["rainbow, 3.0 MB, frozen at 300"]
    assert shown.curves["references"] is None
    assert "human-normalised" not in shown.scores.head


def with_training_mean(folder, mean):
    """Make the last evaluation of a run say this mean of its last training games; "older": nothing."""
    summary = json.loads((folder / "summary.json").read_text())
    for evaluation in summary["returns"]:
        evaluation.pop("training_mean", None)
    summary["returns"][-1] |= {} if mean == "older" else {"training_mean": mean}
    (folder / "summary.json").write_text(json.dumps(summary))


def test_the_last_training_games_stand_beside_the_evaluation(curve):
    folder = curve("run", [1, 1, 1])
    for mean, shown in ((123.4, "123"), (None, "-")):  # the log of a long run, or of several games a step, has not all
        with_training_mean(folder, mean)
        assert section([folder]).scores.rows[0][6] == shown


def test_the_last_training_games_of_an_older_run_are_read_from_its_log(curve):
    folder = curve("run", [1, 1, 1])
    with_training_mean(folder, "older")
    games = [{"step": step, "seconds": step, "train/score": step} for step in range(1, 401)]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, games)))
    (row,) = section([folder]).scores.rows
    assert row[6] == f"{sum(range(281, 301)) / 20:,.0f}"  # the last evaluation is that of step 300
    (folder / "metrics.jsonl").write_text("")
    assert section([folder]).scores.rows[0][6] == "-"


def test_multiply_adds_to_a_final_score_by_hand(curve):
    frozen = curve("frozen", [0, 4, 3, 8, 6, 7], each_step=10)  # final score 7, at step 400
    never = [curve(f"never{seed}", [0, 2 * seed, 4, 6, 3, 3], 30, freeze_at="never", seed=seed) for seed in (0, 2)]
    one, other = variants([frozen, *never])  # never frozen: means 0, 2, 4, 6, 3, 3; final score 4, at step 300
    own = reaching.reached(one, one)
    assert (own.score, own.step, own.flops) == (7, 400, 4000)
    assert reaching.reached(other, one).step is None
    assert reaching.reached(other, other).flops == 9000
    assert reaching.reached(one, other).flops == 2000
    assert reaching.table([one, other]).rows == [
        ["frozen at 300", "its own", "7.00", "400", "4e-09", "1.00"],
        ["frozen at 300", "never frozen", "4.00", "200", "2e-09", "0.22"],
        ["never frozen", "its own", "4.00", "300", "9e-09", "1.00"],
        ["never frozen", "frozen at 300", "7.00", "never", "-", "-"],
    ]
    assert reaching.bars([one, other]) == [
        {"name": "frozen at 300", "own": 4000, "other": 2000},
        {"name": "never frozen", "own": 9000, "other": None},
    ]


def test_a_final_score_is_reached_though_its_mean_is_rounded_up(curve):
    (group,) = variants([curve("run", [0.1, 0.1, 0.1])])
    assert group.final[0, 0] > 0.1
    assert reaching.reached(group, group).step == 100


def test_a_frozen_variant_is_paired_with_the_never_frozen_one_most_like_it(curve):
    found = variants(
        [
            curve(f"{dtype}-{freeze_at}", [1], latent_dtype=dtype, freeze_at=freeze_at)
            for dtype in ("uint8", "float32")
            for freeze_at in (300, "never")
        ]
    )
    named = {(frozen.name, never.name) for frozen, never in reaching.pairs(found)}
    assert named == {
        (f"frozen at 300, latent_dtype {dtype}", f"never frozen, latent_dtype {dtype}")
        for dtype in ("uint8", "float32")
    }


def test_without_a_pair_there_is_no_such_table(curve):
    shown = section([curve("a", [1]), curve("b", [1], latent_dtype="uint8")])
    assert (shown.comparisons, shown.curves["reaching"]) == ([], [])


def test_the_best_t_f_is_that_of_the_highest_interquartile_mean(curve):
    scores = {100: [[9, 1, 1, 1], [9, 2, 2, 2]], 200: [[0, 0, 3, 3], [0, 3, 3, 0]], 300: [[0, 0, 0, 3], [9, 9, 0, 0]]}
    folders = [
        curve(f"{freeze_at}-{seed}", by_seed[seed], freeze_at=freeze_at, seed=seed)
        for freeze_at, by_seed in scores.items()
        for seed in (0, 1)
    ]
    folders.append(curve("never", [5, 5, 5, 5], freeze_at="never"))
    found = variants(folders)
    assert [freeze_steps.final(group).value for group in found] == [1.5, 2, 2, 5]
    assert freeze_steps.best(found).name == "frozen at 200"  # as good as 300, and earlier; never frozen does not count
    assert freeze_steps.best(found[::-1]).name == "frozen at 200"
    (table,) = freeze_steps.tables(found)
    assert [(row[0], row[-1]) for row in table.rows] == [
        ("frozen at 100", ""),
        ("frozen at 200", "best"),
        ("frozen at 300", ""),
        ("never frozen", ""),
    ]


def test_one_t_f_is_not_ranked_and_budgets_are_ranked_apart(curve):
    alone = [curve("a", [1]), curve("b", [1], freeze_at="never")]
    assert freeze_steps.tables(variants(alone)) == []
    folders = [
        curve(f"{budget}-{freeze_at}", [freeze_at if budget == 3_000_000 else -freeze_at], **settings)
        for budget in (3_000_000, 4_000_000)
        for freeze_at in (100, 300)
        if (settings := {"budget": budget, "freeze_at": freeze_at})
    ]
    titles = [table.title for table in freeze_steps.tables(variants(folders))]
    assert titles == ["Best T_f: 3.0 MB, frozen at 300", "Best T_f: 4.0 MB, frozen at 100"]


def test_every_format_shows_the_comparisons(curve, tmp_path):
    folders = [
        curve(f"{freeze_at}", [100, 200], env="atari/qbert", freeze_at=freeze_at) for freeze_at in (100, 200, "never")
    ]
    write.write(folders, tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text()
    for words in ("### Best T_f", "### Multiply-adds to a final score", "| random play |", "| human tester |"):
        assert words in text
    write.write(folders, tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
