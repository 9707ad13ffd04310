"""What `edgerl export --for-training` writes: a small folder that runs begin with, and that nothing else mistakes."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import quick
from disk import files_end_at
from steered import UNCROPPED
from test_control import final
from transfers import TINY, tiny

import edgerl
from edgerl.runs import files
from edgerl.training import train
from edgerl.training.evaluate import evaluate_run
from memory_budget import format_bytes

ROOT = Path(__file__).parents[1]
HIDDEN = "import sys; sys.modules['torch'] = None\nfrom edgerl.commands.app import main\nmain()"
STEERED = TINY | UNCROPPED | {"random_steps": 2}
RUNS = {
    "whole": TINY | {"env": "toy/catch", "freeze_at": "never"},
    "frozen": TINY | {"env": "toy/catch", "freeze_at": 8},
    "frozen early": TINY | {"env": "toy/catch", "freeze_at": 8, "cut": "conv1"},
    "curl": STEERED | {"algo": "curl", "freeze_at": "never"},
    "curl frozen": STEERED | {"algo": "curl", "freeze_at": 8},
    "sac frozen early": STEERED | {"algo": "sac", "freeze_at": 8, "cut": "conv4"},
}
EACH = quick(RUNS, "whole", "frozen")


@pytest.fixture
def light(trained, tmp_path, program):
    """The folder that a run of RUNS is exported to, and what was printed."""

    def exported(name):
        code, text, lines = program("export", trained(name), "--for-training", tmp_path / "light")
        assert (code, lines) == (0, [])
        return tmp_path / "light", text

    return exported


def size_of(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", EACH)
def test_a_run_begins_with_it_as_with_the_run_itself(name, trained, light, tmp_path):
    folder, text = light(name)
    assert f"step 12: {folder} ({format_bytes(size_of(folder))})" in text
    names = {"config.toml", "checkpoint/000000012/state.json", "checkpoint/000000012/weights.safetensors"}
    names |= {"encoder.onnx"} if "frozen" in name else set()
    assert {str(file) for file in contents(folder)} == names
    states = []
    for source in (folder, trained(name)):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        begun = edgerl.configure(**RUNS[name] | {"freeze_at": 0, "encoder_from": str(source), "transfer": "all"})
        assert train.train(begun, tmp_path / "run", quiet=True)["status"] == "finished"
        states.append(final(tmp_path / "run", 12))
    (arrays, state, rows), (expected, state_expected, rows_expected) = states
    assert arrays.keys() == expected.keys()
    assert [key for key in arrays if not np.array_equal(arrays[key], expected[key])] == []
    for origin in (state["trainer"].pop("origin"), state_expected["trainer"].pop("origin")):
        assert origin["step"] == 12
    assert state["agent"] == state_expected["agent"]
    assert rows == rows_expected


@pytest.mark.parametrize("name", EACH)
def test_it_is_played_and_exported_as_the_run_is(name, trained, light, tmp_path, program, monkeypatch):
    monkeypatch.setattr("edgerl.experiments.export.export.WINDOWS", 20)
    folder, _ = light(name)
    scores = [evaluate_run(run, episodes=2, seed=0, threads=1, say=print) for run in (folder, trained(name))]
    assert scores[0] == scores[1]
    assert program("export", folder, "--out", tmp_path / "policy.onnx")[0] == 0


@pytest.mark.parametrize("name", ["frozen", "curl frozen", pytest.param("curl", marks=pytest.mark.long)])
def test_a_board_goes_on_with_the_printed_command_and_never_imports_torch(name, light, tmp_path):
    folder, text = light(name)
    (line,) = [line for line in text.splitlines() if line.startswith("    edgerl train ")]
    for option in (f"--encoder-from {folder}", "--transfer all", "--freeze-at 0", "--env "):
        assert option in line
    assert "--threads" not in line
    command = [sys.executable, "-c", HIDDEN, *shlex.split(line)[1:], "--threads", "1", "--out", str(tmp_path / "run")]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["steps"], summary["freeze"]["step"]) == ("finished", 12, 0)
    assert summary["memory"]["torch_loaded"] is False
    assert summary["transfer"]["run"] == str(folder)


def test_the_settings_of_the_run_go_with_it_and_those_of_its_machine_do_not(tmp_path, program):
    settings = tiny(accelerator="auto", keep_torch=True, hidden=9, process_limit="9GB", steps=8, until=1)
    train.train(settings, tmp_path / "run", quiet=True)
    text = program("export", tmp_path / "run", "--for-training", tmp_path / "light")[1]
    assert "--hidden 9" in text or "agent.hidden=9" in text
    for option in ("--accelerator", "--keep-torch", "--process-limit", "--until", "--device", "--freeze-by"):
        assert option not in text


def test_an_encoder_that_only_torch_trains_is_said(tmp_path, program):
    train.train(tiny(encoder="impala", steps=8), tmp_path / "run", quiet=True)
    code, _, lines = program("export", tmp_path / "run", "--for-training", tmp_path / "light")
    assert code == 0
    assert lines == [
        "edgerl: --for-training: its encoder has blocks, which only torch trains: the board needs torch too"
    ]


@pytest.mark.parametrize("option", ["--resume", "--fork"])
def test_it_is_neither_resumed_nor_forked(option, light, tmp_path, program):
    folder, _ = light("whole")
    before = contents(folder)
    said = program("train", option, folder, *([] if option == "--resume" else ["--out", tmp_path / "run"]))
    assert said == (2, "", [f"edgerl: {option}: {folder} holds no replay: begin a run with --encoder-from {folder}"])
    assert contents(folder) == before
    assert not (tmp_path / "run").exists()


def there(folder):
    (folder / "light").mkdir()
    return folder / "light"


def a_file(folder):
    (folder / "light").touch()
    return folder / "light"


@pytest.mark.parametrize(("place", "options", "words"), [
    (there, [], "light exists; name another folder, or give --force to replace it"),
    (a_file, ["--force"], "light is a file; name a folder"),
    (lambda folder: folder / "nowhere" / "light", [], "there is no folder "),
    (lambda folder: folder / ("long" * 100), [], "cannot be written: File name too long"),
])  # fmt: skip
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(place, options, words, tmp_path, program):
    folder = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, text, lines = program("export", tmp_path / "no run", "--for-training", folder, *options)
    assert (code, text, len(lines)) == (2, "", 1), lines
    assert lines[0].startswith("edgerl: --for-training: ")
    assert words in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("options", [["--int8"], ["--out", "policy.onnx"], ["--episodes", "3"]])
def test_it_is_no_policy(options, tmp_path, program):
    said = program("export", tmp_path / "no run", "--for-training", tmp_path / "light", *options)
    assert said == (2, "", [f"edgerl: {options[0]}: --for-training writes no policy; give one of them"])


def test_force_replaces_only_such_a_folder_whole_or_not_at_all(trained, light, program):
    folder, _ = light("whole")
    before, frozen = contents(folder), trained("frozen")
    with files_end_at(10_000):
        code, _, lines = program("export", frozen, "--for-training", folder, "--force")
    assert (code, lines) == (2, [f"edgerl: --for-training: {folder} cannot be written: File too large"])
    assert contents(folder) == before
    assert program("export", trained("frozen"), "--for-training", folder, "--force")[0] == 0
    assert (folder / "encoder.onnx").exists()
    assert list(folder.parent.iterdir()) == [folder]
    run = shutil.copytree(trained("whole"), folder.parent / "run")
    code, _, lines = program("export", trained("frozen"), "--for-training", run, "--force")
    assert (code, lines) == (2, [f"edgerl: --for-training: {run} holds something else, which --force does not replace"])
    assert contents(run) == contents(trained("whole"))


def test_an_interruption_leaves_nothing(trained, tmp_path, program, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "sync", interrupt)
    said = program("export", trained("whole"), "--for-training", tmp_path / "light")
    assert said == (130, "", ["edgerl: interrupted"])
    assert list(tmp_path.iterdir()) == []


def without_checkpoint(run):
    shutil.rmtree(run / "checkpoint")


def damaged(run):
    (run / "checkpoint" / "000000012" / "weights.safetensors").write_bytes(b"damaged")
    shutil.rmtree(run / "checkpoint" / "000000000")


def stem_damaged(run):
    (run / "encoder.onnx").write_bytes(b"damaged")


@pytest.mark.parametrize(("change", "words"), [
    (without_checkpoint, "checkpoint holds no checkpoint"),
    (damaged, "weights.safetensors is damaged: its checksum differs"),
    (stem_damaged, "encoder.onnx is damaged: its checksum differs"),
    (shutil.rmtree, "config.toml does not exist"),
])  # fmt: skip
def test_a_run_that_cannot_be_read_is_one_line(change, words, trained, tmp_path, program):
    run = shutil.copytree(trained("frozen"), tmp_path / "run")
    change(run)
    code, text, lines = program("export", run, "--for-training", tmp_path / "light")
    assert (code, text, len(lines)) == (2, "", 1), lines
    assert words in lines[0]
    assert not (tmp_path / "light").exists()


def test_a_damaged_newer_checkpoint_is_passed_over_and_said(trained, tmp_path, program):
    run = shutil.copytree(trained("whole"), tmp_path / "run")
    (run / "checkpoint" / "000000012" / "weights.safetensors").write_bytes(b"damaged")
    code, text, lines = program("export", run, "--for-training", tmp_path / "light")
    assert (code, len(lines)) == (0, 1)
    assert "passed over: " in lines[0]
    assert "step 0: " in text
