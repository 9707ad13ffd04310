"""NumPy's kernels over threads: the numbers of one thread, and what happens to a thread's exception."""

import os
import threading
import warnings

import engines
import numpy as np
import pytest
from test_layers import of_patches, overlapping

from edgerl.agents.encoder.convolutions import Convolutions
from edgerl.agents.layers import threads
from edgerl.agents.layers.noisy import NoisyLinear, factorised_noise
from edgerl.agents.layers.parameters import Parameters, uniform
from edgerl.agents.optimizer import CHUNK, Adam
from edgerl.config.architectures import layers


@pytest.fixture
def two_threads():
    threads.set_threads(2)
    yield
    threads.set_threads(1)


def over_threads(made, *counts):
    """What `made` gives over so many threads: arrays of each count, side by side."""
    found = []
    try:
        for count in counts or (1, 2):
            threads.set_threads(count)
            found.append([np.array(array) for array in made(np.random.default_rng(5))])
    finally:
        threads.set_threads(1)
    return list(zip(*found, strict=True))


def products(rng):
    a, b = rng.standard_normal((128, 512), np.float32), rng.standard_normal((512, 192), np.float32)
    written = np.empty((128, 192), np.float32)
    assert threads.product(a, b, written) is written
    return threads.product(a, b), threads.product(a, np.ascontiguousarray(b.T).T), written


def noisy_passes(rng):
    layer = NoisyLinear(engines.NUMPY, 576, 512, sigma0=0.5, rng=rng, groups=2)
    layer.set_noise(factorised_noise(layer.noise_size, rng))
    x, upward = (rng.standard_normal((64, size), np.float32) for size in (576, 512))
    return layer.forward(x), layer.backward(upward), *layer.parameters.gradients.values()


def adam_steps(rng):
    sizes = {"large": 2 * CHUNK + 5, "small": 3}
    drawn = {name: {"weight": rng.standard_normal(size, np.float32)} for name, size in sizes.items()}
    layers = {name: Parameters(engines.NUMPY, arrays, trained=True) for name, arrays in drawn.items()}
    optimizer = Adam(engines.NUMPY, layers, 1e-2, clip_norm=1.0)
    for _ in range(3):
        for own in layers.values():
            own.gradient[:] = rng.standard_normal(len(own.gradient), np.float32)
        optimizer.step()
    return [*(own.flat for own in layers.values()), *(array for each in optimizer.moments.values() for array in each)]


@pytest.mark.parametrize("made", [products, noisy_passes, adam_steps])
def test_two_threads_give_the_very_same_numbers(made):
    """No sum is split. Where a thread has a few odd rows, BLAS may take another kernel, which rounds otherwise."""
    for one, two in over_threads(made):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("encoder", [of_patches, overlapping])
def test_gradients_of_convolutions_over_threads_differ_by_rounding(encoder):
    """Every thread sums over its part of the batch; parts may be of unequal size."""

    def made(rng):
        stack = layers(f"test_layers:{encoder.__name__}", (2, 62, 57))
        own = Convolutions(engines.NUMPY, stack, pixels=True, draw=uniform, rng=rng)
        maps = own.forward(own.prepare(rng.integers(0, 256, (7, 2, 62, 57), np.uint8)))
        own.backward(rng.standard_normal(maps.shape, np.float32))
        return maps, *(parameters.gradient for parameters in own.parameters.values())

    for one, two, three in over_threads(made, 1, 2, 3):
        close = {"rtol": 0, "atol": 1e-6 * max(1, abs(one).max())}
        np.testing.assert_allclose(two, one, **close)
        np.testing.assert_allclose(three, one, **close)


@pytest.mark.parametrize("failing", [{0}, {1}, {2}, {1, 2}, {0, 1, 2}])
def test_what_a_thread_raises_is_raised_in_the_caller_and_the_pool_works_on(failing):
    slices, seen = [slice(n, n + 1) for n in range(3)], []

    def fail(part):
        seen.append(part.start)
        if part.start in failing:
            raise ValueError(f"part {part.start}")

    try:
        threads.set_threads(3)
        with pytest.raises(ValueError, match=f"^part {min(failing)}$"):
            threads.run(fail, slices)
        assert sorted(seen) == [0, 1, 2]
        for _ in range(3):
            done = threading.Barrier(3, timeout=10)  # no part ends before all have begun
            threads.run(lambda part, done=done: seen.append(part.start + 0 * done.wait()), slices)
            assert sorted(seen[3:]) == [0, 1, 2]
            del seen[3:]
    finally:
        threads.set_threads(1)


def test_two_threads_of_a_program_do_not_mix_their_work(two_threads):
    """One that finds the workers in use does its work alone."""
    rng = np.random.default_rng(0)
    pairs = [(rng.standard_normal((64, 200)), rng.standard_normal((200, 150))) for _ in range(2)]
    wrong = []

    def multiply(a, b):
        expected = a @ b
        for _ in range(200):
            if not np.allclose(threads.product(a, b), expected):
                wrong.append(1)

    callers = [threading.Thread(target=multiply, args=pair) for pair in pairs]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_a_forked_process_works_alone(two_threads):
    a, b = np.ones((64, 200)), np.ones((200, 150))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of newer Pythons: a process of several threads is forked
        child = os.fork()
    if child == 0:
        os._exit(0 if (threads.product(a, b) == 200).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
