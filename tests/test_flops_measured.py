"""Exact counts against what both engines multiply, forward and for gradients, and what the frozen stem encodes."""

from collections import Counter
from math import prod

import numpy as np
import pytest
import torch
from counting import count_numpy, counted, counting
from torch.utils._python_dispatch import TorchDispatchMode

from edgerl import configure
from edgerl.agents.build import make_agent
from edgerl.config import architectures
from edgerl.planning import flops
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Encoded, Latents, Stem
from edgerl.replay.representation import Pixels
from edgerl.types import Batch

B, ACTIONS, HIDDEN, ATOMS = 4, 3, 64, 51
ROWS = (1, B, 2 * B)  # windows that a layer is passed with: the one acted on, a batch, a batch and the next windows
aten, FUSED = torch.ops.aten, torch.ops.mkldnn._convolution_pointwise  # with its ReLU


class Multiplications(TorchDispatchMode):
    """Counts products of matrices, by their sides (m, n, k); a convolution is one of patches and weights."""

    def __init__(self):
        super().__init__()
        self.multiplied = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **kwargs or {})
        packet = func.overloadpacket
        if packet in (aten.convolution, FUSED, aten.convolution_backward):
            forward = packet is not aten.convolution_backward
            weight, output = (args[1], found) if forward else (args[2], args[0])
            passes = 1 if forward else sum(args[-1][:2])  # gradients of inputs and of weights, where asked for
            patches = output.shape[0] * prod(output.shape[2:])
            self.multiplied[patches, prod(weight.shape[1:]), weight.shape[0]] += passes
        elif packet in (aten.addmm, aten.mm):
            left, right = args[-2:]
            self.multiplied[(*left.shape, right.shape[1])] += 1
        else:
            assert packet not in (aten.bmm, aten.baddbmm, aten._convolution), "multiplied and not counted here"
        return found


def measured(agent, run, *arguments, times=1, **options):
    """How often matrices of which sides are multiplied in calling `run` so many times."""
    with Multiplications() if agent.needs_torch else counting() as found:
        for _ in range(times):
            run(*arguments, **options)
    return Counter(found.multiplied)


def sides(name, features):
    """The inputs and outputs of a head's layer."""
    kind, layer = name.split("_")
    width = {"value": ATOMS, "advantage": ATOMS * ACTIONS, "actor": 2 * ACTIONS}.get(kind, 1)
    if layer == "hidden":
        return features, HIDDEN
    if layer == "fc2":
        return features + ACTIONS * (kind != "actor"), HIDDEN
    return HIDDEN, HIDDEN if layer == "fc3" else ACTIONS if name == "q_out" else width


def matrix(name, config, window):
    """A layer's weights as a matrix, (inputs, outputs), and how many rows of them one window has."""
    layers = architectures.layers(config.agent.encoder, window)
    products = {product.name: product for layer in layers for product in layer.products}
    name = "fc" if name.endswith("_fc") else name
    if name not in products:
        return sides(name, prod(layers[-1].outputs)), 1
    product = products[name]
    return (prod(product.weights[1:]), product.weights[0]), prod(product.outputs[1:])


def by_weights(multiplied, config, products, window):
    """Multiply-adds by the sides of the weights that are multiplied, and the sides of what is no layer's."""
    known = {}
    for product in products:
        (into, out), rows = matrix(product.name, config, window)
        for windows in ROWS:
            known[tuple(sorted((into, out, rows * windows)))] = into, out
            if product.name in ("value_hidden", "advantage_hidden"):  # two layers, one matrix
                known[tuple(sorted((into, 2 * out, windows)))] = into, out
    found, others = Counter(), set()
    for shape, times in multiplied.items():
        key = tuple(sorted(shape))
        if key in known:
            found[known[key]] += times * prod(shape)
        else:
            others.add(key)
    return found, others


def expected(config, products, window, times):
    """The same from the counts, where these layers are passed so many times; biases, which only add, left out."""
    found = Counter()
    for product in products:
        (into, out), rows = matrix(product.name, config, window)
        assert product.flops == (into + product.linear) * out * rows
        found[into, out] += times[product.name] * into * out * rows
    return Counter({key: count for key, count in found.items() if count})


def batch(observations, *, continuous):
    ones = np.ones(B, np.float32)
    action = np.zeros((B, ACTIONS), np.float32) if continuous else np.zeros(B, np.uint8)
    return Batch(observations, action, ones, ones, observations, ones, np.arange(B))


CASES = [
    ("rainbow", "data_efficient", "last"),
    ("rainbow", "data_efficient", "conv1"),
    ("rainbow", "curl", "last"),
    ("plain rainbow", "data_efficient", "last"),
    ("plain rainbow", "data_efficient", "conv1"),
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


@pytest.mark.parametrize("engine", ["numpy", "torch"])
@pytest.mark.parametrize(("algo", "encoder", "cut"), CASES)
def test_engines_multiply_what_is_counted_layer_by_layer(algo, encoder, cut, engine, monkeypatch):
    """In acting and in two updates: the actor of the continuous algorithms is trained in every second one."""
    if engine == "numpy" and "impala" in encoder:
        pytest.skip("NumPy trains no blocks")
    count_numpy(monkeypatch)
    control, as_array = algo in ("curl", "sac"), counted if engine == "numpy" else np.asarray
    env, window, side = ("dmc/cheetah-run", (9, 84, 84), 100) if control else ("atari/qbert", (4, 84, 84), 84)
    settings = {"hidden": HIDDEN, "batch_size": B, "threads": 1, "engine": engine, "keep_torch": engine == "torch"}
    settings |= {"noisy": False} if algo == "plain rainbow" else {}
    config = configure(env=env, algo=algo.removeprefix("plain "), encoder=encoder, cut=cut, **settings)
    agent = make_agent(config, window, ACTIONS, np.random.default_rng(0))
    counts = flops.count(config, window, ACTIONS)
    features = architectures.latent_shape(encoder, window, architectures.last_layer(encoder))[0]
    seen, learned = np.zeros(window, np.uint8), np.zeros((B, window[0], side, side), np.uint8)
    latents = agent.stem(config.agent.cut).latents(np.zeros((B, *window), np.uint8))
    everything = counts.stem + counts.tail
    for frozen in (False, True):
        if frozen:
            agent.freeze(config.agent.cut)
            seen, learned = latents[0], latents
        run = counts.tail if frozen else everything  # the frozen stem is ONNX Runtime's
        found = measured(agent, agent.act, as_array(seen), explore=algo == "rainbow")  # with noise, as in training
        times = {product.name: product.acts for product in run}
        assert by_weights(found, config, run, window) == (expected(config, run, window, times), set())
        found = measured(agent, agent.update, batch(as_array(learned), continuous=control), times=2)
        found, others = by_weights(found, config, everything, window)
        contrast = {(B, features, features), (B, B, features)}  # query W key: no layer's, and not counted
        assert others == (contrast if algo == "curl" and not frozen else set())
        passes = {product.name: 2 * B * product.exact[frozen] for product in everything}
        assert found == expected(config, everything, window, passes)


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
