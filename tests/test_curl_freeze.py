"""CURL-SAC's freeze at several cuts: what it computes, drops and keeps; and the agent's state before and after it."""

import gc
import json
import weakref

import numpy as np
import pytest
import torch
from plain_sac import FEATURES, SEEN, agent, batch

from runtime import Session
from runtime.export import export

# Parameters: of each convolution, of what the actor and the critic each have behind them, and of W.
CONVS = [32 * 9 * 9 + 32, *[32 * 9 * 32 + 32] * 3]
NECK, W = 32 * 3 * 3 * FEATURES + FEATURES + 2 * FEATURES, FEATURES**2
CUTS = {"fc": 2 * FEATURES, "conv4": 32 * 3 * 3, "conv2": 32 * 7 * 7}  # with the numbers that cross them


def windows(count=3, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *SEEN), dtype=np.uint8))


def trained(seed=0):
    """An agent after two updates: its targets are no longer what they follow."""
    learner, rng = agent(seed), np.random.default_rng(seed)
    for _ in range(2):
        learner.update(batch(rng))
    return learner


def shape(learner, cut):
    """Of the latents at a cut."""
    with torch.no_grad():
        return tuple(learner.stem(cut).module(windows(1)).shape[1:])


def held(learner):
    """Every array of an agent, as copies."""
    return {name: array.copy() for name, array in learner.state()[0].items()}


def is_left(name, cut):
    """Whether an array of the state lies left of a cut, or is of the contrast."""
    parts = [f"shared.conv{n}." for n in range(1, int(cut[-1]) + 1)] if cut != "fc" else ["encoders.", "shared", "neck"]
    return any(part in name for part in (*parts, "contrast"))


@pytest.mark.parametrize("cut", CUTS)
def test_behind_the_stem_features_are_what_they_were_bit_for_bit(cut):
    learner, x = trained(), windows()
    with torch.no_grad():
        net = learner.net
        shared = net.encoders.shared(x)
        before = [net.encoders.actor(shared), net.encoders.critic(shared)]
        latents = learner.stem(cut).module(x)
        assert latents[0].numel() == CUTS[cut]
        learner.freeze(cut)
        shared = net.encoders.shared(latents)
        assert torch.equal(net.encoders.actor(shared), before[0])
        assert torch.equal(net.encoders.critic(shared), before[1])
        if cut == "fc":
            assert torch.equal(latents, torch.stack(before, 1))
        assert not torch.equal(before[0], before[1])


@pytest.mark.parametrize("cut", CUTS)
def test_onnx_runtime_computes_the_stem(cut):
    learner = trained()
    stem = learner.stem(cut)
    encode = Session(export(stem.graph))
    assert encode.shape == shape(learner, cut)
    for count in (1, 5):
        x = windows(count).numpy()
        np.testing.assert_allclose(encode(x), stem.latents(x), rtol=0, atol=1e-4)
    if cut == "fc":
        assert encode.shape == (2, FEATURES)


@pytest.mark.parametrize(("cut", "behind"), [("fc", []), ("conv4", []), ("conv2", ["conv3", "conv4"])])
def test_the_target_shares_the_online_stem_and_keeps_what_it_has_behind(cut, behind):
    learner = trained()
    target = learner.net.target_encoders
    with torch.no_grad():
        expected = latents = learner.stem(cut).module(windows())
        for name in behind:
            expected = torch.relu(target.shared.get_submodule(name)(expected))
        expected = latents[:, 1] if cut == "fc" else target.critic(expected.flatten(1))
        learner.freeze(cut)
        target = learner.net.target_encoders
        assert torch.equal(target.critic(target.shared(latents)), expected)
        if cut != "fc":
            online = learner.net.encoders
            assert not torch.equal(online.critic(online.shared(latents)), expected)


@pytest.mark.parametrize("cut", CUTS)
def test_a_freeze_drops_what_lies_left_of_the_cut_and_the_contrast_and_not_a_bit_of_the_rest(cut):
    learner = trained()
    before = held(learner)
    assert len([name for name in before if is_left(name, cut)]) > 10
    learner.freeze(cut)
    after = held(learner)
    assert set(after) == {name for name in before if not is_left(name, cut)}
    for name, array in after.items():
        np.testing.assert_array_equal(array, before[name], name)
    moments = [name for name in after if name.endswith("exp_avg_sq")]
    assert len(moments) >= 6 + 2 * 6 + 1
    assert all(after[name].any() for name in moments)
    assert learner.net.contrast is None
    assert learner.contrast_optimizers == []


@pytest.mark.parametrize("cut", CUTS)
def test_bytes_fall_by_exactly_what_the_dropped_parts_held(cut):
    learner = trained()
    before = learner.nbytes()
    learner.freeze(cut)
    after = learner.nbytes()
    last = 4 if cut == "fc" else int(cut[-1])
    convs, neck = sum(CONVS[:last]), NECK * (cut == "fc")
    assert before["networks"] - after["networks"] == 4 * (2 * convs + 3 * neck + W)
    contrast = 2 * (sum(CONVS) + NECK + W) + 12 + 1  # two moments, and the step count of every tensor
    own = 2 * (convs + 2 * neck) + 2 * last + 8 * (cut == "fc")
    assert before["optimizer"] - after["optimizer"] == 4 * (contrast + own)


def test_nothing_keeps_the_stem_alive_behind_a_freeze():
    learner = trained()
    net = learner.net
    modules = [net.encoders.shared.conv1, net.encoders.actor.fc, net.target_encoders.shared.conv1]
    parts = [weakref.ref(part) for part in (*modules, net.target_encoders.critic.fc, net.contrast)]
    del modules
    learner.freeze("fc")
    gc.collect()
    assert [part() for part in parts] == [None] * 5


@pytest.mark.parametrize("cut", CUTS)
def test_updates_after_a_freeze_change_all_that_is_right_of_the_cut_and_nothing_left_of_it(cut):
    learner, rng = trained(), np.random.default_rng(1)
    latent, stem = shape(learner, cut), learner.stem(cut).module
    learner.freeze(cut)
    fixed = {name: p.clone() for name, p in stem.state_dict().items()}
    before = {name: p.detach().clone() for name, p in learner.net.named_parameters()}
    for _ in range(2):
        found = learner.update(batch(rng, latent=latent)).metrics
    assert all(torch.equal(p, fixed[name]) for name, p in stem.state_dict().items())
    assert not {id(p) for p in stem.parameters()} & {id(p) for p in learner.net.parameters()}
    assert [name for name, p in learner.net.named_parameters() if torch.equal(p, before[name])] == []
    heads = {name.partition(".")[0] for name in before}
    encoder = {"encoders", "target_encoders"} if cut != "fc" else set()
    assert heads == {"log_alpha", "actor", "critics", "target_critics"} | encoder
    assert np.isfinite(list(found.values())).all()
    assert "contrastive_loss" not in found


@pytest.mark.parametrize("cut", [None, *CUTS])
def test_a_fresh_agent_goes_on_from_a_saved_state_bit_for_bit(cut):
    one, rng, latent = trained(), np.random.default_rng(1), None
    if cut is not None:
        latent = shape(one, cut)
        one.freeze(cut)
    one.update(batch(rng, latent=latent))
    one.act(batch(rng).obs[0, :, :20, :20] if cut is None else batch(rng, latent=latent).obs[0], explore=True)
    arrays, values = held(one), json.loads(json.dumps(one.state()[1]))
    other = agent(seed=9, random_steps=one.config.random_steps)
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
        one.act(windows(1)[0].numpy(), explore=True)
    other = agent(seed=3, random_steps=5)
    other.load(held(one), json.loads(json.dumps(one.state()[1])))
    rng = np.random.default_rng()
    rng.bit_generator.state = one.rng.bit_generator.state
    for _ in range(2):
        expected = rng.uniform(-1, 1, 2).astype(np.float32)
        np.testing.assert_array_equal(other.act(windows(1)[0].numpy(), explore=True), expected)
    third = rng.uniform(-1, 1, 2).astype(np.float32)
    assert not np.array_equal(other.act(windows(1)[0].numpy(), explore=True), third)


def test_a_state_of_another_agent_is_refused():
    arrays, values = agent().state()
    with pytest.raises(RuntimeError, match="size mismatch for actor"):
        agent(hidden=16).load(arrays, values)
    with pytest.raises(RuntimeError, match=r'Unexpected key.* "contrast"'):
        agent(contrast=False).load(arrays, values)
