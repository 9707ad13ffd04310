"""Rainbow without noisy layers, and AdamW in whole agents: beside autograd and torch.optim.AdamW, in float64."""

import engines
import numpy as np
import pytest
import torch
from plain_sac import agent as control
from plain_sac import batch as control_batch
from plain_sac import weights
from torch.nn import functional
from torch_agents.rainbow import project

from edgerl import configure
from edgerl.agents.build import make_agent
from edgerl.agents.layers.arrays import to_numpy
from edgerl.agents.rainbow import DuelingHead, Rainbow
from edgerl.envs import suites
from edgerl.planning import plan
from edgerl.replay import representation
from edgerl.types import Batch

WINDOW, FEATURES, ACTIONS, ROWS, HIDDEN, ATOMS = (2, 40, 40), 64, 3, 6, 16, 11
both = pytest.mark.parametrize("engine", engines.BOTH64, ids=engines.name)


def settings(**changes):
    given = {"env": "atari/qbert", "noisy": False, "hidden": HIDDEN, "atoms": ATOMS, "target_every": 3}
    return configure(**given | changes).agent


def agent(engine=engines.NUMPY, **changes):
    return Rainbow(WINDOW, ACTIONS, settings(**changes), np.random.default_rng(0), engine)


def frozen(engine, **changes):
    """An agent behind its cut, and the generator of its batches."""
    learner = agent(engine, **changes)
    features = learner.stem("conv2").graph.latent
    learner.freeze("conv2")
    return learner, features


def batch(rng, features):
    obs, next_obs = rng.random((2, ROWS, *features), np.float32)
    weight = rng.uniform(0.5, 1, ROWS).astype(np.float32)
    reward = rng.standard_normal(ROWS).astype(np.float32)
    discount = np.where(rng.random(ROWS) < 0.3, 0, 0.9).astype(np.float32)
    return Batch(obs, rng.integers(0, ACTIONS, ROWS), reward, discount, next_obs, weight, np.arange(ROWS))


def leaves(head):
    """The weights of a head, by name, as torch's leaves."""
    return {
        f"{layer}.{name}": torch.from_numpy(np.array(to_numpy(array), np.float64)).requires_grad_()
        for layer, own in head.parameters.items()
        for name, array in own.arrays.items()
    }


def logits(features, own):
    """Dueling streams written out: [B, actions, atoms]."""
    hidden = functional.relu(functional.linear(features, own["hidden.weight"], own["hidden.bias"]))
    value = functional.linear(hidden[:, :HIDDEN], own["value.weight"], own["value.bias"])
    advantage = functional.linear(hidden[:, HIDDEN:], own["advantage.weight"], own["advantage.bias"])
    advantage = advantage.reshape(len(features), ACTIONS, ATOMS)
    return value[:, None] + advantage - advantage.mean(dim=1, keepdim=True)


@both
def test_gradients_of_plain_heads_are_those_of_autograd(engine):
    rng = np.random.default_rng(1)
    head = DuelingHead(engine, FEATURES, ACTIONS, settings(), rng)
    own, x = leaves(head), torch.from_numpy(rng.standard_normal((ROWS, FEATURES))).requires_grad_()
    action, upward = rng.integers(0, ACTIONS, ROWS), rng.standard_normal((ROWS, ATOMS))
    expected = logits(x, own)
    expected[torch.arange(ROWS), torch.from_numpy(action)].backward(torch.from_numpy(upward))
    found = head.forward(engine.array(x.detach().numpy().copy()))
    np.testing.assert_allclose(to_numpy(found), expected.detach().numpy(), rtol=0, atol=1e-10)
    inputs = head.backward(engine.array(upward), engine.array(action), inputs=True)
    np.testing.assert_allclose(to_numpy(inputs), x.grad.numpy(), rtol=0, atol=1e-10)
    for layer, parameters in head.parameters.items():
        assert parameters.arrays.keys() == {"weight", "bias"}
        for name, array in parameters.gradients.items():
            np.testing.assert_allclose(to_numpy(array), own[f"{layer}.{name}"].grad.numpy(), rtol=0, atol=1e-10)


@both
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_updates_are_those_of_autograd_and_adamw(engine, weight_decay):
    """Double Q, the projection, the importance weights, clipping, the target's copies: twenty updates."""
    learner, features = frozen(engine, weight_decay=weight_decay, learning_rate=1e-2, clip_norm=1.0)
    config, rng, rows = learner.config, np.random.default_rng(2), torch.arange(ROWS)
    own = leaves(learner.online.head)
    target = {name: array.detach().clone() for name, array in own.items()}
    oracle = torch.optim.AdamW(own.values(), config.learning_rate, eps=config.adam_eps, weight_decay=weight_decay)
    support = torch.linspace(config.v_min, config.v_max, ATOMS, dtype=torch.float64)
    before = learner.rng.bit_generator.state
    for number in range(20):
        data = batch(rng, features)
        obs, next_obs, reward, discount, weight = (
            torch.from_numpy(array.astype(np.float64)).reshape(ROWS, -1)
            for array in (data.obs, data.next_obs, data.reward, data.discount, data.weight)
        )
        with torch.no_grad():
            best = (logits(next_obs, own).softmax(dim=2) @ support).argmax(dim=1)
            following = logits(next_obs, target)[rows, best].softmax(dim=1)
            projected = project(following, reward[:, 0], discount[:, 0], support)
        losses = -(projected * logits(obs, own)[rows, torch.from_numpy(data.action)].log_softmax(dim=1)).sum(dim=1)
        oracle.zero_grad()
        loss = (weight[:, 0] * losses).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(own.values(), config.clip_norm)
        oracle.step()
        found = learner.update(data).metrics
        expected = {"loss": float(loss.detach()), "gradient_norm": float(norm), "epsilon": 1.0}
        assert found == pytest.approx(expected, rel=1e-6)
        if number % 3 == 2:
            target = {name: array.detach().clone() for name, array in own.items()}
    for name, array in leaves(learner.online.head).items():
        np.testing.assert_allclose(array.detach(), own[name].detach(), rtol=1e-5, atol=1e-6, err_msg=name)
    assert learner.rng.bit_generator.state == before  # there is no noise to draw


def test_random_actions_explore_as_often_as_epsilon_says_and_never_in_an_evaluation():
    learner = agent(epsilon_start=0.8, epsilon_end=0.2, epsilon_steps=400)
    window = np.random.default_rng(3).integers(0, 256, WINDOW, np.uint8)
    greedy = learner.act(window, explore=False)
    assert {learner.act(window, explore=False) for _ in range(50)} == {greedy}
    assert (learner.acted, learner.epsilon) == (0, 0.8)
    actions = np.array([learner.act(window, explore=True) for _ in range(1200)])
    assert (learner.acted, learner.epsilon) == (1200, pytest.approx(0.2))
    for part, epsilon in ((actions[:400], 0.5), (actions[400:], 0.2)):
        assert np.mean(part != greedy) == pytest.approx(epsilon * (ACTIONS - 1) / ACTIONS, abs=0.06)
    assert set(actions.tolist()) == set(range(ACTIONS))


def test_a_noisy_rainbow_of_an_older_checkpoint_counted_no_acts():
    learner = Rainbow(WINDOW, ACTIONS, settings(noisy=True), np.random.default_rng(0), engines.NUMPY)
    arrays, values = learner.state()
    del values["acted"]
    learner.load({name: np.array(array) for name, array in arrays.items()}, values)
    assert learner.acted == 0


@pytest.mark.parametrize("cut", ["conv2", "conv1"])
def test_the_plan_knows_what_plain_heads_hold(cut):
    """Half the weights of noisy ones; none are made for a batch, and an act passes once."""
    plain, noisy = (configure(env="atari/qbert", cut=cut, threads=1, noisy=value) for value in (False, True))
    spec = suites.describe("atari/qbert")
    window = representation.pixels(spec, plain.replay).shape
    planned, other = plan.make_plan(plain, spec), plan.make_plan(noisy, spec)
    held = make_agent(plain, window, spec.actions, np.random.default_rng(0)).nbytes()
    for name, nbytes in held.items():
        assert planned.ledger[name] == pytest.approx(nbytes, rel=0.01), name
        assert planned.ledger[name] < 0.6 * other.ledger[name]
    made = 4 * 2 * sum(product.flops for product in other.flops.tail if product.part == "head")
    assert other.ledger["scratch"] - planned.ledger["scratch"] == made
    assert planned.flops.after.exact_per_update < other.flops.after.exact_per_update
    assert planned.flops.after.per_update == other.flops.after.per_update


@pytest.mark.parametrize("engine", engines.BOTH, ids=engines.name)
@pytest.mark.parametrize("cut", [None, "fc"])
def test_curl_decays_every_weight_once_an_update_and_no_temperature(cut, engine):
    """The encoder has a step of the critic's optimizer and one of the contrast's; the first update trains the actor."""
    learner = control(engine=engine, weight_decay=0.5, tau_q=0.0, tau_encoder=0.0)
    if cut is not None:
        learner.freeze(cut)
    before = weights(learner)
    for optimizer in learner.optimizers.values():
        optimizer.eps = 1e12  # no gradient moves anything
    learner.update(control_batch(np.random.default_rng(1), latent=None if cut is None else (2, 50)))
    kept = 1 - learner.config.learning_rate * 0.5
    for name, array in weights(learner).items():
        own = 1 if name.startswith(("target", "log_alpha")) else kept
        np.testing.assert_allclose(array, own * before[name], rtol=1e-6, atol=1e-9, err_msg=name)
