"""Multiply-adds against the paper's numbers, against torch's modules, and against a count of every pass."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgerl import architectures, encoders, flops
from edgerl.agents.rainbow import DuelingHead, Rainbow
from edgerl.config import ConfigError, RainbowConfig, preset
from edgerl.types import Batch

WINDOW = (4, 84, 84)
HEADS = {6: 387_173, 10: 439_601, 18: 544_457}
FEATURES = {"data_efficient": 576, "canonical": 3136}
AGENT = RainbowConfig(**preset("atari/qbert")["agent"])


def rainbow(actions=6, cut="conv2", batch=32, encoder="data_efficient", hidden=256, window=WINDOW):
    return flops.rainbow(encoder, window, actions, hidden, 51, batch, cut, keeps_pixels=False)


def convolutions(encoder, window=WINDOW):
    """Every convolution of the torch module, with its name and the shape of its output."""
    x, found = torch.zeros(1, *window, dtype=torch.uint8), []
    for name, module in encoders.build(encoder, window).named_children():
        x = module(x)
        if isinstance(module, torch.nn.Conv2d):
            found.append((name, module, tuple(x.shape[1:])))
    return found


def test_the_convolutions_of_table_3():
    assert dict(rainbow().stem) == {"conv1": 819_200, "conv2": 460_800}
    assert rainbow().encoder == 1_280_000


@pytest.mark.parametrize("actions", HEADS)
def test_the_heads_and_the_two_formulas(actions):
    counts, encoder, heads = rainbow(actions), 1_280_000, HEADS[actions]
    assert counts.heads == heads
    assert heads == 2 * 577 * 256 + 257 * 51 + 257 * 51 * actions
    assert counts.per_update(frozen=False) == 160 * (encoder + heads)
    assert counts.per_update(frozen=True) == 160 * heads + encoder


def test_freezing_leaves_a_quarter_of_the_work_at_six_actions():
    counts = rainbow(6)
    assert round(counts.per_update(frozen=True) / counts.per_update(frozen=False), 3) == 0.237


@pytest.mark.parametrize("rows", [0, 1, 10_000])
def test_converting_costs_the_encoder_for_every_row(rows):
    assert rainbow().conversion(rows) == 1_280_000 * rows
    assert rainbow(cut="conv1").conversion(rows) == 819_200 * rows


@pytest.mark.parametrize("window", [WINDOW, (1, 84, 84), (4, 64, 96)])
@pytest.mark.parametrize("encoder", FEATURES)
def test_layers_are_those_of_the_torch_modules(encoder, window):
    found = architectures.layers(encoder, window)
    modules = convolutions(encoder, window)
    assert [layer.name for layer in found] == [name for name, _, _ in modules]
    for layer, (_, module, outputs) in zip(found, modules, strict=True):
        assert layer.outputs == outputs
        assert layer.parameters == sum(parameter.numel() for parameter in module.parameters())
        assert layer.flops == outputs[1] * outputs[2] * module.weight.numel()


@pytest.mark.parametrize(("actions", "hidden"), [(6, 256), (18, 512)])
def test_heads_are_those_of_the_torch_module(actions, hidden):
    head = DuelingHead(576, actions, replace(AGENT, hidden=hidden))
    expected = {
        name: layer.weight_mu.numel() + layer.bias_mu.numel()  # a linear layer is counted with its bias
        for name, layer in head.named_children()
    }
    counted = dict(rainbow(actions, hidden=hidden).tail)
    assert counted["value_hidden"] + counted["advantage_hidden"] == expected["hidden"]  # one module, two layers
    assert (counted["value_out"], counted["advantage_out"]) == (expected["value"], expected["advantage"])


@pytest.mark.parametrize(("encoder", "features"), FEATURES.items())
def test_features_of_an_encoder(encoder, features):
    module = encoders.build(encoder, WINDOW)
    assert architectures.latent_shape(encoder, WINDOW, architectures.last_layer(encoder)) == (features,)
    assert module(torch.zeros(2, *WINDOW, dtype=torch.uint8)).shape == (2, features)


@pytest.mark.parametrize(
    ("encoder", "cut"), [("data_efficient", "conv1"), ("canonical", "conv1"), ("canonical", "conv2")]
)
def test_what_crosses_an_earlier_cut_is_a_feature_map(encoder, cut):
    stem, tail = encoders.build(encoder, WINDOW).split(cut)
    crossing = stem(torch.zeros(1, *WINDOW, dtype=torch.uint8))
    assert architectures.latent_shape(encoder, WINDOW, cut) == tuple(crossing.shape[1:])
    assert tail(crossing).shape == (1, FEATURES[encoder])


def test_a_cut_the_encoder_does_not_have_is_an_error():
    with pytest.raises(ConfigError, match="no layer 'conv3'; it has conv1, conv2"):
        architectures.latent_shape("data_efficient", WINDOW, "conv3")


@pytest.mark.parametrize(
    ("encoder", "cut", "first_frozen"),
    [
        ("data_efficient", "conv2", {"value_hidden", "advantage_hidden"}),
        ("data_efficient", "conv1", {"conv2"}),
        ("canonical", "conv2", {"conv3"}),
    ],
)
@pytest.mark.parametrize("batch", [1, 32])
def test_exact_counts_are_a_count_of_every_pass(encoder, cut, first_frozen, batch):
    counts = rainbow(10, cut, batch, encoder)
    names = list(counts.layers)
    for frozen in (False, True):
        first = first_frozen if frozen else {"conv1"}  # layers whose input needs no gradient
        trained = names[names.index(cut) + 1 :] if frozen else names
        total = 0
        for name in names:
            passes = 1  # acting, or encoding for the replay
            if name in trained:
                passes += 3 * batch  # online on s, online on s', target on s'
                passes += batch  # gradient of the weights
                passes += batch * (name not in first)  # gradient of the input
            total += passes * counts.layers[name]
        assert counts.exact_per_update(frozen=frozen) == total
    assert counts.acting == sum(counts.layers.values())


def test_an_update_runs_the_forward_passes_that_are_counted():
    agent, samples = Rainbow(WINDOW, 3, replace(AGENT, hidden=16), np.random.default_rng(0)), Counter()
    for network in (agent.online, agent.target):
        for part in ("encoder", "head"):
            getattr(network, part).register_forward_hook(
                lambda module, inputs, output, part=part: samples.update({part: len(output)})
            )
    ones = np.ones(4, np.float32)

    def batch(obs):
        return Batch(obs, np.zeros(4, np.uint8), ones, ones, obs, ones, np.arange(4))

    windows = np.zeros((4, *WINDOW), np.uint8)
    agent.act(windows[0], explore=True)
    assert samples == {"encoder": 1, "head": 1}
    agent.update(batch(windows))
    assert samples == {"encoder": 1 + rainbow().forwards * 4, "head": 1 + rainbow().forwards * 4}
    agent.freeze("conv2")
    samples.clear()
    agent.update(batch(np.zeros((4, 576), np.float32)))
    assert samples["head"] == rainbow().forwards * 4
