"""Rainbow against closed forms and slow loops, and what a freeze leaves of it."""

import engines
import numpy as np
import pytest

from edgerl.agents.layers.arrays import log_softmax, softmax, to_numpy
from edgerl.agents.rainbow import Rainbow, project
from edgerl.config.toml import preset
from edgerl.types import Batch

WINDOW, ACTIONS = (4, 84, 84), 6
both = pytest.mark.parametrize("engine", engines.BOTH, ids=engines.name)


def agent(small, seed=0, engine=engines.NUMPY, **changes):
    config = small(agent=changes) if changes else small()
    return Rainbow(WINDOW, ACTIONS, config.agent, np.random.default_rng(seed), engine)


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


def support_of(config):
    return np.linspace(config.v_min, config.v_max, config.atoms)


def logits(network, observations):
    return network.head.apply(network.encoder.encode(network.encoder.prepare(observations)))


@pytest.mark.parametrize("engine", engines.BOTH64, ids=engines.name)
def test_projection_equals_the_algorithm_written_out(engine):
    rng = np.random.default_rng(0)
    support = np.linspace(-10, 10, 51)
    probabilities = rng.dirichlet(np.ones(51), 40)
    returns = rng.uniform(-15, 15, 40)
    discount = np.where(rng.random(40) < 0.3, 0.0, 0.99**20)
    found = to_numpy(project(*(engine.array(x) for x in (probabilities, returns, discount, support))))
    np.testing.assert_allclose(found, slow_projection(probabilities, returns, discount, support), atol=1e-9)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-9)


@both
@pytest.mark.parametrize(
    ("reward", "atoms"), [(0.0, {25: 1.0}), (10.0, {50: 1.0}), (-12.0, {0: 1.0}), (0.1, {25: 0.75, 26: 0.25})]
)
def test_projection_after_a_terminal_is_the_return_alone(engine, reward, atoms):
    uniform, support = np.full((1, 51), 1 / 51, np.float32), np.linspace(-10, 10, 51, dtype=np.float32)
    returns, discount = np.array([reward], np.float32), np.zeros(1, np.float32)
    found = to_numpy(project(*(engine.array(x) for x in (uniform, returns, discount, support))))[0]
    expected = np.zeros(51)
    for atom, probability in atoms.items():
        expected[atom] = probability
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_initial_noisy_layers_have_the_published_scales(small):
    arrays = agent(small, sigma0=0.1, hidden=256).online.head.hidden.parameters.arrays
    for name in ("weight_mu", "bias_mu"):
        assert 0.95 / np.sqrt(576) < np.abs(arrays[name]).max() <= 1 / np.sqrt(576)
    assert np.unique(arrays["weight_sigma"]).tolist() == pytest.approx([0.1 / np.sqrt(576)])
    assert np.unique(arrays["bias_sigma"]).tolist() == pytest.approx([0.1 / np.sqrt(256)])


@both
def test_dueling_head_adds_value_and_centred_advantage(small, engine):
    head = agent(small, engine=engine).online.head
    features = np.random.default_rng(0).random((3, 576), np.float32)
    found = to_numpy(head.apply(engine.array(features)))
    (hidden, bias), v2, a2 = (
        [to_numpy(layer.parameters.arrays[name]) for name in ("weight_mu", "bias_mu")]
        for layer in (head.hidden, head.value, head.advantage)
    )
    v1, a1 = (hidden[:64], bias[:64]), (hidden[64:], bias[64:])
    value = np.maximum(features @ v1[0].T + v1[1], 0) @ v2[0].T + v2[1]
    advantage = (np.maximum(features @ a1[0].T + a1[1], 0) @ a2[0].T + a2[1]).reshape(3, ACTIONS, -1)
    expected = value[:, None] + advantage - advantage.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@both
def test_update_is_double_q_with_weighted_cross_entropy(small, engine):
    """The loss of one update, recomputed from the networks' logits, one atom at a time."""
    learner, data = agent(small, engine=engine, priority="cross_entropy"), batch(np.random.default_rng(3))
    learner.act(data.obs[0], explore=True)
    online, target, support = learner.online, learner.target, support_of(learner.config)
    generator_before = learner.rng.bit_generator.state
    target.head.set_noise(engine.array(target.head.draw(learner.rng)))
    learner.rng.bit_generator.state = generator_before
    log_p = to_numpy(log_softmax(logits(online, data.obs)))
    q = to_numpy(softmax(logits(online, data.next_obs))) @ support
    next_p = to_numpy(softmax(logits(target, data.next_obs)))
    rows = np.arange(len(q))
    wanted = slow_projection(next_p[rows, q.argmax(1)], data.reward, data.discount, support)
    expected = -(wanted * log_p[rows, data.action]).sum(axis=1)
    np.testing.assert_allclose(learner.update(data).priority, expected, rtol=1e-4)


def test_target_is_copied_every_so_many_updates_and_not_between(small):
    learner, rng = agent(small, target_every=3), np.random.default_rng(0)

    def equal():
        pairs = zip(learner.online.arrays().values(), learner.target.arrays().values(), strict=True)
        return all(np.array_equal(own, other) for own, other in pairs)

    same = []
    for _ in range(6):
        learner.update(batch(rng))
        same.append(equal())
    assert same == [False, False, True, False, False, True]


@both
def test_kl_is_the_cross_entropy_without_what_the_target_alone_decides(small, engine):
    """Same rows, same noise: the gradient is the same, the priorities differ by the target's entropy in plain NumPy."""
    data = batch(np.random.default_rng(3))
    by_kl, by_cross_entropy = (agent(small, engine=engine, priority=name) for name in ("kl", "cross_entropy"))
    target = by_kl.target
    generator_before = by_kl.rng.bit_generator.state
    by_kl.online.head.set_noise(engine.array(by_kl.online.head.draw(by_kl.rng)))
    target.head.set_noise(engine.array(target.head.draw(by_kl.rng)))
    support = support_of(by_kl.config)
    best = (to_numpy(softmax(logits(by_kl.online, data.next_obs))) @ support).argmax(1)
    next_p = to_numpy(softmax(logits(target, data.next_obs)))[np.arange(len(best)), best]
    wanted = slow_projection(next_p, data.reward, data.discount, support)
    own_entropy = -np.sum(wanted * np.log(wanted, where=wanted > 0, out=np.zeros_like(wanted)), axis=1)
    by_kl.rng.bit_generator.state = generator_before
    by_kl.online.head.set_noise(None)
    kl, cross_entropy = by_kl.update(data), by_cross_entropy.update(data)
    np.testing.assert_allclose(cross_entropy.priority - kl.priority, own_entropy, atol=1e-5)
    assert kl.priority.min() > -1e-6
    assert kl.metrics == cross_entropy.metrics
    for name, array in by_kl.online.arrays().items():
        np.testing.assert_array_equal(to_numpy(array), to_numpy(by_cross_entropy.online.arrays()[name]), err_msg=name)


@both
def test_gradients_are_clipped_to_the_norm(small, engine):
    """Adam's first moments show what it stepped on: NumPy's are its gradients, torch's a tenth of them."""
    learner = agent(small, engine=engine, clip_norm=1e-3)
    update = learner.update(batch(np.random.default_rng(0)))
    assert update.metrics["gradient_norm"] > 1e-3
    squares = sum(float((moments.first**2).sum()) for moments in learner.optimizer.moments.values())
    share = 1 if engine is engines.NUMPY else 0.1
    assert np.sqrt(squares) == pytest.approx(share * 1e-3, rel=1e-2)


@both
def test_adam_takes_the_textbook_step(small, engine):
    learner = agent(small, engine=engine, clip_norm=1e9)
    own, name = learner.online.head.value.parameters, "bias_mu"
    rate, eps, first, second = learner.config.learning_rate, learner.config.adam_eps, 0.0, 0.0
    for step in range(1, 4):
        before = to_numpy(own.arrays[name]).astype(np.float64)
        learner.update(batch(np.random.default_rng(step)))
        gradient = to_numpy(own.gradients[name]).astype(np.float64)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        expected = before - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + eps)
        assert np.abs(expected - before).max() > 1e-5
        np.testing.assert_allclose(to_numpy(own.arrays[name]), expected, rtol=1e-5, atol=1e-7)


def test_freeze_drops_both_stems_and_their_moments_and_keeps_the_heads(small):
    learner = agent(small)
    learner.update(batch(np.random.default_rng(0)))
    heads = {name: own.flat.copy() for name, own in learner.online.head.parameters.items()}
    moments = learner.optimizer.state()
    before = learner.nbytes()
    learner.freeze("conv2")
    assert learner.online.encoder.parameters == learner.target.encoder.parameters == {}
    stem_bytes = 4 * (3232 + 51264)
    after = learner.nbytes()
    assert before["networks"] - after["networks"] == 2 * stem_bytes
    assert before["optimizer"] - after["optimizer"] == 3 * stem_bytes  # two moments and a gradient
    for name, own in learner.online.head.parameters.items():
        np.testing.assert_array_equal(own.flat, heads[name])
    for name, array in learner.optimizer.state().items():
        np.testing.assert_array_equal(array, moments[name])
    update = learner.update(batch(np.random.default_rng(1), observation=(576,), dtype=np.float32))
    assert np.isfinite(update.priority).all()


@both
def test_freezing_changes_nothing_that_is_learned(small, engine):
    """One update on pixels, and one on their latents behind the cut, move the heads the same."""
    data = batch(np.random.default_rng(5))
    whole, split = (agent(small, engine=engine, clip_norm=1e9) for _ in range(2))
    stem = split.stem("conv2")
    obs, next_obs = stem.latents(data.obs), stem.latents(data.next_obs)
    split.freeze("conv2")
    first = whole.update(data)
    second = split.update(Batch(obs, data.action, data.reward, data.discount, next_obs, data.weight, data.index))
    np.testing.assert_allclose(first.priority, second.priority, rtol=1e-5)
    for name, own in whole.online.head.parameters.items():
        other = to_numpy(split.online.head.parameters[name].flat)
        np.testing.assert_allclose(to_numpy(own.flat), other, rtol=1e-4, atol=1e-6)


@both
def test_state_and_load_give_the_same_agent_before_and_after_a_freeze(small, engine):
    for frozen in (False, True):
        one, rng = agent(small, engine=engine), np.random.default_rng(0)
        shape = {"observation": (576,), "dtype": np.float32} if frozen else {}
        one.update(batch(rng))
        if frozen:
            one.freeze("conv2")
        arrays, values = one.state()
        other = agent(small, seed=9, engine=engine)
        other.load({name: array.copy() for name, array in arrays.items()}, values)
        data = batch(rng, **shape)
        assert one.act(data.obs[0], explore=True) == other.act(data.obs[0], explore=True)
        for _ in range(2):
            np.testing.assert_array_equal(one.update(data).priority, other.update(data).priority)


def test_the_preset_is_data_efficient_rainbow():
    assert preset("atari/qbert")["agent"]["learning_rate"] == 1e-4
