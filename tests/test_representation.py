"""What rows store and batches read: pixels, latents of several crops, pixels behind a frozen stem.

A coded frame holds, at (y, x), its row y, its column x and its number: what a crop was cut from can be read off it.
"""

import copy
import hashlib

import engines
import numpy as np
import pytest
from scipy import stats

from edgerl.agents.sac import CurlSac
from edgerl.config.agent_settings import SacConfig
from edgerl.config.replay_settings import ReplayConfig
from edgerl.config.toml import preset
from edgerl.envs.base import EnvSpec
from edgerl.replay import crops, representation
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Encoded, Latents, Stem
from edgerl.replay.representation import Pixels
from edgerl.replay.stem import ONNX_FILE, frozen
from edgerl.training.freeze import FreezeSettings, freeze
from runtime.export import export

SPEC = EnvSpec((3, 100, 100), 3, 2, 4, continuous=True, refill=True)
Y, X = np.mgrid[:100, :100].astype(np.uint8)


def coded(*numbers):
    """Frames [n, 3, 100, 100]."""
    return np.stack([np.stack([Y, X, np.full_like(X, number)]) for number in numbers])


class Encode:
    """A stem whose latents [2, 4] say what it saw: top, left and number of the newest frame; and whose it is: 0, 1."""

    shape = (2, 4)

    def __init__(self):
        self.calls = []

    def __call__(self, windows):
        assert windows.dtype == np.uint8
        assert windows.flags.c_contiguous
        assert windows.shape[1:] == (9, 84, 84)
        self.calls.append(len(windows))
        found = np.zeros((len(windows), 2, 4), np.float32)
        found[:, :, :3], found[:, 1, 3] = windows[:, None, 6:, 0, 0], 1
        return found


def stem(views=4, seed=0):
    return Stem(Encode(), Encode.shape, Pixels((3, 100, 100), 3, crop=84), views=views, rng=np.random.default_rng(seed))


def seen(numbers, offsets):
    """What `Encode` makes of windows whose newest frames have these numbers, cropped there: [n, 2, 4]."""
    return np.array([[[*offset, n, who] for who in (0, 1)] for n, offset in zip(numbers, offsets, strict=True)])


@pytest.mark.parametrize(
    ("frame", "history", "crop", "shape"),
    [((84, 84), 4, 0, (4, 84, 84)), ((84, 84), 4, 64, (4, 64, 64)), ((3, 100, 100), 3, 84, (9, 84, 84))],
)
def test_pixels_are_seen_centred_and_one_frame_is_stored(frame, history, crop, shape):
    pixels = Pixels(frame, history, crop=crop)
    window = np.random.default_rng(0).integers(0, 256, (history, *frame), dtype=np.uint8)
    assert pixels.shape == shape
    assert pixels.field == ("obs", np.uint8, frame)
    whole = np.concatenate([each.reshape(-1, *frame[-2:]) for each in window])
    assert np.array_equal(pixels.window(window), whole)
    edge = (frame[-1] - shape[-1]) // 2
    centre = whole[:, edge : edge + shape[1], edge : edge + shape[2]]
    assert np.array_equal(pixels.see(window), centre)
    assert np.array_equal(pixels.seen(whole[None]), centre[None])
    observation, stored = pixels.observe(window)
    assert np.array_equal(observation, centre)
    newest = window[-1].copy()
    window[:] = 0  # the environment writes over its window
    assert np.array_equal(stored, newest)


@pytest.mark.parametrize("frame", [(84, 84), (3, 100, 100)])
@pytest.mark.parametrize("refill", [False, True])
def test_before_an_episodes_start_a_window_has_zeros_or_its_first_frame_again(frame, refill):
    stored = np.random.default_rng(0).integers(1, 256, (10, *frame), dtype=np.uint8)
    kept = stored.copy()
    slots = np.array([[1, 2, 3], [8, 9, 0], [4, 5, 6]])  # the second across the ring's end
    present = np.array([[True, True, True], [False, True, True], [False, False, True]])
    found = Pixels(frame, 3, refill=refill, crop=64).read(stored, slots, present)
    expected = stored[[[1, 2, 3], [9, 9, 0], [6, 6, 6]]]
    if not refill:
        expected[~present] = 0
    channels = 9 if len(frame) == 3 else 3
    assert found.shape == (3, channels, *frame[-2:])  # whole: the agent crops it
    assert np.array_equal(found, expected.reshape(found.shape))
    assert np.array_equal(stored, kept)


@pytest.mark.parametrize(("random_crop", "augment"), [(True, 4), (False, 0)])
def test_settings_say_how_frames_are_stored(random_crop, augment):
    settings = preset("dmc/reacher-easy")["replay"] | {"random_crop": random_crop, "reward_clip": None}
    pixels = representation.pixels(SPEC, ReplayConfig(**settings))
    assert (pixels.crop, pixels.augment, pixels.refill, pixels.history) == (84, augment, True, 3)


def test_acting_encodes_the_centre_and_the_crops_to_keep_in_one_call():
    latents = Latents(stem())
    rng = copy.deepcopy(latents.stem.rng)
    for n in range(3):
        observation, stored = latents.observe(coded(n, n + 1, n + 2))
        assert np.array_equal(observation, seen([n + 2], [(8, 8)])[0])
        assert np.array_equal(stored, seen([n + 2] * 4, rng.integers(0, [17, 17], (4, 2))))
    assert latents.stem.encode.calls == [5, 5, 5]
    assert latents.field == ("obs", np.float32, (4, 2, 4))
    assert representation.nbytes(latents.field) == 4 * 4 * 2 * 4


@pytest.mark.parametrize("kind", [Latents, Encoded])
def test_seeing_encodes_the_centre_and_draws_nothing(kind):
    found = kind(stem())
    before = copy.deepcopy(found.stem.rng.bit_generator.state)
    for _ in range(2):
        assert np.array_equal(found.see(coded(1, 2, 3)), seen([3], [(8, 8)])[0])
    assert found.stem.encode.calls == [1, 1]
    assert found.stem.rng.bit_generator.state == before


def test_converted_rows_hold_as_many_crops_of_their_own_window():
    latents = Latents(stem())
    windows = np.stack([coded(n, n + 1, n + 2).reshape(9, 100, 100) for n in (5, 50)])
    offsets = copy.deepcopy(latents.stem.rng).integers(0, [17, 17], (8, 2))
    found = latents.convert(windows)
    assert np.array_equal(found, seen([7] * 4 + [52] * 4, offsets).reshape(2, 4, 2, 4))
    assert len({tuple(offset) for offset in offsets}) > 4
    assert latents.views == 4


def test_a_batch_reads_one_crop_of_each_row_for_both_encoders_uniformly_and_row_by_row():
    latents = Latents(stem(seed=2))
    row, view, who = np.ogrid[:10, :4, :2]
    stored = (100 * row + 10 * view + who)[..., None] + np.zeros(4)
    rows = np.tile(np.arange(10), 800)
    found = latents.read(stored, rows[:, None], np.ones((8000, 1), bool))
    assert found.shape == (8000, 2, 4)
    chosen = (found[:, 0, 0] - 100 * rows) // 10
    assert np.array_equal(found, (100 * rows + 10 * chosen)[:, None, None] + np.array([0, 1])[:, None] + np.zeros(4))
    assert stats.chisquare(np.bincount(chosen.astype(int), minlength=4)).pvalue > 0.01
    pairs = np.bincount((4 * chosen[:4000] + chosen[4000:]).astype(int), minlength=16)  # obs and next_obs
    assert stats.chisquare(pairs).pvalue > 0.01


def test_one_random_crop_is_not_the_one_that_was_acted_on():
    latents = Latents(stem(views=1))
    observation, stored = latents.observe(coded(1, 2, 3))
    assert latents.field[2] == stored.shape == (1, 2, 4)
    offset = np.random.default_rng(0).integers(0, [17, 17], (1, 2))
    assert np.array_equal(stored, seen([3], offset))
    assert not np.array_equal(stored[0], observation)
    read = latents.read(stored[None], np.array([[0], [0]]), np.ones((2, 1), bool))
    assert np.array_equal(read, seen([3, 3], [offset[0]] * 2))


def test_without_random_crops_the_latent_acted_on_is_the_one_that_is_stored():
    latents = Latents(stem(views=0))
    before = copy.deepcopy(latents.stem.rng.bit_generator.state)
    observation, stored = latents.observe(coded(1, 2, 3))
    assert np.array_equal(observation, stored)
    assert np.array_equal(stored, seen([3], [(8, 8)])[0])
    assert latents.field[2] == (2, 4)
    assert np.array_equal(latents.convert(coded(1, 2, 3).reshape(1, 9, 100, 100)), stored[None])
    many = np.arange(24.0).reshape(3, 2, 4)
    assert np.array_equal(latents.read(many, np.array([[2], [0]]), np.ones((2, 1), bool)), many[[2, 0]])
    assert latents.stem.encode.calls == [1, 1]
    assert latents.stem.rng.bit_generator.state == before


@pytest.mark.parametrize("views", [0, 1])
def test_encoded_keeps_frames_and_reads_them_through_the_stem(views):
    encoded = Encoded(stem(views=views))
    window = coded(1, 2, 3)
    observation, stored = encoded.observe(window)
    assert np.array_equal(observation, seen([3], [(8, 8)])[0])
    assert np.array_equal(stored, window[-1])
    assert (encoded.stores, encoded.history, encoded.field) == ("pixels", 3, ("obs", np.uint8, (3, 100, 100)))
    rng = copy.deepcopy(encoded.stem.rng)
    slots, present = np.array([[0, 1, 2], [1, 2, 3]]), np.ones((2, 3), bool)
    offsets = rng.integers(0, [17, 17], (2, 2)) if views else [(8, 8)] * 2
    assert np.array_equal(encoded.read(coded(10, 20, 30, 40), slots, present), seen([30, 40], offsets))
    assert encoded.stem.encode.calls == [1, 2]
    assert encoded.stem.rng.bit_generator.state == rng.bit_generator.state


def curl():
    config = SacConfig(**(preset("dmc/reacher-easy")["agent"] | {"hidden": 8}))
    return CurlSac((9, 84, 84), SPEC.actions, config, np.random.default_rng(0), engines.TORCH)


@pytest.mark.parametrize(("cut", "kind", "shape"), [("conv1", Encoded, (32, 41, 41)), ("fc", Latents, (2, 50))])
def test_a_freeze_keeps_frames_where_the_latents_of_a_row_are_larger(cut, kind, shape, tmp_path):
    agent, rng = curl(), np.random.default_rng(1)
    pixels = Pixels(SPEC.frame, 3, refill=True, crop=84, augment=4)
    replay = Replay(20 * 30_016, pixels, SPEC.action, n_step=1, gamma=0.99, rng=rng, sampling="uniform")
    frames = rng.integers(0, 256, (15, *SPEC.frame), dtype=np.uint8)
    for frame in frames:
        replay.append(frame, rng.uniform(-1, 1, 2), 1.0, terminated=False)
    capacity, stem = replay.capacity, agent.stem(cut)
    freeze(agent, replay, pixels=pixels, window=frames[-3:], folder=tmp_path, settings=FreezeSettings(cut))
    assert type(replay.representation) is kind
    assert (replay.capacity == capacity) == (kind is Encoded)
    numbers, before = np.array([4, 9]), copy.deepcopy(rng)
    found = replay.observations(numbers)
    assert found.shape == (2, *shape)
    if kind is Latents:
        for latent, kept in zip(found, replay.ring.rows["obs"][numbers], strict=True):
            assert [np.array_equal(latent, each) for each in kept].count(True) == 1
    else:
        windows = np.stack([frames[n - 2 : n + 1].reshape(9, 100, 100) for n in numbers])
        cropped = crops.crop(windows, crops.draw(windows, 84, before), 84)
        np.testing.assert_allclose(found, stem.latents(cropped), rtol=0, atol=1e-4)
    assert np.isfinite(agent.update(replay.sample(2, 1.0)).metrics["loss"])


@pytest.mark.parametrize("augment", [0, 4])
def test_the_stem_read_back_from_its_file_draws_as_many_crops_as_rows_hold(augment, tmp_path):
    agent, rng = curl(), np.random.default_rng(0)
    pixels = Pixels(SPEC.frame, 3, crop=84, augment=augment)
    for cut, kind, views in (("conv1", Encoded, min(1, augment)), ("fc", Latents, augment)):
        exported = export(agent.stem(cut).graph)
        (tmp_path / ONNX_FILE).write_bytes(exported)
        stores, codec = ("pixels", "raw") if kind is Encoded else ("latents", "float32")
        report = {"onnx_sha256": hashlib.sha256(exported).hexdigest(), "store": stores, "codec": codec}
        found = frozen(tmp_path, pixels, rng, report)
        assert type(found) is kind
        assert found.stem.views == views
        assert found.stem.rng is rng
