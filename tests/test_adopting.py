"""Agents that begin with another's networks: which arrays they take, to the bit, from whole and from frozen ones."""

import numpy as np
import pytest
from plain_sac import SEEN, agent, batch, features

from edgerl import configure
from edgerl.agents.build import make_agent
from edgerl.types import Batch
from runtime import model_file
from runtime.export import export

WINDOW = (4, 84, 84)
VALUES = [
    *((algo, "data_efficient", cut) for algo in ("rainbow", "dqn") for cut in (None, "conv1", "conv2")),
    *(("rainbow", "impala", cut) for cut in ("block2", "fc")),
]
CONTROL = [None, "conv1", "conv4", "fc"]  # cuts


def value_agent(algo, seed, encoder="data_efficient"):
    config = configure(env="toy/catch", algo=algo, encoder=encoder, hidden=8, threads=1)
    return make_agent(config, WINDOW, 3, np.random.default_rng(seed))


def updated(learner):
    """After one update: moments, counters and, had it been copied, the target would differ."""
    rng = np.random.default_rng(0)
    obs, ones = rng.integers(0, 256, (2, *WINDOW), dtype=np.uint8), np.ones(2, np.float32)
    learner.update(Batch(obs, np.zeros(2, np.uint8), ones, ones, obs, ones, np.arange(2)))
    return learner


def held(learner):
    return {name: array.copy() for name, array in learner.state()[0].items()}


def given(learner, cut, folder):
    """What a checkpoint and encoder.onnx hold of an agent that was frozen at `cut`, or never."""
    if cut is None:
        return held(learner), {}
    file = folder / "encoder.onnx"
    file.write_bytes(export(learner.stem(cut).graph))
    learner.freeze(cut)
    return held(learner), model_file.weights(file)


def equal(one, other):
    """Whether arrays of the same names are the same."""
    assert one.keys() == other.keys()
    return [name for name in one if not np.array_equal(one[name], other[name])] == []


def under(arrays, *prefixes):
    return {name: array for name, array in arrays.items() if name.startswith(prefixes)}


def without(arrays, prefix):
    return {name.removeprefix(prefix): array for name, array in under(arrays, prefix).items()}


@pytest.mark.parametrize(("algo", "encoder", "cut"), VALUES)
def test_all_networks_are_the_others_and_nothing_else(algo, encoder, cut, tmp_path):
    source, other = updated(value_agent(algo, 0, encoder)), value_agent(algo, 1, encoder)
    before, fresh, values = held(source), held(other), other.state()[1]
    arrays, stem = given(source, cut, tmp_path)
    assert not equal(under(before, "online."), under(fresh, "online."))
    other.adopt(arrays, stem, heads=True)
    after = held(other)
    assert equal(under(after, "online."), under(before, "online."))
    assert equal(under(after, "optimizer."), under(fresh, "optimizer."))
    assert other.state()[1] == values
    for name, array in under(after, "target.").items():
        tied = name.removeprefix("target.encoder.") in stem  # since the freeze the target has had the online stem
        expected = before[name.replace("target.", "online.", 1) if tied else name]
        np.testing.assert_array_equal(array, expected, name)
    assert not equal(without(before, "target."), without(before, "online."))


@pytest.mark.parametrize(("algo", "encoder", "cut"), VALUES)
def test_the_encoder_alone_leaves_the_heads_fresh_and_the_target_a_copy(algo, encoder, cut, tmp_path):
    source, other = updated(value_agent("rainbow", 0, encoder)), value_agent(algo, 1, encoder)
    before, fresh = held(source), held(other)
    arrays, stem = given(source, cut, tmp_path)
    other.adopt(arrays, stem, heads=False)
    after = held(other)
    assert equal(without(after, "online.encoder."), without(before, "online.encoder."))
    assert equal(without(after, "target.encoder."), without(before, "online.encoder."))
    for part in ("online.head.", "target.head.", "optimizer."):
        assert equal(under(after, part), under(fresh, part))


def control(cut, folder, *, contrast=True):
    """A source whose targets are no longer what they follow, its arrays whole, and what is left of it to begin with."""
    source = agent(0, contrast=contrast)
    for _ in range(2):
        source.update(batch(np.random.default_rng(0)))
    return held(source), *given(source, cut, folder)


def tied(before, stem):
    """The target encoders that a frozen agent has: the stem is the online one."""
    found = without(before, "net.target_encoders.")
    return found | {name: array for name, array in stem.items() if name in found}


@pytest.mark.parametrize("cut", CONTROL)
def test_actor_and_critics_take_all_their_networks_and_keep_temperature_and_optimizers(cut, tmp_path):
    before, arrays, stem = control(cut, tmp_path)
    other = agent(1)
    fresh, values = held(other), other.state()[1]
    other.adopt(arrays, stem, heads=True)
    after = held(other)
    for part in ("net.encoders.", "net.actor.", "net.critics.", "net.target_critics."):
        assert equal(under(after, part), under(before, part))
        assert not equal(under(after, part), under(fresh, part))
    assert equal(without(after, "net.target_encoders."), tied(before, stem))
    assert equal(under(after, "optimizer.", "net.log_alpha"), under(fresh, "optimizer.", "net.log_alpha"))
    assert equal(under(after, "net.contrast"), under(before if cut is None else fresh, "net.contrast"))
    assert other.state()[1] == values


@pytest.mark.parametrize(("algo", "cut"), [*(("curl", cut) for cut in CONTROL), ("sac", None), ("sac", "fc")])
def test_the_pair_of_encoders_alone_leaves_actor_critics_and_contrast_fresh(algo, cut, tmp_path):
    before, arrays, stem = control(cut, tmp_path, contrast=algo == "curl")
    other = agent(1)
    fresh = held(other)
    other.adopt(arrays, stem, heads=False)
    after = held(other)
    encoders = without(before, "net.encoders.")
    assert equal(without(after, "net.encoders."), encoders)
    target = {name: array for name, array in encoders.items() if not name.startswith("actor.")}
    assert equal(without(after, "net.target_encoders."), target)
    rest = ("net.actor.", "net.critics.", "net.target_critics.", "net.contrast", "net.log_alpha", "optimizer.")
    assert equal(under(after, *rest), under(fresh, *rest))


@pytest.mark.parametrize("cut", ["conv1", "conv4", "fc"])
def test_features_are_what_they_were_before_the_source_was_frozen(cut, tmp_path):
    source = agent(0)
    source.update(batch(np.random.default_rng(0)))
    x = np.random.default_rng(1).integers(0, 256, (3, *SEEN), dtype=np.uint8)
    expected = features(source, x)
    other = agent(1)
    other.adopt(*given(source, cut, tmp_path), heads=False)
    for own, wanted in zip(features(other, x), expected, strict=True):
        np.testing.assert_array_equal(own, wanted)


def test_networks_of_other_shapes_are_refused():
    arrays = held(value_agent("rainbow", 0))
    with pytest.raises(RuntimeError, match=r"conv1\.weight is \[32, 4, 5, 5\], not \[32, 4, 8, 8\]"):
        value_agent("rainbow", 1, "canonical").adopt(arrays, {}, heads=False)
    with pytest.raises(RuntimeError, match=r"there is no 0\.weight to load"):
        value_agent("dqn", 1).adopt(arrays, {}, heads=True)
    with pytest.raises(RuntimeError, match=r"layers\.0\.weight is \[32, 50\], not \[16, 50\]"):
        agent(1, hidden=16).adopt(held(agent(0)), {}, heads=True)
