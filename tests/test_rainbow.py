"""Rainbow against closed forms and slow loops, and what a freeze leaves of it."""

import numpy as np
import pytest
import torch

from edgerl.agents.noisy import NoisyLinear, factorised_noise
from edgerl.agents.rainbow import Rainbow, project
from edgerl.config.toml import preset
from edgerl.types import Batch

WINDOW, ACTIONS = (4, 84, 84), 6


def agent(small, seed=0, **changes):
    config = small(agent=changes) if changes else small()
    return Rainbow(WINDOW, ACTIONS, config.agent, np.random.default_rng(seed))


def batch(rng, size=8, observation=WINDOW, dtype=np.uint8):
    def observations():
        if dtype == np.uint8:
            return rng.integers(0, 256, (size, *observation), dtype=np.uint8)
        return rng.random((size, *observation), dtype=np.float32)

    return Batch(
        obs=observations(),
        action=rng.integers(0, ACTIONS, size).astype(np.uint8),
        reward=rng.standard_normal(size).astype(np.float32),
        discount=np.full(size, 0.8, np.float32),
        next_obs=observations(),
        weight=np.ones(size, np.float32),
        index=np.arange(size),
    )


def slow_projection(probabilities, returns, discount, support):
    """C51's projection (Bellemare et al. 2017, algorithm 1), one atom at a time."""
    v_min, v_max, atoms = support[0], support[-1], len(support)
    delta = (v_max - v_min) / (atoms - 1)
    target = np.zeros_like(probabilities)
    for row in range(len(probabilities)):
        for atom in range(atoms):
            z = min(max(returns[row] + discount[row] * support[atom], v_min), v_max)
            position = (z - v_min) / delta
            low, high = int(np.floor(position)), int(np.ceil(position))
            if low == high:
                target[row, low] += probabilities[row, atom]
            else:
                target[row, low] += probabilities[row, atom] * (high - position)
                target[row, high] += probabilities[row, atom] * (position - low)
    return target


def test_projection_equals_the_algorithm_written_out():
    rng = np.random.default_rng(0)
    support = np.linspace(-10, 10, 51)
    probabilities = rng.dirichlet(np.ones(51), 40)
    returns = rng.uniform(-15, 15, 40)
    discount = np.where(rng.random(40) < 0.3, 0.0, 0.99**20)
    found = project(*(torch.from_numpy(x) for x in (probabilities, returns, discount, support)))
    np.testing.assert_allclose(found.numpy(), slow_projection(probabilities, returns, discount, support), atol=1e-9)
    np.testing.assert_allclose(found.sum(dim=1).numpy(), 1.0, atol=1e-9)


@pytest.mark.parametrize(
    ("reward", "atoms"), [(0.0, {25: 1.0}), (10.0, {50: 1.0}), (-12.0, {0: 1.0}), (0.1, {25: 0.75, 26: 0.25})]
)
def test_projection_after_a_terminal_is_the_return_alone(reward, atoms):
    uniform = torch.full((1, 51), 1 / 51)
    found = project(uniform, torch.tensor([reward]), torch.tensor([0.0]), torch.linspace(-10, 10, 51))[0]
    expected = torch.zeros(51)
    for atom, probability in atoms.items():
        expected[atom] = probability
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_noisy_weights_are_mu_plus_sigma_times_the_outer_product():
    layer = NoisyLinear(5, 3, 0.5)
    noise = factorised_noise(layer.noise_size, np.random.default_rng(0))
    weight, bias = layer.weights(noise)
    for out in range(3):
        assert bias[out].item() == pytest.approx(
            (layer.bias_mu[out] + layer.bias_sigma[out] * noise[out]).item(), abs=1e-6
        )
        for into in range(5):
            expected = layer.weight_mu[out, into] + layer.weight_sigma[out, into] * noise[out] * noise[3 + into]
            assert weight[out, into].item() == pytest.approx(expected.item(), abs=1e-6)
    assert layer.weights(None)[0] is layer.weight_mu


def test_two_groups_are_two_layers_with_noise_of_their_own():
    both = NoisyLinear(5, 6, 0.5, groups=2)
    noise = factorised_noise(both.noise_size, np.random.default_rng(0))
    weight, bias = both.weights(noise)
    for group, rows in enumerate((slice(0, 3), slice(3, 6))):
        one = NoisyLinear(5, 3, 0.5)
        for name, parameter in both.named_parameters():
            one.get_parameter(name).data = parameter.data[rows]
        own = torch.cat([noise[rows], noise[6 + 5 * group : 11 + 5 * group]])
        torch.testing.assert_close(one.weights(own), (weight[rows], bias[rows]))


def test_noise_is_the_signed_root_of_a_normal():
    drawn = factorised_noise(200_000, np.random.default_rng(1)).numpy()
    assert np.mean(drawn**2) == pytest.approx(np.sqrt(2 / np.pi), rel=0.02)  # E|x|
    assert abs(np.mean(drawn)) < 0.01


def test_initial_noisy_layers_have_the_published_scales(small):
    layer = agent(small, sigma0=0.1, hidden=256).online.head.layers()[0]
    assert layer.weight_mu.abs().max().item() <= 1 / np.sqrt(576)
    assert layer.weight_sigma.unique().tolist() == pytest.approx([0.1 / np.sqrt(576)])
    assert layer.bias_sigma.unique().tolist() == pytest.approx([0.1 / np.sqrt(256)])


def test_dueling_head_adds_value_and_centred_advantage(small):
    head = agent(small).online.head
    features, weights = torch.rand(3, 576), head.weights(None)
    logits = head(features, weights)
    (hidden, bias), v2, a2 = weights
    v1, a1 = (hidden[:64], bias[:64]), (hidden[64:], bias[64:])
    value = torch.relu(features @ v1[0].T + v1[1]) @ v2[0].T + v2[1]
    advantage = (torch.relu(features @ a1[0].T + a1[1]) @ a2[0].T + a2[1]).view(3, ACTIONS, -1)
    torch.testing.assert_close(logits, value[:, None] + advantage - advantage.mean(1, keepdim=True))


def test_update_is_double_q_with_weighted_cross_entropy(small):
    """The loss of one update, recomputed with autograd-free NumPy from the networks' logits."""
    learner, data = agent(small), batch(np.random.default_rng(3))
    learner.act(data.obs[0], explore=True)
    weights, online, target = learner._weights, learner.online, learner.target
    generator_before = learner.rng.bit_generator.state
    target_noise = target.head.noise(learner.rng)
    learner.rng.bit_generator.state = generator_before
    with torch.no_grad():
        log_p = online.head(online.encoder(torch.from_numpy(data.obs)), weights).log_softmax(2).numpy()
        q = (
            online.head(online.encoder(torch.from_numpy(data.next_obs)), weights).softmax(2).numpy()
            @ learner.support.numpy()
        )
        next_p = (
            target.head(target.encoder(torch.from_numpy(data.next_obs)), target.head.weights(target_noise))
            .softmax(2)
            .numpy()
        )
    rows = np.arange(len(q))
    wanted = slow_projection(
        next_p[rows, q.argmax(1)], data.reward, data.discount, learner.support.numpy().astype(float)
    )
    expected = -(wanted * log_p[rows, data.action]).sum(axis=1)
    np.testing.assert_allclose(learner.update(data).priority, expected, rtol=1e-4)


def test_target_is_copied_every_so_many_updates_and_not_between(small):
    learner, rng = agent(small, target_every=3), np.random.default_rng(0)

    def equal():
        pairs = zip(learner.online.parameters(), learner.target.parameters(), strict=True)
        return all(torch.equal(own, other) for own, other in pairs)

    same = []
    for _ in range(6):
        learner.update(batch(rng))
        same.append(equal())
    assert same == [False, False, True, False, False, True]


def test_gradients_are_clipped_to_the_norm(small):
    learner = agent(small, clip_norm=1e-3)
    sizes = []
    kept = torch._foreach_mul_

    def watch(gradients, factor):
        kept(gradients, factor)
        sizes.append(float(torch.stack([g.norm() for g in gradients]).norm()))

    torch._foreach_mul_ = watch
    try:
        update = learner.update(batch(np.random.default_rng(0)))
    finally:
        torch._foreach_mul_ = kept
    assert update.metrics["gradient_norm"] > 1e-3
    assert sizes == pytest.approx([1e-3], rel=1e-2)


def test_adam_takes_the_textbook_step(small):
    learner = agent(small, clip_norm=1e9)
    name, parameter = "head.value.bias_mu", learner.online.head.value.bias_mu
    gradients = []
    parameter.register_hook(lambda g: gradients.append(g.double().clone()))
    rate, eps, first, second = learner.config.learning_rate, learner.config.adam_eps, 0.0, 0.0
    for step in range(1, 4):
        before = parameter.detach().double().clone()
        learner.update(batch(np.random.default_rng(step)))
        first = 0.9 * first + 0.1 * gradients[-1]
        second = 0.999 * second + 0.001 * gradients[-1] ** 2
        expected = before - rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + eps)
        torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-5, atol=1e-7)
    assert name in learner.optimizer.moments


def test_freeze_drops_both_stems_and_their_moments_and_keeps_the_heads(small):
    learner = agent(small)
    learner.update(batch(np.random.default_rng(0)))
    heads = {name: p.clone() for name, p in learner.online.head.named_parameters()}
    moments = learner.optimizer.state()
    before = learner.nbytes()
    learner.freeze("conv2")
    assert list(learner.online.encoder.parameters()) == list(learner.target.encoder.parameters()) == []
    stem_bytes = 4 * (3232 + 51264)
    after = learner.nbytes()
    assert before["networks"] - after["networks"] == 2 * stem_bytes
    assert before["optimizer"] - after["optimizer"] == 2 * stem_bytes + 4 * 4  # and four step counters
    for name, parameter in learner.online.head.named_parameters():
        assert torch.equal(parameter, heads[name])
    for name, array in learner.optimizer.state().items():
        np.testing.assert_array_equal(array, moments[name])
    update = learner.update(batch(np.random.default_rng(1), observation=(576,), dtype=np.float32))
    assert np.isfinite(update.priority).all()


def test_freezing_changes_nothing_that_is_learned(small):
    """One update on pixels with the stem's gradient cut, and one on its latents, move the heads the same."""
    data = batch(np.random.default_rng(5))
    whole, split = agent(small, clip_norm=1e9), agent(small, clip_norm=1e9)
    with torch.no_grad():
        obs, next_obs = (split.stem("conv2").module(torch.from_numpy(x)).numpy() for x in (data.obs, data.next_obs))
    split.freeze("conv2")
    first = whole.update(data)
    second = split.update(Batch(obs, data.action, data.reward, data.discount, next_obs, data.weight, data.index))
    np.testing.assert_allclose(first.priority, second.priority, rtol=1e-5)
    for own, other in zip(whole.online.head.parameters(), split.online.head.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


def test_state_and_load_give_the_same_agent_before_and_after_a_freeze(small):
    for frozen in (False, True):
        one, rng = agent(small), np.random.default_rng(0)
        shape = {"observation": (576,), "dtype": np.float32} if frozen else {}
        one.update(batch(rng))
        if frozen:
            one.freeze("conv2")
        arrays, values = one.state()
        other = agent(small, seed=9)
        other.load({name: array.copy() for name, array in arrays.items()}, values)
        data = batch(rng, **shape)
        assert one.act(data.obs[0], explore=True) == other.act(data.obs[0], explore=True)
        for _ in range(2):
            np.testing.assert_array_equal(one.update(data).priority, other.update(data).priority)


def test_the_preset_is_data_efficient_rainbow():
    assert preset("atari/qbert")["agent"]["learning_rate"] == 1e-4
