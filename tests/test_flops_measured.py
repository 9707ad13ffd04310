"""Exact counts against what torch really multiplies, forward and for gradients, and what the frozen stem encodes."""

from collections import Counter
from math import prod

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from edgerl import configure
from edgerl.agents.build import make_agent
from edgerl.config import architectures
from edgerl.planning import flops
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Encoded, Latents, Stem
from edgerl.replay.representation import Pixels
from edgerl.types import Batch

B, ACTIONS, HIDDEN, ATOMS = 2, 3, 64, 51
aten, FUSED = torch.ops.aten, torch.ops.mkldnn._convolution_pointwise  # with its ReLU


class Multiplications(TorchDispatchMode):
    """Counts multiply-adds of products of matrices, by the layer's weights: a convolution's shape, or the two sides."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **kwargs or {})
        packet = func.overloadpacket
        if packet in (aten.convolution, FUSED, aten.convolution_backward):
            forward = packet is not aten.convolution_backward
            weight, output = (args[1], found) if forward else (args[2], args[0])
            passes = 1 if forward else sum(args[-1][:2])  # gradients of inputs and of weights, where asked for
            self.counts[tuple(weight.shape)] += passes * output.shape[0] * prod(output.shape[2:]) * weight.numel()
        elif packet in (aten.addmm, aten.mm):
            left, right = args[-2:]
            sides = [*left.shape, right.shape[1]]
            count = prod(sides)
            sides.remove(B if B in sides else 1)  # the batch, or the one window that is acted on
            self.counts[tuple(sorted(sides))] += count
        else:
            assert packet not in (aten.bmm, aten.baddbmm, aten._convolution), "multiplied and not counted here"
        return found


def measured(run, *arguments, times=1, **options):
    """Multiply-adds by layer of calling `run` so many times."""
    with Multiplications() as mode:
        for _ in range(times):
            run(*arguments, **options)
    return mode.counts


def sides(name, features):
    """The inputs and outputs of a head's layer."""
    kind, layer = name.split("_")
    width = {"value": ATOMS, "advantage": ATOMS * ACTIONS, "actor": 2 * ACTIONS}.get(kind, 1)
    if layer == "hidden":
        return features, HIDDEN
    if layer == "fc2":
        return features + ACTIONS * (kind != "actor"), HIDDEN
    return HIDDEN, HIDDEN if layer == "fc3" else ACTIONS if name == "q_out" else width


def counted(config, passed, window, times):
    """The same from the counts, where these layers are passed so many times; biases, which only add, left out."""
    layers = architectures.layers(config.agent.encoder, window)
    weights = {product.name: product.weights for layer in layers for product in layer.products}
    features = prod(layers[-1].outputs)
    found = Counter()
    for layer in passed:
        if layer.name in weights and layer.name != "fc":
            found[weights[layer.name]] += times[layer.name] * layer.flops
            continue
        encodes = layer.name.endswith("fc")
        out, into = weights["fc"] if encodes else sides(layer.name, features)[::-1]
        assert layer.flops == (into + 1) * out
        key = (into, out)
        if layer.name in ("value_hidden", "advantage_hidden"):  # two layers, one module
            key = (into, 2 * out)
        found[tuple(sorted(key))] += times[layer.name] * into * out
    return Counter({key: count for key, count in found.items() if count})


def batch(observations, *, continuous):
    ones = np.ones(B, np.float32)
    action = np.zeros((B, ACTIONS), np.float32) if continuous else np.zeros(B, np.uint8)
    return Batch(observations, action, ones, ones, observations, ones, np.arange(B))


CASES = [
    ("rainbow", "data_efficient", "last"),
    ("rainbow", "data_efficient", "conv1"),
    ("rainbow", "curl", "last"),
    ("dqn", "data_efficient", "last"),
    ("dqn", "canonical", "conv2"),
    ("dqn", "curl", "conv4"),
    ("rainbow", "impala", "last"),
    ("rainbow", "impala", "block1"),
    ("dqn", "impala", "block3"),
    ("curl", "impala_50", "last"),
    ("curl", "impala_50", "block2"),
    ("sac", "impala_50", "block3"),
    ("sac", "impala", "last"),
    ("curl", "curl", "last"),
    ("curl", "curl", "conv2"),
    ("curl", "data_efficient", "last"),
    ("sac", "data_efficient", "conv1"),
    ("sac", "curl", "last"),
    ("sac", "curl", "conv4"),
]


@pytest.mark.parametrize(("algo", "encoder", "cut"), CASES)
def test_torch_multiplies_what_is_counted_layer_by_layer(algo, encoder, cut):
    """In acting and in two updates: the actor of the continuous algorithms is trained in every second one."""
    control = algo in ("curl", "sac")
    env, window, side = ("dmc/cheetah-run", (9, 84, 84), 100) if control else ("atari/qbert", (4, 84, 84), 84)
    config = configure(env=env, algo=algo, encoder=encoder, cut=cut, hidden=HIDDEN, batch_size=B, threads=1)
    agent = make_agent(config, window, ACTIONS, np.random.default_rng(0))
    counts = flops.count(config, window, ACTIONS)
    features = architectures.latent_shape(encoder, window, architectures.last_layer(encoder))[0]
    seen, learned = np.zeros(window, np.uint8), np.zeros((B, window[0], side, side), np.uint8)
    with torch.no_grad():
        latents = agent.stem(config.agent.cut).module(torch.zeros(B, *window, dtype=torch.uint8)).numpy()
    for frozen in (False, True):
        if frozen:
            agent.freeze(config.agent.cut)
            seen, learned = latents[0], latents
        run = counts.tail if frozen else counts.stem + counts.tail  # the frozen stem is ONNX Runtime's
        found = measured(agent.act, seen, explore=False)
        assert found == counted(config, run, window, {layer.name: layer.acts for layer in run})
        found = measured(agent.update, batch(learned, continuous=control), times=2)
        if algo == "curl" and not frozen:  # query W key: no layer's, and not counted
            assert all(found.pop(key) for key in ((features, features), (B, features)))
        passes = {layer.name: 2 * B * layer.exact[frozen] for layer in counts.stem + counts.tail}
        assert found == counted(config, counts.stem + counts.tail, window, passes)


@pytest.mark.parametrize(("random_crop", "views"), [(False, 1), (True, 1), (True, 4)])
def test_the_frozen_stem_encodes_as_many_windows_as_are_counted(random_crop, views):
    config = configure(env="dmc/cheetah-run", random_crop=random_crop, augmentations=views, batch_size=16, threads=1)
    encoded, rng = [], np.random.default_rng(0)

    def encode(windows):
        encoded.append(len(windows))
        return np.zeros((len(windows), 5), np.float32)

    for keeps_pixels in (False, True):
        counts = flops.count(config, (9, 84, 84), 6, keeps_pixels=keeps_pixels)
        pixels = Pixels((3, 100, 100), 3, refill=True, crop=84, augment=views * random_crop)
        replay = Replay(3_000_000, pixels, np.dtype(np.uint8), n_step=1, gamma=1.0, rng=rng, sampling="uniform")
        for _ in range(40):
            replay.append(np.zeros((3, 100, 100), np.uint8), 0, 0.0, terminated=False)
        kept = min(1, pixels.augment) if keeps_pixels else pixels.augment
        stem = Stem(encode, (5,), pixels, views=kept, rng=rng)
        replay.transcode(Encoded(stem) if keeps_pixels else Latents(stem))
        assert sum(encoded) * counts.encoder == counts.conversion(40)
        encoded.clear()
        replay.representation.observe(np.zeros((3, 3, 100, 100), np.uint8))
        assert sum(encoded) == counts.windows_per_step
        encoded.clear()
        replay.sample(16, 0.5)
        assert sum(encoded) == counts.windows_per_batch
        encoded.clear()
