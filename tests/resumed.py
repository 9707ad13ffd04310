"""Short runs with resets of their heads, and what differs between two that should be one."""

import json

import numpy as np
import safetensors.numpy
from raw_arrays import raw_arrays

from edgerl.envs import suites
from edgerl.planning import plan
from edgerl.replay.buffer import row_dtype

TOY = {"env": "toy/catch", "steps": 90, "learn_start": 30, "freeze_at": 50, "eval_every": 0, "threads": 1}
TOY |= {"batch_size": 4, "hidden": 8, "budget": 1_500_000}
ANNEALED = {"reset_heads_every": 14, "n_step": 10, "n_step_end": 3, "gamma_start": 0.9, "n_step_anneal": 8}
TIMED = {"rss_around_freeze"}, {"seconds", "peak_extra_bytes"}  # of the trainer, of its report on the freeze


def differences(config, one, other):
    """The names of all in the last checkpoint of two frozen runs that differs; timings and padding aside."""
    everything, again = final(config, one), final(config, other)
    assert everything.keys() == again.keys()
    return [name for name, value in everything.items() if not np.array_equal(value, again[name])]


def final(config, folder):
    """All that a run leaves, by name: arrays, columns of the replay's rows, plain values."""
    place = folder / "checkpoint" / f"{config.run.steps:09d}"
    state = json.loads((place / "state.json").read_text())
    for entry in ("checksum", "metrics_bytes", "meters", "sha256", "segments"):
        state.pop(entry)
    for own, names in zip((state["trainer"], state["trainer"]["freeze_report"]), TIMED, strict=True):
        for name in names:
            own.pop(name)
    raw = raw_arrays(place)
    spec = suites.describe(config.run.env)
    observation = ("obs", np.uint8, (plan.make_plan(config, spec).after.columns["obs"],))
    rows = raw.pop("rows").view(row_dtype(observation, spec.action))
    columns = {name: rows[name] for name in rows.dtype.names}
    return safetensors.numpy.load_file(place / "weights.safetensors") | state | raw | columns
