"""The packed ring against a dict and a list: what it keeps, where that lies, and what a checkpoint or a freeze makes
of it. Small frames of every kind, so that a thousand rows are many laps.
"""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_budget import fit_rows, frames
from memory_budget.packed import GROUP, PackedRing
from memory_budget.packed_layout import BLOCK
from memory_budget.ring import padded

COLUMNS = [("number", np.int64, ()), ("pair", np.uint8, (2,))]
KINDS = ("noise", "still", "alternating", "scenes", "growing", "mixed")


def index_bytes(rows):
    return 8 * (rows // BLOCK + 1)


def film(kind, shape, count, seed=0):
    """So many frames: incompressible, all alike, both in turn, scenes that are cut, less and less alike, all of it."""
    rng, size = np.random.default_rng(seed), int(np.prod(shape))
    base, found = rng.integers(0, 256, size, dtype=np.uint8), []
    for number in range(count):
        now = KINDS[number // 29 % 5] if kind == "mixed" else kind
        if now == "noise" or (now == "alternating" and number % 2):
            frame = rng.integers(0, 256, size, dtype=np.uint8)
        elif now in ("still", "alternating"):
            frame = np.full(size, 7, np.uint8)
        else:
            if now == "scenes" and number % 37 == 0:
                base = rng.integers(0, 256, size, dtype=np.uint8)
            changed = max(1, size // 8 if now == "scenes" else size * number // count)
            frame = base.copy()
            frame[rng.integers(0, size, changed)] = rng.integers(0, 256, changed)
        found.append(frame.reshape(shape))
    return found


def smallest(shape):
    """The smallest budget that a ring of such frames takes."""
    budget = 0
    for step in (4096, 256, 16, 1):
        while not allowed(budget + step, shape):
            budget += step
    return budget + 1


def allowed(budget, shape):
    try:
        return bool(PackedRing(budget, COLUMNS, shape, index_bytes))
    except ValueError:
        return False


def append(ring, number, frame):
    """Store a row; its slot, and the slots that lost theirs."""
    gone = []
    slot = ring.append(frame, lambda slots: gone.extend(slots.tolist()), number=number, pair=(number % 251, number % 7))
    return slot, gone


def check(ring, seen):
    """Every row present is as it was given, wherever it lies; no byte is two things, and none lies outside."""
    numbers = np.arange(ring.oldest, ring.head)
    slots = ring.slots(numbers)
    assert np.array_equal(ring.numbers(slots), numbers)
    empty = np.setdiff1d(np.arange(ring.extent), slots)
    assert (ring.numbers(empty) < ring.oldest).all()
    heads = ring.rows[slots]
    assert np.array_equal(heads["number"], numbers)
    assert np.array_equal(heads["pair"], np.stack([numbers % 251, numbers % 7], 1))
    assert np.array_equal(ring.obs[slots], np.array(seen[ring.oldest :]))
    assert (ring.slots(np.arange(ring.oldest)) == slots[:1]).all()  # below the oldest: its slot
    start, length = heads["start"].astype(int), heads["length"].astype(int)
    order = np.argsort(start)
    ends = np.append(((slots.max() + 1) * ring.rows.itemsize), (start + length)[order])
    assert (ends <= np.append(start[order], ring.end)).all()
    assert length.max() <= ring.nbytes
    assert ring.used == len(slots) * ring.rows.itemsize + length.sum() <= ring.end
    assert ring.size <= ring.capacity
    assert ring.size <= ring.max_rows


def follow(ring, seen, every=1):
    """Append all these frames; what is evicted is what the ring says is gone, oldest first, and no slot is lost."""
    alive = {}
    for number, frame in enumerate(seen):
        slot, gone = append(ring, number, frame)
        for each in gone:
            del alive[each]
        assert slot not in alive
        alive[slot] = number
        assert sorted(alive.values()) == list(range(ring.oldest, ring.head))
        assert ring.size == len(alive)
        assert ring.wrapped == (ring.oldest > 0)
        assert max(alive) < ring.extent
        if number % every == 0 or number == len(seen) - 1:
            check(ring, seen[: number + 1])
            assert {slot: int(ring.rows["number"][slot]) for slot in alive} == alive
    return ring


@given(st.binary(min_size=1, max_size=400), st.binary(min_size=400, max_size=400), st.integers(0, 400))
@settings(max_examples=50)
def test_a_frame_beside_its_key_is_read_back(frame, key, shared):
    key = frame[:shared] + key[shared : len(frame)]
    for beside in (None, key, frame):
        payload = frames.encode(frame, beside)
        if len(payload) != len(frame):
            assert bytes(frames.decode(payload, beside, len(frame))) == frame


@pytest.mark.parametrize("nbytes", [1, 2, 12, 13, 254, 255, 256, 7056, 30_000, 65_535, 65_536, 200_000])
def test_no_payload_is_smaller_than_the_smallest(nbytes):
    frame = bytes(nbytes)
    assert min(len(frames.encode(frame, key)) for key in (None, frame)) >= frames.shortest_payload(nbytes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1,), (2, 3), (5, 7), (3, 9, 9), (20, 20)], ids=str)
def test_a_ring_is_the_list_of_its_newest_frames(shape, kind):
    ring = PackedRing(smallest(shape) + 777, COLUMNS, shape, index_bytes)
    follow(ring, film(kind, shape, 1200), every=23)
    assert ring.lap > 0


@pytest.mark.parametrize("nbytes", [32_767, 32_768, 65_535, 65_536, 70_000])
def test_large_frames(nbytes):
    ring = PackedRing(40 * nbytes, COLUMNS, (nbytes,), index_bytes)
    assert ring.rows["length"].dtype == (np.uint16 if nbytes < 2**16 else np.uint32)
    follow(ring, film("alternating", (nbytes,), 60) + film("scenes", (nbytes,), 120), every=40)
    assert ring.wrapped


def test_every_budget_from_the_smallest_on():
    shape = (3, 5)
    first, seen = smallest(shape), film("mixed", shape, 260)
    for budget in range(first, first + 200):
        ring = PackedRing(budget, COLUMNS, shape, index_bytes)
        assert ring.arena.nbytes == budget
        assert ring.index.nbytes == index_bytes(ring.max_rows)
        assert ring.end + ring.index.nbytes <= budget < ring.end + ring.index.nbytes + 8
        ring.index[:] = 0xA5
        follow(ring, seen, every=130)
        assert ring.wrapped
        assert (ring.index == 0xA5).all()
    for budget in (1, 100, first - 1):
        with pytest.raises(ValueError, match=f"{budget} bytes"):
            PackedRing(budget, COLUMNS, shape, index_bytes)


def test_laps_end_at_every_offset_in_a_group():
    seen, ends = film("growing", (12, 12), 2500), set()
    for budget in range(9000, 9400, 40):
        ring = PackedRing(budget, COLUMNS, (12, 12), index_bytes)
        for number, frame in enumerate(seen):
            lap = ring.lap
            append(ring, number, frame)
            if ring.lap != lap:
                ends.add((ring.lap - ring.previous) % GROUP)
                check(ring, seen[: number + 1])
    assert len(ends) >= GROUP // 2


def test_incompressible_frames_cost_their_bytes_and_a_head():
    ring = follow(PackedRing(40_000, COLUMNS, (20, 20), index_bytes), film("noise", (20, 20), 500), every=100)
    assert ring.used == ring.size * (400 + ring.rows.itemsize)
    assert ring.size + GROUP + 1 >= ring.end // (400 + ring.rows.itemsize)


def test_frames_like_their_key_cost_little():
    seen = film("scenes", (40, 40), 36)
    ring = PackedRing(200_000, COLUMNS, (40, 40), index_bytes)
    for number, frame in enumerate(seen[:GROUP]):
        append(ring, number, seen[0] if number % 2 else frame)
    lengths = ring.rows["length"][:GROUP].astype(int)
    assert (lengths[1::2] < 30).all()
    assert (lengths[2::2] < 1600).all()


def test_frames_are_read_in_any_order_and_shape_as_copies():
    seen = film("mixed", (5, 7), 900)
    ring = follow(PackedRing(9000, COLUMNS, (5, 7), index_bytes), seen, every=300)
    numbers = np.random.default_rng(1).integers(ring.oldest, ring.head, (6, 4))
    found = ring.obs[ring.slots(numbers)]
    assert np.array_equal(found, np.array(seen)[numbers])
    assert ring.obs[ring.slots(np.zeros((0, 4), int))].shape == (0, 4, 5, 7)
    before = zlib.crc32(ring.arena)
    found[:] = 0
    assert zlib.crc32(ring.arena) == before


def saved(ring):
    raw, values = ring.state()
    return {name: array.copy() for name, array in raw.items()}, dict(values)


def restored(budget, shape, state):
    ring = PackedRing(budget, COLUMNS, shape, index_bytes)
    ring.arena[: ring.end] = 0xEE  # what a state does not hold must not matter
    for name, array in ring.restore(state[1]).items():
        array[:] = state[0][name]
    return ring


@pytest.mark.parametrize("kind", ["mixed", "growing"])
def test_a_ring_restored_at_any_step_goes_on_as_the_other(kind):
    shape, budget, seen, ahead = (4, 5), 3600, film(kind, (4, 5), 500), 45
    ring, states, did = PackedRing(budget, COLUMNS, shape, index_bytes), [], []
    states.append(saved(ring))
    for number, frame in enumerate(seen):
        did.append(append(ring, number, frame))
        states.append(saved(ring))
    assert ring.wrapped
    for step in range(0, len(seen) - ahead, 3):
        other = restored(budget, shape, states[step])
        if step:
            check(other, seen[:step])
        for number in range(step, step + ahead):
            assert append(other, number, seen[number]) == did[number]
        check(other, seen[: step + ahead])
        assert saved(other)[1] | {"table": 0} == states[step + ahead][1] | {"table": 0}


def fixed(extra):
    return padded([("number", np.int64, ()), ("sum", np.int64, ()), ("rest", np.uint8, (extra,))])


def kept(ring, row, capacity):
    """How many of the newest rows can be rewritten: written from the front, none overtakes what is still to be read."""
    length = ring.rows["length"][ring.slots(np.arange(ring.oldest, ring.head))].astype(int)
    place = ring.end - np.append(length[::-1].cumsum()[::-1], 0)
    for first in range(max(0, ring.size - capacity), ring.size + 1):
        count = np.arange(first, ring.size + 1)
        if ((count - first) * row.itemsize <= place[first:]).all():
            return ring.size - first
    raise AssertionError


def unpack(ring, seen, row, chunk):
    """Unpack the ring; the rows kept are the newest, in order, and converted from what was given."""
    shown, head = [], ring.head

    def convert(heads, pictures):
        assert 0 < len(heads) <= chunk
        assert pictures.shape == (len(heads), *ring.frame)
        shown.extend(heads["number"].tolist())
        assert np.array_equal(pictures, np.array(seen)[heads["number"]])
        new = np.zeros(len(heads), row)
        new["number"], new["sum"], new["rest"] = heads["number"], pictures.sum((1, 2)), 5
        return new

    size, arena = ring.size, ring.arena
    wanted = kept(ring, row, fit_rows(arena.nbytes, row.itemsize, index_bytes))
    found, dropped = ring.transcode(row, index_bytes, convert, chunk)
    numbers = list(range(head - size + dropped, head))
    assert shown == numbers
    assert found.arena is arena
    assert (found.size, found.head, found.oldest) == (len(numbers), len(numbers), 0)
    rows = found.rows[: found.size]
    assert rows["number"].tolist() == numbers
    assert rows["sum"].tolist() == [int(seen[number].sum()) for number in numbers]
    assert (rows["rest"] == 5).all()
    return size, dropped, wanted, found


@pytest.mark.parametrize(("kind", "budget"), [("mixed", 6000), ("growing", 6900), ("noise", 6000), ("still", 5000)])
@pytest.mark.parametrize("extra", [0, 40, 150])
def test_unpacking_at_any_fill_keeps_the_newest_rows_that_fit(kind, budget, extra):
    shape, row = (6, 8), fixed(extra)
    seen, ring = film(kind, shape, 420), PackedRing(budget, COLUMNS, shape, index_bytes)
    assert unpack(restored(budget, shape, saved(ring)), seen, row, 7)[:2] == (0, 0)
    for number, frame in enumerate(seen):
        append(ring, number, frame)
        if number % 3 == 0 or number < 40:
            size, dropped, wanted, found = unpack(restored(budget, shape, saved(ring)), seen, row, 7)
            assert size - dropped == wanted, number
            assert dropped == 0 or size > found.capacity or kind != "noise"
    assert ring.wrapped


def test_unpacking_where_laps_end_within_a_group():
    """As many rows as there is room for begin in the last group of the lap before."""
    shape, row, budget = (20, 20), fixed(300), 61_250
    rng, seen, ring = np.random.default_rng(0), [], PackedRing(budget, COLUMNS, shape, index_bytes)
    for number in range(800):
        frame = np.full(400, 3, np.uint8)
        frame[rng.integers(0, 400, 60)] = rng.integers(0, 256, 60)
        seen.append(frame.reshape(shape))
        append(ring, number, seen[-1])
        if number >= 600:
            size, dropped, wanted, _ = unpack(restored(budget, shape, saved(ring)), seen, row, 32)
            assert size - dropped == wanted, number
