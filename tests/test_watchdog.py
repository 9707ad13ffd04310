"""Memory as the system counts it: blocks that are really taken, in this process and in a child."""

import gc
import json
import mmap
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from waiting import until

from memory_budget import Watchdog, rss_bytes, tree_bytes
from memory_budget.malloc import trim
from memory_budget.peak import PeakMeter

ROOT = Path(__file__).parents[1]
MB = 10**6
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back on request")


@pytest.fixture(autouse=True)
def _heap_given_back():
    """Give back what earlier tests left free in the heap: it would take these tests' blocks in unseen."""
    trim()


def take(count):
    """A block of `count` bytes, every page of it touched; a mapping of its own, so that malloc cannot hide it."""
    block = np.frombuffer(mmap.mmap(-1, count), np.uint8)
    block[:] = 1
    return block


def room_above(before, count):
    """A limit that is exceeded this many bytes above `before`: the watchdog leaves at a share of its limit."""
    return int((before + count) / Watchdog.LEAVE)


def hold(count):
    """A child process that holds this many bytes until its stdin closes."""
    program = f"import sys; block = b'x' * {count}; print('ready', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline().strip() == b"ready"
    return child


def run(program):
    """What a fresh process prints as JSON: its allocator has seen nothing yet."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_resident_bytes_follow_a_block():
    before = rss_bytes()
    block = take(60 * MB)
    assert 55 * MB < rss_bytes() - before < 80 * MB
    assert tree_bytes() >= rss_bytes() - MB
    del block
    assert rss_bytes() - before < 30 * MB


def test_the_watchdog_notices_a_block_of_this_process():
    before = tree_bytes()
    with Watchdog(room_above(before, 30 * MB), hertz=50) as watchdog:
        time.sleep(0.1)
        assert not watchdog.exceeded
        assert 0 < watchdog.peak < watchdog.limit_bytes
        block = take(watchdog.limit_bytes - before + 30 * MB)
        until(lambda: watchdog.peak >= watchdog.limit_bytes)
        assert watchdog.exceeded
        del block
    assert watchdog.exceeded  # and it stays so


def test_the_watchdog_notices_a_block_of_a_child():
    own, before = rss_bytes(), tree_bytes()
    with Watchdog(room_above(before, 50 * MB), hertz=50) as watchdog:
        time.sleep(0.1)
        assert not watchdog.exceeded
        with hold(60 * MB) as child:
            until(lambda: watchdog.exceeded)
            assert tree_bytes() - before > 60 * MB
            assert rss_bytes() - own < 30 * MB  # none of it is this process's
            child.stdin.close()
        assert tree_bytes() - before < 30 * MB
    assert watchdog.peak - before > 50 * MB


def test_a_clock_that_is_set_does_not_end_the_watch(monkeypatch):
    """psutil then takes this process for another one of the same number and refuses to list its children."""

    refusals = []

    def refused(process, recursive=False):
        refusals.append(process)
        raise psutil.NoSuchProcess(process.pid)

    with Watchdog(None, hertz=100) as watchdog:
        monkeypatch.setattr(psutil.Process, "children", refused)
        until(lambda: len(refusals) >= 3)
        assert watchdog.last > 0


def test_exceeded_flips_at_97_percent_and_not_below():
    """In a process of its own: here freed blocks may be kept for reuse, and what other tests left may move."""
    parts, exceeded = run(
        "import json\n"
        "import numpy as np\n"
        "from memory_budget import Watchdog\n"
        "watchdog, parts, exceeded = Watchdog(None), [], []\n"
        "def look():\n"
        "    parts.append(watchdog.check() / watchdog.limit_bytes)\n"
        "    exceeded.append(watchdog.exceeded)\n"
        "watchdog.limit_bytes = int((watchdog.check() + 10_000_000) / 0.97)\n"
        "look()\n"
        "block = np.ones(20_000_000, np.uint8)\n"
        "look()\n"
        "del block\n"
        "look()\n"
        "print(json.dumps([parts, exceeded]))"
    )
    assert Watchdog.LEAVE == 0.97
    below, above, again = parts
    assert below < 0.97 < above < 1.3
    assert again < 0.97
    assert exceeded == [False, True, True]  # and it stays so


def at(part, watchdog):
    """Set the limit so that what is resident now is this part of it."""
    watchdog.limit_bytes = int(watchdog.check() / part)


def test_the_ladder_is_a_warning_then_a_trim_and_each_is_said_once():
    watchdog = Watchdog(None)
    at(0.80, watchdog)
    assert watchdog.relieve() is None
    at(0.88, watchdog)
    assert "88% of the limit" in watchdog.relieve()
    assert watchdog.relieve() is None
    at(0.94, watchdog)
    assert "collected and trimmed" in watchdog.relieve()
    assert watchdog.relieve() is None
    assert not watchdog.exceeded


class Node:
    """Garbage that only a collection frees: two that hold each other, and a block."""

    def __init__(self, count):
        self.block, self.other = take(count), self


@glibc
def test_the_trim_collects_garbage_and_comes_again_after_a_while(monkeypatch):
    watchdog = Watchdog(None)
    monkeypatch.setattr(Watchdog, "TRIM_EVERY", 0.2)
    for _ in range(2):
        gc.disable()
        Node(60 * MB)
        at(0.94, watchdog)
        full = watchdog.last
        watchdog.relieve()
        gc.enable()
        assert full - watchdog.last > 50 * MB
        time.sleep(0.25)


@glibc
def test_what_is_asked_for_is_allowed_below_97_percent_and_after_a_trim():
    watchdog = Watchdog(None)
    assert watchdog.allows(10**15)
    resident = watchdog.check()
    watchdog.limit_bytes = int((resident + 50 * MB) / 0.97)
    assert watchdog.allows(30 * MB)
    assert not watchdog.allows(80 * MB)
    gc.disable()
    Node(40 * MB)
    assert watchdog.check() + 30 * MB > 0.97 * watchdog.limit_bytes
    assert watchdog.allows(30 * MB)
    gc.enable()
    assert not watchdog.exceeded


def test_without_a_limit_only_the_peak_is_kept():
    with Watchdog(None, hertz=50) as watchdog:
        start = watchdog.peak
        block = take(60 * MB)
        until(lambda: watchdog.peak - start > 55 * MB)
        del block
        assert watchdog.check() < watchdog.peak
    assert not watchdog.exceeded


def test_readings_are_also_taken_on_entering_and_on_leaving():
    with Watchdog(None, hertz=0.01) as watchdog:
        start = watchdog.peak
        assert start > 0
        block = take(60 * MB)
    assert watchdog.peak - start > 55 * MB
    assert block.nbytes == 60 * MB


def test_the_peak_meter_sees_a_block_that_is_gone():
    meter = PeakMeter()
    if meter.extra_bytes() is None:
        pytest.skip("this kernel does not tell the highest resident memory")
    assert meter.extra_bytes() < 10 * MB
    block = take(40 * MB)
    del block
    assert 36 * MB < meter.extra_bytes() < 60 * MB
    assert PeakMeter().extra_bytes() < 10 * MB  # a new meter starts anew


@glibc
def test_trim_gives_freed_heap_pages_back():
    held, given_back = run(
        "import json\n"
        "from memory_budget import rss_bytes\n"
        "from memory_budget.malloc import trim\n"
        "blocks, start = [], rss_bytes()\n"
        "for _ in range(40_000): blocks.append(bytes(1000))\n"
        "last = bytes(1000)\n"  # lies above the others, so that the heap cannot shrink by itself
        "blocks = None\n"
        "held = rss_bytes()\n"
        "trim()\n"
        "print(json.dumps([held - start, held - rss_bytes()]))"
    )
    assert held > 30 * MB, "the heap kept nothing: this test proves nothing here"
    assert given_back > 30 * MB


@glibc
def test_returning_blocks_gives_each_block_back_as_it_is_freed():
    outside, inside = run(
        "import json\n"
        "import numpy as np\n"
        "from memory_budget import rss_bytes\n"
        "from memory_budget.malloc import keep_blocks, returning_blocks\n"
        "large = np.ones(16_000_000, np.uint8); del large\n"  # glibc now keeps blocks of up to 16 MB
        "def freed():\n"
        "    blocks = [np.ones(1_000_000, np.uint8) for _ in range(40)]\n"
        "    last, full = b'x' * 200_000, rss_bytes()\n"
        "    del blocks\n"
        "    return full - rss_bytes()\n"
        "with returning_blocks(above=256 * 1024): inside = freed()\n"
        "keep_blocks(32 * 2**20)\n"
        "outside = freed()\n"
        "print(json.dumps([outside, inside]))"
    )
    assert inside > 36 * MB
    assert outside < 20 * MB, "blocks left by themselves: this test proves nothing here"


@glibc
def test_leaving_returning_blocks_gives_small_blocks_back_too():
    left = run(
        "import json\n"
        "from memory_budget import rss_bytes\n"
        "from memory_budget.malloc import returning_blocks\n"
        "start = rss_bytes()\n"
        "with returning_blocks(above=256 * 1024):\n"
        "    blocks = [bytes(1000) for _ in range(40_000)]\n"
        "    last = bytes(1000)\n"
        "    del blocks\n"
        "print(json.dumps(rss_bytes() - start))"
    )
    assert left < 10 * MB
