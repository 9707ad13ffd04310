"""The arena: how many rows fit, where they lie, and moving them in place."""

import mmap
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from memory_budget import Ring, fit_rows
from memory_budget.ring import arena_of, padded, rotate

KINDS = st.sampled_from([np.uint8, np.int16, np.float32, np.float64, np.int64])
FIELDS = st.lists(st.tuples(KINDS, st.lists(st.integers(1, 4), max_size=3)), min_size=1, max_size=5)


def named(fields):
    return [(f"f{number}", kind, tuple(shape)) for number, (kind, shape) in enumerate(fields)]


def steps(block, cost, fixed):
    """Index bytes that grow by `cost` with every `block` rows begun."""
    return lambda count: fixed + cost * -(-count // block)


def numbered(extra):
    """A row with its number and `extra` bytes."""
    return padded([("number", np.int64, ()), ("obs", np.uint8, (extra,))])


def filled(capacity, written, extra=20):
    """A ring of this capacity after `written` rows, each holding its number, and bytes derived from it."""
    row, index = numbered(extra), steps(4, 40, 16)
    ring = Ring(capacity * row.itemsize + index(capacity), row, index)
    assert ring.capacity == capacity
    for number in range(written):
        ring.append(np.uint8(number % 251), number=number)
    return ring


@given(st.integers(0, 4000), st.integers(1, 300), st.integers(1, 70), st.integers(0, 600), st.integers(0, 600))
def test_fit_rows_is_the_largest_count_that_fits(budget, row_bytes, block, cost, fixed):
    index = steps(block, cost, fixed)
    fitting = [count for count in range(budget + 2) if count * row_bytes + index(count) <= budget]
    assert fit_rows(budget, row_bytes, index) == max(fitting, default=-1)


def test_fit_rows_at_the_edge_of_a_byte():
    index = steps(64, 512, 0)
    assert fit_rows(64 * 100 + 512, 100, index) == 64
    assert fit_rows(64 * 100 + 511, 100, index) == 63
    assert fit_rows(65 * 100 + 1023, 100, index) == 64  # the 65th row needs another block of the index
    assert fit_rows(65 * 100 + 1024, 100, index) == 65


@given(FIELDS)
def test_padded_rows_are_packed_and_end_at_a_multiple_of_eight(fields):
    row = padded(named(fields))
    end = 0
    for name, (kind, shape) in zip(row.names, fields, strict=True):
        assert row.fields[name] == (np.dtype((kind, tuple(shape))), end)
        end += np.dtype(kind).itemsize * int(np.prod(shape, dtype=int))
    assert row.itemsize % 8 == 0
    assert end <= row.itemsize < end + 8


@given(FIELDS, st.integers(1, 8000), st.integers(1, 70), st.integers(0, 80), st.integers(0, 100))
def test_rows_and_index_share_the_budget_and_no_byte(fields, budget, block, cost, fixed):
    row, index = padded(named(fields)), steps(block, cost, fixed)
    capacity = fit_rows(budget, row.itemsize, index)
    assume(capacity >= 1)
    ring = Ring(budget, row, index)
    assert ring.arena.nbytes == budget
    assert ring.capacity == len(ring.rows) == capacity
    assert ring.index.nbytes == index(capacity)
    assert ring.rows.nbytes + ring.index.nbytes <= budget
    assert (capacity + 1) * row.itemsize + index(capacity + 1) > budget
    assert not np.shares_memory(ring.rows, ring.index)
    assert np.shares_memory(ring.rows, ring.arena)
    assert not ring.index.size or np.shares_memory(ring.index, ring.arena)
    ring.index[:] = 0xAA
    ring.rows.view(np.uint8)[:] = 0x55  # writing every row leaves the index alone
    assert (ring.index == 0xAA).all()
    assert np.count_nonzero(ring.arena == 0x55) == ring.rows.nbytes


@pytest.mark.parametrize("capacity", [1, 2, 7])
def test_rows_are_numbered_in_order_and_overwrite_the_oldest(capacity):
    ring = filled(capacity, 0)
    assert (ring.size, ring.oldest, ring.wrapped) == (0, 0, False)
    for number in range(3 * capacity):
        assert ring.append(np.uint8(0), number=number) == number % capacity
        assert ring.head == number + 1
        assert ring.size == min(number + 1, capacity)
        assert ring.oldest == max(0, number + 1 - capacity)
        assert ring.wrapped == (number >= capacity)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTFORK"), reason="only Linux keeps pages from a child")
@pytest.mark.parametrize("inherited", [True, False])
def test_a_forked_process_has_the_bytes_only_if_it_is_to(inherited):
    arena = arena_of(100_000, inherited=inherited)
    if (child := os.fork()) == 0:
        ends = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
        os._exit(any(int(low, 16) <= arena.ctypes.data < int(high, 16) for low, high in ends))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == inherited
    assert not arena.any()


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 17])
def test_rotate_is_roll(count, chunk):
    for turn in range(count):
        rows = np.zeros(count, numbered(5))
        rows["number"] = np.arange(count)
        rows["obs"] = np.arange(count)[:, None] % 251
        wanted = np.roll(rows, -turn)
        rotate(rows, turn, chunk)
        assert np.array_equal(rows, wanted), turn


@pytest.mark.parametrize("chunk", [1, 3, 64])
@pytest.mark.parametrize("extra", [0, 8, 20])
def test_transcoding_keeps_every_row_in_order(extra, chunk):
    row = numbered(extra)
    for written in range(2 * 9 + 2):
        ring, seen = filled(9, written), []

        def convert(block, obs, seen=seen):
            seen.append(len(block))
            new = np.zeros(len(block), row)
            new["number"], new["obs"] = block["number"], obs[:, :extra]
            return new

        assert ring.transcode(row, ring.index_bytes, convert, chunk) == (ring, 0)
        kept = np.arange(max(0, written - 9), written)
        assert ring.rows["number"][: ring.size].tolist() == kept.tolist()
        assert np.array_equal(ring.rows["obs"][: ring.size], np.repeat(kept[:, None] % 251, extra, axis=1))
        assert (ring.head, ring.oldest, ring.size) == (len(kept), 0, len(kept))
        assert ring.capacity == fit_rows(ring.arena.nbytes, row.itemsize, ring.index_bytes)
        assert (ring.capacity > 9) == (extra < 20)
        assert not np.shares_memory(ring.rows, ring.index)
        assert sum(seen) == len(kept)
        assert max(seen, default=0) <= chunk


@pytest.mark.parametrize("written", [0, 5, 9, 14])
def test_a_larger_row_is_refused_and_nothing_is_touched(written):
    ring = filled(9, written)
    ring.index[:] = 0x3C
    before, capacity = ring.arena.copy(), ring.capacity
    rows, index = ring.rows, ring.index

    def convert(block, obs):
        raise AssertionError("converted a row that does not fit")

    with pytest.raises(ValueError, match="does not fit") as caught:
        ring.transcode(numbered(21 + 8), ring.index_bytes, convert, 4)
    assert "\n" not in str(caught.value)
    assert np.array_equal(ring.arena, before)
    assert (ring.capacity, ring.head, ring.size) == (capacity, written, min(written, 9))
    assert ring.rows is rows
    assert ring.index is index
