"""Heads that begin anew after the freeze, n and gamma annealed between two resets, and what is refused."""

import json
import math

import engines
import numpy as np
import pytest
from resumed import differences
from stopping import stopped_after

from edgerl.agents.dqn import Dqn
from edgerl.agents.layers.arrays import to_numpy
from edgerl.agents.rainbow import DuelingHead, Rainbow
from edgerl.agents.sac import CurlSac
from edgerl.agents.sac_heads import Actor, Critics
from edgerl.config.agent_settings import AGENTS
from edgerl.config.resolve import configured
from edgerl.config.toml import preset
from edgerl.errors import ConfigError
from edgerl.replay.buffer import Replay
from edgerl.replay.representation import Pixels
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


def annealed(settings, updates):
    """BBF's schedule written out: linear in the logarithm of n, and of 1 - gamma."""
    left = max(0, settings.n_step_anneal - updates) / settings.n_step_anneal

    def between(start, end):
        return math.exp(left * math.log(start) + (1 - left) * math.log(end))

    return round(between(settings.n_step, settings.n_step_end)), 1 - between(
        1 - settings.gamma_start, 1 - settings.gamma
    )


def test_n_and_gamma_are_annealed_as_in_bbf():
    settings = configured({"n_step": 10, "n_step_end": 3, "gamma_start": 0.97, "gamma": 0.997}).replay
    found = [settings.horizon(updates) for updates in range(0, 12_000, 7)]
    expected = [annealed(settings, updates) for updates in range(0, 12_000, 7)]
    assert [n for n, _ in found] == [n for n, _ in expected]
    np.testing.assert_allclose([gamma for _, gamma in found], [gamma for _, gamma in expected], rtol=1e-12)
    assert (found[0].n_step, found[-1].n_step, found[-1].gamma) == (10, 3, pytest.approx(0.997, abs=1e-15))
    assert {n for n, _ in found} == set(range(3, 11))


def test_without_the_settings_n_and_gamma_stay_to_the_bit():
    settings = configured({"n_step": 10, "gamma": 0.997}).replay
    assert {settings.horizon(updates) for updates in (0, 5000, 10_000, 20_000)} == {(10, 0.997)}


@pytest.mark.parametrize("sampling", ["prioritized", "uniform"])
def test_a_replay_whose_n_changed_draws_what_one_of_that_n_draws(sampling):
    """Full and wrapped, up and down, episodes ended and cut off among its rows."""

    def filled(n_step, gamma):
        replay = Replay(
            9000,
            Pixels((8, 8), 4),
            np.dtype(np.uint8),
            n_step=n_step,
            gamma=gamma,
            omega=0.5,
            rng=np.random.default_rng(2),
            sampling=sampling,
        )
        rng = np.random.default_rng(1)
        for step in range(200):
            frame = rng.integers(0, 256, (8, 8), np.uint8)
            replay.append(frame, int(rng.integers(3)), float(rng.random()), terminated=step % 31 == 0)
            if step % 47 == 0:
                replay.truncate(frame)
        return replay

    changing = filled(20, 0.9)
    for n_step, gamma in ((20, 0.9), (3, 0.95), (1, 0.99), (10, 0.97)):
        fixed = filled(n_step, gamma)
        fixed.sampler.rng.bit_generator.state = changing.sampler.rng.bit_generator.state
        changing.n_step, changing.gamma = n_step, gamma
        assert changing.startable == fixed.startable
        found, expected = changing.sample(64, 0.5), fixed.sample(64, 0.5)
        for name, array in vars(expected).items():
            np.testing.assert_array_equal(getattr(found, name), array, name)
        assert len(np.unique(expected.discount)) > min(n_step, 2) - 1


TOY = {"env": "toy/catch", "steps": 90, "learn_start": 30, "freeze_at": 50, "eval_every": 0, "threads": 1}
TOY |= {"batch_size": 4, "hidden": 8, "budget": 1_500_000}
ANNEALED = {"reset_heads_every": 14, "n_step": 10, "n_step_end": 3, "gamma_start": 0.9, "n_step_anneal": 8}


def test_a_run_resets_and_anneals_by_its_updates_since_the_freeze(tmp_path, monkeypatch):
    """At 1.5 updates a step: 20 before the freeze, 60 after it, the heads anew before the 15th, 29th, ..."""
    config, seen, sample = configured(TOY | ANNEALED | {"updates_per_step": 1.5}), [], Replay.sample

    def watched(replay, *arguments):
        seen.append((replay.n_step, replay.gamma))
        return sample(replay, *arguments)

    monkeypatch.setattr(Replay, "sample", watched)
    train(config, tmp_path / "run", quiet=True)
    assert seen[:30] == [(10, 0.99)] * 30
    after = [annealed(config.replay, number % 14) for number in range(60)]
    assert [n for n, _ in seen[30:]] == [n for n, _ in after]
    np.testing.assert_allclose([gamma for _, gamma in seen[30:]], [gamma for _, gamma in after], rtol=1e-12)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    resets = [(line["step"], line["train/head_resets"]) for line in lines if "train/head_resets" in line]
    assert resets == [(60, 1), (70, 2), (79, 3), (88, 4)]  # of 1.5 updates a step, the 15th, 29th, 43rd and 57th


RESUMED = {
    "rainbow": {},
    "rainbow without noise": {"noisy": False, "epsilon_steps": 40, "weight_decay": 0.1},
    "rainbow behind conv1": {"cut": "conv1"},
    "rainbow, torch": {"engine": "torch", "keep_torch": True, "weight_decay": 0.1},
    "dqn": {"algo": "dqn", "sampling": "prioritized"},
}
CONTROLLED = {"env": "gym/Pendulum-v1", "n_step": 3, "n_step_end": 1, "random_steps": 20, "budget": 4_000_000}
RESUMED |= {"curl": CONTROLLED | {"algo": "curl", "weight_decay": 0.1}}


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_resumed_around_a_reset_is_the_uninterrupted_one(case, tmp_path):
    """Heads anew before the updates of steps 65 and 79; stopped before, on either side, and once frozen."""
    config = configured(TOY | ANNEALED | RESUMED[case])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole, quiet=True)
    for number, step in enumerate((40, 64, 65)):
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


REFUSED = {
    "resets without a freeze": ({"reset_heads_every": 100, "freeze_at": "never"}, "agent.reset_heads_every"),
    "resets beyond the preset's freeze": ({"reset_heads_every": 100, "steps": 500}, "agent.reset_heads_every"),
    "n annealed without a freeze": ({"n_step_end": 1, "freeze_at": "never"}, "replay.n_step_end"),
    "gamma annealed without a freeze": ({"gamma_start": 0.9, "freeze_at": "never"}, "replay.gamma_start"),
    "n annealed upwards": ({"n_step": 3, "n_step_end": 4}, "replay.n_step_end = 4 is above"),
    "gamma annealed downwards": ({"gamma_start": 0.995}, "replay.gamma_start"),
    "gamma annealed to 1": ({"gamma_start": 0.9, "gamma": 1.0}, "replay.gamma_start"),
    "no noise for DQN": ({"algo": "dqn", "noisy": False}, "agent.noisy: dqn has no such setting"),
    "epsilon for SAC": ({"env": "gym/Pendulum-v1", "epsilon_end": 0.1}, "agent.epsilon_end: curl has no such setting"),
    "resets of minus one": ({"reset_heads_every": -1}, "reset_heads_every"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_nothing_is_refused_in_one_line(case):
    given, names = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        configured({"env": "toy/catch"} | given)
    assert names in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_freeze_at_zero_is_a_freeze():
    assert configured(TOY | ANNEALED | {"freeze_at": 0}).agent.reset_heads_every == 14
