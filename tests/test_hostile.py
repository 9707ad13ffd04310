"""Files that somebody else made: refused in one line or read, never more; and code they name, imported when asked."""

import contextlib
import json
import shutil
import sys
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

import device_profiles
from edgerl import configure, load, plugins, reading, train
from edgerl.config import toml
from edgerl.errors import ConfigError, NotTrusted
from edgerl.experiments.reports import write
from edgerl.experiments.sweeps import manifest
from edgerl.runs.folder import locked

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import hostile

SETTINGS = {"env": "rising:Rising", "budget": "1.5MB", "threads": 1, "hidden": 8, "learn_start": 20, "steps": 60}
SETTINGS |= {"freeze_at": 30, "eval_every": 30, "eval_episodes": 1, "checkpoint_every": 0, "snapshot_every": 20}


def test_every_reader_refuses_in_one_line_or_reads():
    for kind in hostile.run(400, seed=1):
        assert kind.counts["inputs"] == kind.counts["refused"] + kind.counts["accepted"] > 0, kind.examples
        assert (kind.counts["outside"], kind.counts["code"]) == (0, 0), kind.name
        assert kind.memory < 16 * kind.largest + 2**20, kind.name
        assert kind.seconds < hostile.LONGEST, kind.name


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)
WITHOUT_NONE = st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"))
KEYS = st.sampled_from(("env", "steps", "budget", "freeze_at", "env_arg", "device", "seed", "encoder")) | st.text(
    "a.\n"
)
NESTED = st.recursive(WITHOUT_NONE, lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner), max_leaves=9)
TABLES = st.dictionaries(st.sampled_from(("run", "agent", "replay", "x")), st.dictionaries(KEYS, NESTED))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("texts")


def refused(read, error):
    """Have something read; it may be refused by this error, and nothing else may be raised."""
    with contextlib.suppress(error):
        read()


@given(st.text() | TABLES.map(tomli_w.dumps))
def test_any_text_is_a_configuration_or_refused(folder, text):
    file = folder / "config.toml"
    file.write_bytes(text.encode(errors="surrogatepass"))
    refused(lambda: toml.load(file), ConfigError)


@given(st.text() | st.dictionaries(st.sampled_from(("title", "clusters", "ram", "modes")), NESTED).map(tomli_w.dumps))
def test_any_text_is_a_device_or_refused(folder, text):
    file = folder / "board.toml"
    file.write_bytes(text.encode(errors="surrogatepass"))
    refused(lambda: device_profiles.read(file), device_profiles.ProfileError)


@given(VALUES | st.fixed_dictionaries({"format": st.just(1), "cells": st.lists(VALUES), "preset": VALUES}))
def test_any_json_is_a_sweep_or_refused(folder, value):
    (folder / "sweep.json").write_text(json.dumps(value))
    refused(lambda: manifest.read(folder), ConfigError)
    refused(lambda: write.write([folder], folder / "report.md"), ConfigError)


@given(VALUES)
def test_json_is_read_as_json_is_but_for_what_nobody_can_write(value):
    read = reading.parsed(json.dumps(value).encode())
    json.dumps(read, allow_nan=False, ensure_ascii=False).encode()
    if "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value) and "\\ud" not in json.dumps(value):
        assert read == value


@pytest.mark.parametrize("text", ["a" + ".a" * 30_000 + " = 1", "a = " + "[" * 30_000, "x" * 60_000, "#" * 70_000])
def test_a_configuration_that_would_take_the_parser_long_is_refused_at_once(text, tmp_path):
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match="is not a run's configuration"):
        toml.load(tmp_path / "config.toml")


CELL = {"name": "n", "folder": "c", "env": "toy/catch", "variant": "v", "seed": 0, "arguments": ["--seed", "0"]}
CELL |= {"steps": 9, "threads": 1, "planned_bytes": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"folder": "../mine"}, "cells[0].folder is not the name of a folder"),
        ({"folder": "/mine"}, "cells[0].folder is not the name of a folder"),
        ({"begins_in": ".."}, "cells[0].begins_in is not the name of a folder"),
        ({"arguments": ["--out", "../mine"]}, "c has the argument '--out', which is no setting's"),
        ({"arguments": ["--seed", "0", "--resume", "../mine"]}, "c has the argument '--resume', which is no setting's"),
        ({"differs": ["--set"]}, "c has --set without a value"),
        ({"steps": 0}, "cells[0].steps is not a number of steps"),
    ],
)
def test_a_sweep_reaches_no_folder_but_its_own(change, reason, program, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kept.txt").touch()
    values = {"format": 1, "preset": None, "scale": 1.0, "title": None, "cells": [CELL | change]}
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/sweep.json").write_text(json.dumps(values))
    code, printed, lines = program("sweep", "--resume", tmp_path / "theirs")
    assert (code, printed) == (2, "")
    assert lines == [f"edgerl: --resume: {tmp_path / 'theirs/sweep.json'} is not a sweep's: {reason}"]
    assert (tmp_path / "mine/kept.txt").exists()


def test_no_picture_from_elsewhere_comes_into_a_report(snapshotted, program, tmp_path):
    run, secret = shutil.copytree(snapshotted, tmp_path / "run"), tmp_path / "secret"
    secret.write_bytes(b"\x89PNG\r\n\x1a\nof mine")
    program("analyze", run, "--frames", 200)
    before = (run / "attention.png").read_bytes()
    write.write([run], tmp_path / "whole.json")
    (run / "attention.png").unlink()
    (run / "attention.png").symlink_to(secret)
    write.write([run], tmp_path / "linked.json")
    (run / "attention.png").unlink()
    (run / "attention.png").write_bytes(b"no picture" + before)
    write.write([run], tmp_path / "other.html")
    analyses = [len(json.loads((tmp_path / f"{name}.json").read_text())["sections"][0]["analyses"])
                for name in ("whole", "linked")]  # fmt: skip
    assert analyses == [1, 0]
    assert 'src="data:,"' in (tmp_path / "other.html").read_text()


def test_names_are_text_in_markdown_and_in_a_picture(real, tmp_path):
    name = "a|b\n<script>\x1b $\\frac$ &amp;"
    shutil.copytree(real, tmp_path / "sweep/run")
    (tmp_path / "sweep/sweep.json").write_text(json.dumps({"cells": [{"folder": "run", "variant": name}]}))
    write.write([tmp_path / "sweep"], tmp_path / "report.md")
    rows = [line for line in (tmp_path / "report.md").read_text().splitlines() if "script" in line]
    assert len(rows) == 2  # of scores and of cost
    assert all("| a\\|b &lt;script>\\x1b $" in row for row in rows)
    write.write([tmp_path / "sweep"], tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_the_lock_of_a_folder_writes_no_file_that_a_link_leads_to(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(ConfigError, match="symbolic link"), locked(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """The folder of a run on an environment of its maker's own. To be read only."""
    folder = tmp_path_factory.mktemp("theirs") / "run"
    train(configure(**SETTINGS), folder)
    return folder


@pytest.fixture
def nobody_asked(monkeypatch):
    """As in a fresh process: no code was asked for, and the module is not imported."""
    monkeypatch.setattr(plugins, "_asked_for", set())
    monkeypatch.delitem(sys.modules, "rising", raising=False)


OURS = ("train", "--env", "toy/catch", "--budget", "1.5MB", "--steps", "30", "--freeze-at", "never", "--threads", "1")
COMMANDS = {
    "eval": ("eval", "THEIRS", "--episodes", "1"),
    "export": ("export", "THEIRS", "--out", "OUT"),
    "export for training": ("export", "THEIRS", "--for-training", "OUT"),
    "card": ("card", "THEIRS", "--out", "OUT", "--episodes", "1", "--no-video"),
    "analyze": ("analyze", "THEIRS", "--out", "OUT", "--frames", "200"),
    "plan": ("plan", "--config", "THEIRS/config.toml"),
    "train": (*OURS, "--quiet", "--encoder-from", "THEIRS", "--out", "OUT"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_code_that_their_file_names_is_imported_only_if_it_is_trusted(command, theirs, nobody_asked, program, tmp_path):
    words = [word.replace("THEIRS", str(theirs)).replace("OUT", str(tmp_path / "out")) for word in COMMANDS[command]]
    code, printed, lines = program(*words)
    assert (code, printed, "rising" in sys.modules) == (2, "", False)
    why = f"{theirs / 'config.toml'} names code to import, 'rising:Rising': if you trust it, give --trust"
    assert lines == [f"edgerl: {'--encoder-from: ' if command == 'train' else ''}{why}"]
    assert not (tmp_path / "out").exists()
    code, _, lines = program(*words, "--trust")
    fits = command != "train"  # its frames are smaller than ours, and only its code says so
    assert (code, "rising" in sys.modules) == (0 if fits else 2, True), lines


def test_a_report_imports_nothing(theirs, nobody_asked, program, tmp_path):
    code, _, lines = program("report", theirs, "--out", tmp_path / "report.md")
    assert (code, lines, "rising" in sys.modules) == (0, [], False)
    assert "rising:Rising" in (tmp_path / "report.md").read_text()


def test_who_names_code_or_trains_on_it_has_asked_for_it(theirs, nobody_asked, program, monkeypatch, tmp_path):
    assert program("plan", "--config", theirs / "config.toml", "--env", "rising:Rising")[0] == 0
    monkeypatch.setattr(plugins, "_asked_for", set())
    run = shutil.copytree(theirs, tmp_path / "run")
    assert program("train", "--resume", run, "--steps", "70", "--quiet")[::2] == (0, [])
    monkeypatch.setattr(plugins, "_asked_for", set())
    with pytest.raises(NotTrusted):
        load(theirs)
    assert load(theirs, trust=True).step == 60
    assert load(theirs).step == 60  # asked for once


def test_a_variable_of_the_environment_trusts_for_good(theirs, nobody_asked, program, monkeypatch):
    monkeypatch.setenv("EDGERL_TRUST", "1")
    assert program("plan", "--config", theirs / "config.toml")[0] == 0


def test_an_encoder_and_an_id_with_a_module_are_code_too(small, program, tmp_path):
    for number, settings in enumerate(({"encoder": "nobodys:layers"}, {"env": "gym/nobodys:Any-v0"})):
        file = tmp_path / f"{number}.toml"
        file.write_text(small(run={"steps": 50, "freeze_at": "never"}).to_toml())
        tables = toml.read(file)
        tables["run" if "env" in settings else "agent"] |= settings
        file.write_text(tomli_w.dumps(tables))
        code, _, (line,) = program("plan", "--config", file)
        assert code == 2
        assert line.endswith("if you trust it, give --trust")
