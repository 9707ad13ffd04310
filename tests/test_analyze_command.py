"""`edgerl analyze` as a command: what it writes and prints, what it refuses in one line, and reports that show it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgerl.experiments.reports import contents, reading
from edgerl.experiments.reports.formats import text
from edgerl.runs import snapshots


@pytest.fixture
def copied(snapshotted, tmp_path):
    shutil.copytree(snapshotted, tmp_path / "run")
    return tmp_path / "run"


def test_the_command_writes_pictures_and_json_and_prints_a_table(program, copied, tmp_path):
    code, said, errors = program("analyze", copied, "--out", tmp_path / "out", "--frames", 100, "--movement", 0.2)
    assert (code, [line for line in errors if line.startswith("edgerl")]) == (0, [])
    assert "SVCCA of each layer with itself 40 steps later" in said
    assert "attention moved" in said
    assert said.splitlines()[-1] == f"svcca.png, attention.png, analysis.json in {tmp_path / 'out'}"
    for name in ("svcca.png", "attention.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
    result = json.loads((tmp_path / "out/analysis.json").read_text())
    assert result["safe"]["text"] in " ".join(said.split())
    assert result["rule"] == {"similarity": 0.9, "movement": 0.2, "from": 30}
    assert not (copied / "analysis.json").exists()


def test_a_damaged_snapshot_is_passed_over_by_name_where_others_suffice(program, copied):
    file = snapshots.place(copied, 40)
    file.write_bytes(file.read_bytes()[:-1])
    code, _, errors = program("analyze", copied, "--frames", 60)
    assert (code, len(errors)) == (0, 1)
    assert errors[0].startswith(f"edgerl: passed over: {file} is damaged: ")
    assert json.loads((copied / "analysis.json").read_text())["steps"] == [0, 110, 160]


def refused(program, *arguments):
    """The one line that a command is refused with; nothing is written."""
    code, said, errors = program("analyze", *arguments)
    errors = [line for line in errors if line.startswith("edgerl")]
    assert (code, said, len(errors)) == (2, "", 1)
    return errors[0].removeprefix("edgerl: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--frames", 0], "--frames: 0 is below 1"),
        (["--frames", 2], "--frames: 2 are too few for conv2 and its 64 neurons; give 36 at least"),
        (["--frames", 10**10], "--frames: 10,000,000,000 windows are"),
        (["--every", 200], "--every: 200 steps are more than the 170 from the first snapshot to the last"),
        (["--threads", 0], "--threads: 0 is below 1"),
        (["--similarity", 1.5], "--similarity: 1.5 is not from 0 to 1"),
        (["--movement", -1], "--movement: -1 is not from 0 to 1"),
        (["--layer", "conv3"], "--layer: 'conv3' gives no maps or is not there; those that give maps are conv1, conv2"),
        (["--layer", "value hidden"], "--layer: 'value hidden' gives no maps or is not there; those that give maps"),
        (["--out", "no/where"], "--out: there is no folder no"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_line(arguments, line, program, copied):
    before = sorted(copied.rglob("*"))
    assert refused(program, copied, *arguments).startswith(line)
    assert sorted(copied.rglob("*")) == before


def test_a_folder_without_what_it_takes_is_refused_in_one_line(program, copied, tmp_path, monkeypatch):
    assert refused(program, tmp_path) == f"{tmp_path / 'config.toml'} does not exist"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert refused(program, copied) == (
        "edgerl analyze needs the package matplotlib.figure: pip install -c constraints.txt -e '.[report]'"
    )
    monkeypatch.undo()
    for step, file in snapshots.files(copied).items():
        if step:
            file.unlink()
    words = "has one whole snapshot only, of step 0; train with --snapshot-every"
    assert refused(program, copied) == f"{copied} {words}"
    snapshots.place(copied, 0).write_bytes(b"")
    assert refused(program, copied).startswith(f"{copied} has no snapshots; train with --snapshot-every; passed over: ")
    shutil.rmtree(copied / "snapshots")
    assert refused(program, copied) == f"{copied} has no snapshots; train with --snapshot-every"


def test_a_run_that_cannot_be_written_is_refused_before_anything_is_compared(program, copied, tmp_path, monkeypatch):
    monkeypatch.setattr(
        os, "access", lambda place, mode: mode != os.W_OK or Path(place) != copied
    )  # root may write everywhere
    assert refused(program, copied) == f"--out: {copied} cannot be written: Permission denied; give another folder"
    assert program("analyze", copied, "--out", tmp_path / "elsewhere", "--frames", 60)[0] == 0


def test_a_run_without_snapshots_is_refused_before_torch_is_loaded(copied):
    shutil.rmtree(copied / "snapshots")
    settings = copied / "config.toml"
    unsealed = settings.read_text().partition("\n")[2]
    settings.write_text(unsealed.replace("keep_torch = false", "keep_torch = true"))
    script = "import sys\nfrom edgerl.commands import app\ntry: app.main()\nfinally: print('torch' in sys.modules)"
    command = [sys.executable, "-c", script, "analyze", str(copied)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "False\n")
    assert "has no snapshots" in ended.stderr


def test_a_stem_that_cannot_be_read_is_named(program, copied):
    (copied / "encoder.onnx").write_bytes(b"nothing")
    assert refused(program, copied) == f"{copied / 'encoder.onnx'} is damaged: its checksum differs"


def test_a_report_shows_what_was_analysed_and_passes_over_what_cannot_be_read(copied, program):
    assert program("analyze", copied, "--frames", 60)[0] == 0
    (section,) = contents.collect(reading.read([copied]), None).sections
    (shown,) = section.analyses
    assert shown.curves["layers"][0]["x"] == [0, 40]
    assert shown.image == str(copied / "attention.png")
    assert shown.table.rows[0][:3] == ["conv1", "stem", "32"]
    assert (shown.table.head[-2:], shown.table.rows[0][-1]) == (["at 40", "at 110"], "frozen")
    said = text.markdown(contents.collect(reading.read([copied]), None))
    assert "what its encoder learned" in said
    assert shown.safe in said
    text.as_json(contents.collect(reading.read([copied]), None))
    for broken in ("{}", "[]", '{"layers": 3}', "\x00"):
        (copied / "analysis.json").write_text(broken)
        assert contents.collect(reading.read([copied]), None).sections[0].analyses == []
