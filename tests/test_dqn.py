"""DQN against hand computations, and what a freeze leaves of it."""

import copy
import json
from dataclasses import replace

import engines
import numpy as np
import pytest
import torch
from torch_agents import modules

from edgerl.agents.agent import arrays_under
from edgerl.agents.dqn import Dqn
from edgerl.agents.layers.arrays import to_numpy
from edgerl.config import architectures
from edgerl.config.agent_settings import DqnConfig
from edgerl.config.toml import preset
from edgerl.types import Batch

WINDOW, ACTIONS = (4, 84, 84), 3
HANDED_OVER = replace(engines.TORCH, name="handed over", frozen=lambda layers: engines.NUMPY)
CUTS = [
    ("data_efficient", "conv1", engines.NUMPY),
    ("data_efficient", "conv2", engines.NUMPY),
    ("canonical", "conv2", engines.TORCH),
    ("canonical", "conv2", HANDED_OVER),
    ("curl", "fc", engines.TORCH),
    ("curl", "fc", HANDED_OVER),
]


def agent(seed=0, engine=engines.NUMPY, **changes):
    settings = preset("atari/qbert", "dqn")["agent"] | {"cut": "conv2", "hidden": 16} | changes
    torch.set_num_threads(1)
    return Dqn(WINDOW, ACTIONS, DqnConfig(**settings), np.random.default_rng(seed), engine)


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
    rng = np.random.default_rng(1)
    for own in learner.target.parameters.values():
        own.flat += 0.05 * rng.standard_normal(len(own.flat), np.float32)


def arrays(network):
    """The weights as they are now, by name."""
    return {name: np.array(to_numpy(array)) for name, array in network.arrays().items()}


def equal(learner):
    online, target = arrays(learner.online), arrays(learner.target)
    return all(np.array_equal(array, target[name]) for name, array in online.items())


def values(network, observations):
    return to_numpy(network.head.apply(network.encoder.encode(network.encoder.prepare(observations))))


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


def test_the_gradient_is_twice_the_weighted_error_at_the_action_taken():
    learner, data = agent(clip_norm=1e9), batch(np.random.default_rng(0))
    expected = np.zeros(ACTIONS)
    for row, error in enumerate(errors(learner, data)):
        expected[data.action[row]] += 2 * error * data.weight[row] / 4
    update = learner.update(data)
    found = learner.online.parameters["head.2"].gradients["bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    gradients = [own.gradient for own in learner.online.parameters.values()]
    assert all(gradient.any() for gradient in gradients)
    assert all(own.gradient is None for own in learner.target.parameters.values())
    norm = np.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))
    assert update.metrics["gradient_norm"] == pytest.approx(norm, rel=1e-4)


def test_a_row_of_no_weight_moves_nothing():
    data = batch(np.random.default_rng(0))
    alone = replace(data, weight=np.array([1, 0, 0, 0], np.float32))
    other = replace(alone, reward=data.reward + np.array([0, 5, 5, 5], np.float32))
    one, two = agent(), agent()
    losses = one.update(alone).priority, two.update(other).priority
    assert losses[0][0] == losses[1][0]
    assert abs(losses[0][1] - losses[1][1]) > 1
    for name, array in arrays(one.online).items():
        np.testing.assert_allclose(array, two.online.arrays()[name], rtol=0, atol=1e-6)


def test_an_update_is_a_step_of_adam_as_torch_takes_it():
    """Beside torch's own modules, its autograd and its Adam."""
    learner, data = agent(learning_rate=1e-3, clip_norm=1e9), [batch(np.random.default_rng(n)) for n in range(3)]
    plain, target = in_torch(learner.online), in_torch(learner.target)
    optimizer = torch.optim.Adam(plain.parameters(), 1e-3, eps=learner.config.adam_eps)
    for each in data:
        learner.update(each)
        obs, action, reward, discount, next_obs, weight = (
            torch.from_numpy(x) for x in (each.obs, each.action, each.reward, each.discount, each.next_obs, each.weight)
        )
        chosen = plain(obs)[torch.arange(4), action.long()]
        wanted = (reward + discount * target(next_obs).max(1).values).detach()
        optimizer.zero_grad()
        (weight * (chosen - wanted) ** 2).mean().backward()
        optimizer.step()
    found = learner.online.arrays()
    for own, other in zip(found.values(), plain.parameters(), strict=True):
        np.testing.assert_allclose(own, other.detach().numpy(), rtol=0, atol=1e-6)


def in_torch(network):
    """The same network of torch's modules."""
    found = arrays(network)
    encoder, head = modules.build("data_efficient", WINDOW), torch.nn.Sequential()
    for number, part in (("0", torch.nn.Linear(576, 16)), ("1", torch.nn.ReLU()), ("2", torch.nn.Linear(16, ACTIONS))):
        head.add_module(number, part)
    modules.load_arrays(encoder, arrays_under(found, "encoder."))
    modules.load_arrays(head, arrays_under(found, "head."))
    return torch.nn.Sequential(encoder, head)


def test_gradients_are_clipped_to_the_norm():
    data = batch(np.random.default_rng(0))
    free, clipped = agent(clip_norm=1e9), agent(clip_norm=1e-3)
    assert free.update(data).metrics["gradient_norm"] == clipped.update(data).metrics["gradient_norm"] > 0.1
    squares = [sum(float((m.first**2).sum()) for m in each.optimizer.moments.values()) for each in (free, clipped)]
    assert np.sqrt(squares[1]) == pytest.approx(1e-3, rel=1e-2)  # Adam's first sum is the gradient
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


@pytest.mark.parametrize(("encoder", "cut", "engine"), CUTS)
def test_behind_the_stem_values_are_what_they_were(encoder, cut, engine):
    """Bit for bit; where torch hands over to NumPy, within rounding."""
    learner, x = agent(encoder=encoder, engine=engine), batch(np.random.default_rng(0)).obs
    before = values(learner.online, x)
    stem = learner.stem(cut)
    np.testing.assert_array_equal(values(learner.online, x), before)  # the agent stays whole
    learner.freeze(cut)
    latents = stem.latents(x)
    assert latents.shape == (4, *architectures.latent_shape(encoder, WINDOW, cut))
    if engine is HANDED_OVER:
        assert not learner.needs_torch
        np.testing.assert_allclose(values(learner.online, latents), before, rtol=0, atol=1e-6)
    else:
        np.testing.assert_array_equal(values(learner.online, latents), before)


@pytest.mark.parametrize(("encoder", "cut", "engine"), CUTS)
def test_a_freeze_drops_both_stems_with_their_moments_and_leaves_the_rest(encoder, cut, engine):
    learner, rng = agent(encoder=encoder, engine=engine), np.random.default_rng(0)
    learner.update(batch(rng))
    before, size = {name: array.copy() for name, array in learner.state()[0].items()}, learner.nbytes()
    stem = learner.stem(cut).graph.weights
    left = sum(array.size for array in stem.values())
    latent = architectures.latent_shape(encoder, WINDOW, cut)
    learner.freeze(cut)
    after = {name: array.copy() for name, array in learner.state()[0].items()}
    if engine is HANDED_OVER:  # the moments' kinds are others: test_optimizer has them
        before, after_freeze = ({n: a for n, a in each.items() if "optimizer" not in n} for each in (before, after))
    else:
        after_freeze = after
    gone = [f".encoder.{name}" for name in stem]
    assert set(before) - set(after_freeze) == {name for name in before if any(each in f".{name}" for each in gone)}
    assert set(after_freeze) <= set(before)
    for name, array in after_freeze.items():
        np.testing.assert_array_equal(array, before[name], name)
    assert size["networks"] - learner.nbytes()["networks"] == 4 * 2 * left
    assert size["optimizer"] - learner.nbytes()["optimizer"] == 4 * 3 * left  # two moments and a gradient
    frozen = {name: array.copy() for name, array in stem.items()}
    learner.update(batch(rng, latent=latent))
    assert all(np.array_equal(array, frozen[name]) for name, array in stem.items())
    assert not any(np.array_equal(array, after[name]) for name, array in learner.state()[0].items() if "online" in name)


def test_behind_a_freeze_the_target_keeps_its_own_head():
    learner, data = agent(), batch(np.random.default_rng(0))
    apart(learner)
    stem = learner.stem("conv2")
    latents = stem.latents(data.next_obs)
    expected = learner.target.head.apply(latents)
    learner.freeze("conv2")
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
    kept, saved = one.state()
    other = agent(seed=9, target_every=2, epsilon_steps=10)
    other.load({name: array.copy() for name, array in kept.items()}, json.loads(json.dumps(saved)))
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
