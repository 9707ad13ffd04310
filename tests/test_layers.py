"""Every layer's backward pass against torch's autograd, in float64, for NumPy arrays and torch tensors."""

import engines
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgerl.agents.encoder.contrast import Contrast
from edgerl.agents.encoder.convolutions import Convolutions
from edgerl.agents.layers.arrays import log_softmax, softmax, to_numpy
from edgerl.agents.layers.dense import LayerNorm, Linear, Relu, Stack
from edgerl.agents.layers.noisy import FEW_ROWS, NoisyLinear, factorised_noise
from edgerl.agents.layers.outputs import Dueling, SquashedGaussian
from edgerl.agents.layers.parameters import orthogonal, uniform
from edgerl.config.architectures import Conv, layers

CLOSE = {"rtol": 0, "atol": 1e-10}
ROWS, INPUTS, OUTPUTS = 6, 7, 4
both = pytest.mark.parametrize("engine", engines.BOTH64, ids=engines.name)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def leaf(array):
    return torch.from_numpy(np.array(to_numpy(array), np.float64)).requires_grad_()


def check(layer, engine, rng, expected, inputs=INPUTS, outputs=OUTPUTS):
    """Hold output and all gradients of a layer against `expected(x, weights)` under autograd."""
    x, upward = rng.standard_normal((ROWS, inputs)), rng.standard_normal((ROWS, outputs))
    leaf_x, weights = leaf(x), {name: leaf(array) for name, array in layer.parameters.arrays.items()}
    y = expected(leaf_x, weights)
    y.backward(torch.from_numpy(upward))
    own = layer.forward(engine.array(x.copy()))
    np.testing.assert_allclose(to_numpy(own), y.detach().numpy(), **CLOSE)
    np.testing.assert_allclose(to_numpy(layer.apply(engine.array(x.copy()))), y.detach().numpy(), **CLOSE)
    gradient = layer.backward(engine.array(upward.copy()))
    np.testing.assert_allclose(to_numpy(gradient), leaf_x.grad.numpy(), **CLOSE)
    for name, weight in weights.items():
        found = to_numpy(layer.parameters.gradients[name])
        np.testing.assert_allclose(found, 0 if weight.grad is None else weight.grad.numpy(), **CLOSE)
    kept = {name: np.array(to_numpy(array)) for name, array in layer.parameters.gradients.items()}
    layer.forward(engine.array(x.copy()))
    assert layer.backward(engine.array(2 * upward), inputs=False, weights=False) is None
    held = [array for array in vars(layer).values() if getattr(array, "shape", ())[:1] == (ROWS,)]
    assert held == []  # nothing of a batch stays until the next one
    for name, array in layer.parameters.gradients.items():
        np.testing.assert_array_equal(to_numpy(array), kept[name])


@both
def test_linear(engine, rng):
    layer = Linear(engine, INPUTS, OUTPUTS, uniform, rng)
    check(layer, engine, rng, lambda x, w: functional.linear(x, w["weight"], w["bias"]))


@both
def test_layer_norm(engine, rng):
    layer = LayerNorm(engine, INPUTS, trained=True)
    for array in layer.parameters.arrays.values():
        array[:] = engine.array(rng.standard_normal(INPUTS))

    def expected(x, weights):
        return functional.layer_norm(x, (INPUTS,), weights["weight"], weights["bias"])

    check(layer, engine, rng, expected, outputs=INPUTS)


@both
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("noisy", [True, False])
def test_noisy_linear(engine, rng, groups, noisy):
    layer = NoisyLinear(engine, INPUTS, OUTPUTS, sigma0=0.5, rng=rng, groups=groups)
    noise = factorised_noise(layer.noise_size, rng) if noisy else None
    layer.set_noise(None if noise is None else engine.array(noise))

    def expected(x, weights):
        weight, bias = weights["weight_mu"], weights["bias_mu"]
        if noise is not None:
            of_outputs = torch.from_numpy(noise[:OUTPUTS].astype(np.float64))
            of_inputs = torch.from_numpy(noise[OUTPUTS:].reshape(groups, INPUTS).astype(np.float64))
            of_weights = of_outputs[:, None] * of_inputs.repeat_interleave(OUTPUTS // groups, dim=0)
            weight = weight + weights["weight_sigma"] * of_weights
            bias = bias + weights["bias_sigma"] * of_outputs
        return functional.linear(x, weight, bias)

    check(layer, engine, rng, expected)
    layer.forward(engine.array(rng.standard_normal((1, INPUTS))))
    assert layer.backward(engine.array(rng.standard_normal((1, OUTPUTS)))).shape == (1, INPUTS)  # a batch of one
    layer.set_noise(None if noise is None else engine.array(noise))
    few = engine.array(rng.standard_normal((FEW_ROWS - 1, INPUTS)))
    made = layer.apply(few)
    layer.set_noise(None if noise is None else engine.array(noise))  # no weights made: two products instead
    np.testing.assert_allclose(to_numpy(layer.apply(few)), to_numpy(made), **CLOSE)


def test_factorised_noise_is_the_signed_root_of_normals(rng):
    noise = factorised_noise(100_000, rng)
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 0.01
    assert np.mean(noise**2) == pytest.approx(np.sqrt(2 / np.pi), rel=0.02)  # E|x|
    np.testing.assert_allclose((noise.astype(np.float64) ** 4).mean(), 1, atol=0.05)  # the variance of a normal


@both
def test_a_stack_with_relu(engine, rng):
    stack = Stack(
        {"0": Linear(engine, INPUTS, 9, uniform, rng), "1": Relu(), "2": Linear(engine, 9, OUTPUTS, orthogonal, rng)}
    )
    x, upward = rng.standard_normal((ROWS, INPUTS)), rng.standard_normal((ROWS, OUTPUTS))
    leaf_x = leaf(x)
    weights = {name: {key: leaf(a) for key, a in p.arrays.items()} for name, p in stack.parameters.items()}
    hidden = functional.linear(leaf_x, weights["0"]["weight"], weights["0"]["bias"]).relu()
    functional.linear(hidden, weights["2"]["weight"], weights["2"]["bias"]).backward(torch.from_numpy(upward))
    stack.forward(engine.array(x))
    np.testing.assert_allclose(to_numpy(stack.backward(engine.array(upward))), leaf_x.grad.numpy(), **CLOSE)
    for name, parameters in stack.parameters.items():
        for key, gradient in parameters.gradients.items():
            np.testing.assert_allclose(to_numpy(gradient), weights[name][key].grad.numpy(), **CLOSE)
    np.testing.assert_allclose(to_numpy(stack.outputs(engine.array(x))["1"]), hidden.detach().numpy(), **CLOSE)


@both
def test_dueling(engine, rng):
    atoms, actions = 5, 3
    value, advantage = leaf(rng.standard_normal((ROWS, atoms))), leaf(rng.standard_normal((ROWS, actions * atoms)))
    action, upward = rng.integers(0, actions, ROWS), rng.standard_normal((ROWS, atoms))
    each = advantage.view(ROWS, actions, atoms)
    q = value[:, None] + each - each.mean(dim=1, keepdim=True)
    q[torch.arange(ROWS), torch.from_numpy(action)].backward(torch.from_numpy(upward))
    dueling = Dueling(actions)
    own = dueling.apply(engine.array(value.detach().numpy()), engine.array(advantage.detach().numpy()))
    np.testing.assert_allclose(to_numpy(own), q.detach().numpy(), **CLOSE)
    gradients = dueling.backward(engine.array(upward), engine.array(action))
    np.testing.assert_allclose(to_numpy(gradients[0]), value.grad.numpy(), **CLOSE)
    np.testing.assert_allclose(to_numpy(gradients[1]), advantage.grad.numpy(), **CLOSE)


@both
def test_squashed_gaussian(engine, rng):
    actions, low, high = 2, -10.0, 2.0
    outputs, noise = leaf(rng.standard_normal((ROWS, 2 * actions))), rng.standard_normal((ROWS, actions))
    of_action, of_log = rng.standard_normal((ROWS, actions)), rng.standard_normal(ROWS)
    mean, squash = outputs.chunk(2, dim=1)
    log_std = low + (high - low) / 2 * (torch.tanh(squash) + 1)
    normal = torch.distributions.Normal(mean, log_std.exp())
    before = mean + log_std.exp() * torch.from_numpy(noise)
    action = torch.tanh(before)
    log_prob = (normal.log_prob(before) - torch.log(1 - action**2 + 1e-6)).sum(1)
    # The gradient of log pi at a sample that moves with the outputs, as in SAC.
    torch.autograd.backward([action, log_prob], [torch.from_numpy(of_action), torch.from_numpy(of_log)])
    gaussian = SquashedGaussian(low, high)
    own_action, own_log = gaussian.apply(engine.array(outputs.detach().numpy()), engine.array(noise))
    np.testing.assert_allclose(to_numpy(own_action), action.detach().numpy(), **CLOSE)
    np.testing.assert_allclose(to_numpy(own_log), log_prob.detach().numpy(), **CLOSE)
    gradient = gaussian.backward(engine.array(of_action), engine.array(of_log))
    np.testing.assert_allclose(to_numpy(gradient), outputs.grad.numpy(), **CLOSE)


@both
def test_contrast(engine, rng):
    contrast = Contrast(engine, INPUTS, rng)
    query, key = leaf(rng.standard_normal((ROWS, INPUTS))), rng.standard_normal((ROWS, INPUTS))
    w = leaf(contrast.parameters.arrays["contrast"])
    loss = functional.cross_entropy(query @ w @ torch.from_numpy(key).T, torch.arange(ROWS))
    loss.backward()
    own, gradient = contrast.loss(engine.array(query.detach().numpy()), engine.array(key))
    assert own == pytest.approx(loss.item(), abs=1e-10)
    np.testing.assert_allclose(to_numpy(gradient), query.grad.numpy(), **CLOSE)
    np.testing.assert_allclose(to_numpy(contrast.parameters.gradients["contrast"]), w.grad.numpy(), **CLOSE)


@both
def test_softmax_does_not_overflow(engine, rng):
    logits = 1000 * rng.standard_normal((ROWS, INPUTS))
    expected = torch.from_numpy(logits)
    np.testing.assert_allclose(to_numpy(softmax(engine.array(logits))), expected.softmax(1).numpy(), **CLOSE)
    np.testing.assert_allclose(to_numpy(log_softmax(engine.array(logits))), expected.log_softmax(1).numpy(), **CLOSE)


def of_patches():
    return [Conv(3, 5, 5), Conv(4, 2, 2)]


def overlapping():
    return [Conv(3, 8, 4), Conv(4, 4, 2), Conv(5, 3, 1)]


@pytest.mark.parametrize("encoder", [of_patches, overlapping])
@pytest.mark.parametrize("pixels", [True, False])
def test_convolutions_in_numpy(encoder, pixels, rng):
    """Forward and backward; sides that kernels do not divide; pixels, and the maps that an earlier cut gives."""
    window = (2, 62, 57)
    stack = layers(f"test_layers:{encoder.__name__}", window)
    own = Convolutions(engines.NUMPY64, stack, pixels=pixels, draw=uniform, rng=rng)
    pixel = rng.integers(0, 256, (3, *window), np.uint8)
    x = pixel if pixels else rng.standard_normal((3, *window))
    maps, weights = torch.from_numpy(x).to(torch.float64), []
    for number, layer in enumerate(stack):
        arrays = own.layers[layer.name].parameters.arrays
        weights.append((leaf(arrays["weight"]), leaf(arrays["bias"])))
        weight = weights[-1][0] * (1 / 255) if pixels and not number else weights[-1][0]
        maps = functional.conv2d(maps, weight, weights[-1][1], stride=layer.spec.stride).relu()
    upward = rng.standard_normal(maps.shape)
    maps.backward(torch.from_numpy(upward))
    np.testing.assert_allclose(own.forward(own.prepare(x)), maps.detach().numpy(), **CLOSE)
    np.testing.assert_allclose(own.apply(own.prepare(x)), maps.detach().numpy(), **CLOSE)
    own.backward(upward)
    for layer, (weight, bias) in zip(stack, weights, strict=True):
        gradients = own.layers[layer.name].parameters.gradients
        np.testing.assert_allclose(gradients["weight"], weight.grad.numpy(), rtol=1e-12, atol=1e-10)
        np.testing.assert_allclose(gradients["bias"], bias.grad.numpy(), rtol=1e-12, atol=1e-10)


def test_draws_are_torchs_default_and_orthogonal(rng):
    drawn, bound = uniform((8, 3, 5, 5), rng), (3 * 25) ** -0.5
    for array in drawn.values():
        assert array.dtype == np.float32
        assert abs(array).max() <= bound
    assert abs(drawn["weight"]).max() > 0.95 * bound
    for shape in ((4, 9), (9, 4)):
        weight = orthogonal(shape, rng)["weight"].astype(np.float64)
        few = weight @ weight.T if shape[0] < shape[1] else weight.T @ weight
        np.testing.assert_allclose(few, np.eye(4), atol=1e-6)
    kernel = orthogonal((6, 4, 3, 3), rng)["weight"].astype(np.float64)
    middle = kernel[:, :, 1, 1].copy()
    np.testing.assert_allclose(middle.T @ middle, 2 * np.eye(4), atol=1e-6)
    kernel[:, :, 1, 1] = 0
    assert not kernel.any()
    signs = [np.sign(orthogonal((3, 3), np.random.default_rng(n))["weight"][0, 0]) for n in range(40)]
    assert {*signs} == {-1, 1}  # uniform over all orthogonal matrices


def test_a_module_of_torch_has_the_same_weights_as_the_block_they_lie_in(rng):
    from edgerl.agents.torch_encoder.convolutions import Convolutions as TorchConvolutions

    stack = layers("test_layers:overlapping", (2, 62, 57))
    own = TorchConvolutions(engines.TORCH, stack, pixels=True, draw=uniform, rng=rng)
    module = next(part for part in own._stack if isinstance(part, nn.Conv2d))
    own.parameters["conv1"].flat[:] = 3
    assert bool((module.weight == 3).all())
    prepared = own.prepare(rng.integers(0, 256, (2, 2, 62, 57), np.uint8))
    own.backward(torch.ones_like(own.forward(prepared)))
    own.backward(torch.ones_like(own.forward(prepared)))  # written, not added
    once = own.parameters["conv1"].gradient.clone()
    assert bool(once.any())
    torch.testing.assert_close(module.weight.grad.flatten().sum() + module.bias.grad.sum(), once.sum())
