"""Checkpoints are written whole or not at all, and a damaged one is passed over by name."""

import json
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from edgerl import reading
from edgerl.errors import CheckpointError
from edgerl.runs import checkpoint, tensor_file
from edgerl.runs.checkpoint import newest, save

VALUES = {"agent": {"cut": "conv2", "updates": 7, "rng": np.random.default_rng(0).bit_generator.state}}


def arrays_of(step):
    """A network's worth of dtypes and shapes, different at every step."""
    rng = np.random.default_rng(step)
    return {
        "online.head.weight": rng.standard_normal((5, 3), dtype=np.float32),
        "optimizer.step": np.array(float(step), np.float32),
        "pixels": rng.integers(0, 256, (2, 4, 4), np.uint8),
        "count": np.array([step], np.int64),
        "empty": np.zeros((0, 3), np.float32),
    }


def same(found, expected):
    """Whether two dicts hold the same arrays: names, dtypes, shapes, values."""
    return found.keys() == expected.keys() and all(
        found[name].dtype == array.dtype and found[name].shape == array.shape and np.array_equal(found[name], array)
        for name, array in expected.items()
    )


def saved_twice(folder):
    """`folder`, with whole checkpoints of steps 1 and 2."""
    for step in (1, 2):
        save(folder, step, arrays_of(step), VALUES)
    return folder


@pytest.fixture
def folder(tmp_path):
    return saved_twice(tmp_path / "checkpoint")


def test_what_is_saved_is_found_again(tmp_path):
    folder = tmp_path / "checkpoint"
    place = save(folder, 123_456, arrays_of(5), VALUES)
    assert place == folder / "000123456"
    saved = newest(folder)
    found, arrays, values, passed = saved.place, saved.arrays, saved.values, saved.passed
    assert (found, passed) == (place, [])
    assert same(arrays, arrays_of(5))
    assert values["agent"] == VALUES["agent"]
    assert values["step"] == 123_456
    assert sorted(file.name for file in place.iterdir()) == ["state.json", "weights.safetensors"]
    assert same(safetensors.numpy.load_file(place / "weights.safetensors"), arrays_of(5))  # others can read it too


def test_the_library_of_the_format_and_we_read_each_others_files(tmp_path):
    arrays = arrays_of(3) | {"strided": np.arange(24.0).reshape(4, 6)[:, 1:3], "half": np.ones((3, 3), np.float16)}
    tensor_file.write(tmp_path / "ours", arrays)
    assert same(safetensors.numpy.load_file(tmp_path / "ours"), arrays)
    safetensors.numpy.save_file({n: a.copy() for n, a in arrays.items()}, tmp_path / "theirs", {"made": "there"})
    assert same(tensor_file.read(tmp_path / "theirs"), arrays)
    assert same(tensor_file.read(tmp_path / "ours"), arrays)


def test_arrays_are_written_and_read_without_a_copy_in_memory(tmp_path):
    large = np.ones(20_000_000, np.float32)
    tracemalloc.start()
    tensor_file.write(tmp_path / "large", {"large": large})
    found = tensor_file.read(tmp_path / "large")["large"]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1_000_000
    assert np.array_equal(found, large)


def test_a_view_is_saved_as_it_is_seen(tmp_path):
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    save(tmp_path, 0, {"part": np.ascontiguousarray(whole[1:3]), "rows": whole[1:3]}, {})
    arrays = newest(tmp_path).arrays
    assert np.array_equal(arrays["part"], whole[1:3])
    assert np.array_equal(arrays["rows"], whole[1:3])


@pytest.mark.parametrize("shape", [(64,), (2, 32), (2, 4, 8)], ids=str)
@pytest.mark.parametrize("more", [-64, -4, 1])
def test_a_raw_array_of_another_size_is_refused(tmp_path, shape, more):
    array = np.arange(64, dtype=np.float32).reshape(shape)
    save(tmp_path, 0, {}, {}, {"scales": array})
    into, file = np.zeros_like(array), tmp_path / "000000000/scales.raw"
    newest(tmp_path).read_raw("scales", into)
    assert np.array_equal(into, array)
    saved, whole = newest(tmp_path), file.read_bytes()
    file.write_bytes(whole[:more] if more < 0 else whole + b"x")
    with pytest.raises(CheckpointError, match="does not hold 256 bytes"):
        saved.read_raw("scales", into)


def test_a_run_that_trains_may_replace_what_is_read(folder, monkeypatch):
    """Newer checkpoints come, and older ones go, between the listing of the files and the reading of each."""
    read, inside = checkpoint._read_values, reading.inside

    def later(place):
        if place == folder / "000000002":
            for step in (3, 4):
                save(folder, step, arrays_of(step), VALUES)
        return read(place)

    def removed(of, name):
        if name == "000000001/state.json":
            (folder / name).unlink()
        return inside(of, name)

    monkeypatch.setattr(checkpoint, "_read_values", later)
    monkeypatch.setattr(reading, "inside", removed)
    saved = newest(folder)
    assert (saved.place, saved.passed) == (folder / "000000004", [])


def test_the_two_newest_are_kept(tmp_path):
    for step in (0, 10, 9, 1000):
        save(tmp_path, step, arrays_of(step), {})
    assert sorted(place.name for place in tmp_path.iterdir()) == ["000000010", "000001000"]
    assert same(newest(tmp_path).arrays, arrays_of(1000))


def test_a_step_is_saved_once(folder):
    before = (folder / "000000002" / "weights.safetensors").stat().st_mtime_ns
    assert save(folder, 2, arrays_of(9), {}) == folder / "000000002"
    assert (folder / "000000002" / "weights.safetensors").stat().st_mtime_ns == before
    assert same(newest(folder).arrays, arrays_of(2))


def weights(change):
    """Damage that rewrites the bytes of the weights."""

    def damage(place):
        file = place / "weights.safetensors"
        file.write_bytes(change(file.read_bytes()))

    return damage


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :]


def manifest(text):
    """Damage that writes this manifest."""
    return lambda place: (place / "state.json").write_bytes(text)


DAMAGE = {
    "empty weights": weights(lambda data: b""),
    "one byte of weights": weights(lambda data: data[:1]),
    "weights cut in the length": weights(lambda data: data[:7]),
    "weights cut after the length": weights(lambda data: data[:8]),
    "weights cut in the header": weights(lambda data: data[:60]),
    "half of the weights": weights(lambda data: data[: len(data) // 2]),
    "weights without the last byte": weights(lambda data: data[:-1]),
    "weights and a byte more": weights(lambda data: data + b"\0"),
    "a flipped bit in the length": weights(lambda data: flipped(data, 0)),
    "a flipped bit in the header": weights(lambda data: flipped(data, 30)),
    "a flipped bit in the middle": weights(lambda data: flipped(data, len(data) - 40)),
    "a flipped bit at the end": weights(lambda data: flipped(data, len(data) - 1)),
    "no weights": lambda place: (place / "weights.safetensors").unlink(),
    "no manifest": lambda place: (place / "state.json").unlink(),
    "an empty folder": lambda place: [file.unlink() for file in place.iterdir()],
    "an empty manifest": manifest(b""),
    "a cut manifest": lambda place: (place / "state.json").write_text((place / "state.json").read_text()[:200]),
    "a manifest that is no JSON": manifest(b"{]"),
    "a manifest that is no text": manifest(b"\xff\xfe\x00"),
    "a manifest that is a list": manifest(b"[]"),
    "a manifest that is null": manifest(b"null"),
    "a manifest without checksums": manifest(b'{"format": 1}'),
    "a manifest whose checksums are a list": manifest(b'{"format": 1, "sha256": []}'),
    "a manifest of another format": manifest(b'{"format": 999, "sha256": {}}'),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_by_name(folder, name):
    DAMAGE[name](folder / "000000002")
    saved = newest(folder)
    place, arrays, values, passed = saved.place, saved.arrays, saved.values, saved.passed
    assert place == folder / "000000001"
    assert same(arrays, arrays_of(1))
    assert values["agent"] == VALUES["agent"]
    assert len(passed) == 1
    assert "000000002" in passed[0]
    assert len(passed[0].splitlines()) == 1


@pytest.mark.parametrize("name", DAMAGE)
def test_where_all_are_damaged_the_error_is_one_line_that_names_one(folder, name):
    for place in folder.iterdir():
        DAMAGE[name](place)
    with pytest.raises(CheckpointError, match=r"00000000[12]") as caught:
        newest(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_no_flipped_bit_of_a_manifest_goes_unnoticed(folder):
    file = folder / "000000002" / "state.json"
    whole, unnoticed = file.read_bytes(), []
    expected = json.loads(whole)
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        file.write_bytes(data)
        saved = newest(folder)
        place, values = saved.place, saved.values
        if place.name == "000000002" and values != expected:
            unnoticed.append(position)
    assert not unnoticed


@pytest.mark.parametrize("there", [False, True])
def test_no_checkpoint_is_an_error_in_one_line_that_names_the_folder(tmp_path, there):
    folder = tmp_path / "checkpoint"
    if there:
        folder.mkdir()
        (folder / "notes").mkdir()
    with pytest.raises(CheckpointError, match="holds no checkpoint") as caught:
        newest(folder)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
