"""Every agent beside the agent of before (tests/torch_agents), whose gradients are autograd's: 200 updates of each.

In float64: in float32 the roundings of two ways to compute the same grow, within 100 updates, to the size of a step.
"""

import engines
import numpy as np
import pytest
import torch
from cases import quick
from torch_agents import dqn, fused_adam, rainbow, sac

from edgerl.agents.dqn import Dqn
from edgerl.agents.rainbow import Rainbow
from edgerl.agents.sac import CurlSac
from edgerl.config.agent_settings import AGENTS
from edgerl.config.toml import preset
from edgerl.types import Batch

UPDATES, ROWS, ACTIONS = 200, 4, 3
CLOSE = 1e-6  # float32's rounding
WINDOW, CONTROL = (2, 40, 40), (3, 30, 30)
CASES = [
    pytest.param("rainbow", "data_efficient", None, marks=pytest.mark.long),
    ("rainbow", "data_efficient", "conv2"),
    pytest.param("rainbow", "data_efficient", "conv1", marks=pytest.mark.long),
    pytest.param("rainbow", "impala", "block3", marks=pytest.mark.long),
    ("dqn", "canonical", None),
    pytest.param("dqn", "data_efficient", "conv2", marks=pytest.mark.long),
    pytest.param("curl", "curl", None, marks=pytest.mark.long),
    ("curl", "curl", "fc"),
    pytest.param("curl", "curl", "conv2", marks=pytest.mark.long),
    pytest.param("sac", "curl", None, marks=pytest.mark.long),
    pytest.param("sac", "data_efficient", "conv2", marks=pytest.mark.long),
]
KINDS = {"rainbow": (Rainbow, rainbow.Rainbow), "dqn": (Dqn, dqn.Dqn)}
KINDS |= {"curl": (CurlSac, sac.CurlSac), "sac": (CurlSac, sac.CurlSac)}


def pair(engine, algo, encoder, cut):
    """The agent on an engine, and the agent of before with the same weights and the same draws to come."""
    continuous = AGENTS[algo].continuous
    settings = preset("dmc/walker-walk" if continuous else "atari/qbert", algo)["agent"]
    settings |= {"encoder": encoder, "hidden": 32, "target_every": 2 if continuous else 50, "cut": cut or "conv1"}
    config = AGENTS[algo](**settings | ({"priority": "cross_entropy"} if algo == "rainbow" else {}))
    options = {"contrast": algo == "curl"} if continuous else {}
    window = CONTROL if continuous else WINDOW
    new, old = (
        kind(window, ACTIONS, config, np.random.default_rng(7), *extra, **options)
        for kind, extra in zip(KINDS[algo], ((engine,), ()), strict=True)
    )
    if cut is not None:
        new.freeze(cut)
        old.freeze(cut)
    for rng in (new.rng, old.rng):
        rng.bit_generator.state = np.random.default_rng(8).bit_generator.state
    arrays, _ = new.state()
    own, values = old.state()
    double(old)
    weights = {name: np.array(array) for name, array in arrays.items() if not name.startswith("optimizer.")}
    assert weights.keys() == {name for name in own if not name.startswith("optimizer.")}
    old.load(weights | {name: array for name, array in own.items() if name.startswith("optimizer.")}, values)
    return new, old


def double(old):
    """Have an agent of before compute in float64."""
    for part in ("online", "target", "net", "support"):
        if hasattr(old, part):
            setattr(old, part, getattr(old, part).double())
    for optimizer in [value for value in vars(old).values() if isinstance(value, fused_adam.Adam)] + getattr(
        old, "contrast_optimizers", []
    ):
        optimizer.moments = {
            name: (mean.double(), square.double(), step) for name, (mean, square, step) in optimizer.moments.items()
        }


def batches(agent, continuous):
    rng, frozen = np.random.default_rng(9), agent.cut is not None
    shape = agent.stem_shape if frozen else agent.window
    while True:

        def observations():
            if frozen:
                return np.maximum(rng.standard_normal((ROWS, *shape), np.float32), 0)
            return rng.integers(0, 256, (ROWS, *shape), np.uint8)

        action = rng.integers(0, ACTIONS, ROWS)
        if continuous:
            action = rng.uniform(-1, 1, (ROWS, ACTIONS)).astype(np.float32)
        reward = rng.choice(np.array([-1, 0, 1], np.float32), ROWS)
        discount = np.where(rng.random(ROWS) < 0.2, 0, 0.9).astype(np.float32)
        weight = rng.uniform(0.5, 1, ROWS).astype(np.float32)
        yield Batch(observations(), action, reward, discount, observations(), weight, np.arange(ROWS))


@pytest.mark.parametrize("engine", quick(engines.BOTH64, engines.BOTH64[0]), ids=engines.name)
@pytest.mark.parametrize(("algo", "encoder", "cut"), CASES)
def test_200_updates_go_the_way_of_autograd(engine, algo, encoder, cut):
    """Within float32's rounding, for every metric, priority and weight."""
    torch.set_num_threads(1)
    if engine is engines.NUMPY64 and encoder == "impala":
        engine = engines.TORCH64  # the stem: what lies right of the cut is trained in NumPy
    new, old = pair(engine, algo, encoder, cut)
    begun = {name: np.array(array) for name, array in new.state()[0].items()}
    new.stem_shape = latent_shape(new, cut) if cut else None
    given = batches(new, AGENTS[algo].continuous)
    for number in range(UPDATES):
        batch = next(given)
        if number % 3 == 0:
            one = batch.obs[0]
            assert np.allclose(new.act(one, explore=True), old.act(one, explore=True), atol=CLOSE)
        own, expected = new.update(batch), old.update(batch)
        assert own.metrics.keys() == expected.metrics.keys()
        for name, value in expected.metrics.items():
            assert own.metrics[name] == pytest.approx(value, rel=CLOSE, abs=CLOSE), (number, name)
        np.testing.assert_allclose(own.priority, expected.priority, rtol=CLOSE, atol=CLOSE)
    assert new.rng.bit_generator.state == old.rng.bit_generator.state
    reached = old.state()[0]
    for name, array in new.state()[0].items():
        if not name.startswith("optimizer."):
            assert np.abs(reached[name] - begun[name]).max() > 10 * CLOSE, name  # it was trained
            np.testing.assert_allclose(array, reached[name], rtol=CLOSE, atol=CLOSE, err_msg=name)


def latent_shape(agent, cut):
    """The shape of what crosses the cut, from the stem of a whole agent."""
    whole = type(agent)(agent.window, ACTIONS, agent.config, np.random.default_rng(0), engines.TORCH)
    return whole.stem(cut).graph.latent


@pytest.mark.parametrize(("algo", "encoder"), [("rainbow", "data_efficient"), ("dqn", "canonical"), ("curl", "curl")])
@pytest.mark.parametrize("engine", engines.BOTH64, ids=engines.name)
def test_the_greedy_action_is_the_one_of_before(engine, algo, encoder):
    new, old = pair(engine, algo, encoder, None)
    rng = np.random.default_rng(3)
    for _ in range(10):
        window = rng.integers(0, 256, new.window, np.uint8)
        np.testing.assert_allclose(new.act(window, explore=False), old.act(window, explore=False), atol=CLOSE)
