"""DQN against hand computations, and what a freeze leaves of it."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgerl.agents.dqn import Dqn
from edgerl.config import architectures
from edgerl.config.settings import DqnConfig
from edgerl.config.toml import preset
from edgerl.types import Batch

WINDOW, ACTIONS = (4, 84, 84), 3
CUTS = [("data_efficient", "conv1"), ("data_efficient", "conv2"), ("canonical", "conv2"), ("curl", "fc")]


def agent(seed=0, **changes):
    settings = preset("atari/qbert", "dqn")["agent"] | {"cut": "conv2", "hidden": 16} | changes
    torch.set_num_threads(1)
    return Dqn(WINDOW, ACTIONS, DqnConfig(**settings), np.random.default_rng(seed))


def batch(rng, size=4, latent=None):
    def observations():
        if latent is None:
            return rng.integers(0, 256, (size, *WINDOW), dtype=np.uint8)
        return rng.random((size, *latent), dtype=np.float32)

    return Batch(
        obs=observations(),
        action=rng.integers(0, ACTIONS, size).astype(np.uint8),
        reward=rng.standard_normal(size).astype(np.float32),
        discount=np.array([0.97, 0, 0.99, 0.97][:size], np.float32),
        next_obs=observations(),
        weight=rng.uniform(0.2, 1, size).astype(np.float32),
        index=np.arange(size),
    )


def apart(learner):
    """Make the target another network than the online one."""
    with torch.no_grad():
        for p in learner.target.parameters():
            p += 0.05 * torch.randn_like(p)


def equal(learner):
    pairs = zip(learner.online.parameters(), learner.target.parameters(), strict=True)
    return all(torch.equal(own, other) for own, other in pairs)


def values(network, observations):
    with torch.no_grad():
        return network.head(network.encoder(torch.from_numpy(observations))).numpy()


def errors(learner, data):
    """Q(s, a) - (r + discount max Q'(s')) of each row, one after another."""
    found, ahead = values(learner.online, data.obs), values(learner.target, data.next_obs)
    return [
        found[row][data.action[row]] - (data.reward[row] + data.discount[row] * max(ahead[row]))
        for row in range(len(data.obs))
    ]


def test_losses_are_squared_distances_from_the_targets_greedy_value():
    learner, data = agent(), batch(np.random.default_rng(0))
    apart(learner)
    expected = np.array(errors(learner, data)) ** 2
    assert not np.allclose(values(learner.online, data.next_obs).max(1), values(learner.target, data.next_obs).max(1))
    update = learner.update(data)
    np.testing.assert_allclose(update.priority, expected, rtol=1e-4)
    assert update.metrics["loss"] == pytest.approx(np.mean(data.weight * expected), rel=1e-4)


def test_where_an_episode_terminated_the_next_observation_counts_for_nothing():
    data, other = (batch(np.random.default_rng(seed)) for seed in (0, 1))
    first, second = (agent().update(replace(data, next_obs=each.next_obs)).priority for each in (data, other))
    assert (first == second).tolist() == [False, True, False, False]


def test_the_gradient_is_twice_the_weighted_error_at_the_action_taken(monkeypatch):
    learner, data = agent(clip_norm=1e9), batch(np.random.default_rng(0))
    last, gradients = learner.online.head[2], {}
    expected = np.zeros(ACTIONS)
    for row, error in enumerate(errors(learner, data)):
        expected[data.action[row]] += 2 * error * data.weight[row] / 4
    step = learner.optimizer.step

    def watch():
        gradients.update({name: p.grad.clone() for name, p in learner.online.named_parameters()})
        assert all(p.grad is None for p in learner.target.parameters())
        return step()

    monkeypatch.setattr(learner.optimizer, "step", watch)
    update = learner.update(data)
    np.testing.assert_allclose(gradients["head.2.bias"].numpy(), expected, rtol=1e-4, atol=1e-6)
    assert set(gradients) == {name for name, _ in learner.online.named_parameters()}
    norm = np.sqrt(sum(float((gradient**2).sum()) for gradient in gradients.values()))
    assert update.metrics["gradient_norm"] == pytest.approx(norm, rel=1e-4)
    assert all(p.grad is None for p in last.parameters())


def test_a_row_of_no_weight_moves_nothing():
    data = batch(np.random.default_rng(0))
    alone = replace(data, weight=np.array([1, 0, 0, 0], np.float32))
    other = replace(alone, reward=data.reward + np.array([0, 5, 5, 5], np.float32))
    one, two = agent(), agent()
    losses = one.update(alone).priority, two.update(other).priority
    assert losses[0][0] == losses[1][0]
    assert abs(losses[0][1] - losses[1][1]) > 1
    for own, another in zip(one.online.parameters(), two.online.parameters(), strict=True):
        torch.testing.assert_close(own, another, rtol=0, atol=1e-6)


def test_an_update_is_a_step_of_adam_as_torch_takes_it():
    learner, data = agent(learning_rate=1e-3, clip_norm=1e9), [batch(np.random.default_rng(n)) for n in range(3)]
    plain, target = copy.deepcopy(learner.online), learner.target
    optimizer = torch.optim.Adam(plain.parameters(), 1e-3, eps=learner.config.adam_eps)
    for each in data:
        learner.update(each)
        obs, action, reward, discount, next_obs, weight = (
            torch.from_numpy(x) for x in (each.obs, each.action, each.reward, each.discount, each.next_obs, each.weight)
        )
        chosen = plain.head(plain.encoder(obs))[torch.arange(4), action.long()]
        wanted = (reward + discount * target.head(target.encoder(next_obs)).max(1).values).detach()
        optimizer.zero_grad()
        (weight * (chosen - wanted) ** 2).mean().backward()
        optimizer.step()
    for own, other in zip(learner.online.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-6)


def test_gradients_are_clipped_to_the_norm():
    data = batch(np.random.default_rng(0))
    free, clipped = agent(clip_norm=1e9), agent(clip_norm=1e-3)
    assert free.update(data).metrics["gradient_norm"] == clipped.update(data).metrics["gradient_norm"] > 0.1
    squares = [sum(float(m[0].square().sum()) for m in each.optimizer.moments.values()) for each in (free, clipped)]
    assert np.sqrt(squares[1]) == pytest.approx(0.1 * 1e-3, rel=1e-2)  # Adam's first mean: a tenth of the gradient
    assert squares[0] > 1e4 * squares[1]


def test_the_target_is_copied_every_so_many_updates_and_not_between():
    learner, same = agent(target_every=3), []
    for n in range(6):
        learner.update(batch(np.random.default_rng(n)))
        same.append(equal(learner))
    assert same == [False, False, True, False, False, True]


def test_random_actions_grow_rarer_linearly_and_then_stay_as_rare():
    learner = agent(epsilon_start=0.8, epsilon_end=0.2, epsilon_steps=4)
    window, epsilons = batch(np.random.default_rng(0)).obs[0], [learner.epsilon]
    for _ in range(6):
        learner.act(window, explore=True)
        epsilons.append(learner.epsilon)
    assert epsilons == pytest.approx([0.8, 0.65, 0.5, 0.35, 0.2, 0.2, 0.2])
    assert learner.update(batch(np.random.default_rng(1))).metrics["epsilon"] == pytest.approx(0.2)


def test_as_many_actions_are_random_as_epsilon_says_and_none_without_exploring():
    learner, window = agent(epsilon_start=0.6, epsilon_end=0.6), batch(np.random.default_rng(0)).obs[0]
    before = copy.deepcopy(learner.rng.bit_generator.state)
    greedy = int(values(learner.online, window[None]).argmax())
    assert {learner.act(window, explore=False) for _ in range(5)} == {greedy}
    assert learner.rng.bit_generator.state == before
    assert learner.acted == 0
    counts = np.bincount([learner.act(window, explore=True) for _ in range(2000)], minlength=ACTIONS) / 2000
    expected = np.full(ACTIONS, 0.2) + 0.4 * (np.arange(ACTIONS) == greedy)
    np.testing.assert_allclose(counts, expected, atol=0.04)  # four standard deviations


@pytest.mark.parametrize(("encoder", "cut"), CUTS)
def test_behind_the_stem_values_are_what_they_were_bit_for_bit(encoder, cut):
    learner, x = agent(encoder=encoder), batch(np.random.default_rng(0)).obs
    before = values(learner.online, x)
    stem = learner.stem(cut).module
    np.testing.assert_array_equal(values(learner.online, x), before)  # the agent stays whole
    learner.freeze(cut)
    latents = stem(torch.from_numpy(x)).detach().numpy()
    assert latents.shape == (4, *architectures.latent_shape(encoder, WINDOW, cut))
    np.testing.assert_array_equal(values(learner.online, latents), before)


@pytest.mark.parametrize(("encoder", "cut"), CUTS)
def test_a_freeze_drops_both_stems_with_their_moments_and_leaves_the_rest(encoder, cut):
    learner, rng = agent(encoder=encoder), np.random.default_rng(0)
    learner.update(batch(rng))
    before, size = {name: array.copy() for name, array in learner.state()[0].items()}, learner.nbytes()
    stem = learner.stem(cut).module
    left, tensors = sum(p.numel() for p in stem.parameters()), len(list(stem.parameters()))
    latent = architectures.latent_shape(encoder, WINDOW, cut)
    learner.freeze(cut)
    after = {name: array.copy() for name, array in learner.state()[0].items()}
    gone = {f"encoder.{name}" for name, _ in stem.named_parameters()}
    assert set(before) - set(after) == {name for name in before if any(f".{each}" in name for each in gone)}
    assert set(after) <= set(before)
    for name, array in after.items():
        np.testing.assert_array_equal(array, before[name], name)
    assert size["networks"] - learner.nbytes()["networks"] == 4 * 2 * left
    assert size["optimizer"] - learner.nbytes()["optimizer"] == 4 * (2 * left + tensors)
    frozen = {name: p.clone() for name, p in stem.state_dict().items()}
    learner.update(batch(rng, latent=latent))
    assert all(torch.equal(p, frozen[name]) for name, p in stem.state_dict().items())
    assert not any(np.array_equal(array, after[name]) for name, array in learner.state()[0].items() if "online" in name)


def test_behind_a_freeze_the_target_keeps_its_own_head():
    learner, data = agent(), batch(np.random.default_rng(0))
    apart(learner)
    stem = learner.stem("conv2").module
    expected = learner.target.head(stem(torch.from_numpy(data.next_obs))).detach().numpy()
    learner.freeze("conv2")
    latents = stem(torch.from_numpy(data.next_obs)).detach().numpy()
    np.testing.assert_array_equal(values(learner.target, latents), expected)
    assert not equal(learner)


@pytest.mark.parametrize("cut", [None, "conv1", "conv2"])
def test_a_fresh_agent_goes_on_from_a_saved_state_bit_for_bit(cut):
    one, rng = agent(target_every=2, epsilon_steps=10), np.random.default_rng(0)
    one.update(batch(rng))
    latent = None
    if cut is not None:
        one.freeze(cut)
        latent = architectures.latent_shape("data_efficient", WINDOW, cut)
    one.act(batch(rng, latent=latent).obs[0], explore=True)
    arrays, saved = one.state()
    other = agent(seed=9, target_every=2, epsilon_steps=10)
    other.load({name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(saved)))
    assert other.cut == cut
    for _ in range(4):
        data = batch(rng, latent=latent)
        assert [one.act(x, explore=True) for x in data.obs] == [other.act(x, explore=True) for x in data.obs]
        assert one.update(data).metrics == other.update(data).metrics
    (mine, told), (theirs, heard) = one.state(), other.state()
    assert told == heard
    assert set(mine) == set(theirs)
    for name, array in mine.items():
        np.testing.assert_array_equal(array, theirs[name], name)


def test_a_reward_that_is_no_number_shows_in_the_loss():
    data = batch(np.random.default_rng(0))
    data.reward[1] = np.nan
    assert not np.isfinite(agent().update(data).metrics["loss"])
