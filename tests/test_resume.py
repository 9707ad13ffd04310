"""A run that is stopped and resumed is the uninterrupted run, bit for bit."""

import json
import signal
import subprocess

import numpy as np
import pytest
import safetensors.numpy
from cases import quick
from raw_arrays import files_of, raw_arrays
from stopping import signalled_after, stopped_after

from edgerl.envs import suites
from edgerl.envs.toy import Catch
from edgerl.errors import ConfigError, FreezeError
from edgerl.planning import plan
from edgerl.replay.buffer import row_dtype
from edgerl.replay.latents import latent_field
from edgerl.replay.representation import pixel_field
from edgerl.runs import checkpoint, folder
from edgerl.training import freeze, train

ACTION = np.dtype(np.uint8)
TIMED = {
    "time",
    "seconds",
    "freeze/seconds",
    "throughput/steps_per_s",
    "memory/rss_bytes",
    "memory/tree_peak_bytes",
    "checkpoint/bytes",
}


@pytest.fixture
def small(small):
    """The same, with a smaller agent: what a run goes on from does not depend on its size."""
    return lambda env="toy/catch", **changes: small(env, **{"agent": {"hidden": 16, "batch_size": 8}, **changes})


def final(folder, step):
    """All that a finished run leaves: weights, moments, environment, replay bytes, and the rest of its state."""
    place = folder / "checkpoint" / f"{step:09d}"
    arrays = safetensors.numpy.load_file(place / "weights.safetensors")
    state = json.loads((place / "state.json").read_text())
    for entry in ("checksum", "metrics_bytes", "meters", "sha256", "segments"):
        state.pop(entry)
    state["trainer"].pop("rss_around_freeze")
    for name in ("seconds", "peak_extra_bytes"):
        (state["trainer"]["freeze_report"] or {}).pop(name, None)
    codec = json.loads((folder / "summary.json").read_text())["codec"]
    raw = {name: array.tobytes() for name, array in raw_arrays(place).items()}
    if codec != "lz4":
        field = pixel_field((84, 84)) if codec == "raw" else latent_field((576,), codec)
        rows = np.frombuffer(raw.pop("rows"), row_dtype(field, ACTION))
        raw |= {name: rows[name].tobytes() for name in rows.dtype.names}  # the padding between rows may differ
    beside = {"lz4": {"frames"}, "uint8": {"priorities", "scales"}}.get(codec, {"priorities"})
    assert beside <= raw.keys()
    return arrays, state, raw


def logged(folder):
    """The metrics of a run that are not timings, checkpoints aside."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kept = [{n: v for n, v in line.items() if n not in TIMED and not n.startswith("ledger/")} for line in lines]
    return [line for line in kept if line.keys() != {"step"}]


CATCH = [("toy/catch", stops) for stops in ([1], [230], [299, 300], [301], [250, 350])]


@pytest.mark.parametrize(("env", "stops"), quick([*CATCH, ("atari/qbert", [250, 350])], CATCH[0], CATCH[2]), ids=str)
def test_a_resumed_run_is_the_uninterrupted_one(env, stops, small, uninterrupted, tmp_path):
    """Stopped before learning, on pixels, around the freeze at 300, and on latents."""
    config = small(
        env,
        run={"budget": 1_500_000, "eval_every": 200, "eval_episodes": 1},
        replay={"learn_start": 220},
    )
    whole, parts = uninterrupted(config), tmp_path / "parts"
    for number, step in enumerate(stops):
        with stopped_after(step):
            stopped = train.train(config, parts, resume=number > 0, quiet=True)
        assert (stopped["status"], stopped["steps"]) == ("interrupted", step)
    finished = train.train(config, parts, resume=True, quiet=True)
    assert (finished["status"], finished["steps"]) == ("finished", 400)
    (arrays, state, raw), (again, state_again, raw_again) = final(whole, 400), final(parts, 400)
    assert arrays.keys() == again.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
    assert state == state_again
    assert raw == raw_again
    assert logged(whole) == logged(parts)


def noisy(catch, draw=Catch._draw):
    """Catch before a background that does not compress, so that a small replay wraps."""
    draw(catch)
    frame = catch.window[-1]
    frame[frame == 0] = catch.rng.integers(1, 100, int((frame == 0).sum()), dtype=np.uint8)


STORES = {  # settings, codec in the end, where the run is stopped
    "lz4, and no freeze": ({"freeze_at": "never"}, "lz4", [1, 290]),
    "lz4, then uint8": ({}, "uint8", [190, 300, 301]),
    "lz4, kept behind the freeze": ({"store": "pixels"}, "lz4", [250, 320]),
    "raw, then uint8": ({"pixel_codec": "raw"}, "uint8", [320]),
}


@pytest.mark.parametrize("store", quick(STORES, "lz4, then uint8"))
def test_a_resumed_run_is_the_uninterrupted_one_with_every_store(store, small, tmp_path, monkeypatch):
    """In 1.2 MB: frames are evicted from step 160 or so on."""
    changes, codec, stops = STORES[store]
    monkeypatch.setattr(Catch, "_draw", noisy)
    settings = {"budget": 1_200_000, "steps": 340, "learn_start": 285, "batch_size": 8, "hidden": 16}
    config = small(run=settings | {"pixel_codec": "lz4", "latent_dtype": "uint8"} | changes)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    found = train.train(config, whole, quiet=True)
    assert (found["status"], found["codec"]) == ("finished", codec)
    assert found["replay"]["rows"] < 340
    for number, step in enumerate(stops):
        with stopped_after(step):
            stopped = train.train(config, parts, resume=number > 0, quiet=True)
        assert (stopped["status"], stopped["steps"]) == ("interrupted", step)
    train.train(config, parts, resume=True, quiet=True)
    (arrays, state, raw), (again, state_again, raw_again) = final(whole, 340), final(parts, 340)
    assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
    assert state == state_again
    assert raw == raw_again
    assert logged(whole) == logged(parts)


@pytest.mark.long
def test_where_latents_are_larger_than_frames_the_frames_stay_and_the_stem_encodes_what_is_sampled(small, tmp_path):
    """Frozen behind conv1, 32 x 16 x 16 floats; and the resumed run is the uninterrupted one here too."""
    config = small(run={"budget": 1_500_000}, replay={"learn_start": 220}, agent={"cut": "conv1"})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    found = train.train(config, whole, quiet=True)
    assert (found["store"], found["codec"]) == ("pixels", "raw")
    assert found["capacity"]["after_freeze"] == found["capacity"]["initial"] == found["replay"]["projected_rows"]
    assert found["freeze"]["parity_max_abs_diff"] < 1e-4
    counts = plan.make_plan(config, suites.describe("toy/catch")).flops
    assert found["flops"]["per_update_after"] == counts.heads * 16 * 5 + counts.encoder * (2 * 16 + 1)
    with stopped_after(350):
        train.train(config, parts, quiet=True)
    train.train(config, parts, resume=True, quiet=True)
    (arrays, state, raw), (again, state_again, raw_again) = final(whole, 400), final(parts, 400)
    assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
    assert (state, raw) == (state_again, raw_again)


@pytest.mark.long
def test_a_run_killed_without_warning_resumes_from_its_last_checkpoint(program, tmp_path):
    """kill -9 between two checkpoints, before learning begins and right after the freeze."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = [
        "train",
        "--env",
        "toy/catch",
        "--budget",
        "2MB",
        "--steps",
        "350",
        "--freeze-at",
        "260",
        "--threads",
        "1",
    ]
    options += ["--eval-every", "0", "--checkpoint-every", "50", "--quiet"]
    assert program(*options, "--out", whole)[0] == 0
    arguments = [*options, "--out", killed]
    for step, newest in ((130, 100), (270, 250)):
        command = signalled_after(step, signal.SIGKILL, *arguments)
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert int(checkpoint.places(killed / "checkpoint")[-1].name) == newest
        arguments = ["train", "--resume", killed, "--quiet"]
    assert program(*arguments)[0] == 0
    (arrays, state, raw), (again, state_again, raw_again) = final(whole, 350), final(killed, 350)
    assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
    assert (state, raw) == (state_again, raw_again)
    assert logged(whole) == logged(killed)


def test_a_run_that_goes_on_frozen_has_its_libraries_loaded_when_they_are_measured(edgerl, tmp_path):
    """ONNX Runtime takes 10 MB when it first encodes. They count as libraries in every process of a run."""
    short = ("--freeze-at=30", "--budget=1.5MB", "--eval-every=0", "--quiet", "--threads=1")
    measured = []
    for arguments in (
        ("--env=toy/catch", "--steps=40", *short, "--out", tmp_path / "run"),
        ("--resume", tmp_path / "run", "--steps=45", "--quiet"),
    ):
        assert edgerl("train", *arguments).returncode == 0
        ledger = json.loads((tmp_path / "run/summary.json").read_text())["budget"]["ledger"]
        measured.append(ledger["libraries"]["measured"])
    assert measured[1] == pytest.approx(measured[0], abs=4e6)


def test_a_damaged_checkpoint_is_passed_over_by_name(small, program, tmp_path):
    train.train(small(run={"checkpoint_every": 100, "steps": 300, "freeze_at": None}), tmp_path / "run", quiet=True)
    rows = files_of(tmp_path / "run/checkpoint/000000300", "rows")[-1]
    data = bytearray(rows.read_bytes())
    data[len(data) // 2] ^= 1
    rows.write_bytes(data)
    code, _, lines = program("train", "--resume", tmp_path / "run", "--steps", "320")
    assert code == 0
    assert any(f"{rows} is damaged" in line for line in lines)
    assert any("resumed at step 200" in line for line in lines)
    assert json.loads((tmp_path / "run/summary.json").read_text())["steps"] == 320


def test_a_run_that_is_under_way_is_not_resumed_by_another_process(small, tmp_path):
    train.train(small(run={"steps": 50, "freeze_at": None}), tmp_path / "run", quiet=True)
    with train.locked(tmp_path / "run"), pytest.raises(ConfigError, match="another process"):
        train.train(small(run={"steps": 60, "freeze_at": None, "learn_start": 5}), tmp_path / "run", resume=True)


def test_a_run_that_begins_again_keeps_no_metrics_of_before(small, tmp_path):
    config = small(run={"steps": 20, "freeze_at": None})
    train.write_config(config, tmp_path)
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 7, "loss": 1}\n\0\0\0')
    train.train(config, tmp_path, resume=True, quiet=True)
    assert 7 not in [line["step"] for line in logged(tmp_path)]


@pytest.mark.parametrize("is_new", [True, False])
def test_what_another_process_did_just_before_the_lock_is_not_undone(is_new, small, tmp_path, monkeypatch):
    place, config = tmp_path / "run", small(run={"steps": 50, "freeze_at": None})
    owner, locked = (folder if is_new else train), folder.locked
    if not is_new:
        train.train(small(run={"steps": 30, "freeze_at": None, "learn_start": 5}), place, quiet=True)

    def late(*arguments, **options):
        monkeypatch.setattr(owner, "locked", locked)
        train.train(config, place, resume=not is_new, quiet=True)
        return locked(*arguments, **options)

    monkeypatch.setattr(owner, "locked", late)
    with pytest.raises(ConfigError, match="is not empty" if is_new else "another process has trained in this folder"):
        train.train(config, place, resume=not is_new, quiet=True)
    assert checkpoint.newest(place / "checkpoint").values["step"] == 50
    assert json.loads((place / "summary.json").read_text())["status"] == "finished"


def test_a_run_killed_before_its_first_checkpoint_starts_again(small, tmp_path):
    config = small(run={"steps": 30, "freeze_at": None})
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.toml").write_text(config.to_toml())
    found = train.train(config, tmp_path / "run", resume=True, quiet=True)
    assert (found["status"], found["steps"]) == ("finished", 30)


@pytest.mark.long
def test_a_run_whose_freeze_failed_resumes_from_what_it_had_saved(small, tmp_path, monkeypatch):
    config = small(run={"steps": 260, "freeze_at": 180, "checkpoint_every": 60})
    with monkeypatch.context() as patched:
        patched.setattr(freeze, "TOLERANCE", -1.0)
        with pytest.raises(FreezeError, match="differs from the trained encoder"):
            train.train(config, tmp_path / "parts", quiet=True)
    assert [place.name for place in checkpoint.places(tmp_path / "parts/checkpoint")] == ["000000060", "000000120"]
    train.train(config, tmp_path / "parts", resume=True, quiet=True)
    train.train(config, tmp_path / "whole", quiet=True)
    resumed, whole = final(tmp_path / "parts", 260), final(tmp_path / "whole", 260)
    assert resumed[0].keys() == whole[0].keys()
    assert all(np.array_equal(resumed[0][name], whole[0][name]) for name in whole[0])
    assert resumed[1:] == whole[1:]
