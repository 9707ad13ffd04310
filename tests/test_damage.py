"""A disk that forgets, and checkpoints that are another run's: passed over or refused by name, never trained from."""

import hashlib
import json
import re
import shutil

import pytest
from raw_arrays import files_of

from edgerl import configure, load
from edgerl.errors import CheckpointError
from edgerl.runs.checkpoint import newest
from edgerl.training import train

SETTINGS = {"env": "toy/catch", "budget": "1.5MB", "threads": 1, "hidden": 8, "learn_start": 30, "eval_every": 0}
SETTINGS |= {"steps": 60, "freeze_at": "never", "checkpoint_every": 20}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run, with checkpoints at 40 and 60."""
    folder = tmp_path_factory.mktemp("faults") / "run"
    train.train(configure(**SETTINGS), folder, quiet=True)
    return folder


def borders(place):
    """Where the sections of each file of a checkpoint begin: tensors, priorities, rows, entries of the manifest."""
    state, weights = (place / "state.json").read_bytes(), (place / "weights.safetensors").read_bytes()
    values, start = json.loads(state), 8 + int.from_bytes(weights[:8], "little")
    tensors = json.loads(weights[8:start]).values()
    found = {"state.json": [state.index(f'\n "{key}": '.encode()) + len(key) + 6 for key in values]}
    found["weights.safetensors"] = [8, start, *(start + end for tensor in tensors for end in tensor["data_offsets"])]
    size = values["replay"]["size"]
    found["priorities.raw"] = [8 * row for row in (1, size // 2, size - 1)]
    row = (values["segments"]["rows"]["stop"]) // size
    found["newest rows"] = [row, 2 * row, 3 * row]
    return found


@pytest.mark.parametrize("name", ["weights.safetensors", "newest rows", "priorities.raw", "state.json"])
def test_a_checkpoint_cut_or_changed_in_any_section_is_passed_over(name, finished, tmp_path):
    folder = shutil.copytree(finished / "checkpoint", tmp_path / "checkpoint")
    place, accepted = folder / "000000060", []
    file = files_of(place, "rows")[-1] if name == "newest rows" else place / name
    data = file.read_bytes()
    places = sorted({0, 1, *borders(place)[name], len(data) - 1} - {len(data)})
    assert len(places) >= (50 if name == "weights.safetensors" else 5)
    for at in places:
        for damaged in (data[:at], data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]):
            file.write_bytes(damaged)
            saved = newest(folder)
            assert len(saved.passed) == saved.passed[0].count(f"{file if name == 'newest rows' else place}") == 1
            if saved.place.name != "000000040" or "\n" in saved.passed[0]:
                accepted.append((at, len(damaged)))
    assert accepted == []
    file.write_bytes(data)
    assert newest(folder).place == place


@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_rows_that_both_checkpoints_share_are_named_where_they_are_damaged(damage, finished, tmp_path):
    folder = shutil.copytree(finished / "checkpoint", tmp_path / "checkpoint")
    older, newer = (files_of(folder / name, "rows") for name in ("000000040", "000000060"))
    assert older[0] == newer[0]
    assert older[-1] != newer[-1]
    data = older[0].read_bytes()
    if damage == "missing":
        older[0].unlink()
    else:
        older[0].write_bytes(data[:-1] if damage == "cut" else b"x" + data[1:])
    with pytest.raises(CheckpointError, match=re.escape(str(older[0]))):
        newest(folder)


def reformatted(place):
    """Make a checkpoint one of a later format, whole in every other way."""
    values = json.loads((place / "state.json").read_text()) | {"format": 999}
    del values["checksum"]
    checksum = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    (place / "state.json").write_text(json.dumps({"checksum": checksum, **values}))


OTHERS = {
    "env": ({"env": "atari/qbert"}, "is of another run: its environment is atari/qbert, not toy/catch"),
    "encoder": ({"encoder": "canonical", "cut": "conv3"}, "is of another run: its encoder is canonical, not data_eff"),
    "seed": ({"seed": 1}, "is of another run: its seed is 1, not 0"),
    "format": ({}, "has format 999, this edgerl reads 2 and 3"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_run_is_refused_and_nothing_is_changed(other, finished, program, tmp_path):
    folder, (settings, reason) = shutil.copytree(finished, tmp_path / "run"), OTHERS[other]
    if other == "format":
        reformatted(folder / "checkpoint/000000060")
    else:
        train.train(configure(**SETTINGS | settings), tmp_path / "other", quiet=True)
        shutil.rmtree(folder / "checkpoint")
        shutil.copytree(tmp_path / "other/checkpoint", folder / "checkpoint")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    code, printed, (line,) = program("train", "--resume", folder, "--quiet", "--steps", "80")
    assert (code, printed) == (2, "")
    assert re.match(f"edgerl: {re.escape(str(folder / 'checkpoint/000000060'))} {reason}", line)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


STEMS = {
    "missing": lambda file: file.unlink(),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:1000]),
    "changed": lambda file: file.write_bytes(file.read_bytes()[:-9999] + b"\1" + file.read_bytes()[-9998:]),
}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """The folder of a finished run that was frozen at 30."""
    folder = tmp_path_factory.mktemp("frozen") / "run"
    train.train(configure(**SETTINGS | {"freeze_at": 30, "learn_start": 20}), folder, quiet=True)
    return folder


@pytest.mark.parametrize("damage", STEMS)
def test_a_frozen_run_whose_stem_is_damaged_is_refused_by_name(damage, frozen, tmp_path):
    config, file = configure(**SETTINGS | {"freeze_at": 30, "learn_start": 20}), tmp_path / "run/encoder.onnx"
    shutil.copytree(frozen, tmp_path / "run")
    STEMS[damage](file)
    reason = f"^{re.escape(str(file))} (is damaged: its checksum differs|cannot be read: .+)$"
    for go_on in (
        lambda: train.train(config, tmp_path / "run", resume=True, quiet=True),
        lambda: load(tmp_path / "run"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            go_on()


def test_settings_that_were_damaged_are_refused_until_their_seal_is_removed(finished, program, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    file, resumed = folder / "config.toml", ("train", "--resume", folder, "--quiet", "--steps", 70)
    forked = ("train", "--fork", folder, "--steps", 70, "--out", tmp_path / "new")
    begun = ("train", "--env", "toy/catch", "--steps", 70, "--encoder-from", folder, "--out", tmp_path / "new")
    written = (("export", folder, "--out", tmp_path / "new"), ("report", folder, "--out", tmp_path / "new.md"))
    assert "gamma = 0.99\n" in file.read_text()
    file.write_text(file.read_text().replace("gamma = 0.99\n", "gamma = 0.89\n"))
    for command in (resumed, forked, begun, *written, ("eval", folder), ("analyze", folder), ("card", folder)):
        code, _, lines = program(*command)
        assert (code, len(lines)) == (2, 1), lines
        assert f"{file} is damaged, or was changed by hand: its checksum differs" in lines[0]
    assert not [*tmp_path.glob("new*")]
    file.write_text(file.read_text().partition("\n")[2])
    assert program(*resumed) == (0, "", [])
