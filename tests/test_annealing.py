"""n and gamma annealed after the freeze and between two resets of the heads, and what is refused."""

import json
import math

import numpy as np
import pytest
from resumed import ANNEALED, TOY

from edgerl.config.resolve import configured
from edgerl.errors import ConfigError
from edgerl.replay.buffer import Replay
from edgerl.replay.representation import Pixels
from edgerl.training.train import train


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
