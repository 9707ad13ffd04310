"""CURL-SAC and SAC against closed forms, and whole updates against a plain implementation with torch.optim.Adam."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_sac import ACTIONS, FEATURES, SEEN, Plain, agent, batch
from scipy import stats

from edgerl.agents import sac
from edgerl.agents.sac import contrastive_loss
from edgerl.agents.sac_heads import squashed


def window(seed=0):
    return np.random.default_rng(seed).integers(0, 256, SEEN, dtype=np.uint8)


def policy(learner, observation):
    """Mean and log standard deviation for one observation."""
    net = learner.net
    with torch.no_grad():
        return net.actor(net.encoders(torch.from_numpy(observation[None]))[:, 0])


def loss_after_terminals(learner, data, seen):
    """What both critics are off by where the reward is all that is wanted of them."""
    with torch.no_grad():
        features = learner.net.encoders(torch.from_numpy(seen))[:, 1]
        values = torch.stack(learner.net.critics(features, torch.from_numpy(data.action))).numpy()
    return 2 * np.mean((values - data.reward) ** 2)


@pytest.mark.parametrize(("contrast", "random_crop"), [(True, True), (True, False), (False, True)])
def test_updates_are_those_of_a_plain_implementation_through_a_freeze(contrast, random_crop):
    learner, rng = agent(contrast=contrast, random_crop=random_crop), np.random.default_rng(1)
    if contrast:
        learner.net.contrast.data *= 0.1  # away from a softmax that is 0 or 1, where gradients are all rounding
    plain = Plain(learner)
    for n in range(6):
        if n == 3:
            learner.freeze("fc")
        data = batch(rng, latent=(2, FEATURES) if n >= 3 else None)
        found, expected = learner.update(data).metrics, plain.update(data)
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
        trained = learner.net.state_dict()
        assert len(trained) == (len(plain.p) if n < 3 else 6 + 4 * 6 + 1)
        for name, tensor in trained.items():
            apart = (tensor - plain.p[name].detach()).abs() > 5e-6  # a step is 1e-3
            assert apart.sum() <= tensor.numel() // 20, name  # Adam makes a step of a gradient that is all rounding
    assert learner.rng.bit_generator.state == plain.rng.bit_generator.state


def test_actor_and_critic_share_the_convolutions_and_nothing_behind_them():
    net, x = agent().net, torch.from_numpy(window()[None])
    names = [name for name, _ in net.encoders.named_parameters()]
    layers = [f"shared.conv{n}" for n in range(1, 5)] + ["actor.fc", "actor.norm", "critic.fc", "critic.norm"]
    assert names == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]

    def moved(parameter):
        """Whether the actor's and the critic's features change with a parameter."""
        with torch.no_grad():
            before = net.encoders(x)
            parameter += 0.1 * torch.randn_like(parameter)
            return [not torch.equal(old, new) for old, new in zip(before[0], net.encoders(x)[0], strict=True)]

    assert moved(net.encoders.actor.fc.weight) == moved(net.encoders.actor.norm.weight) == [True, False]
    assert moved(net.encoders.critic.fc.weight) == moved(net.encoders.critic.norm.weight) == [False, True]
    assert moved(net.encoders.shared.conv1.weight) == moved(net.encoders.shared.conv4.bias) == [True, True]


def test_weights_start_orthogonal_convolutions_in_their_centre_alone_and_targets_as_copies():
    net, matrices = agent().net, 0
    for name, p in net.named_parameters():
        if name.endswith("bias"):
            assert not p.any(), name
        elif p.dim() == 4:
            kernel, gain = p.detach(), 2.0  # sqrt(2) squared
            centre, off = kernel[:, :, 1, 1], kernel.clone()
            off[:, :, 1, 1] = 0
            assert not off.any(), name
            torch.testing.assert_close(centre.T @ centre, gain * torch.eye(centre.shape[1]), atol=1e-5, rtol=0)
        elif p.dim() == 2 and name != "contrast":
            short = p.detach() if p.shape[0] <= p.shape[1] else p.detach().T
            torch.testing.assert_close(short @ short.T, torch.eye(len(short)), atol=1e-5, rtol=0, msg=name)
            matrices += 1
    assert matrices == 2 + 3 + 6 + 1 + 6
    assert net.contrast.min() >= 0
    assert net.contrast.max() <= 1
    assert net.contrast.mean().item() == pytest.approx(0.5, abs=0.05)
    assert net.log_alpha.exp().item() == pytest.approx(0.1)
    trained = dict(net.named_parameters())
    for name, p in trained.items():
        if name.startswith("target_"):
            own = trained[name.removeprefix("target_")]
            assert torch.equal(p, own), name
            assert p.data_ptr() != own.data_ptr(), name


def test_each_step_has_the_gradients_of_its_own_parameters_alone_in_the_published_order(monkeypatch):
    learner, happened = agent(), []

    def watch(name, optimizer):
        step = optimizer.step

        def stepping():
            with_gradient = {n for n, p in learner.net.named_parameters() if p.grad is not None}
            happened.append((name, {".".join(n.split(".")[: 1 + n.startswith("encoders")]) for n in with_gradient}))
            return step()

        monkeypatch.setattr(optimizer, "step", stepping)

    for name in ("critic", "actor", "alpha"):
        watch(name, getattr(learner, f"{name}_optimizer"))
    for optimizer in learner.contrast_optimizers:
        watch("contrast", optimizer)
    monkeypatch.setattr(sac, "follow", lambda target, source, tau: happened.append(("target", tau)))
    critic = [("critic", {"encoders.shared", "encoders.critic", "critics"})]
    actor = [("actor", {"encoders.actor", "actor"}), ("alpha", {"log_alpha"})]
    targets = [("target", 0.01), ("target", 0.05), ("target", 0.05)]
    contrast = [("contrast", {"encoders.shared", "encoders.critic", "contrast"}), ("contrast", {"contrast"})]
    for n in range(4):
        happened.clear()
        learner.update(batch(np.random.default_rng(n)))
        assert happened == critic + (actor + targets) * (n % 2 == 0) + contrast
    assert not any(p.grad is not None for p in learner.net.parameters())


def test_one_contrastive_step_is_what_two_adams_make_of_the_same_gradients():
    learner, rng = agent(), np.random.default_rng(0)
    ours = learner.contrast_optimizers[0].parameters | learner.contrast_optimizers[1].parameters
    copies = {name: p.detach().clone().requires_grad_() for name, p in ours.items()}
    encoder = [p for name, p in copies.items() if name != "contrast"]
    assert len(encoder) == 12
    both = [torch.optim.Adam(encoder, 1e-3), torch.optim.Adam(copies.values(), 1e-3)]
    for scale in (1.0, 1e-3, 1e-9, 10.0, 1e-6):
        for name, p in ours.items():
            gradient = scale * torch.from_numpy(rng.standard_normal(tuple(p.shape), np.float32))
            p.grad, copies[name].grad = gradient.clone().to(memory_format=torch.preserve_format), gradient
            if p.dim() == 4:
                p.grad = gradient.contiguous(memory_format=torch.channels_last)
        for optimizer in (*learner.contrast_optimizers, *both):
            optimizer.step()
        for name, p in ours.items():
            torch.testing.assert_close(p.detach(), copies[name].detach(), rtol=0, atol=1e-6, msg=name)


def test_log_probability_is_that_of_a_normal_under_the_tanh():
    rng = np.random.default_rng(0)
    mean, log_std, noise = rng.uniform(-0.5, 0.5, (50, 3)), rng.uniform(-3, -1, (50, 3)), rng.uniform(-2, 2, (50, 3))
    action, log_prob = squashed(*(torch.from_numpy(x) for x in (mean, log_std, noise)))
    before = np.arctanh(action.numpy())
    np.testing.assert_allclose(before, mean + np.exp(log_std) * noise, rtol=1e-9)
    expected = stats.norm.logpdf(before, mean, np.exp(log_std)) - np.log(1 - action.numpy() ** 2)
    np.testing.assert_allclose(log_prob.numpy(), expected.sum(axis=1), atol=3e-5)


def test_log_probability_is_finite_where_the_tanh_saturates():
    action, log_prob = squashed(torch.tensor([[50.0]]), torch.tensor([[2.0]]), torch.tensor([[0.0]]))
    assert action.item() == 1
    assert log_prob.item() == pytest.approx(-2 - 0.5 * np.log(2 * np.pi) - np.log(1e-6), rel=1e-5)


def test_contrastive_loss_and_its_gradients_are_the_closed_form():
    rng = np.random.default_rng(0)
    query, w, key = (rng.standard_normal(shape) for shape in ((5, 7), (7, 7), (5, 7)))
    q, m = torch.tensor(query, requires_grad=True), torch.tensor(w, requires_grad=True)
    loss = contrastive_loss(q, m, torch.tensor(key))
    loss.backward()
    powers = np.exp(query @ w @ key.T)
    softmax = powers / powers.sum(axis=1, keepdims=True)
    assert loss.item() == pytest.approx(-np.log(np.diag(softmax)).mean())
    error = (softmax - np.eye(5)) / 5
    np.testing.assert_allclose(q.grad.numpy(), error @ key @ w.T, atol=1e-12)
    np.testing.assert_allclose(m.grad.numpy(), query.T @ error @ key, atol=1e-12)


def test_a_time_limit_bootstraps_and_a_terminal_does_not():
    data, other = (batch(np.random.default_rng(n)) for n in (0, 1))
    losses = {}
    for discount in (0.0, 0.99):
        both = (
            replace(data, next_obs=each.next_obs, discount=np.full(4, discount, np.float32)) for each in (data, other)
        )
        losses[discount] = [agent().update(each).metrics["loss"] for each in both]
    assert losses[0.0][0] == losses[0.0][1]
    assert abs(losses[0.99][0] - losses[0.99][1]) > 1e-3
    learner = agent(random_crop=False)
    expected = loss_after_terminals(learner, data, data.obs[:, :, 2:22, 2:22].copy())
    loss = learner.update(replace(data, discount=np.zeros(4, np.float32))).metrics["loss"]
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("random_crop", [True, False])
def test_frames_that_are_seen_whole_need_not_be_square(random_crop):
    learner, data = agent(seen=(9, 20, 28), random_crop=random_crop), batch(np.random.default_rng(0))
    wide = np.random.default_rng(1).integers(0, 256, (4, 9, 20, 28), dtype=np.uint8)
    data = replace(data, obs=wide, next_obs=wide, discount=np.zeros(4, np.float32))
    expected = loss_after_terminals(learner, data, wide)
    assert learner.update(data).metrics["loss"] == pytest.approx(expected, rel=1e-5)


def test_sac_has_no_contrast():
    learner = agent(contrast=False)
    held = learner.nbytes()
    assert learner.net.contrast is None
    assert learner.contrast_optimizers == []
    assert "contrastive_loss" not in learner.update(batch(np.random.default_rng(0))).metrics
    assert learner.nbytes() == held
    assert not any("contrast" in name for name in learner.state()[0])


def test_without_exploration_the_action_is_the_means_tanh_and_draws_nothing():
    learner = agent(random_steps=5)
    before = copy.deepcopy(learner.rng.bit_generator.state)
    for seed in range(3):
        expected = torch.tanh(policy(learner, window(seed))[0])[0].numpy()
        np.testing.assert_allclose(learner.act(window(seed), explore=False), expected, rtol=1e-5)
    assert learner.rng.bit_generator.state == before
    assert learner.acted == 0


def test_exploring_actions_are_uniform_at_first_and_then_samples_of_the_policy():
    learner = agent(random_steps=500)
    drawn = np.array([learner.act(window(), explore=True) for _ in range(500)])
    assert drawn.dtype == np.float32
    for component in drawn.T:
        assert stats.kstest(component, stats.uniform(-1, 2).cdf).pvalue > 0.001
    rng = copy.deepcopy(learner.rng)
    mean, log_std = (each[0].numpy() for each in policy(learner, window()))
    for _ in range(3):
        expected = np.tanh(mean + np.exp(log_std) * rng.standard_normal((1, ACTIONS), np.float32)[0])
        np.testing.assert_allclose(learner.act(window(), explore=True), expected, rtol=1e-5)


def test_a_reward_that_is_no_number_shows_in_the_loss():
    data = batch(np.random.default_rng(0))
    data.reward[1] = np.nan
    assert not np.isfinite(agent().update(data).metrics["loss"])
