"""What `edgerl card` refuses, and that it leaves nothing half-made."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
from broken_runs import damaged, empty, no_run
from disk import files_end_at
from waiting import until

import edgerl
from edgerl.errors import CheckpointError, ConfigError
from edgerl.experiments.card import card as making
from edgerl.experiments.export import export as exporting

CATCH = {"env": "toy/catch", "budget": "1.5MB", "threads": 1, "steps": 60, "learn_start": 30, "hidden": 8}
CATCH |= {"batch_size": 4, "eval_every": 0, "checkpoint_every": 30, "freeze_at": "never"}


@pytest.fixture(scope="module")
def run(uninterrupted):
    """The folder of a run. To be read only."""
    return uninterrupted(edgerl.configure(**CATCH))


def a_card(folder):
    (folder / "card").mkdir()
    (folder / "card" / "README.md").write_text("mine")
    return folder / "card"


def a_file(folder):
    (folder / "card").touch()
    return folder / "card"


@pytest.mark.parametrize(("place", "options", "words"), [
    (a_card, [], "exists; name another folder, or give --force to write over it"),
    (a_file, ["--force"], "is a file; name a folder"),
    (lambda folder: folder / "no" / "card", [], "there is no folder "),
    (lambda folder: folder / ("x" * 251), [], "cannot be written: File name too long"),
    (lambda folder: folder / ("x" * 300), [], "cannot be written: File name too long"),
    (lambda folder: folder / "card", ["--episodes", "0"], "--episodes: 0 is below 1"),
    (lambda folder: folder / "card", ["--seed", "-1"], "--seed: -1 is below 0"),
    (lambda folder: folder / "card", ["--license", "MIT licence"], "--license: 'MIT licence' is no name"),
])  # fmt: skip
def test_what_cannot_be_made_is_one_line_before_any_work(place, options, words, tmp_path, program):
    out = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, text, lines = program("card", tmp_path / "no run", "--out", out, *options)
    assert (code, text, len(lines)) == (2, "", 1), lines
    assert words in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_force_writes_over_nothing_but_a_card(run, tmp_path, program):
    out = a_card(tmp_path)
    (out / "thesis.tex").write_text("years of work")
    code, _, lines = program("card", run, "--out", out, "--force")
    assert code == 2
    assert lines == [f"edgerl: --out: {out} holds thesis.tex, which is of no card; --force writes over a card alone"]
    assert (out / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(("change", "words"), [
    (empty, "checkpoint holds no checkpoint"),
    (no_run, "config.toml does not exist"),
    (damaged, "weights.safetensors is damaged: its checksum differs"),
])  # fmt: skip
def test_a_run_that_cannot_be_read_is_one_line(change, words, run, tmp_path, program):
    folder = shutil.copytree(run, tmp_path / "run")
    change(folder)
    code, text, lines = program("card", folder, "--out", tmp_path / "card")
    assert (code, text, len(lines)) == (2, "", 1), lines
    assert words in lines[0]
    assert {place.name for place in tmp_path.iterdir()} <= {"run"}


@pytest.mark.parametrize("package", ["PIL", "imageio_ffmpeg"])
def test_a_missing_package_of_the_film_is_one_line_that_says_what_to_do(package, tmp_path):
    program = f"import sys; sys.modules[{package!r}] = None; from edgerl.commands.app import main; main()"
    command = [sys.executable, "-c", program, "card", str(tmp_path), "--out", str(tmp_path / "card")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    install = "pip install -c constraints.txt -e '.[video]'"
    line = f"edgerl: the film needs the package {package}: {install}, or give --no-video\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", line)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_summary_lacks_its_facts_and_a_damaged_checkpoint_is_passed_over(run, tmp_path, program, few):
    folder, out = shutil.copytree(run, tmp_path / "run"), tmp_path / "card"
    (folder / "checkpoint" / "000000060" / "weights.safetensors").write_bytes(b"damaged")
    summary = json.loads((folder / "summary.json").read_text())
    for change, why in ((lambda: summary.pop("memory"), "KeyError('memory')"), (summary.clear, "has no summary.json")):
        change()
        (folder / "summary.json").write_text(json.dumps(summary))
        code, text, lines = program("card", folder, "--out", out, "--no-video", "--episodes", 1, "--force")
        assert (code, len(lines)) == (0, 2), lines
        assert lines[0].startswith("edgerl: passed over: ")
        assert why in lines[1]
        assert "step 30: " in text
        assert "| memory |" not in (out / "README.md").read_text()


def test_a_checkpoint_written_meanwhile_is_refused(run, tmp_path, monkeypatch, few):
    folder = shutil.copytree(run, tmp_path / "run")

    def export_another(*arguments):
        shutil.rmtree(folder / "checkpoint" / "000000060")
        return exporting.export(*arguments)

    monkeypatch.setattr(making, "export", export_another)
    with pytest.raises(CheckpointError, match="000000060 is no longer the newest checkpoint"):
        edgerl.card(folder, tmp_path / "card", film=False)
    assert [place.name for place in tmp_path.iterdir()] == ["run"]


@pytest.mark.usefixtures("few")
def test_a_disk_that_refuses_leaves_what_was_there(run, tmp_path):
    out = a_card(tmp_path)
    with files_end_at(10_000), pytest.raises(ConfigError, match="File too large"):
        edgerl.card(run, out, episodes=1, force=True)
    assert [place.name for place in tmp_path.iterdir()] == ["card"]
    assert (out / "README.md").read_text() == "mine"


def test_after_ctrl_c_nothing_is_left(run, tmp_path):
    out = tmp_path / "card"
    command = [sys.executable, "-m", "edgerl", "card", str(run), "--out", str(out), "--episodes", "100000000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until(lambda: (tmp_path / ".card.part" / ".replay.mp4.part").exists() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=300)[1]
    assert (process.returncode, errors) == (130, "edgerl: interrupted\n")
    assert list(tmp_path.iterdir()) == []
