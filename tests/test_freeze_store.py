"""What the replay holds behind the freeze, by choice and by itself; what summary, plan and command line say of it."""

import json
import tracemalloc

import numpy as np
import pytest
from cases import quick
from raw_arrays import raw_arrays

from edgerl.config import resolve
from edgerl.envs import suites
from edgerl.errors import ConfigError
from edgerl.planning import plan
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Latents, Stem
from edgerl.replay.representation import Pixels
from edgerl.runs import checkpoint
from edgerl.training import summary, train
from edgerl.training.freeze import MIN_ROWS_FOR_UINT8, choose_store
from memory_budget.packed import GROUP

ACTION, SHAPE = np.dtype(np.uint8), (20, 20)


def filled(codec, rows, budget=60_000, augment=0, shape=SHAPE):
    """A replay of so many steps, of frames that hold a number."""
    pixels = Pixels(shape, 1, codec=codec, augment=augment, crop=10 if augment else 0)
    replay = Replay(budget, pixels, ACTION, n_step=1, gamma=0.9, omega=0.5, rng=np.random.default_rng(0))
    for number in range(rows):
        replay.append(np.full(shape, number % 256, np.uint8), 0, float(number), terminated=number % 9 == 8)
    return replay


CHOSEN = {  # store, pixels' codec, crops a row, rows present, dtype, latent, what is held then
    "raw frames, smaller latents": ("auto", "raw", 0, 100, "float32", (90,), "latents"),
    "as large as a frame": ("auto", "raw", 0, 100, "float32", (100,), "latents"),
    "larger than a frame": ("auto", "raw", 0, 100, "float32", (101,), "pixels"),
    "smaller as float16": ("auto", "raw", 0, 100, "float16", (101,), "latents"),
    "larger as float16": ("auto", "raw", 0, 100, "float16", (201,), "pixels"),
    "smaller as uint8": ("auto", "raw", 0, 100, "uint8", (400,), "latents"),
    "larger as uint8": ("auto", "raw", 0, 100, "uint8", (401,), "pixels"),
    "two axes": ("auto", "raw", 0, 100, "float32", (2, 51), "pixels"),
    "four crops of them": ("auto", "raw", 4, 100, "float32", (25,), "latents"),
    "four crops of larger ones": ("auto", "raw", 4, 100, "float32", (26,), "pixels"),
    "compressed, room for all": ("auto", "lz4", 0, 140, "float32", (90,), "latents"),
    "compressed, no room for all": ("auto", "lz4", 0, 170, "float32", (90,), "pixels"),
    "compressed, room as float16": ("auto", "lz4", 0, 170, "float16", (90,), "latents"),
    "compressed, larger than a frame": ("auto", "lz4", 0, 10, "float32", (101,), "pixels"),
    "compressed, nothing there": ("auto", "lz4", 0, 0, "float32", (90,), "latents"),
    "latents, whatever that drops": ("latents", "lz4", 0, 170, "float32", (90,), "latents"),
    "pixels, though latents are smaller": ("pixels", "raw", 0, 100, "uint8", (4,), "pixels"),
    "compressed pixels, though they fit": ("pixels", "lz4", 0, 100, "uint8", (4,), "pixels"),
}


def latents(shape, pixels, dtype, views=0):
    return Latents(
        Stem(lambda each: np.zeros((len(each), *shape), np.float32), shape, pixels, views=views, rng=None), dtype
    )


@pytest.mark.parametrize("case", CHOSEN)
def test_what_is_held_behind_the_freeze(case):
    store, codec, augment, rows, dtype, latent, expected = CHOSEN[case]
    replay = filled(codec, rows, augment=augment)
    assert len(replay) == rows
    assert choose_store(store, latents(latent, replay.representation, dtype, augment), replay) == expected


def test_the_bytes_of_the_scales_count_where_auto_looks_for_room():
    taken = []
    for rows in range(126, 160):
        replay = filled("lz4", rows)
        pixels = replay.representation
        new = latents((390,), pixels, "uint8")
        taken.append(choose_store("auto", new, replay))
        if taken[-1] == "latents":
            assert replay.transcode(new) == 0, rows
    assert {"latents", "pixels"} == set(taken)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_the_freeze_of_compressed_frames_takes_heads_and_a_chunk(dtype):
    """12 MB of frames; were they decoded at once, 12 MB more."""
    rows, shape = 6000, (40, 50)
    replay = filled("lz4", rows, 3_000_000, shape=shape)
    stem = Stem(lambda each: np.zeros((len(each), 30), np.float32), (30,), replay.representation, rng=None)
    assert len(replay) == rows
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    dropped = replay.transcode(Latents(stem, dtype))
    most = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert dropped == 0
    assert most < 32 * 2000 * 8 + 150 * rows


COMPACT = {"latent_dtype": "uint8", "pixel_codec": "lz4"}
STORED = {  # settings, what is held in the end
    "raw": ({"freeze_at": None}, ("pixels", "raw")),
    "lz4": ({"freeze_at": None, "pixel_codec": "lz4"}, ("pixels", "lz4")),
    "float32": ({"latent_dtype": "float32"}, ("latents", "float32")),
    "float16": ({"latent_dtype": "float16", "pixel_codec": "lz4"}, ("latents", "float16")),
    "uint8": (COMPACT, ("latents", "uint8")),
    "uint8 of too few rows": (
        {"latent_dtype": "uint8", "pixel_codec": "lz4", "freeze_at": MIN_ROWS_FOR_UINT8 - 1},
        ("latents", "float16"),
    ),
    "uint8 of just enough": (
        {"latent_dtype": "uint8", "pixel_codec": "lz4", "freeze_at": MIN_ROWS_FOR_UINT8},
        ("latents", "uint8"),
    ),
    "frames kept": ({"store": "pixels", "pixel_codec": "lz4"}, ("pixels", "lz4")),
}


@pytest.mark.parametrize("case", quick(STORED, "raw", "float16", "uint8 of too few rows", "uint8 of just enough"))
def test_the_summary_says_what_the_replay_holds(case, small, tmp_path):
    changes, (store, codec) = STORED[case]
    config = small(run={"budget": 700_000, "steps": 130, "freeze_at": 120, "learn_start": 95} | changes)
    found = train.train(config, tmp_path / "run", quiet=True)
    saved = checkpoint.newest(tmp_path / "run/checkpoint")
    files = {name: array.nbytes for name, array in raw_arrays(saved.place).items()}
    rows, values, freeze = found["replay"]["rows"], saved.values["replay"], found["freeze"]
    assert (found["store"], found["codec"]) == (store, codec)
    frozen = config.run.freeze_at is not None
    if frozen:
        assert (freeze["store"], freeze["codec"], freeze["step"]) == (store, codec, config.run.freeze_at)
        assert freeze["rows_after"] + freeze["rows_dropped"] == freeze["rows_before"]
        assert rows == freeze["rows_after"] + 130 - config.run.freeze_at
    else:
        assert freeze == dict.fromkeys(summary.FREEZE_KEYS)
    said = found["replay"]
    if codec == "lz4":
        assert rows == values["head"] - values["oldest"] == 130
        head = files["rows"] // 192  # the table ends with a block of 64
        assert said["bytes_per_row"] == round(head + files["frames"] / rows)
        assert said["projected_rows"] * (head + files["frames"] / rows) == pytest.approx(700_000, rel=0.03)
    else:
        assert rows == values["size"]
        assert said["bytes_per_row"] == files["rows"] / rows
        assert files["rows"] / rows * said["projected_rows"] + 8 * said["projected_rows"] <= 700_000
        planned = plan.make_plan(config, suites.describe("toy/catch"))
        if case != "uint8 of too few rows":
            assert said["projected_rows"] == (planned.after if frozen else planned.before).rows
    assert found["budget"]["replay_bytes_peak"] == found["budget"]["requested_bytes"] == 700_000


def test_rows_that_are_dropped_are_said(small, tmp_path, capfd):
    """Latents by choice where compressed frames are far smaller: the newest stay."""
    changes = {"store": "latents", "pixel_codec": "lz4", "budget": 620_000}
    config = small(run={"steps": 320, "freeze_at": 310, "learn_start": 305} | changes)
    found = train.train(config, tmp_path / "run")
    freeze, after = found["freeze"], plan.make_plan(config, suites.describe("toy/catch")).after.rows
    assert freeze["rows_before"] == 310
    assert freeze["rows_after"] == after < 310
    assert freeze["rows_dropped"] == 310 - after > 0
    for text in (capfd.readouterr().err, dict(summary.rows(found))["freeze"]):
        assert f"{freeze['rows_dropped']} oldest dropped" in " ".join(text.split())


def test_latents_by_choice_never_fail_at_the_freeze(small, tmp_path):
    """5,184 values: smaller than a frame as uint8, not as the float16 that too few rows would get."""
    changes = {"encoder": "canonical", "cut": "conv2", "store": "latents", "latent_dtype": "uint8"}
    config = small(run={"steps": 70, "freeze_at": 60, "learn_start": 55} | changes)
    assert train.train(config, tmp_path / "run", quiet=True)["status"] == "finished"


REFUSED = {
    "a store that is none": (["--store", "frames"], "--store", "'auto' or 'pixels' or 'latents'"),
    "a codec that is none": (["--pixel-codec", "zstd"], "--pixel-codec", "'raw' or 'lz4'"),
    "a dtype that is none": (["--latent-dtype", "int8"], "--latent-dtype", "'float16'"),
    "an empty codec": (["--pixel-codec", ""], "--pixel-codec", "empty"),
    "the paper's and another dtype": (["--paper", "--latent-dtype", "uint8"], "--paper", "--latent-dtype"),
    "the paper's and another codec": (["--paper", "--pixel-codec", "lz4"], "--paper", "--pixel-codec"),
    "the paper's and another store": (["--paper", "--store", "auto"], "--paper", "--store"),
    "unbounded and compressed": (["--pixel-codec", "lz4", "--budget", "unbounded"], "--pixel-codec", "unbounded"),
    "larger latents": (["--store", "latents", "--set", "cut=conv1"], "--store", "larger than a frame of 7,056 B"),
    "larger latents as uint8": (
        ["--store", "latents", "--set", "cut=conv1", "--latent-dtype", "uint8"], "--store", "a latent of 8,192 B",
    ),
    "a codec by --set": (["--set", "replay.pixel_codec=zstd"], "--set", "pixel_codec"),
    "too little for lz4": (["--pixel-codec", "lz4", "--budget", "100kB"], "--budget", "at least"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("command", ["train", "plan"])
def test_what_cannot_be_stored_is_refused_in_one_line(command, case, program, tmp_path):
    arguments, option, says = REFUSED[case]
    out = ["--out", tmp_path / "run"] if command == "train" else []
    code, written, lines = program(command, "--env", "toy/catch", *arguments, *out)
    assert (code, written, len(lines)) == (2, "", 1)
    assert lines[0].startswith("edgerl: ")
    assert option in lines[0]
    assert says in lines[0]
    assert not (tmp_path / "run").exists()


def test_the_paper_is_raw_frames_and_float32_latents():
    given = {"env": "toy/catch", "paper": True}
    for assignments in ([], ["pixel_codec=lz4", "latent_dtype=uint8", "store=pixels"]):
        replay = resolve.started(dict(given), None, assignments)[0].replay
        assert (replay.store, replay.pixel_codec, replay.latent_dtype) == ("auto", "raw", "float32")
    assert resolve.started({"env": "toy/catch", "paper": False}, None, ["store=pixels"])[0].replay.store == "pixels"
    with pytest.raises(ConfigError, match=r"^--paper: "):
        resolve.started(given | {"store": "auto"}, None, [])


def test_the_planned_capacity_of_compressed_frames_holds_for_frames_that_do_not_compress(program):
    arguments = (
        "--env",
        "atari/qbert",
        "--budget",
        "2MB",
        "--pixel-codec",
        "lz4",
        "--latent-dtype",
        "uint8",
        "--store",
        "latents",
    )
    code, written, _ = program("plan", "--json", *arguments)
    assert code == 0
    found, rng = json.loads(written), np.random.default_rng(0)
    pixels = Pixels((84, 84), 4, codec="lz4")
    replay = Replay(2_000_000, pixels, ACTION, n_step=1, gamma=0.9, omega=0.5, rng=rng)
    least = 10**9
    for _ in range(900):
        replay.append(rng.integers(0, 256, (84, 84), dtype=np.uint8), 0, 0.0, terminated=False)
        least = min(least, len(replay)) if replay.ring.wrapped else least
    assert 200 < found["capacity"]["initial"] <= least
    assert least - found["capacity"]["initial"] <= 2 * GROUP
    encode = Stem(lambda windows: np.zeros((len(windows), 576), np.float32), (576,), pixels, rng=rng)
    replay.transcode(Latents(encode, "uint8"))
    assert found["capacity"]["after_freeze"] == replay.capacity
    assert found["bytes"]["row_latents"] == replay.ring.rows.itemsize == 584
    assert found["bytes"]["row_pixels"] == 7056 + 20


@pytest.mark.parametrize("settings", [(), ("batch_size=1", "n_step=1")])
def test_the_smallest_budget_named_for_compressed_frames_is_one(settings, program, tmp_path):
    arguments = ["--env", "toy/catch", "--pixel-codec", "lz4", *(f"--set={each}" for each in settings)]
    named = program("plan", *arguments, "--budget", "50kB")[2][0].split("at least ")[1]
    short = f"{int(named.removesuffix('B')) - 1}B"
    assert program("plan", *arguments, "--budget", short)[0] == 2
    assert program("plan", *arguments, "--budget", named)[0] == 0
    run_options = ["--steps", "5", "--eval-every", "0", "--quiet", "--out", tmp_path / "run"]
    assert program("train", *arguments, "--budget", named, *run_options) == (0, "", [])
