"""A loaded policy acts on one window or on many, and says what acting promises and what it sees."""

import numpy as np
import pytest

import edgerl
from edgerl.agents.layers.arrays import to_numpy
from runtime import Session

TINY = {"budget": 4_000_000, "threads": 1, "steps": 24, "learn_start": 8, "batch_size": 2, "hidden": 8}
TINY |= {"eval_every": 0, "checkpoint_every": 0}
RUNS = {
    "rainbow": {"env": "toy/catch", "freeze_at": "never", "n_step": 3},
    "rainbow frozen": {"env": "toy/catch", "freeze_at": 16, "n_step": 3},
    "frames stay": {"env": "toy/catch", "freeze_at": 16, "n_step": 3, "cut": "conv1"},
    "dqn frozen": {"env": "toy/catch", "algo": "dqn", "freeze_at": 16},
    "curl": {"env": "gym/Pendulum-v1", "algo": "curl", "freeze_at": "never"},
    "curl frozen": {"env": "gym/Pendulum-v1", "algo": "curl", "freeze_at": 16},
}


@pytest.fixture(scope="module", params=RUNS)
def policy(request, tmp_path_factory):
    """The policy of a small run, and its folder."""
    folder = tmp_path_factory.mktemp("policy") / "run"
    edgerl.train(edgerl.configure(**TINY | RUNS[request.param]), folder)
    return edgerl.load(folder), folder


@pytest.fixture
def windows(policy):
    """Five windows of noise."""
    spec = policy[0].spec
    return np.random.default_rng(1).integers(0, 256, (5, spec.history, *spec.frame), np.uint8)


def test_many_windows_are_acted_on_as_each_of_them(policy, windows):
    policy, _ = policy
    actions = policy.act(windows)
    assert actions.shape == ((5, policy.spec.actions) if policy.spec.continuous else (5,))
    np.testing.assert_allclose(actions, [policy.act(window) for window in windows], atol=1e-5)


def test_values_are_those_that_it_acts_by(policy, windows):
    policy, _ = policy
    values = policy.values(windows)
    np.testing.assert_allclose(values, [policy.values(window) for window in windows], atol=1e-5)
    if policy.spec.continuous:
        assert values.shape == (5,)
        critics, seen = policy.agent.net.critics, policy.representation.see_all(windows)
        encoders = policy.agent.net.encoders
        features = encoders.critic.apply(encoders.for_critic(encoders.maps(encoders.prepare(seen))))
        both = [to_numpy(value) for value in critics.apply(features, policy.agent.engine.array(policy.act(windows)))]
        np.testing.assert_allclose(values, np.minimum(*both), atol=1e-5)
    else:
        assert values.shape == (5, policy.spec.actions)
        np.testing.assert_array_equal(values.argmax(axis=1), policy.act(windows))


def test_latents_are_those_of_the_frozen_encoder_or_of_todays(policy, windows):
    policy, folder = policy
    latents = policy.latents(windows)
    np.testing.assert_allclose(latents[2], policy.latents(windows[2]), atol=1e-5)
    seen = policy.representation.see_all(windows)
    if policy.frozen_at is None:
        expected = policy.agent.stem(policy.config.agent.cut).latents(seen)
    else:
        pixels = policy.representation.stem.pixels
        expected = Session(folder / "encoder.onnx")(np.ascontiguousarray(pixels.see_all(windows)))
    np.testing.assert_allclose(latents, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["act", "values", "latents"])
def test_other_arrays_are_refused(policy, windows, method):
    ask = getattr(policy[0], method)
    for wrong in (windows.astype(np.float32), windows[..., 1:], windows[:, 1:], windows[None], windows[0, 0], 3):
        with pytest.raises(ValueError, match=r"an observation is uint8 \["):
            ask(wrong)
