"""CURL-SAC's freeze at several cuts: what it computes, drops and keeps; and the agent's state before and after it."""

import gc
import json
import weakref
from dataclasses import replace

import engines
import numpy as np
import pytest
import torch
from plain_sac import FEATURES, SEEN, agent, batch, features, target_features, weights
from torch.nn import functional

from edgerl.agents.layers.arrays import to_numpy
from edgerl.agents.optimizer import MEANS, SUMS
from runtime import Session
from runtime.export import export

# Parameters: of each convolution, of what the actor and the critic each have behind them, and of W.
CONVS = [32 * 9 * 9 + 32, *[32 * 9 * 32 + 32] * 3]
NECK, W = 32 * 3 * 3 * FEATURES + FEATURES + 2 * FEATURES, FEATURES**2
CUTS = {"fc": 2 * FEATURES, "conv4": 32 * 3 * 3, "conv2": 32 * 7 * 7}  # with the numbers that cross them
both = pytest.mark.parametrize("engine", engines.BOTH, ids=engines.name)


def windows(count=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *SEEN), dtype=np.uint8)


def trained(engine, seed=0):
    """An agent after two updates: its targets are no longer what they follow."""
    learner, rng = agent(seed, engine=engine), np.random.default_rng(seed)
    for _ in range(2):
        learner.update(batch(rng))
    return learner


def shape(learner, cut):
    """Of the latents at a cut."""
    return learner.stem(cut).graph.latent


def held(learner):
    """Every array of an agent, as copies."""
    return {name: array.copy() for name, array in learner.state()[0].items()}


def is_left(name, cut):
    """Whether an array of the state lies left of a cut, or is of the contrast."""
    parts = [f"shared.conv{n}." for n in range(1, int(cut[-1]) + 1)] if cut != "fc" else ["encoders.", "shared", "neck"]
    return any(part in name for part in (*parts, "contrast"))


@both
@pytest.mark.parametrize("cut", CUTS)
def test_behind_the_stem_features_are_what_they_were_bit_for_bit(cut, engine):
    learner, x = trained(engine), windows()
    before = features(learner, x)
    latents = learner.stem(cut).latents(x)
    assert latents[0].size == CUTS[cut]
    learner.freeze(cut)
    for own, expected in zip(features(learner, latents), before, strict=True):
        np.testing.assert_array_equal(own, expected)
    if cut == "fc":
        np.testing.assert_array_equal(latents, np.stack(before, axis=1))
    assert not np.array_equal(*before)


@both
@pytest.mark.parametrize("cut", CUTS)
def test_onnx_runtime_computes_the_stem(cut, engine):
    learner = trained(engine)
    stem = learner.stem(cut)
    encode = Session(export(stem.graph))
    assert encode.shape == shape(learner, cut)
    for count in (1, 5):
        x = windows(count)
        np.testing.assert_allclose(encode(x), stem.latents(x), rtol=0, atol=1e-4)
    if cut == "fc":
        assert encode.shape == (2, FEATURES)


@both
@pytest.mark.parametrize(("cut", "behind"), [("fc", []), ("conv4", []), ("conv2", ["conv3", "conv4"])])
def test_the_target_shares_the_online_stem_and_keeps_what_it_has_behind(cut, behind, engine):
    learner = trained(engine)
    latents, target = learner.stem(cut).latents(windows()), target_weights(learner)
    expected = torch.from_numpy(latents)
    for name in behind:
        expected = torch.relu(
            functional.conv2d(expected, target[f"shared.{name}.weight"], target[f"shared.{name}.bias"])
        )
    if cut == "fc":
        expected = expected[:, 1]
    else:
        expected = functional.linear(expected.flatten(1), target["critic.fc.weight"], target["critic.fc.bias"])
        norm = target["critic.norm.weight"], target["critic.norm.bias"]
        expected = functional.layer_norm(expected, (FEATURES,), *norm)
    learner.freeze(cut)
    found = target_features(learner, latents)
    np.testing.assert_allclose(found, expected.numpy(), atol=0 if cut == "fc" else 2e-6)
    if cut != "fc":
        assert np.abs(features(learner, latents)[1] - found).max() > 1e-3


def target_weights(learner):
    """The weights of the target encoders."""
    prefix = "target_encoders."
    return {n.removeprefix(prefix): torch.from_numpy(a) for n, a in weights(learner).items() if n.startswith(prefix)}


@both
@pytest.mark.parametrize("cut", CUTS)
def test_a_freeze_drops_what_lies_left_of_the_cut_and_the_contrast_and_not_a_bit_of_the_rest(cut, engine):
    learner = trained(engine)
    before = held(learner)
    assert len([name for name in before if is_left(name, cut)]) > 10
    learner.freeze(cut)
    after = held(learner)
    assert set(after) == {name for name in before if not is_left(name, cut)}
    for name, array in after.items():
        np.testing.assert_array_equal(array, before[name], name)
    moments = [name for name in after if name.endswith((MEANS[1], SUMS[1]))]
    assert len(moments) >= 6 + 2 * 6 + 1
    assert all(after[name].any() for name in moments)
    assert learner.net.contrast is None
    assert learner.optimizers.keys() == {"critic", "actor", "alpha"}


@pytest.mark.parametrize("cut", CUTS)
def test_what_is_left_goes_from_torch_to_numpy_with_every_weight_and_moment(cut):
    """As on the CPU; torch's moments are means, NumPy's sums."""
    staying, going = trained(engines.TORCH), trained(replace(engines.TORCH, frozen=lambda layers: engines.NUMPY))
    latent = shape(going, cut)
    for learner in (staying, going):
        learner.freeze(cut)
    assert [learner.needs_torch for learner in (staying, going)] == [True, False]
    kept, moved = weights(staying), weights(going)
    assert kept.keys() == moved.keys()
    for name, array in moved.items():
        np.testing.assert_array_equal(array, kept[name], name)
    means, sums = held(staying), held(going)
    for mean, total, beta in ((MEANS[0], SUMS[0], 0.9), (MEANS[1], SUMS[1], 0.999)):
        names = [name.removesuffix(total) for name in sums if name.endswith(f".{total}") and ".alpha." not in name]
        assert len(names) >= 6 + 2 * 6
        for name in names:
            np.testing.assert_allclose(sums[name + total] * (1 - beta), means[name + mean], rtol=1e-4, atol=0)
    rng = np.random.default_rng(1)
    for data in [batch(rng, latent=latent) for _ in range(4)]:
        assert going.update(data).metrics == pytest.approx(staying.update(data).metrics, rel=1e-4)
    assert going.rng.bit_generator.state == staying.rng.bit_generator.state


@both
@pytest.mark.parametrize("cut", CUTS)
def test_bytes_fall_by_exactly_what_the_dropped_parts_held(cut, engine):
    learner = trained(engine)
    before = learner.nbytes()
    learner.freeze(cut)
    after = learner.nbytes()
    last = 4 if cut == "fc" else int(cut[-1])
    convs, neck = sum(CONVS[:last]), NECK * (cut == "fc")
    assert before["networks"] - after["networks"] == 4 * (2 * convs + 3 * neck + W)
    contrast = 2 * (sum(CONVS) + NECK + W) + W  # two moments; the encoder's gradients are the critic's
    own = 3 * (convs + 2 * neck)
    assert before["optimizer"] - after["optimizer"] == 4 * (contrast + own)


@both
def test_nothing_keeps_the_stem_alive_behind_a_freeze(engine):
    learner = trained(engine)
    net, moments = learner.net, [learner.optimizers[name].moments for name in ("critic", "contrast0")]
    own, target = net.encoders.parameters, net.target_encoders.parameters
    layers = [
        own["shared.conv1"],
        own["actor.fc"],
        target["shared.conv1"],
        target["critic.fc"],
        net.contrast.parameters,
    ]
    arrays = [array for layer in layers for array in (layer.flat, layer.gradient) if array is not None]
    arrays += [array for named in moments for array in named["shared.conv1"]]
    parts = [weakref.ref(part) for part in (*layers, *arrays)]
    assert len(parts) == 5 + 8 + 4
    del own, target, layers, arrays, moments
    learner.freeze("fc")
    gc.collect()
    assert [part() for part in parts] == [None] * len(parts)


@both
@pytest.mark.parametrize("cut", CUTS)
def test_updates_after_a_freeze_change_all_that_is_right_of_the_cut_and_nothing_left_of_it(cut, engine):
    learner, rng = trained(engine), np.random.default_rng(1)
    latent, stem = shape(learner, cut), learner.stem(cut).graph.weights
    learner.freeze(cut)
    fixed, before = {name: array.copy() for name, array in stem.items()}, weights(learner)
    for _ in range(2):
        found = learner.update(batch(rng, latent=latent)).metrics
    for name, array in stem.items():
        np.testing.assert_array_equal(array, fixed[name], name)
        assert not any(np.shares_memory(array, to_numpy(other)) for other in learner.net.arrays.values())
    assert [name for name, array in weights(learner).items() if np.array_equal(array, before[name])] == []
    heads = {name.partition(".")[0] for name in before}
    encoder = {"encoders", "target_encoders"} if cut != "fc" else set()
    assert heads == {"log_alpha", "actor", "critics", "target_critics"} | encoder
    assert np.isfinite(list(found.values())).all()
    assert "contrastive_loss" not in found


@both
@pytest.mark.parametrize("cut", [None, *CUTS])
def test_a_fresh_agent_goes_on_from_a_saved_state_bit_for_bit(cut, engine):
    one, rng, latent = trained(engine), np.random.default_rng(1), None
    if cut is not None:
        latent = shape(one, cut)
        one.freeze(cut)
    one.update(batch(rng, latent=latent))
    one.act(batch(rng).obs[0, :, :20, :20] if cut is None else batch(rng, latent=latent).obs[0], explore=True)
    arrays, values = held(one), json.loads(json.dumps(one.state()[1]))
    other = agent(seed=9, random_steps=one.config.random_steps, engine=engine)
    other.load(arrays, values)
    assert other.cut == cut
    for n in range(3):
        data = batch(rng, latent=latent)
        seen = data.obs[0] if cut is not None else data.obs[0, :, :20, :20]
        np.testing.assert_array_equal(one.act(seen, explore=n < 2), other.act(seen, explore=n < 2))
        assert one.update(data).metrics == other.update(data).metrics
    mine, theirs = one.state(), other.state()
    assert mine[1] == theirs[1]
    assert set(mine[0]) == set(theirs[0])
    for name, array in mine[0].items():
        np.testing.assert_array_equal(array, theirs[0][name], name)


def test_random_actions_at_first_are_counted_through_a_saved_state():
    one = agent(random_steps=5)
    for _ in range(3):
        one.act(windows(1)[0], explore=True)
    other = agent(seed=3, random_steps=5)
    other.load(held(one), json.loads(json.dumps(one.state()[1])))
    rng = np.random.default_rng()
    rng.bit_generator.state = one.rng.bit_generator.state
    for _ in range(2):
        expected = rng.uniform(-1, 1, 2).astype(np.float32)
        np.testing.assert_array_equal(other.act(windows(1)[0], explore=True), expected)
    third = rng.uniform(-1, 1, 2).astype(np.float32)
    assert not np.array_equal(other.act(windows(1)[0], explore=True), third)


def test_a_state_of_another_agent_is_refused():
    arrays, values = agent().state()
    with pytest.raises(RuntimeError, match=r"actor\.layers\.0\.weight is \[32, 50\], not \[16, 50\]"):
        agent(hidden=16).load(arrays, values)
    with pytest.raises(RuntimeError, match="there is no contrast here"):
        agent(contrast=False).load(arrays, values)
