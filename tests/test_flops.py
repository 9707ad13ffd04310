"""Multiply-adds against the paper's numbers, against the agents' layers, and against a count of every pass."""

from dataclasses import replace

import numpy as np
import pytest
from engines import NUMPY, TORCH

from edgerl import configure
from edgerl.agents.encoder.encoder import Encoder
from edgerl.agents.rainbow import DuelingHead
from edgerl.config import architectures
from edgerl.errors import ConfigError
from edgerl.planning import flops

WINDOW = (4, 84, 84)
HEADS = {6: 387_173, 10: 439_601, 18: 544_457}
FEATURES = {"data_efficient": 576, "canonical": 3136, "curl": 50}
SHAPES = {"data_efficient": WINDOW, "canonical": WINDOW, "curl": (9, 84, 84)}
E = 1_280_000


def counted(actions=6, *, window=WINDOW, keeps_pixels=False, **settings):
    """The counts of Rainbow on Atari with these settings, or of another algorithm."""
    return flops.count(configure(env="atari/qbert", **settings), window, actions, keeps_pixels=keeps_pixels)


def of(layers):
    """Multiply-adds by the names of these layers."""
    return {layer.name: layer.flops for layer in layers}


def encoder_of(name, window, cut=None):
    return Encoder(TORCH, name, window, cut=cut, rng=np.random.default_rng(0))


def test_the_convolutions_of_table_3():
    assert of(counted().stem) == {"conv1": 819_200, "conv2": 460_800}
    assert counted().encoder == E


@pytest.mark.parametrize("actions", HEADS)
def test_the_heads_and_the_two_formulas(actions):
    counts, heads = counted(actions), HEADS[actions]
    assert counts.heads == heads
    assert heads == 2 * 577 * 256 + 257 * 51 + 257 * 51 * actions
    assert counts.before.per_update == 160 * (E + heads)
    assert counts.after.per_update == 160 * heads + E


def test_freezing_leaves_a_quarter_of_the_work_at_six_actions():
    counts = counted(6)
    assert round(counts.after.per_update / counts.before.per_update, 3) == 0.237


def test_dqn_passes_forward_once_less():
    counts, heads = counted(6, algo="dqn"), 577 * 512 + 513 * 6
    assert of(counts.tail) == {"q_hidden": 577 * 512, "q_out": 513 * 6}
    assert counts.before.per_update == 32 * (2 + 2) * (E + heads)  # online on s, target on s'; backward
    assert counts.after.per_update == 32 * (2 + 2) * heads + E


@pytest.mark.parametrize("rows", [0, 1, 10_000])
def test_converting_costs_the_encoder_for_every_row(rows):
    assert counted().conversion(rows) == E * rows
    assert counted(cut="conv1").conversion(rows) == 819_200 * rows


@pytest.mark.parametrize("algo", ["rainbow", "dqn"])
def test_where_frames_are_kept_the_stem_runs_for_every_window_of_a_batch(algo):
    """Nothing is converted; an update reads s and s', beside the window that is acted on."""
    settings = {"algo": algo, "encoder": "canonical"}
    kept, latents = counted(**settings, keeps_pixels=True), counted(**settings)
    assert kept.conversion(1000) == 0
    assert latents.conversion(1000) == 1000 * kept.encoder
    assert kept.after.per_update - latents.after.per_update == 2 * 32 * kept.encoder
    assert kept.after.exact_per_update - latents.after.exact_per_update == 2 * 32 * kept.encoder
    assert kept.before.per_update == latents.before.per_update
    assert kept.before.exact_per_update == latents.before.exact_per_update


@pytest.mark.parametrize("window", [WINDOW, (1, 84, 84), (4, 64, 96), (9, 84, 84)])
@pytest.mark.parametrize("encoder", FEATURES)
def test_layers_are_those_of_the_agents(encoder, window):
    found, made = architectures.layers(encoder, window), encoder_of(encoder, window)
    outputs, _ = made.outputs(np.zeros((1, *window), np.uint8))
    assert [layer.name for layer in found] == list(outputs)
    for layer in found:
        assert layer.outputs == outputs[layer.name].shape[1:]
        weights = made.parameters[layer.name].arrays
        own = sum(array.numel() for array in weights.values())
        if layer.name == "fc":
            assert layer.flops == own  # a linear layer is counted with its bias
            assert layer.parameters == own + 2 * layer.outputs[0]  # LayerNorm's scale and shift
        else:
            assert layer.flops == layer.outputs[1] * layer.outputs[2] * weights["weight"].numel()
            assert layer.parameters == own
    assert sum(len(own.flat) for own in made.parameters.values()) == sum(layer.parameters for layer in found)


@pytest.mark.parametrize(("actions", "hidden"), [(6, 256), (18, 512)])
def test_heads_are_those_of_the_agent(actions, hidden):
    config = replace(configure(env="atari/qbert").agent, hidden=hidden)
    head = DuelingHead(NUMPY, 576, actions, config, np.random.default_rng(0))
    expected = {
        name: own.arrays["weight_mu"].size + own.arrays["bias_mu"].size  # a linear layer is counted with its bias
        for name, own in head.parameters.items()
    }
    found = of(counted(actions, hidden=hidden).tail)
    assert found["value_hidden"] + found["advantage_hidden"] == expected["hidden"]  # one layer for both
    assert (found["value_out"], found["advantage_out"]) == (expected["value"], expected["advantage"])


@pytest.mark.parametrize(("encoder", "features"), FEATURES.items())
def test_features_of_an_encoder(encoder, features):
    window = SHAPES[encoder]
    assert architectures.latent_shape(encoder, window, architectures.last_layer(encoder)) == (features,)
    _, found = encoder_of(encoder, window).outputs(np.zeros((2, *window), np.uint8))
    assert found.shape == (2, features)


@pytest.mark.parametrize(
    ("encoder", "cut"),
    [("data_efficient", "conv1"), ("canonical", "conv1"), ("canonical", "conv2"), ("curl", "conv1"), ("curl", "conv4")],
)
def test_what_crosses_an_earlier_cut_is_a_feature_map(encoder, cut):
    window = SHAPES[encoder]
    whole, tail = encoder_of(encoder, window), encoder_of(encoder, window, cut)
    crossing = whole.encode_until(cut, whole.prepare(np.zeros((1, *window), np.uint8))).numpy()
    assert architectures.latent_shape(encoder, window, cut) == crossing.shape[1:]
    assert tail.encode(tail.prepare(crossing)).shape == (1, FEATURES[encoder])


def test_a_cut_the_encoder_does_not_have_is_an_error():
    with pytest.raises(ConfigError, match="no layer 'conv3'; it has conv1, conv2"):
        architectures.latent_shape("data_efficient", WINDOW, "conv3")


@pytest.mark.parametrize(
    ("encoder", "cut", "first_frozen"),
    [
        ("data_efficient", "conv2", {"value_hidden", "advantage_hidden", "q_hidden"}),
        ("data_efficient", "conv1", {"conv2"}),
        ("canonical", "conv2", {"conv3"}),
    ],
)
@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize(("algo", "forwards"), [("rainbow", 3), ("dqn", 2)])
def test_exact_counts_are_a_count_of_every_pass(algo, forwards, encoder, cut, first_frozen, batch):
    counts = counted(10, algo=algo, cut=cut, batch_size=batch, encoder=encoder)
    names = list(counts.layers)

    def acts(name):  # a noisy layer multiplies means and sigmas
        return 2 if algo == "rainbow" and name.endswith(("_hidden", "_out")) else 1

    for frozen in (False, True):
        first = first_frozen if frozen else {"conv1"}  # layers whose input needs no gradient
        trained = names[names.index(cut) + 1 :] if frozen else names
        total = 0
        for name in names:
            passes = acts(name)  # acting, or encoding for the replay
            if name in trained:
                passes += forwards * batch  # online on s, target on s'; Rainbow: online on s' too
                passes += batch  # gradient of the weights
                passes += batch * (name not in first)  # gradient of the input
            total += passes * counts.layers[name]
        assert counts.phases.at(frozen).exact_per_update == total
        assert counts.phases.at(frozen).acting == sum(acts(name) * flops for name, flops in counts.layers.items())


def test_a_larger_batch_behind_the_freeze_is_counted_there_alone():
    config = configure(env="dmc/cheetah-run", batch_size=128, batch_size_after_freeze=512, encoder="curl")
    small, large = (configure(env="dmc/cheetah-run", batch_size=size, encoder="curl") for size in (128, 512))
    found, before, after = (flops.count(each, (9, 84, 84), 6) for each in (config, small, large))
    assert found.before.per_update == before.before.per_update
    assert found.after.per_update == after.after.per_update
    assert found.after.exact_per_update == after.after.exact_per_update
