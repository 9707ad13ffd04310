"""What a run leaves at a step, and whether two runs have left the same."""

import json

import numpy as np
import safetensors.numpy

TIMED = ("checksum", "metrics_bytes", "meters", "sha256", "segments")


def left(folder, step):
    """All that a run leaves at this step, without timings."""
    file = folder / "checkpoint" / f"{step:09d}"
    state = json.loads((file / "state.json").read_text())
    return safetensors.numpy.load_file(file / "weights.safetensors"), {
        name: value for name, value in state.items() if name not in TIMED
    }


def assert_same(folder, other, step):
    (arrays, values), (others, other_values) = left(folder, step), left(other, step)
    assert values == other_values
    assert arrays.keys() == others.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []
