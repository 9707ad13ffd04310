"""CURL-SAC and SAC against closed forms, and whole updates against a plain implementation with torch.optim.Adam."""

import copy
from dataclasses import replace

import engines
import numpy as np
import pytest
import torch
from plain_sac import ACTIONS, FEATURES, SEEN, Plain, agent, batch, features, weights
from scipy import stats

from edgerl.agents.layers.arrays import to_numpy
from edgerl.agents.layers.dense import under
from edgerl.agents.layers.outputs import SquashedGaussian
from edgerl.agents.layers.parameters import named_arrays

both = pytest.mark.parametrize("engine", engines.BOTH, ids=engines.name)


def window(seed=0):
    return np.random.default_rng(seed).integers(0, 256, SEEN, dtype=np.uint8)


def policy(learner, observation):
    """Mean and log standard deviation for one observation, [A] each."""
    layers, array = learner.net.actor.layers, learner.engine.array
    mean, log_std = np.split(to_numpy(layers.apply(array(features(learner, observation[None])[0])))[0], 2)
    return mean, -10 + 6 * (np.tanh(log_std) + 1)


def loss_after_terminals(learner, data, seen):
    """What both critics are off by where the reward is all that is wanted of them."""
    array = learner.engine.array
    values = learner.net.critics.apply(array(features(learner, seen)[1]), array(data.action))
    return 2 * np.mean((np.stack([to_numpy(each) for each in values]) - data.reward) ** 2)


@both
@pytest.mark.parametrize(("contrast", "random_crop"), [(True, True), (True, False), (False, True)])
def test_updates_are_those_of_a_plain_implementation_through_a_freeze(contrast, random_crop, engine):
    learner, rng = agent(contrast=contrast, random_crop=random_crop, engine=engine), np.random.default_rng(1)
    if contrast:
        learner.net.contrast.parameters.flat *= (
            0.1  # away from a softmax that is 0 or 1, where gradients are all rounding
        )
    plain = Plain(learner)
    for n in range(6):
        if n == 3:
            learner.freeze("fc")
        data = batch(rng, latent=(2, FEATURES) if n >= 3 else None)
        found, expected = learner.update(data).metrics, plain.update(data)
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
        trained = weights(learner)
        assert len(trained) == (len(plain.p) if n < 3 else 6 + 4 * 6 + 1)
        for name, array in trained.items():
            apart = np.abs(array - plain.p[name].detach().numpy()) > 5e-6  # a step is 1e-3
            assert apart.sum() <= array.size // 20, name  # Adam makes a step of a gradient that is all rounding
    assert learner.rng.bit_generator.state == plain.rng.bit_generator.state


@both
def test_actor_and_critic_share_the_convolutions_and_nothing_behind_them(engine):
    learner, x, rng = agent(engine=engine), window()[None], np.random.default_rng(1)
    arrays = named_arrays(learner.net.encoders.parameters)
    layers = [f"shared.conv{n}" for n in range(1, 5)] + ["actor.fc", "actor.norm", "critic.fc", "critic.norm"]
    assert list(arrays) == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]

    def moved(name):
        """Whether the actor's and the critic's features change with a weight."""
        before = features(learner, x)
        arrays[name] += engine.array(0.1 * rng.standard_normal(tuple(arrays[name].shape), np.float32))
        return [not np.array_equal(old, new) for old, new in zip(before, features(learner, x), strict=True)]

    assert moved("actor.fc.weight") == moved("actor.norm.weight") == [True, False]
    assert moved("critic.fc.weight") == moved("critic.norm.weight") == [False, True]
    assert moved("shared.conv1.weight") == moved("shared.conv4.bias") == [True, True]


@both
def test_weights_start_orthogonal_convolutions_in_their_centre_alone_and_targets_as_copies(engine):
    learner, matrices = agent(engine=engine), 0
    net, held = learner.net, {name: to_numpy(array) for name, array in learner.net.arrays.items()}
    for name, p in held.items():
        if name.endswith("bias"):
            assert not p.any(), name
        elif p.ndim == 4:
            gain = 2.0  # sqrt(2) squared
            centre, off = p[:, :, 1, 1], p.copy()
            off[:, :, 1, 1] = 0
            assert not off.any(), name
            np.testing.assert_allclose(centre.T @ centre, gain * np.eye(centre.shape[1]), atol=1e-5, err_msg=name)
        elif p.ndim == 2 and name != "contrast":
            short = p if p.shape[0] <= p.shape[1] else p.T
            np.testing.assert_allclose(short @ short.T, np.eye(len(short)), atol=1e-5, err_msg=name)
            matrices += 1
    assert matrices == 2 + 3 + 6 + 1 + 6
    assert held["contrast"].min() >= 0
    assert held["contrast"].max() <= 1
    assert held["contrast"].mean() == pytest.approx(0.5, abs=0.05)
    assert np.exp(held["log_alpha"]) == pytest.approx(0.1)
    for target, online in ((net.target_encoders, net.encoders), (net.target_critics, net.critics)):
        own = named_arrays(online.parameters)
        for name, array in named_arrays(target.parameters).items():
            assert np.array_equal(to_numpy(array), to_numpy(own[name])), name
            assert not np.shares_memory(to_numpy(array), to_numpy(own[name])), name


def given(net):
    """Which parts of the networks have gradients that are numbers, all of them: `used` makes them none."""
    named = under("encoders", net.encoders.parameters) | under("actor", net.actor.parameters)
    named |= under("critics", net.critics.parameters) | {"log_alpha": net.temperature}
    named |= {"contrast": net.contrast.parameters}
    written = {name for name, own in named.items() if bool((own.gradient == own.gradient).all())}
    partly = {name for name, own in named.items() if bool((own.gradient == own.gradient).any())}
    assert written == partly
    return {".".join(name.split(".")[: 1 + name.startswith("encoders")]) for name in written}


def used(optimizer):
    for own in optimizer.layers.values():
        own.gradient[:] = np.nan


@both
def test_each_step_has_the_gradients_of_its_own_parameters_alone_in_the_published_order(engine, monkeypatch):
    """Every gradient is written anew before its step, none is added to, and none is written that no step is for."""
    learner, happened = agent(engine=engine), []

    def watch(name, optimizer):
        step = optimizer.step

        def stepping():
            happened.append((name, given(learner.net)))
            step()
            used(optimizer)

        monkeypatch.setattr(optimizer, "step", stepping)

    for name, optimizer in learner.optimizers.items():
        watch(name, optimizer)
        used(optimizer)
    monkeypatch.setattr(learner.net, "follow", lambda *taus: happened.append(("targets", taus)))
    critic = [("critic", {"encoders.shared", "encoders.critic", "critics"})]
    actor = [("actor", {"encoders.actor", "actor"}), ("alpha", {"log_alpha"})]
    targets = [("targets", (0.01, 0.05))]
    contrast = [("contrast0", {"encoders.shared", "encoders.critic", "contrast"}), ("contrast1", {"contrast"})]
    for n in range(4):
        happened.clear()
        learner.update(batch(np.random.default_rng(n)))
        assert happened == critic + (actor + targets) * (n % 2 == 0) + contrast
    assert given(learner.net) == set()
    assert all(np.isfinite(array).all() for array in weights(learner).values())


@both
def test_targets_follow_each_by_its_own_share(engine):
    learner = agent(engine=engine)
    learner.update(batch(np.random.default_rng(0)))
    before = weights(learner)
    learner.net.follow(0.25, 0.75)
    after, moved = weights(learner), [name for name in before if name.startswith("target_")]
    assert len(moved) == 12 + 12
    for name, array in after.items():
        share = 0 if name not in moved else 0.25 if "critics" in name else 0.75
        online = before[name.removeprefix("target_")]
        np.testing.assert_allclose(array, before[name] + share * (online - before[name]), atol=1e-6, err_msg=name)


@both
def test_one_contrastive_step_is_what_two_adams_make_of_the_same_gradients(engine):
    learner, rng = agent(engine=engine), np.random.default_rng(0)
    optimizers = [learner.optimizers[f"contrast{n}"] for n in range(2)]
    ours = optimizers[0].layers | {"w": learner.net.contrast.parameters}
    copies = {
        name: torch.from_numpy(np.array(to_numpy(array))).requires_grad_() for name, array in named_arrays(ours).items()
    }
    encoder = [p for name, p in copies.items() if name != "w.contrast"]
    assert len(encoder) == 12
    theirs = [torch.optim.Adam(encoder, 1e-3), torch.optim.Adam(copies.values(), 1e-3)]
    for scale in (1.0, 1e-3, 1e-9, 10.0, 1e-6):
        for layer, own in ours.items():
            for name, gradient in own.gradients.items():
                drawn = (scale * rng.standard_normal(tuple(gradient.shape))).astype(np.float32)
                gradient[...] = engine.array(drawn)
                copies[f"{layer}.{name}"].grad = torch.from_numpy(drawn)
        for optimizer in (*optimizers, *theirs):
            optimizer.step()
        for name, array in named_arrays(ours).items():
            np.testing.assert_allclose(to_numpy(array), copies[name].detach().numpy(), atol=1e-6, err_msg=name)


@both
def test_log_probability_and_its_gradient_are_finite_where_the_tanh_saturates(engine):
    gaussian, ones = SquashedGaussian(-10, 2), np.ones((1, 1), np.float32)
    action, log_prob = gaussian.apply(engine.array(50 * np.ones((1, 2), np.float32)), engine.array(0 * ones))
    assert float(action[0, 0]) == 1
    assert float(log_prob[0]) == pytest.approx(-2 - 0.5 * np.log(2 * np.pi) - np.log(1e-6), rel=1e-5)
    assert np.isfinite(to_numpy(gaussian.backward(engine.array(ones), engine.array(ones[0])))).all()


@both
def test_a_time_limit_bootstraps_and_a_terminal_does_not(engine):
    data, other = (batch(np.random.default_rng(n)) for n in (0, 1))
    losses = {}
    for discount in (0.0, 0.99):
        both = (
            replace(data, next_obs=each.next_obs, discount=np.full(4, discount, np.float32)) for each in (data, other)
        )
        losses[discount] = [agent(engine=engine).update(each).metrics["loss"] for each in both]
    assert losses[0.0][0] == losses[0.0][1]
    assert abs(losses[0.99][0] - losses[0.99][1]) > 1e-3
    learner = agent(random_crop=False, engine=engine)
    expected = loss_after_terminals(learner, data, data.obs[:, :, 2:22, 2:22].copy())
    loss = learner.update(replace(data, discount=np.zeros(4, np.float32))).metrics["loss"]
    assert loss == pytest.approx(expected, rel=1e-5)


@both
@pytest.mark.parametrize("random_crop", [True, False])
def test_frames_that_are_seen_whole_need_not_be_square(random_crop, engine):
    learner = agent(seen=(9, 20, 28), random_crop=random_crop, engine=engine)
    data = batch(np.random.default_rng(0))
    wide = np.random.default_rng(1).integers(0, 256, (4, 9, 20, 28), dtype=np.uint8)
    data = replace(data, obs=wide, next_obs=wide, discount=np.zeros(4, np.float32))
    expected = loss_after_terminals(learner, data, wide)
    assert learner.update(data).metrics["loss"] == pytest.approx(expected, rel=1e-5)


@both
def test_sac_has_no_contrast(engine):
    learner = agent(contrast=False, engine=engine)
    held = learner.nbytes()
    assert learner.net.contrast is None
    assert learner.optimizers.keys() == {"critic", "actor", "alpha"}
    assert "contrastive_loss" not in learner.update(batch(np.random.default_rng(0))).metrics
    assert learner.nbytes() == held
    assert not any("contrast" in name for name in learner.state()[0])


@both
def test_without_exploration_the_action_is_the_means_tanh_and_draws_nothing(engine):
    learner = agent(random_steps=5, engine=engine)
    before = copy.deepcopy(learner.rng.bit_generator.state)
    for seed in range(3):
        expected = np.tanh(policy(learner, window(seed))[0])
        np.testing.assert_allclose(learner.act(window(seed), explore=False), expected, rtol=1e-5)
    assert learner.rng.bit_generator.state == before
    assert learner.acted == 0


@both
def test_exploring_actions_are_uniform_at_first_and_then_samples_of_the_policy(engine):
    learner = agent(random_steps=500, engine=engine)
    drawn = np.array([learner.act(window(), explore=True) for _ in range(500)])
    assert drawn.dtype == np.float32
    for component in drawn.T:
        assert stats.kstest(component, stats.uniform(-1, 2).cdf).pvalue > 0.001
    rng = copy.deepcopy(learner.rng)
    mean, log_std = policy(learner, window())
    for _ in range(3):
        expected = np.tanh(mean + np.exp(log_std) * rng.standard_normal((1, ACTIONS), np.float32)[0])
        np.testing.assert_allclose(learner.act(window(), explore=True), expected, rtol=1e-5)


@both
def test_a_reward_that_is_no_number_shows_in_the_loss(engine):
    data = batch(np.random.default_rng(0))
    data.reward[1] = np.nan
    assert not np.isfinite(agent(engine=engine).update(data).metrics["loss"])
