"""SVCCA and attention against a slow textbook computation, and where the answer is known."""

import numpy as np
import pytest
from scipy.linalg import inv, sqrtm
from scipy.special import softmax

from edgerl.experiments.analysis import attention
from edgerl.settling import svcca


def textbook(x, y, share=0.99):
    """Canonical correlations through the covariances' inverse square roots, after PCA to 99% (Raghu et al. 2017).

    As in the authors' code (google/svcca), 99% of the sum of the singular values, not of their squares.
    """
    kept = []
    for each in (x, y):
        centred = each.astype(np.float64) - each.mean(axis=1, keepdims=True)
        u, s, _ = np.linalg.svd(centred, full_matrices=False)
        count = next(n for n in range(1, len(s) + 1) if s[:n].sum() >= share * s.sum())
        kept.append(u[:, :count].T @ centred)
    a, b = kept
    middle = inv(sqrtm(a @ a.T)) @ (a @ b.T) @ inv(sqrtm(b @ b.T))
    return np.linalg.svd(middle, compute_uv=False)


def directions(*layers):
    return [svcca.directions(layer) for layer in layers]


def decaying(rng, neurons, datapoints):
    """Activations as layers have them: few large directions, many small ones, and nowhere centred."""
    mixed = rng.standard_normal((neurons, neurons)) * 0.8 ** np.arange(neurons)
    return (mixed @ rng.standard_normal((neurons, datapoints)) + 3).astype(np.float32)


@pytest.mark.parametrize(("one", "other", "datapoints"), [(20, 20, 200), (30, 8, 400), (8, 64, 900)])
def test_it_is_the_textbooks(one, other, datapoints):
    rng = np.random.default_rng(one)
    x = decaying(rng, one, datapoints)
    y = decaying(rng, other, datapoints)
    y[: min(one, other)] += 0.5 * x[: min(one, other)]
    a, b = directions(x, y)
    np.testing.assert_allclose(svcca.correlations(a, b), textbook(x, y), rtol=0, atol=1e-6)
    assert svcca.similarity(a, b) == pytest.approx(textbook(x, y).mean(), abs=1e-6)
    assert svcca.similarity(a, b) == pytest.approx(svcca.similarity(b, a), abs=1e-12)


def test_directions_are_orthonormal_centred_and_the_fewest_that_hold_99_percent_of_the_singular_values():
    x = decaying(np.random.default_rng(0), 40, 500)
    found = svcca.directions(x)
    np.testing.assert_allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-8)
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=1e-8)
    values = np.linalg.svd(x.astype(np.float64) - x.mean(axis=1, keepdims=True), compute_uv=False)
    shares = [values[:n].sum() / values.sum() for n in (found.shape[1] - 1, found.shape[1])]
    assert shares[0] < 0.99 <= shares[1]
    assert svcca.directions(x, share=0.5).shape[1] < found.shape[1] < 40


def test_the_same_activations_score_one():
    a, b = directions(*[decaying(np.random.default_rng(0), 30, 300)] * 2)
    assert svcca.similarity(a, b) == pytest.approx(1, abs=1e-9)


def test_turned_scaled_shifted_and_reordered_neurons_tell_the_same():
    rng = np.random.default_rng(1)
    x = decaying(rng, 12, 300).astype(np.float64)
    turned = np.linalg.qr(rng.standard_normal((12, 12)))[0] @ x * 7 + rng.standard_normal((12, 1))
    assert svcca.similarity(*directions(x, turned)) == pytest.approx(1, abs=1e-9)
    assert svcca.similarity(*directions(x, x[rng.permutation(12)])) == pytest.approx(1, abs=1e-9)


def test_an_invertible_map_scores_one_up_to_the_variance_that_is_cut():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((10, 1000))
    assert svcca.similarity(*directions(x, (np.eye(10) + 0.3 * rng.standard_normal((10, 10))) @ x)) > 0.98


def test_orthogonal_subspaces_score_zero():
    raw = np.random.default_rng(3).standard_normal((400, 20))
    q = np.linalg.qr(raw - raw.mean(axis=0))[0].T
    assert svcca.similarity(*directions(q[:10], q[10:])) == pytest.approx(0, abs=1e-9)


def test_half_a_shared_subspace_scores_a_half():
    raw = np.random.default_rng(4).standard_normal((400, 15))
    q = np.linalg.qr(raw - raw.mean(axis=0))[0].T
    assert svcca.similarity(*directions(q[:10], q[5:])) == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("per_neuron", [5, 10, 50])
def test_independent_noise_scores_by_the_neurons_a_datapoint(per_neuron):
    """The mean square of the correlations between n and n random dimensions is n / (datapoints - 1)."""
    rng = np.random.default_rng(5)
    x, y = (rng.standard_normal((60, 60 * per_neuron)) for _ in range(2))
    a, b = directions(x, y)
    assert np.mean(svcca.correlations(a, b) ** 2) == pytest.approx(a.shape[1] / (60 * per_neuron - 1), rel=0.1)
    assert svcca.similarity(a, b) < 1 / np.sqrt(per_neuron)


def test_a_layer_that_does_not_vary_has_no_score():
    x = decaying(np.random.default_rng(6), 5, 100)
    dead = np.full((5, 100), 0.1, np.float32)
    assert svcca.directions(dead).shape == (100, 0)
    assert svcca.similarity(*directions(x, dead)) is None
    assert svcca.similarity(*directions(np.zeros((5, 100)), x)) is None


def test_a_dead_neuron_changes_nothing():
    x = decaying(np.random.default_rng(7), 6, 100)
    with_dead = np.concatenate([x, np.zeros((3, 100), np.float32)])
    assert svcca.similarity(*directions(x, with_dead)) == pytest.approx(1, abs=1e-9)


def test_attention_is_the_softmax_of_the_mean_of_what_the_channels_give():
    activations = np.random.default_rng(0).standard_normal((3, 5, 4, 6)).astype(np.float32)
    found = attention.maps(activations)
    for one, each in zip(found, activations, strict=True):
        np.testing.assert_allclose(one, softmax(np.abs(each.astype(np.float64)).mean(axis=0)), rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1)


def test_attention_moves_by_one_less_the_correlation():
    maps = attention.maps(np.random.default_rng(1).standard_normal((4, 8, 9, 9)))
    assert attention.moved(maps, maps) == pytest.approx(0, abs=1e-12)
    assert attention.moved(maps, 0.5 * maps + 1e-3) == pytest.approx(0, abs=1e-9)
    assert attention.moved(maps, maps.max() - maps) == pytest.approx(2, abs=1e-9)
    other = attention.maps(np.random.default_rng(2).standard_normal((4, 8, 9, 9)))
    expected = [1 - np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(maps, other, strict=True)]
    assert attention.moved(maps, other) == pytest.approx(np.mean(expected))


def test_flat_maps_have_not_moved_and_a_flat_one_is_unlike_one_that_is_not():
    flat = attention.maps(np.zeros((2, 3, 4, 4), np.float32))
    peaked = attention.maps(np.eye(4, dtype=np.float32)[None, None].repeat(2, 0))
    assert attention.moved(flat, flat) == 0
    assert attention.moved(flat, peaked) == attention.moved(peaked, flat) == 1
