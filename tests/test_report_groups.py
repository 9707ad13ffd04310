"""Which runs a report takes for seeds of one variant, how it names variants, and what it puts together over games."""

import json

import pytest

from edgerl.experiments.reports import contents, reaching, reading
from edgerl.experiments.reports.groups import groups

RANDOM, HUMAN = {"qbert": 163.9, "krull": 1598.0}, {"qbert": 13455.0, "krull": 2665.5}  # Wang et al. 2016


@pytest.fixture
def run(another):
    """Make a run with these settings that scores this much; it froze only if its settings say so."""

    def make(name, score=0.0, **settings):
        frozen = settings.get("freeze_at") != "never"
        freeze = json.loads((another(f"{name}-source") / "summary.json").read_text())["freeze"]
        return another(name, (0.0, score), settings=settings, freeze=freeze if frozen else dict.fromkeys(freeze))

    return make


def sweep(folder, cells):
    """Make a folder a sweep of these (folder, variant)."""
    listed = [{"folder": name, "variant": variant} for name, variant in cells]
    (folder / "sweep.json").write_text(json.dumps({"preset": None, "scale": 1.0, "cells": listed}))
    return folder


def variants(folders):
    (by_env,) = groups(reading.read(folders).runs).values()
    return by_env


def all_games(folders):
    overall = contents.collect(reading.read(folders), None).overall
    return [row for table in overall for row in table.rows]


def test_each_seed_of_a_sweeps_variant_may_begin_with_a_run_of_its_own(run, tmp_path):
    cells = []
    for seed in range(3):
        for variant, source in (("short", "a"), ("long", "b")):
            run(f"{source}{seed}", seed=seed, encoder_from=f"/runs/{source}__{seed}")
            cells.append((f"{source}{seed}", variant))
    assert [(group.name, len(group.runs)) for group in variants([sweep(tmp_path, cells)])] == [
        ("short", 3),
        ("long", 3),
    ]


def test_runs_of_no_sweep_that_begin_with_others_are_variants(run):
    folders = [run(f"r{seed}", seed=seed, encoder_from=f"/runs/{seed}") for seed in (0, 1)]
    assert [group.name for group in variants(folders)] == ["encoder_from /runs/0", "encoder_from /runs/1"]


def test_a_variants_name_and_its_partner_do_not_depend_on_which_seeds_finished(run):
    folders = [
        run("frozen", seed=0),
        run("large", seed=0, freeze_at="never", budget=9_000_000),
        run("never", seed=1, freeze_at="never"),
    ]
    frozen, _, never = found = variants(folders)
    assert [group.name for group in found] == ["3.0 MB, frozen at 300", "9.0 MB, never frozen", "3.0 MB, never frozen"]
    assert reaching.pairs(found) == [(frozen, never)]


def test_no_name_is_empty(run):
    found = variants([run("without"), run("begun", encoder_from="/runs/other")])
    assert [group.name for group in found] == ["encoder_from None", "encoder_from /runs/other"]


def test_games_count_alike_however_many_seeds_each_has(run):
    folders = [run("qbert0", RANDOM["qbert"], env="atari/qbert")]
    folders += [run(f"krull{seed}", HUMAN["krull"], env="atari/krull", seed=seed) for seed in range(3)]
    ((_, games, runs, middle, average),) = all_games(folders)
    assert (games, runs) == ("2", "4")
    assert average == middle == "0.500 [0.500, 0.500]"


def test_unlike_variants_are_not_put_together_over_games(run):
    assert all_games([run("qbert", 200, env="atari/qbert", batch_size=8), run("krull", 1600, env="atari/krull")]) == []


def test_a_sweeps_variant_may_freeze_at_another_step_in_each_game(run, tmp_path):
    run("a", HUMAN["qbert"], env="atari/qbert")
    run("b", HUMAN["krull"], env="atari/krull", freeze_at=200)
    run("c", HUMAN["krull"], env="atari/krull", freeze_at="never")
    (row,) = all_games([sweep(tmp_path, [("a", "preset"), ("b", "preset"), ("c", "never")])])
    assert row == ["preset", "2", "2", "1.000", "1.000"]


def test_variants_are_compared_over_the_games_that_they_have_in_common(run):
    folders = [run(f"large-{game}", HUMAN[game], env=f"atari/{game}", batch_size=8) for game in HUMAN]
    folders += [run(f"small-{game}", RANDOM[game], env=f"atari/{game}") for game in HUMAN]
    folders.append(run("small-pong", 20, env="atari/pong"))
    large, small = all_games(folders)
    assert large[1:4] == ["2", "2", "1.000"]
    assert small[1:4] == ["2", "2", "0.000"]  # without Pong, which only one of them played
    assert [large[0], small[0]] == ["batch_size 8", "batch_size 16"]


def test_variants_without_two_games_in_common_name_their_own(run):
    folders = [run(f"one-{game}", HUMAN[game], env=f"atari/{game}", batch_size=8) for game in HUMAN]
    folders += [run("two-pong", 20, env="atari/pong"), run("two-krull", HUMAN["krull"], env="atari/krull")]
    assert [row[1] for row in all_games(folders)] == ["atari/qbert, atari/krull", "atari/krull, atari/pong"]


def test_a_beginning_that_others_share_is_no_run_of_its_own(run):
    fork = {"run": "elsewhere/beginning", "step": 400}
    beginning, whole = run("beginning", until=400), run("whole", freeze_at=200)
    summary = json.loads((whole / "summary.json").read_text())
    assert json.loads((beginning / "summary.json").read_text())["steps"] == 400
    (whole / "summary.json").write_text(json.dumps(summary | {"fork": fork}))
    loaded = reading.read([beginning, whole])
    assert [found.folder for found in loaded.runs] == [whole]
    assert loaded.left_out == [(str(beginning), "other runs here begin with it, and have its evaluations")]
    assert [found.folder for found in reading.read([beginning]).runs] == [beginning]


def test_a_run_that_ended_before_its_freeze_is_no_never_frozen_one(run):
    paused = run("paused", freeze_at=350)
    summary = json.loads((paused / "summary.json").read_text())
    unfrozen = summary | {"freeze": dict.fromkeys(summary["freeze"])}
    (paused / "summary.json").write_text(json.dumps(unfrozen))
    assert reaching.pairs(variants([run("frozen"), paused])) == []
