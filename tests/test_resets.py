"""Heads that begin anew after the freeze: what a reset gives and leaves, and runs around one."""

import math

import engines
import numpy as np
import pytest
from cases import quick
from resumed import ANNEALED, TOY, differences
from stopping import stopped_after

from edgerl.agents.dqn import Dqn
from edgerl.agents.layers.arrays import to_numpy
from edgerl.agents.rainbow import DuelingHead, Rainbow
from edgerl.agents.sac import CurlSac
from edgerl.agents.sac_heads import Actor, Critics
from edgerl.config.agent_settings import AGENTS
from edgerl.config.resolve import configured
from edgerl.config.toml import preset
from edgerl.training.train import train
from edgerl.types import Batch

ACTIONS, ROWS, HIDDEN = 3, 4, 16
WINDOW, CONTROL = (2, 40, 40), (3, 30, 30)
CASES = [  # algorithm, encoder, cut, and whether the encoder has trained layers right of it
    ("rainbow", "data_efficient", "conv2", False),
    ("rainbow", "data_efficient", "conv1", True),
    ("plain rainbow", "data_efficient", "conv2", False),
    ("dqn", "data_efficient", "conv1", True),
    ("curl", "curl", "fc", False),
    ("curl", "curl", "conv2", True),
    ("sac", "data_efficient", "conv2", False),
]
KINDS = {"rainbow": Rainbow, "dqn": Dqn, "curl": CurlSac, "sac": CurlSac}
both = pytest.mark.parametrize("engine", engines.BOTH, ids=engines.name)


def trained(name, encoder, cut, engine, seed=3):
    """A frozen agent after some updates, and what gives it more batches."""
    algo = name.removeprefix("plain ")
    continuous = AGENTS[algo].continuous
    settings = preset("dmc/walker-walk" if continuous else "atari/qbert", algo)["agent"]
    settings |= {"encoder": encoder, "cut": cut, "hidden": HIDDEN, "target_every": 2}
    settings |= {"noisy": False} if name != algo else {}
    window = CONTROL if continuous else WINDOW
    agent = KINDS[algo](window, ACTIONS, AGENTS[algo](**settings), np.random.default_rng(seed), engine)
    shape = agent.stem(cut).graph.latent
    agent.freeze(cut)
    rng = np.random.default_rng(5)

    def batch():
        action = (
            rng.uniform(-1, 1, (ROWS, ACTIONS)).astype(np.float32) if continuous else rng.integers(0, ACTIONS, ROWS)
        )
        obs, next_obs = rng.random((2, ROWS, *shape), np.float32)
        ones = np.ones(ROWS, np.float32)
        return Batch(obs, action, rng.random(ROWS, np.float32), 0.9 * ones, next_obs, ones, np.arange(ROWS))

    for _ in range(5):
        agent.update(batch())
    return agent, batch


def state_of(agent):
    arrays, values = agent.state()
    return {name: np.array(array) for name, array in arrays.items()}, values


def fresh_heads(agent, rng):
    """The weights of heads drawn from a generator, as the agent's state names them."""
    config, engine = agent.config, agent.engine
    if isinstance(agent, CurlSac):
        sizes = agent.net.features, ACTIONS, HIDDEN
        actor = Actor(engine, *sizes, low=config.log_std_min, high=config.log_std_max, rng=rng)
        critics = Critics(engine, *sizes, rng)
        drawn = {"net.actor": actor, "net.critics": critics, "net.target_critics": critics}
    else:
        features = agent.online.head.parameters["hidden" if isinstance(agent, Rainbow) else "0"]
        features = next(iter(features.arrays.values())).shape[1]
        if isinstance(agent, Rainbow):
            head = DuelingHead(engine, features, ACTIONS, config, rng)
        else:
            head = agent._make_head(engine, features, rng)
        drawn = {"online.head": head, "target.head": head}
    return {
        f"{network}.{layer}.{name}": to_numpy(array)
        for network, head in drawn.items()
        for layer, own in head.parameters.items()
        for name, array in own.arrays.items()
    }


@both
@pytest.mark.parametrize(("name", "encoder", "cut", "has_tail"), CASES)
def test_a_reset_gives_what_a_new_head_has_and_leaves_the_encoder(name, encoder, cut, has_tail, engine):
    agent, _ = trained(name, encoder, cut, engine)
    before, _ = state_of(agent)
    rng = np.random.default_rng()
    rng.bit_generator.state = agent.rng.bit_generator.state
    agent.reset_heads()
    after, values = state_of(agent)
    expected = fresh_heads(agent, rng)
    assert expected
    for key, array in expected.items():
        np.testing.assert_array_equal(after[key], array, key)
        assert np.any(after[key] != before[key]) or not np.any(array), key  # it had been trained
    assert values["rng"] == rng.bit_generator.state
    kept = [key for key in before if any(part in key for part in ("encoder", ".neck.", ".shared."))]
    kept = [key for key in kept if not key.endswith(".begun")]
    assert bool(kept) == has_tail
    for key in kept:
        np.testing.assert_array_equal(after[key], before[key], key)
        assert np.any(before[key]), key
    moments = [key for key in before if key.startswith("optimizer.") and key not in kept and not key.endswith("step")]
    assert moments
    assert not any(np.any(after[key]) for key in moments)
    if isinstance(agent, CurlSac):
        assert after["net.log_alpha"] == np.float32(math.log(agent.config.alpha_start)) != before["net.log_alpha"]


@both
@pytest.mark.parametrize(("name", "encoder", "cut", "has_tail"), CASES)
def test_an_agent_saved_after_a_reset_goes_on_to_the_bit(name, encoder, cut, has_tail, engine):
    agent, batch = trained(name, encoder, cut, engine)
    agent.reset_heads()
    agent.update(batch())
    other, _ = trained(name, encoder, cut, engine, seed=9)
    other.load(*state_of(agent))
    for _ in range(3):
        data = batch()
        assert agent.act(data.obs[0], explore=True) is not None
        other.act(data.obs[0], explore=True)
        assert agent.update(data).metrics == other.update(data).metrics
    (arrays, values), (again, others) = state_of(agent), state_of(other)
    assert values == others
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, again[key], key)


@both
def test_the_first_step_of_a_new_head_is_as_long_as_the_first_of_all(engine):
    """Adam's first step is the learning rate, whatever the gradient: no steps of before are counted."""
    agent, batch = trained("dqn", "data_efficient", "conv2", engine)
    agent.reset_heads()
    before = state_of(agent)[0]["online.head.2.bias"]
    agent.optimizer.eps = 1e-12
    agent.update(batch())
    moved = np.abs(state_of(agent)[0]["online.head.2.bias"] - before)
    np.testing.assert_allclose(moved[moved > 0], agent.config.learning_rate, rtol=1e-3)
    assert moved.any()


RESUMED = {
    "rainbow": {},
    "rainbow without noise": {"noisy": False, "epsilon_steps": 40, "weight_decay": 0.1},
    "rainbow behind conv1": {"cut": "conv1"},
    "rainbow, torch": {"engine": "torch", "keep_torch": True, "weight_decay": 0.1},
    "dqn": {"algo": "dqn", "sampling": "prioritized"},
}
CONTROLLED = {"env": "gym/Pendulum-v1", "n_step": 3, "n_step_end": 1, "random_steps": 20, "budget": 4_000_000}
RESUMED |= {"curl": CONTROLLED | {"algo": "curl", "weight_decay": 0.1}}


@pytest.mark.parametrize("case", quick(RESUMED, "rainbow"))
def test_a_run_resumed_around_a_reset_is_the_uninterrupted_one(case, tmp_path):
    """Heads anew before the updates of steps 65 and 79; stopped before the freeze, and between the two."""
    config = configured(TOY | ANNEALED | RESUMED[case])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole, quiet=True)
    for number, step in enumerate((40, 65)):
        with stopped_after(step):
            stopped = train(config, parts, resume=number > 0, quiet=True)
        assert (stopped["status"], stopped["steps"]) == ("interrupted", step)
    train(config, parts, resume=True, quiet=True)
    assert differences(config, whole, parts) == []


def test_a_reset_changes_the_run_and_none_that_it_does_not_reach(tmp_path):
    """The last update that is due begins with a reset; one later, and there is none."""
    weights = {}
    for every in (0, 39, 40):
        folder = tmp_path / str(every)
        train(configured(TOY | {"reset_heads_every": every}), folder, quiet=True)
        weights[every] = (folder / "checkpoint/000000090/weights.safetensors").read_bytes()
    assert weights[0] == weights[40] != weights[39]
