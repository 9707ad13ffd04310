"""Adam beside torch.optim's, in float64, and its moments: saved, read by the other engine, kept, begun anew."""

import engines
import numpy as np
import psutil
import pytest
import torch
from torch_agents import fused_adam

from edgerl.agents.layers.arrays import to_numpy
from edgerl.agents.layers.parameters import Missing, Parameters, copy, named_arrays
from edgerl.agents.optimizer import CHUNK, Adam

CLOSE = {"rtol": 0, "atol": 1e-10}
SHAPES = {"stem": {"weight": (4, 3, 5, 5), "bias": (4,)}, "head": {"weight": (2, CHUNK // 2 + 7), "bias": (2,)}}
RATE, EPS, BETAS = 1e-2, 1e-4, (0.8, 0.95)
both = pytest.mark.parametrize("engine", engines.BOTH64, ids=engines.name)
pairs = pytest.mark.parametrize(
    ("engine", "other"),
    [(one, other) for one in engines.BOTH64 for other in engines.BOTH64],
    ids=lambda engine: engine.name,
)


def made(engine, clip_norm=None, weight_decay=0.0):
    """Layers, the same on each engine, one of them larger than a chunk; and their Adam."""
    rng = np.random.default_rng(0)
    layers = {}
    for layer, shapes in SHAPES.items():
        drawn = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        layers[layer] = Parameters(engine, drawn, trained=True, channels_last=layer == "stem")
    options = {"eps": EPS, "betas": BETAS, "clip_norm": clip_norm, "weight_decay": weight_decay}
    return layers, Adam(engine, layers, RATE, **options)


def gradients(step):
    """Those of one step, by name; they are small at every other step."""
    rng = np.random.default_rng(step)
    scale = 1e-3 if step % 2 else 1
    return {
        f"{layer}.{name}": scale * rng.standard_normal(shape)
        for layer, shapes in SHAPES.items()
        for name, shape in shapes.items()
    }


def take(layers, optimizer, steps):
    """Take these steps; returns the norms of the gradients."""
    norms = []
    for step in steps:
        given = gradients(step)
        for layer, own in layers.items():
            for name, array in own.gradients.items():
                copy(array, given[f"{layer}.{name}"])
        norms.append(optimizer.step())
    return norms


def weights(layers):
    return {name: np.array(to_numpy(array), order="C") for name, array in named_arrays(layers).items()}


def same(layers, others):
    """Hold the weights of both against each other, to the bit."""
    found, expected = weights(layers), weights(others)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], name)


@both
@pytest.mark.parametrize("clip_norm", [None, 5.0])
def test_fifty_steps_are_those_of_torch(engine, clip_norm):
    """Every other gradient is clipped, if any are."""
    layers, optimizer = made(engine, clip_norm)
    plain = {name: torch.from_numpy(array).requires_grad_() for name, array in weights(layers).items()}
    oracle = torch.optim.Adam(plain.values(), RATE, BETAS, EPS)
    for step in range(50):
        (norm,) = take(layers, optimizer, [step])
        for name, gradient in gradients(step).items():
            plain[name].grad = torch.from_numpy(gradient)
        if clip_norm is not None:
            expected = float(torch.nn.utils.clip_grad_norm_(plain.values(), clip_norm))
            assert norm == pytest.approx(expected, rel=1e-10)
            assert (norm > clip_norm) == (step % 2 == 0)
        else:
            assert norm == 0
        oracle.step()
    for name, array in weights(layers).items():
        np.testing.assert_allclose(array, plain[name].detach().numpy(), **CLOSE, err_msg=name)


@both
def test_fifty_steps_with_weight_decay_are_those_of_torch(engine):
    """Decoupled, of every weight and bias; clipping leaves the decay alone."""
    layers, optimizer = made(engine, clip_norm=5.0, weight_decay=0.1)
    plain = {name: torch.from_numpy(array).requires_grad_() for name, array in weights(layers).items()}
    oracle = torch.optim.AdamW(plain.values(), RATE, BETAS, EPS, weight_decay=0.1)
    for step in range(50):
        take(layers, optimizer, [step])
        for name, gradient in gradients(step).items():
            plain[name].grad = torch.from_numpy(gradient)
        torch.nn.utils.clip_grad_norm_(plain.values(), 5.0)
        oracle.step()
    for name, array in weights(layers).items():
        np.testing.assert_allclose(array, plain[name].detach().numpy(), **CLOSE, err_msg=name)
        assert np.abs(array).max() > 0.1


@both
def test_a_layer_that_begins_anew_steps_as_with_an_optimizer_of_its_own(engine):
    """The other layer goes on as it was; saved and restored between."""
    layers, optimizer = made(engine)
    plain = {name: torch.from_numpy(array).requires_grad_() for name, array in weights(layers).items()}

    def oracle(layer):
        return torch.optim.Adam([own for name, own in plain.items() if name.startswith(layer)], RATE, BETAS, EPS)

    oracles = {layer: oracle(layer) for layer in SHAPES}
    for step in range(12):
        if step == 5:
            optimizer.restart(["head"])
            oracles["head"] = oracle("head")
        if step == 8:
            _, restored = made(engine)
            restored.load(optimizer.state())
            restored.layers, optimizer = layers, restored
        take(layers, optimizer, [step])
        for name, gradient in gradients(step).items():
            plain[name].grad = torch.from_numpy(gradient)
        for own in oracles.values():
            own.step()
    for name, array in weights(layers).items():
        np.testing.assert_allclose(array, plain[name].detach().numpy(), **CLOSE, err_msg=name)


@both
def test_moments_are_restored_bit_for_bit(engine):
    layers, optimizer = made(engine, clip_norm=5.0)
    take(layers, optimizer, range(5))
    saved = {name: np.array(array) for name, array in optimizer.state().items()}
    others, other = made(engine, clip_norm=5.0)
    for name, array in named_arrays(others).items():
        copy(array, weights(layers)[name])
    other.load(saved)
    restored = other.state()
    assert restored.keys() == saved.keys()
    for name, array in saved.items():
        np.testing.assert_array_equal(restored[name], array, name)
    assert take(layers, optimizer, range(5, 10)) == take(others, other, range(5, 10))
    same(layers, others)


@both
def test_moments_of_the_other_engine_are_read(engine):
    """NumPy's are sums, torch's are means."""
    (source,) = (each for each in engines.BOTH64 if each is not engine)
    layers, optimizer = made(source)
    take(layers, optimizer, range(5))
    others, other = made(engine)
    for name, array in named_arrays(others).items():
        copy(array, weights(layers)[name])
    other.load(optimizer.state())
    assert not optimizer.state().keys() - {"step"} & other.state().keys()
    take(layers, optimizer, range(5, 10))
    take(others, other, range(5, 10))
    assert other.steps == 10
    for name, array in weights(others).items():
        np.testing.assert_allclose(array, weights(layers)[name], **CLOSE, err_msg=name)


@both
def test_moments_of_an_older_checkpoint_are_read(engine):
    """They have the steps of every weight."""
    layers, optimizer = made(engine)
    plain = {name: torch.nn.Parameter(torch.from_numpy(array)) for name, array in weights(layers).items()}
    before = fused_adam.Adam(plain.items(), RATE, eps=EPS, betas=BETAS)
    for step in range(10):
        if step == 5:
            for name, array in named_arrays(layers).items():
                copy(array, plain[name].detach().numpy())
            optimizer.load(before.state())
        for name, gradient in gradients(step).items():
            plain[name].grad = torch.from_numpy(gradient)
        before.step()
    take(layers, optimizer, range(5, 10))
    for name, array in weights(layers).items():
        np.testing.assert_allclose(array, plain[name].detach().numpy(), **CLOSE, err_msg=name)


@both
def test_moments_that_are_not_there_are_named(engine):
    _, optimizer = made(engine)
    state = optimizer.state()
    missing = next(name for name in state if name.startswith("head.bias."))
    with pytest.raises(Missing, match=f"the moments {missing} are not there"):
        optimizer.load({name: array for name, array in state.items() if name != missing})


@pairs
def test_what_a_freeze_keeps_goes_on_as_if_it_had_been_alone(engine, other):
    """On the engine of before, or on another one."""
    layers, optimizer = made(engine)
    take(layers, optimizer, range(5))
    whole, reference = made(engine)
    take(whole, reference, range(5))
    before, held = optimizer.state(), optimizer.nbytes
    kept = {"head": layers["head"]}
    kept["head"].move(other)
    optimizer.keep(kept, other)
    assert {name.partition(".")[0] for name in optimizer.state()} == {"head", "step"}
    assert held - optimizer.nbytes == 2 * 8 * (4 * 3 * 25 + 4)
    if engine is other:
        for name, array in optimizer.state().items():
            np.testing.assert_array_equal(array, before[name], name)
    take(kept, optimizer, range(5, 10))
    take(whole, reference, range(5, 10))
    for name, array in weights(kept).items():
        np.testing.assert_allclose(array, weights(whole)[name], **CLOSE, err_msg=name)


def test_gradients_and_moments_take_no_memory_before_the_first_step():
    megabyte, process = 2**20, psutil.Process()
    drawn = {"weight": np.ones((64, megabyte // 4), np.float32)}  # 64 MB
    before = process.memory_info().rss
    layers = {"head": Parameters(engines.NUMPY, drawn, trained=True)}
    optimizer = Adam(engines.NUMPY, layers, RATE)
    assert optimizer.nbytes == 128 * megabyte
    assert process.memory_info().rss - before < 80 * megabyte  # the weights
