"""Compressed frames under a replay: drawn, trained on and weighed as raw ones are; what a budget is sure to hold."""

import numpy as np
import pytest
import safetensors.numpy

from edgerl.envs.base import EnvSpec
from edgerl.planning import capacity
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Latents, Stem
from edgerl.replay.representation import Pixels
from edgerl.training import train
from edgerl.training.freeze import choose_store

ACTION, SHAPE = np.dtype(np.uint8), (20, 20)


def build(budget, shape=SHAPE, history=1, *, codec="lz4", sampling="prioritized", n_step=1):
    pixels, rng = Pixels(shape, history, codec=codec), np.random.default_rng(5)
    return Replay(budget, pixels, ACTION, n_step=n_step, gamma=0.9, omega=0.5, rng=rng, sampling=sampling)


def noise(rng, shape=SHAPE):
    return rng.integers(0, 256, shape, dtype=np.uint8)


def speckled(rng, part):
    """A frame of which this part is noise."""
    frame = np.full(SHAPE, 3, np.uint8)
    frame.reshape(-1)[: int(part * frame.size)] = noise(rng).reshape(-1)[: int(part * frame.size)]
    return frame


def fill(replay, frames):
    """A step for every frame, episodes of seven; its reward is its number."""
    for number, frame in enumerate(frames):
        replay.append(frame, number % 3, float(number), terminated=number % 7 == 6)
        yield number


@pytest.mark.parametrize("seed", range(8))
def test_priorities_are_those_of_the_rows_present_whatever_was_evicted_for_what(seed):
    """Content that compresses well and badly in turn, so that payloads come to lie where heads lay."""
    rng, seen = np.random.default_rng(seed), []
    replay, wanted = build(60_000), {}

    def film():
        part = 0.0
        for number in range(900):
            if number % 61 == 0:
                part = rng.choice([0, 0, 0.3, 1])
            seen.append(speckled(rng, part))
            yield seen[-1]

    for number in fill(replay, film()):
        ring = replay.ring
        wanted[number] = replay.sampler.largest
        if number % 5 == 0:
            some = rng.integers(ring.oldest, ring.head, 4)
            losses = rng.random(4).astype(np.float32) + 0.1
            replay.prioritize(some, losses)
            wanted |= dict(zip(some.tolist(), (losses.astype(np.float64) ** 0.5).tolist(), strict=True))
        numbers = np.arange(ring.oldest, ring.head)
        expected = np.array([wanted[each] for each in numbers.tolist()])
        assert replay.sampler.total == pytest.approx(expected.sum())
        assert np.array_equal(replay.sampler.priorities()[ring.slots(numbers)], expected)
        if number % 50 == 0:
            assert np.array_equal(ring.obs[ring.slots(numbers)], np.array(seen[ring.oldest :]))
            assert np.array_equal(ring.rows["reward"][ring.slots(numbers)], numbers)
    assert ring.lap > 0


def test_a_payload_over_the_last_heads_of_the_lap_before_leaves_the_priorities_right():
    """A lap of frames that compress, its last group of any length; then ones that do not, until it is all evicted."""
    overlaid = 0
    for budget in range(30_000, 31_600, 50):
        rng, replay = np.random.default_rng(0), build(budget)
        ring = replay.ring

        def film(ring=ring, rng=rng):
            while ring.previous == 0:
                yield noise(rng) if ring.lap else speckled(rng, 0.05 * rng.random())

        before = 0
        for number in fill(replay, film()):
            overlaid += ring.low < before * ring.rows.itemsize
            before = ring.table
            assert replay.sampler.total == pytest.approx(ring.size), (budget, number)
    assert overlaid > 0


@pytest.mark.parametrize("sampling", ["uniform", "prioritized"])
def test_a_batch_is_the_one_that_raw_frames_give(sampling):
    raw, packed = (build(400 * 460, history=4, codec=codec, sampling=sampling, n_step=3) for codec in ("raw", "lz4"))
    for replay in (raw, packed):
        rng = np.random.default_rng(1)
        for number in fill(replay, (speckled(rng, rng.random() / 2) for _ in range(380))):
            if number > 10 and number % 3 == 0:
                batch = replay.sample(8, 0.6)
                replay.prioritize(batch.index, (batch.reward % 5 + 0.1).astype(np.float32))
        assert not replay.ring.wrapped
        assert len(replay) == 380
    for beta in (0.4, 1.0):
        one, other = raw.sample(64, beta), packed.sample(64, beta)
        for name in ("obs", "action", "reward", "discount", "next_obs", "weight", "index"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_training_on_compressed_frames_is_training_on_raw_ones(small, tmp_path, monkeypatch):
    sample, drawn = Replay.sample, {}

    def note(replay, count, beta):
        batch = sample(replay, count, beta)
        kept = [batch.obs.tobytes(), batch.next_obs.tobytes(), batch.index.tolist(), batch.weight.tobytes()]
        drawn.setdefault(replay.representation.codec, []).append(hash(str(kept)))
        return batch

    monkeypatch.setattr(Replay, "sample", note)
    found = {}
    for codec in ("raw", "lz4"):
        config = small(run={"steps": 320, "freeze_at": None}, replay={"learn_start": 240, "pixel_codec": codec})
        summary = train.train(config, tmp_path / codec, quiet=True)
        assert (summary["status"], summary["codec"], summary["replay"]["rows"]) == ("finished", codec, 320)
        found[codec] = safetensors.numpy.load_file(tmp_path / codec / summary["checkpoint"] / "weights.safetensors")
    assert len(drawn["raw"]) == 80
    assert drawn["raw"] == drawn["lz4"]
    assert found["raw"].keys() == found["lz4"].keys()
    assert [name for name, array in found["raw"].items() if array.tobytes() != found["lz4"][name].tobytes()] == []


CONTENT = {
    "incompressible": lambda rng, number: noise(rng),
    "half of it noise": lambda rng, number: speckled(rng, 0.5),
}


@pytest.mark.parametrize("content", CONTENT)
@pytest.mark.parametrize("sampling", ["uniform", "prioritized"])
def test_once_rows_leave_there_are_as_many_as_were_said_to_be_sure(sampling, content):
    budget = 60_000
    said = capacity.pixel_store(EnvSpec(SHAPE, 1, 3, 1), "lz4", sampling, budget).rows
    replay, rng, least = build(budget, sampling=sampling), np.random.default_rng(0), 10**9
    for _ in fill(replay, (CONTENT[content](rng, number) for number in range(3200))):
        if replay.ring.wrapped:
            least = min(least, len(replay))
    assert 20 < said <= least < 10**9


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("sampling", ["uniform", "prioritized"])
def test_where_auto_takes_latents_no_row_is_dropped(sampling, dtype):
    """At every fill up to the one where it keeps the frames: those at first compress, those at last do not."""
    shape = {"float32": (90,), "float16": (180,), "uint8": (360,)}[dtype]
    budget = 100_000
    frames = np.zeros((400, *SHAPE), np.uint8)
    frames[130:] = noise(np.random.default_rng(0), (270, *SHAPE))
    taken = set()
    for count in (120, 140, *range(225, 300, 4)):
        replay = build(budget, sampling=sampling)
        assert list(fill(replay, frames[:count]))[-1] == count - 1
        if replay.ring.wrapped:
            break
        pixels = replay.representation
        stem = Stem(lambda windows: np.zeros((len(windows), *shape), np.float32), shape, pixels, rng=None)
        latents = Latents(stem, dtype)
        taken.add(choose_store("auto", latents, replay))
        if choose_store("auto", latents, replay) == "latents":
            assert replay.transcode(latents) == 0, count
            assert len(replay) == count
    assert taken == {"latents", "pixels"}
