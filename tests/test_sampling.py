"""The 64-ary sum tree against plain NumPy, and what is drawn from it."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgerl.replay.sampling import FAN, PATIENCE, Prioritized

SPECIAL = [1, 63, 64, 65, 4096, 4097, 5000]
CAPACITIES = st.sampled_from(SPECIAL) | st.integers(1, 300)
SLOTS = st.lists(st.integers(0, 2**16), min_size=1, max_size=40)
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["set", "add", "forbid", "update", "place"]), SLOTS, st.integers(0, 2**32 - 1)),
    max_size=12,
)


def build(capacity, omega=0.5, seed=0):
    """A sampler over bytes that hold something already, as those behind a transcoded ring's rows do."""
    index = np.full(Prioritized.index_bytes(capacity), 0xA5, np.uint8)
    return Prioritized(index, capacity, omega, np.random.default_rng(seed)), index


def holding(priorities, seed=0):
    sampler, _ = build(len(priorities), seed=seed)
    sampler.set(np.arange(len(priorities)), np.asarray(priorities, np.float64))
    return sampler


def everywhere(slots):
    return np.ones(len(slots), bool)


def check(sampler, expected):
    """Leaves as expected, zeros behind them, and every sum exactly that of its block's 64."""
    assert np.array_equal(sampler.priorities(), expected)
    assert not sampler.leaves.reshape(-1)[len(expected) :].any()
    assert np.array_equal(sampler.sums, sampler.leaves.sum(axis=1))
    assert sampler.total == pytest.approx(math.fsum(expected), rel=1e-12)


@given(CAPACITIES, OPERATIONS, st.sampled_from([0.5, 0.7, 1.0]))
@settings(max_examples=50)
def test_any_sequence_of_changes_leaves_what_plain_numpy_has(capacity, operations, omega):
    sampler, _ = build(capacity, omega)
    expected, largest = np.zeros(capacity), 1.0
    for kind, numbers, seed in operations:
        values = np.random.default_rng(seed).exponential(size=len(numbers))
        slots = np.array(numbers) % capacity
        if kind == "set":
            sampler.set(slots, values)
        elif kind == "update":
            sampler.update(slots, values.astype(np.float32))
            values = np.maximum(values.astype(np.float32).astype(np.float64), 1e-4) ** omega
            largest = max(largest, values.max())
        elif kind == "place":  # elsewhere, for more rows, as at a freeze
            grown = capacity + len(numbers)
            sampler.place(np.full(Prioritized.index_bytes(grown), 0xA5, np.uint8), grown, expected)
            expected, capacity = np.append(expected, np.zeros(grown - capacity)), grown
            continue
        else:
            sampler.add(int(slots[0]), startable=kind == "add")
            slots, values = slots[:1], [largest if kind == "add" else 0.0]
        for slot, value in zip(slots, values, strict=True):  # of a slot given twice, the last value stands
            expected[slot] = value
    assert sampler.largest == largest
    check(sampler, expected)


def test_a_row_without_a_loss_is_drawn_again():
    """A loss of nothing, or below it by a rounding error, counts as the least one."""
    sampler, _ = build(64)
    sampler.update(np.arange(64), np.full(64, 0.04, np.float32))
    sampler.update(np.array([3, 5]), np.array([0.0, -1e-7], np.float32))
    drawn = np.concatenate([sampler.draw(32, 64, 0.4, lambda slots: slots >= 0)[0] for _ in range(4000)])
    assert sampler.priorities()[3] == sampler.priorities()[5] == 0.01
    assert np.mean(np.isin(drawn, [3, 5])) == pytest.approx(2 * 0.01 / (62 * 0.2 + 2 * 0.01), rel=0.2)


@pytest.mark.parametrize("capacity", SPECIAL)
def test_changing_one_slot_after_another_is_setting_all_at_once(capacity):
    one, _ = build(capacity)
    values = np.random.default_rng(1).random(capacity)
    for slot in range(0, capacity, 7):
        one.set(np.array([slot]), values[slot])
    expected = np.where(np.arange(capacity) % 7 == 0, values, 0.0)
    check(one, expected)
    check(holding(expected), expected)


@given(CAPACITIES, st.integers(0, 2**32 - 1), st.floats(0, 0.95))
@settings(max_examples=50)
def test_find_is_searchsorted_over_the_running_sum(capacity, seed, zeros):
    rng = np.random.default_rng(seed)
    priorities = rng.integers(1, 9, capacity) * (rng.random(capacity) >= zeros)  # whole numbers: sums are exact
    priorities[rng.integers(capacity)] = 5
    sums = priorities.cumsum()
    mass = np.concatenate([[0.0, sums[-1] - 0.5], sums[:-1][-50:], rng.integers(0, 2 * sums[-1], 200) / 2])
    mass = mass[mass < sums[-1]]
    found = holding(priorities).find(mass)
    assert np.array_equal(found, np.searchsorted(sums, mass, side="right"))
    assert (priorities[found] > 0).all()


@pytest.mark.parametrize("capacity", SPECIAL[1:])
def test_the_largest_random_number_draws_a_row_with_priority(capacity):
    sampler = holding(np.arange(capacity) < capacity - 1)  # the last has none
    numbers = iter([np.nextafter(1, 0), *[0.5] * 100])  # 31 and the largest number below 1 round to 32: all shares
    sampler.rng = SimpleNamespace(random=lambda count: np.full(count, next(numbers)))
    slots, _ = sampler.draw(32, capacity, 0.5, everywhere)
    assert ((slots >= 0) & (slots < capacity - 1)).all()


@given(CAPACITIES, st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_draws_are_valid_and_weighted_by_the_formula(capacity, count, beta, seed):
    rng = np.random.default_rng(seed)
    priorities = 10.0 ** rng.uniform(-6, 3, capacity) * (rng.random(capacity) < 0.5)
    allowed = rng.random(capacity) < 0.7
    sure = rng.integers(capacity)  # at least this one can be drawn, and not too seldom
    priorities[sure], allowed[sure] = max(1.0, priorities.max()), True
    size = int(rng.integers(1, capacity + 1))
    slots, weights = holding(priorities, seed).draw(count, size, beta, lambda found: allowed[found])
    assert slots.shape == weights.shape == (count,)
    assert allowed[slots].all()
    assert (priorities[slots] > 0).all()
    expected = (size * priorities[slots] / priorities.sum()) ** -beta
    np.testing.assert_allclose(weights, expected / expected.max(), rtol=1e-5)
    assert weights.dtype == np.float32


@pytest.mark.parametrize(("draws", "count"), [(3200, 1), (200, 32)])
def test_frequencies_are_proportional_to_priorities(draws, count):
    priorities = np.random.default_rng(3).integers(1, 10, 70).astype(float)
    priorities[5:60:9] = 0
    allowed = np.arange(70) % 11 != 0
    sampler = holding(priorities, seed=4)
    drawn = [sampler.draw(count, 70, 0.5, lambda found: allowed[found])[0] for _ in range(draws)]
    seen = np.bincount(np.concatenate(drawn), minlength=70)
    wanted = priorities * allowed
    assert seen[wanted == 0].sum() == 0
    wanted = wanted[wanted > 0] / wanted.sum()
    assert stats.chisquare(seen[seen > 0], wanted * seen.sum()).pvalue > 1e-3


def test_a_batch_takes_one_row_from_each_equal_share():
    drawn, _ = holding(np.ones(320)).draw(32, 320, 0.5, everywhere)
    assert (drawn // 10).tolist() == list(range(32))


def test_rows_that_start_no_window_and_hold_nearly_all_the_mass_are_set_aside(monkeypatch):
    """New rows get the largest priority ever seen, and start no window before n others have come."""
    priorities = np.r_[np.tile([1e-3, 3e-3], 50), np.full(20, 1e12)]
    sampler, calls = holding(priorities), []
    find = sampler.find
    monkeypatch.setattr(sampler, "find", lambda mass: calls.append(len(mass)) or find(mass))
    drawn = np.concatenate([sampler.draw(32, 120, 1.0, lambda slots: slots < 100)[0] for _ in range(300)])
    assert len(calls) < 300 * (PATIENCE + 20)
    counts = np.bincount(drawn, minlength=100)
    assert stats.chisquare(counts, len(drawn) * priorities[:100] / priorities[:100].sum()).pvalue > 1e-3
    check(sampler, priorities)


def test_drawing_where_no_row_can_start_a_window_is_an_error():
    sampler = holding([0.0, 1.0])  # the first has no priority, the second is not valid
    with pytest.raises(RuntimeError, match="no row of the replay"):
        sampler.draw(1, 2, 0.5, lambda slots: slots == 0)


@pytest.mark.parametrize(("before", "after"), [(1, 64), (64, 65), (100, 100), (4096, 4097), (1500, 5000)])
def test_place_restores_priorities_for_more_rows(before, after):
    sampler, _ = build(before)
    priorities = np.random.default_rng(0).random(before)
    sampler.largest = 3.0
    sampler.place(np.full(Prioritized.index_bytes(after), 0xFF, np.uint8), after, priorities)
    check(sampler, np.append(priorities, np.zeros(after - before)))
    sampler.add(after - 1)
    assert sampler.priorities()[after - 1] == 3.0


@given(CAPACITIES)
def test_leaves_and_sums_are_index_bytes_of_views_end_to_end(capacity):
    sampler, index = build(capacity)
    assert index.nbytes == Prioritized.index_bytes(capacity)
    assert sampler.leaves.shape == (len(sampler.sums), FAN)
    end = index.__array_interface__["data"][0]
    for level in (sampler.leaves, sampler.sums):
        assert level.__array_interface__["data"][0] == end
        assert level.flags.c_contiguous
        assert np.shares_memory(level, index)
        end += level.nbytes
    assert end == index.__array_interface__["data"][0] + index.nbytes
    assert sampler.priorities().shape == (capacity,)
    assert np.shares_memory(sampler.priorities(), index)


def test_index_bytes_never_fall_and_stay_near_eight_a_row():
    sizes = [Prioritized.index_bytes(capacity) for capacity in range(1, 10_000)]
    assert sizes == sorted(sizes)
    assert 8 * 10**6 <= Prioritized.index_bytes(10**6) <= 8.13 * 10**6
