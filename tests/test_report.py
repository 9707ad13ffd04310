"""Reports: what is read, how seeds are put together, and what is left out by name."""

import json
import shlex

import pytest

from edgerl.config.toml import load
from edgerl.errors import ConfigError
from edgerl.experiments.reports import contents, reading, write
from edgerl.experiments.reports.curves import POINTS, plain
from edgerl.experiments.reports.groups import groups
from edgerl.experiments.reports.repeat import command
from edgerl.experiments.sweeps import paper
from memory_budget import format_bytes


def test_one_seed_has_no_interval_and_the_report_says_so(real):
    found = contents.collect(reading.read([real]), None)
    (section,) = found.sections
    (row,) = section.scores.rows
    assert "[" not in row[3]
    assert "One seed has no interval" in section.scores.notes
    assert set(section.curves["variants"][0]["mean"]["low"]) == {None}


def test_seeds_are_grouped_and_variants_and_environments_kept_apart(another):
    folders = [another(f"a{seed}", (0, seed), settings={"seed": seed}) for seed in range(3)]
    folders += [another("b", (0, 9), settings={"freeze_at": "never"})]
    folders += [another("c", settings={"env": "gym/CartPole-v1"})]
    found = groups(reading.read(folders).runs)
    assert list(found) == ["toy/catch", "gym/CartPole-v1"]
    frozen, never = found["toy/catch"]
    assert (frozen.name, never.name) == ("frozen at 300", "never frozen")
    assert frozen.scores.tolist() == [[0, 0, 0], [0, 1, 2]]
    assert frozen.steps == [200, 400]
    assert never.scores.tolist() == [[0], [9]]
    (alone,) = found["gym/CartPole-v1"]
    assert len(alone.runs) == 1


def test_variants_are_named_by_what_tells_them_apart(another):
    folders = [another(name, settings={"latent_dtype": name}) for name in ("float32", "uint8")]
    found = groups(reading.read(folders).runs)["toy/catch"]
    assert [group.name for group in found] == [
        "latent_dtype float32",
        "latent_dtype uint8",
    ]


def test_threads_alone_make_no_variant_and_a_seed_counts_once(another):
    folders = [another("one"), another("two", settings={"threads": 2})]
    found = reading.read(folders)
    assert [run.folder.name for run in found.runs] == ["one"]
    assert found.left_out == [(str(folders[1]), f"the same settings and seed as {folders[0]}")]


def test_axes_follow_from_what_was_logged(real):
    (group,) = groups(reading.read([real]).runs)["toy/catch"]
    returns = group.first.summary["returns"]
    assert group.axis("steps", [200, 400]).tolist() == [200, 400]
    assert group.axis("env_steps", [200, 400]).tolist() == [each["env_steps"] for each in returns]
    assert group.axis("flops", [200, 400]).tolist() == [each["flops"] for each in returns]
    minutes = group.axis("minutes", [200, 400])
    lines = [json.loads(line) for line in (real / "metrics.jsonl").read_text().splitlines()]
    assert minutes[1] == pytest.approx(max(line["seconds"] for line in lines) / 60, rel=0.01)
    assert 0 < minutes[0] < minutes[1]


def test_runs_that_are_missing_or_half_written_are_named_and_left_out(another, tmp_path):
    whole = another("whole")
    stopped = another("stopped", status="interrupted", steps=123)
    cut = another("cut")
    (cut / "summary.json").write_text((whole / "summary.json").read_text()[:100])
    killed = another("killed")
    (killed / "summary.json").unlink()
    other = another("other")
    (other / "config.toml").write_text("[run]\n")
    less = another("less")
    summary = json.loads((less / "summary.json").read_text())
    del summary["returns"]
    (less / "summary.json").write_text(json.dumps(summary))
    broken = another("broken", settings={"seed": 1})
    (broken / "metrics.jsonl").write_bytes(
        b'{"step": 200, "seconds": 1.5, "memory/rss_bytes": 1000000}\n{"step": 4\xff'
    )
    missing, file = tmp_path / "missing", whole / "config.toml"
    found = reading.read([whole, stopped, cut, killed, other, less, missing, file, broken, whole / "checkpoint"])
    assert [run.folder for run in found.runs] == [whole, broken]
    why = dict(found.left_out)
    assert why[str(stopped)] == "interrupted after 123 of 400 steps"
    assert why[str(cut)].startswith("summary.json cannot be read")
    assert why[str(killed)] == "no summary.json: it did not come to its end (step 400 of 400 is saved)"
    assert "is not a run's configuration" in why[str(other)]
    assert why[str(less)] == "summary.json: lacks returns"
    assert why[str(missing)] == "there is no such folder"
    assert why[str(file)] == "it is no folder"
    assert why[str(whole / "checkpoint")] == "it holds no run and no sweep"
    text = json.dumps(contents.collect(found, None).left_out.rows)
    assert all(name in text for name in ("stopped", "cut", "killed", "missing"))


def test_a_folder_of_runs_and_a_sweep_stand_for_their_runs(another, tmp_path):
    for seed in range(2):
        another(f"s{seed}", settings={"seed": seed})
    assert len(reading.read([tmp_path]).runs) == 2
    cells = [{"folder": f"s{seed}", "variant": "short", "name": "x"} for seed in range(3)]
    (tmp_path / "sweep.json").write_text(json.dumps({"preset": None, "scale": 1.0, "cells": cells}))
    found = reading.read([tmp_path])
    (group,) = groups(found.runs)["toy/catch"]
    assert group.name == "short"
    assert found.left_out == [(str(tmp_path / "s2"), "not begun")]


def test_no_finished_run_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^no finished run to report: .*: there is no such folder$"):
        reading.read([tmp_path / "nothing"])


def test_the_papers_numbers_stand_beside_ours(another, tmp_path):
    folders = []
    for seed in range(2):
        settings = {"env": "atari/qbert", "seed": seed}
        folders.append(another(f"l{seed}", (100.0, 200.0 + seed), settings=settings))
    cells = [{"folder": each.name, "variant": "Rainbow+LeVER"} for each in folders]
    sweep = {"preset": "paper/table1-memory", "scale": 0.1, "cells": cells}
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    found = contents.collect(reading.read([tmp_path]), None)
    (table,) = found.overall
    assert table.rows == [["atari/qbert: Rainbow+LeVER", "3,231.0 ± 1,567.6", "200 [200, 201]", "2", "164", "13,455"]]
    assert "0.1 of the paper's length" in table.notes
    assert found.title == paper.load("paper/table1-memory").title


def test_all_games_together_are_human_normalised(another):
    folders = [
        another(f"{game}{seed}", (0.0, score), settings={"env": f"atari/{game}", "seed": seed})
        for game, score in (("qbert", 163.9), ("krull", 2665.5))  # random play, and a human tester (Wang et al. 2016)
        for seed in range(2)
    ]
    (table,) = contents.collect(reading.read(folders), None).overall
    assert table.rows == [["rainbow, 3.0 MB, frozen at 300", "2", "4", "0.500 [0.500, 0.500]", "0.500 [0.500, 0.500]"]]


def test_the_printed_command_is_the_run(real, small, parsed):
    configs = [
        load(real / "config.toml"),
        small(run={"freeze_at": None, "process_limit": 10**9, "device": "jetson_nano"}, agent={"learning_rate": 0.5}),
        small(env="dmc/walker-walk", run={"steps": 9000, "freeze_at": 2000, "budget": 2 * 10**7, "action_repeat": 3}),
        small(
            env="atari/qbert", run={"steps": 9000, "freeze_at": 2000, "sticky_actions": 0.25, "full_action_set": True}
        ),
        small(run={"stop_at_flops": 1e9}, replay={"reward_clip": None, "latent_dtype": "uint8"}),
    ]
    for config in configs:
        assert parsed(shlex.split(command(config))[2:]) == config


def test_seeds_of_one_variant_are_one_loop(another):
    folders = [another(f"a{seed}", settings={"seed": seed}) for seed in (0, 3)]
    (commands,) = contents.collect(reading.read(folders), None).commands
    (line,) = commands.lines
    assert line.startswith("for seed in 0 3; do edgerl train --env toy/catch ")
    assert "--seed $seed " in line


def test_numbers_are_short_and_none_where_there_is_none():
    assert plain([1.0, 123456.789, float("nan"), None, 0.123456789, 2.5e13]) == [
        1,
        123460.0,
        None,
        None,
        0.12346,
        2.5e13,
    ]


def test_long_curves_keep_their_highest_memory(another):
    folder = another("long")
    lines = [{"step": step, "seconds": step, "memory/rss_bytes": 10**6, "replay/rows": step} for step in range(1, 5001)]
    lines[2345]["memory/rss_bytes"] = 9 * 10**9  # above what these tests themselves hold
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (section,) = contents.collect(reading.read([folder]), None).sections
    (variant,) = section.curves["variants"]
    assert max(variant["memory"]["y"]) == 9000
    assert len(variant["memory"]["x"]) == len(variant["rows"]["x"]) == POINTS


def test_a_run_shorter_than_its_log_has_its_ends(real):
    (group,) = groups(reading.read([real]).runs)["toy/catch"]
    summary = group.first.summary
    steps, rows = group.first.metrics["replay/rows"]
    assert (steps[0], rows[0], steps[-1], rows[-1]) == (0, 0, 400, summary["replay"]["rows"])
    steps, resident = group.first.metrics["memory/rss_bytes"]
    assert resident[steps == 300].tolist() == [summary["memory"]["rss_after_freeze"]]


@pytest.mark.parametrize(
    ("out", "form", "message"),
    [
        ("report.pdf", None, "--out: .*report.pdf ends in none of .html, .md, .json, .png; --format says what it is"),
        ("report.html", "htm", "--format: unknown format 'htm'; the nearest is html; there are html, md, json, png"),
        ("no/report.html", None, "--out: there is no folder .*no"),
        ("", "html", "--out: .* is a folder; name a file"),
    ],
)
def test_what_cannot_be_written_is_said_first(real, tmp_path, out, form, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        write.write([real], tmp_path / out, form)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_report(real, tmp_path):
    out = tmp_path / "report.md"
    out.write_text("old")
    (tmp_path / ".report.md.part").symlink_to("/dev/full")
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        write.write([real], out)
    assert out.read_text() == "old"


def test_markdown_json_and_picture(another, tmp_path):
    folders = [another(f"a{seed}", (0, seed), settings={"seed": seed}) for seed in range(2)]
    write.write(folders, tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text()
    assert "| rainbow, 3.0 MB, frozen at 300 |" in text
    assert "0.50 [0.00, 1.00]" in text
    write.write(folders, tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["sections"][0]["curves"]["variants"][0]["seeds"][1] == {"seed": 1, "y": [0, 1]}
    write.write(folders, tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_says_what_it_wrote_and_what_it_left_out(program, another, tmp_path):
    whole, out = another("whole"), tmp_path / "page.md"
    code, said, errors = program("report", whole, tmp_path / "gone", "--out", out, "--title", "Mine")
    assert code == 0
    assert said == f"report in {out} ({format_bytes(out.stat().st_size)})\n"
    assert errors == [f"edgerl: left out: {tmp_path / 'gone'}: there is no such folder"]
    assert out.read_text().startswith("# Mine\n")


def test_the_command_fails_in_one_line_and_writes_nothing(program, tmp_path):
    code, said, errors = program("report", tmp_path / "gone", "--out", tmp_path / "page.html")
    assert (code, said) == (2, "")
    assert errors == [f"edgerl: no finished run to report: {tmp_path / 'gone'}: there is no such folder"]
    assert list(tmp_path.iterdir()) == []
