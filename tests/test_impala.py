"""IMPALA's encoder: what it computes, counts and takes; and runs with it, from end to end."""

import engines
import numpy as np
import pytest
import torch
from plain_sac import SEEN, agent, batch
from stopping import stopped_after
from test_control import final
from test_stem import build, encoded, stem_of, tail_of
from torch.nn import functional
from torch_agents import modules as encoders

import edgerl
from edgerl import configure
from edgerl.agents.layers.arrays import to_numpy
from edgerl.agents.layers.parameters import named_arrays
from edgerl.config import architectures
from edgerl.config.agent_settings import AGENTS
from edgerl.config.architectures import Block, Conv, Linear
from edgerl.errors import ConfigError
from edgerl.planning import flops
from edgerl.replay import representation
from edgerl.training import train
from runtime import Session
from runtime.export import export

WINDOW, FEATURES = (4, 84, 84), {"impala": 256, "impala_50": 50}
CUTS = ["block1", "block2", "block3", "fc"]
# Multiply-adds by hand, of 84x84x4: each block's convolution on what comes in, and four on half the side.
FIRST = 84**2 * 9 * 4 * 16
BLOCKS = {
    "block1": FIRST + 4 * 42**2 * 9 * 16 * 16,
    "block2": 42**2 * 9 * 16 * 32 + 4 * 21**2 * 9 * 32 * 32,
    "block3": 21**2 * 9 * 32 * 32 + 4 * 11**2 * 9 * 32 * 32,
}
FC = 256 * (32 * 11 * 11 + 1)


def mixed():
    """An encoder of a user's."""
    return [Conv(8, 4, 4), Block(4), Block(8), Linear(16, norm=False)]


def blocks():
    """One without a fully connected layer."""
    return [Block(4), Block(8)]


def wrong():
    """A layer behind the fully connected one."""
    return [Linear(16), Block(4)]


def windows(count, shape=WINDOW, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def by_hand(p, x):
    """Espeholt et al. 2018, figure 3, from parameters by name."""

    def conv(name, x):
        return functional.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=1)

    x = x.to(p["fc.weight"].dtype) / 255
    for block in ("block1", "block2", "block3"):
        x = functional.max_pool2d(conv(f"{block}.conv", x), 3, 2, 1)
        for residual in ("residual1", "residual2"):
            within = conv(f"{block}.{residual}.conv1", functional.relu(x))
            x = x + conv(f"{block}.{residual}.conv2", functional.relu(within))
    x = functional.linear(functional.relu(x).flatten(1), p["fc.weight"], p["fc.bias"])
    if "norm.weight" in p:
        return functional.layer_norm(x, x.shape[1:], p["norm.weight"], p["norm.bias"])
    return functional.relu(x)


@pytest.mark.parametrize("name", FEATURES)
def test_it_is_the_published_one(name):
    """Forward and backward."""
    whole, x = build(name, engines.TORCH64), windows(3)
    weights = {key: array.clone().requires_grad_() for key, array in named_arrays(whole.parameters).items()}
    assert [array.shape[0] for array in weights.values() if array.ndim == 4] == 5 * [16] + 10 * [32]
    expected = by_hand(weights, torch.from_numpy(x))
    assert expected.shape == (3, FEATURES[name])
    upward = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).reshape(expected.shape)
    expected.backward(upward)
    for pass_ in (whole.encode, whole.forward):
        torch.testing.assert_close(pass_(whole.prepare(x)), expected.detach(), rtol=1e-10, atol=1e-10)
    whole.backward(upward.clone())
    found = {f"{layer}.{key}": g for layer, own in whole.parameters.items() for key, g in own.gradients.items()}
    torch.testing.assert_close(found, {key: w.grad for key, w in weights.items()}, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [*architectures.ENCODERS, "test_impala:mixed", "test_impala:blocks"])
def test_products_are_what_multiplies_in_the_torch_modules(name):
    whole, outputs = encoders.build(name, WINDOW), {}
    modules = {n: m for n, m in whole.named_modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)}
    for n, module in modules.items():
        module.register_forward_hook(lambda module, x, y, n=n: outputs.update({n: tuple(y.shape[1:])}))
    whole(torch.from_numpy(windows(1)))
    layers = architectures.layers(name, WINDOW)
    products = [product for layer in layers for product in layer.products]
    assert [(each.name, each.weights) for each in products] == [(n, tuple(m.weight.shape)) for n, m in modules.items()]
    assert {each.name: each.outputs for each in products} == outputs
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in whole.parameters())


def test_rainbows_multiply_adds_are_those_counted_by_hand():
    counts = flops.count(configure(env="atari/qbert", encoder="impala"), WINDOW, 6)
    heads = 2 * 257 * 256 + 257 * 51 + 257 * 51 * 6
    every = sum(BLOCKS.values()) + FC
    assert {layer.name: layer.flops for layer in architectures.layers("impala", WINDOW)} == {**BLOCKS, "fc": FC}
    assert (counts.encoder, counts.heads) == (every, heads) == (54_223_104, 223_333)
    assert counts.before.per_update == 160 * (every + heads)
    assert counts.after.per_update == 160 * heads + every
    # Nothing asks for the pixels' gradients; after the freeze for those of the features.
    acting = every + 2 * heads  # means, and sigmas, of noisy layers
    assert counts.before.exact_per_update == acting + 160 * (every + heads) - 32 * FIRST
    assert counts.after.exact_per_update == acting + 160 * heads - 32 * 2 * 257 * 256


@pytest.mark.parametrize(("cut", "first"), [("block1", 42**2 * 9 * 16 * 32), ("block3", FC)])
def test_behind_an_earlier_cut_the_first_product_alone_needs_no_gradient_of_its_inputs(cut, first):
    counts = flops.count(configure(env="atari/qbert", encoder="impala", cut=cut), WINDOW, 6)
    stem = sum(BLOCKS[name] for name in CUTS[: CUTS.index(cut) + 1])
    every = sum(BLOCKS.values()) + FC + 223_333
    assert counts.encoder == stem
    assert counts.after.exact_per_update == every + 223_333 + 160 * (every - stem) - 32 * first
    assert counts.after.per_update == 160 * (every - stem) + stem


def test_curl_shares_the_blocks_and_the_paper_counts_them_for_both_encoders():
    config = configure(env="dmc/cartpole-swingup", encoder="impala", threads=1)
    counts = flops.count(config, (9, 84, 84), 1)
    shared = sum(BLOCKS.values()) + FIRST * 9 // 4 - FIRST
    own = 50 * (32 * 11 * 11 + 1)
    assert counts.encoder == 2 * (shared + own)
    assert counts.after.acting == 5 * (shared + 2 * own) + 52_224 + 1_049_600 + 2_050
    assert counts.conversion(10) == 10 * 4 * counts.encoder


@pytest.mark.parametrize("algo", ["rainbow", "dqn", "curl", "sac"])
def test_its_end_is_that_of_the_algorithm_and_the_file_says_which(algo):
    control = AGENTS[algo].continuous
    config = configure(env="dmc/walker-walk" if control else "atari/qbert", algo=algo, encoder="impala", threads=1)
    assert (config.agent.encoder, config.agent.cut) == ("impala_50" if control else "impala", "fc")
    assert f'encoder = "{config.agent.encoder}"' in config.to_toml()


def features(twin, observations):
    """The actor's and the critic's."""
    maps = twin.maps(twin.prepare(observations))
    return [twin.actor.apply(twin.for_actor(maps)), twin.critic.apply(twin.for_critic(maps))]


@pytest.mark.parametrize("cut", CUTS)
def test_actor_and_critic_keep_their_features_behind_every_cut(cut):
    """And ONNX Runtime computes the stem; the fresh agent goes on from the frozen one's state."""
    learner, x, rng = agent(encoder="impala_50"), windows(3, SEEN), np.random.default_rng(0)
    learner.update(batch(rng))
    stem, latents, twin = learner.stem(cut), learner.stem(cut).latents(x), learner.net.encoders
    before, crossing = features(twin, x), to_numpy(twin.encode_until(cut, twin.prepare(x)))
    np.testing.assert_array_equal(latents, crossing.reshape(latents.shape))
    assert np.abs(latents - Session(export(stem.graph))(x)).max() <= 1e-4 * max(1, np.abs(latents).max())
    learner.freeze(cut)
    twin = learner.net.encoders
    assert all(torch.equal(*each) for each in zip(features(twin, crossing), before, strict=True))
    held = [(array, own.flat) for array in stem.graph.weights.values() for own in twin.parameters.values()]
    assert not any(np.shares_memory(array, flat) for array, flat in held)
    learner.update(batch(rng, latent=stem.graph.latent))
    arrays, values = learner.state()
    other = agent(seed=9, encoder="impala_50")
    other.load({name: array.copy() for name, array in arrays.items()}, values)
    data = batch(rng, latent=stem.graph.latent)
    assert other.update(data).metrics == learner.update(data).metrics


def test_all_fifteen_convolutions_start_orthogonal_in_their_centre_alone():
    convolutions = agent(encoder="impala_50").net.encoders.convolutions
    assert len(convolutions) == 15
    for layer, own in convolutions.items():
        weight = own.arrays["weight"]
        centre, off = weight[:, :, 1, 1], weight.clone()
        off[:, :, 1, 1] = 0
        torch.testing.assert_close(centre.T @ centre, 2 * torch.eye(centre.shape[1]), atol=1e-5, rtol=0, msg=layer)
        assert not off.any(), layer
        assert not own.arrays["bias"].any(), layer
        assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("name", "cuts"), [("mixed", ["conv1", "block2", "block3", "fc"]), ("blocks", CUTS[:2])])
def test_an_encoder_of_a_users_may_have_blocks(name, cuts):
    name, x = f"test_impala:{name}", windows(4)
    assert [layer.name for layer in architectures.layers(name, WINDOW)] == cuts
    assert architectures.last_layer(name) == cuts[-1]
    whole = build(name)
    for cut in cuts:
        crossing = to_numpy(whole.encode_until(cut, whole.prepare(x)))
        np.testing.assert_array_equal(encoded(tail_of(whole, name, cut), crossing), encoded(whole, x))
        stem = stem_of(whole, name, cut)
        assert architectures.latent_shape(name, WINDOW, cut) == stem.latents(x).shape[1:]
        assert np.abs(stem.latents(x) - Session(export(stem.graph))(x)).max() <= 1e-5
    assert encoded(whole, x).min() == 0  # a ReLU is the last of it
    name = "test_impala:blocks"
    assert (stem_of(build(name), name, "block1").latents(x) < 0).any()  # between blocks there is none


def test_what_is_no_encoder_is_refused_with_the_layers_there_are():
    with pytest.raises(ConfigError, match="must return Conv or Block layers, and one Linear at most behind them"):
        architectures.specs("test_impala:wrong")


def test_a_larger_encoder_is_given_fewer_windows_at_a_time():
    sizes = {name: representation.chunk(name, WINDOW) for name in architectures.ENCODERS}
    assert sizes["data_efficient"] == sizes["canonical"] == representation.CHUNK
    assert sizes["impala"] == sizes["impala_50"] == 10
    assert representation.chunk("impala", (9, 1000, 1000)) == 1
    stem = stem_of(build("impala"), "impala")
    whole, parts = (Session(export(stem.graph), most=most) for most in (None, 2))
    for count in (0, 1, 2, 5):
        assert parts(windows(count)).shape == (count, 256)
        np.testing.assert_allclose(parts(windows(count)), whole(windows(count)), rtol=0, atol=1e-6)


TINY = {"steps": 36, "freeze_at": 26, "learn_start": 18, "batch_size": 2, "hidden": 16}


@pytest.mark.long
@pytest.mark.parametrize(("encoder", "cut", "stops"), [
    ("impala", "last", [22, 30]),
    ("impala", "block3", [30]),
    ("test_impala:mixed", "block2", [30]),
])  # fmt: skip
def test_a_run_goes_through_the_freeze_and_resumes_bit_for_bit(encoder, cut, stops, small, tmp_path):
    config = small(run={**TINY, "encoder": encoder, "cut": cut})
    found = train.train(config, tmp_path / "whole", quiet=True)
    assert (found["status"], found["store"]) == ("finished", "pixels" if cut == "block3" else "latents")
    assert found["freeze"]["parity_max_abs_diff"] <= 1e-4
    weights, state, _ = final(tmp_path / "whole", 36)
    for step in stops:
        folder = tmp_path / str(step)
        with stopped_after(step):
            assert train.train(config, folder, quiet=True)["status"] == "interrupted"
        assert train.train(config, folder, resume=True, quiet=True)["status"] == "finished"
        arrays, values, _ = final(folder, 36)
        assert values == state
        assert arrays.keys() == weights.keys()
        assert all(np.array_equal(arrays[name], weights[name]) for name in weights)
    assert edgerl.load(tmp_path / "whole").act(windows(1)[0]) in (0, 1, 2)


def test_a_control_task_is_trained_with_it(small, tmp_path):
    changes = {"steps": 14, "freeze_at": 11, "learn_start": 8, "random_steps": 4, "batch_size": 2, "hidden": 16}
    config = small("dmc/cartpole-swingup", run={**changes, "encoder": "impala"})
    found = train.train(config, tmp_path / "run", quiet=True)
    assert (found["status"], found["store"], found["freeze"]["rows_after"]) == ("finished", "latents", 11)
    planned = found["budget"]["ledger"]["networks"]["planned"]
    assert planned > found["budget"]["ledger"]["networks"]["measured"] > 0
    assert edgerl.load(tmp_path / "run").act(windows(3, (3, 100, 100))).shape == (1,)
