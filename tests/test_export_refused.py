"""What is refused: policies that act otherwise, runs that cannot be read, files that cannot be written."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from broken_runs import damaged, empty, no_run
from disk import files_end_at

import edgerl
from edgerl.agents.layers.dense import Stack
from edgerl.errors import CheckpointError, ConfigError, ExportError
from edgerl.experiments.export.parity import of_values, of_vectors
from runtime import export as stem_writer

CATCH = {"env": "toy/catch", "budget": "1.5MB", "threads": 1, "steps": 120, "learn_start": 30, "hidden": 8}
CATCH |= {"batch_size": 4, "eval_every": 0, "checkpoint_every": 60}
RUNS = {
    "rainbow": CATCH | {"freeze_at": "never"},
    "rainbow frozen": CATCH | {"freeze_at": 80},
    "dqn": CATCH | {"freeze_at": "never", "algo": "dqn"},
}


def test_a_tie_is_no_other_action():
    own = {"values": np.float32([[1, 1.00001], [0, 2], [5, 5]]), "action": np.array([1, 1, 0])}
    given = {"values": np.float32([[1.00001, 1], [0, 2], [5, 5]]), "action": np.array([0, 1, 1])}
    parity = of_values(own, given)
    parity.check()
    assert (parity.windows, parity.ties, parity.other_actions) == (3, 2, 0)
    assert parity.largest_difference == pytest.approx(1e-5, rel=0.1)
    assert parity.tolerance == pytest.approx(5e-4)


@pytest.mark.parametrize("values", [[[0, 2.01]], [[0, np.nan]]])
def test_values_that_differ_are_refused(values):
    own = {"values": np.float32([[0, 2]]), "action": np.array([1])}
    with pytest.raises(ExportError, match="differs from the program's by"):
        of_values(own, {"values": np.float32(values), "action": np.array([1])}).check()


def test_an_action_that_differs_is_refused_if_the_values_are_no_tie():
    values = np.float32([[0, 2], [0, 2]])
    own, given = ({"values": values, "action": np.array(actions)} for actions in ([1, 1], [1, 0]))
    with pytest.raises(ExportError, match="acts otherwise than the program's on 1 of 2 windows"):
        of_values(own, given).check()


def test_actions_are_compared_as_shares_of_their_range():
    own = {"action": np.float32([[0.5, -1]]), "log_std": np.zeros((1, 2), np.float32)}
    bounds = np.array([-2000.0, 0.0]), np.array([2000.0, 1.0])
    given = {"action": np.float32([[1000.1, 0]]), "log_std": np.zeros((1, 2), np.float32)}
    parity = of_vectors(own, given, bounds)
    parity.check()
    assert parity.largest_difference == pytest.approx(0.1 / 2000, rel=0.01)
    given["action"][0, 1] = 0.001
    assert of_vectors(own, given, bounds).other_actions == 1


def test_a_policy_that_differs_is_not_written(trained, tmp_path, program, monkeypatch):
    monkeypatch.setattr(stem_writer, "PIXEL", np.float32(1 / 200))
    code, text, lines = program("export", trained("rainbow"), "--out", tmp_path / "policy.onnx")
    assert (code, text, len(lines)) == (1, "", 1), lines
    assert "edgerl: the exported policy differs from the program's by " in lines[0]
    assert list(tmp_path.iterdir()) == []


def stem_damaged(folder):
    (folder / "encoder.onnx").write_bytes(b"damaged")


def newer_format(folder):
    place = folder / "checkpoint" / "000000120"
    values = json.loads((place / "state.json").read_text()) | {"format": 999}
    del values["checksum"]
    checksum = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    (place / "state.json").write_text(json.dumps({"checksum": checksum, **values}))


def newer_agent(folder):
    file = folder / "config.toml"
    unsealed = file.read_text().partition("\n")[2]
    file.write_text(unsealed.replace('algo = "rainbow"', 'algo = "rainbow2"'))


@pytest.mark.parametrize(("change", "words"), [
    (empty, "checkpoint holds no checkpoint"),
    (no_run, "config.toml does not exist"),
    (damaged, "weights.safetensors is damaged: its checksum differs"),
    (stem_damaged, "encoder.onnx is damaged: its checksum differs"),
    (newer_format, "has format 999, this edgerl reads 2 and 3"),
    (newer_agent, "rainbow2"),
])  # fmt: skip
def test_a_run_that_cannot_be_read_is_one_line(change, words, trained, tmp_path, program):
    folder = shutil.copytree(trained("rainbow frozen"), tmp_path / "run")
    change(folder)
    code, text, lines = program("export", folder, "--out", tmp_path / "policy.onnx")
    assert (code, text, len(lines)) == (2, "", 1), lines
    assert words in lines[0]
    assert not (tmp_path / "policy.onnx").exists()


@pytest.mark.usefixtures("few")
def test_a_damaged_newer_checkpoint_is_passed_over_and_said(trained, tmp_path, program):
    folder = shutil.copytree(trained("rainbow"), tmp_path / "run")
    (folder / "checkpoint" / "000000120" / "weights.safetensors").write_bytes(b"damaged")
    code, text, lines = program("export", folder, "--out", tmp_path / "policy.onnx")
    assert (code, len(lines)) == (0, 1), lines
    assert "passed over: " in lines[0]
    assert "step 60: " in text


def there(folder):
    (folder / "policy.onnx").write_bytes(b"another")
    return folder / "policy.onnx"


def missing(folder):
    return folder / "nowhere" / "policy.onnx"


def beyond_a_file(folder):
    (folder / "file").touch()
    return folder / "file" / "policy.onnx"


def too_long(folder):
    return folder / ("long" * 100)


@pytest.mark.parametrize(("place", "words"), [
    (there, "policy.onnx exists; name another file, or give --force to write over it"),
    (lambda folder: folder, "is a folder; name a file"),
    (missing, "there is no folder "),
    (beyond_a_file, "there is no folder "),
    (too_long, "cannot be written: File name too long"),
])  # fmt: skip
def test_an_output_that_cannot_be_written_is_refused_before_any_work(place, words, tmp_path, program):
    out = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, text, lines = program("export", tmp_path / "no run", "--out", out)
    assert (code, text, len(lines)) == (2, "", 1), lines
    assert "edgerl: --out: " in lines[0]
    assert words in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("few")
def test_a_disk_that_refuses_leaves_nothing_or_what_was_there(trained, tmp_path):
    out, folder = there(tmp_path), trained("dqn")
    with files_end_at(10_000), pytest.raises(ConfigError, match=r"policy\.onnx cannot be written: File too large"):
        edgerl.export(folder, out, force=True)
    assert [file.name for file in tmp_path.iterdir()] == ["policy.onnx"]
    assert out.read_bytes() == b"another"


@pytest.mark.usefixtures("few")
def test_force_writes_over_what_is_there(trained, tmp_path, program):
    out = there(tmp_path)
    assert program("export", trained("dqn"), "--out", out, "--force")[0] == 0
    assert out.read_bytes() != b"another"
    assert edgerl.export(trained("dqn"), tmp_path / "new.onnx")["windows"] == 40
    assert out.read_bytes() == (tmp_path / "new.onnx").read_bytes()


def test_weights_that_are_missing_are_of_another_run(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(Stack, "operations", lambda stack, name: (stem_writer.Linear(f"{name}.9"),))
    with pytest.raises(CheckpointError, match=r"is of another run: .*head\.9\.weight"):
        edgerl.export(trained("dqn"), tmp_path / "policy.onnx")
