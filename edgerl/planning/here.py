"""This machine as a device profile, measured in a moment: enough to say how long a run will take here."""

import time
from collections.abc import Callable

import numpy as np
import psutil

from device_profiles import Cluster, DeviceProfile, Number
from memory_budget.malloc import trim

SIDE = 384  # of the square matrices that are multiplied: as large as an update's
COPIED = 4 * 2**20  # bytes
ROUNDS = 5  # the best of so many
SOURCE, KIND = "timed as a run began", "measured"


def this_machine(threads: int) -> DeviceProfile | None:
    """What this machine multiplies and copies now, with the threads that BLAS has; None if its clock is not known.

    It takes about 10 ms on a workstation, and some tenths of a second on a board.
    """
    frequency = psutil.cpu_freq()
    megahertz = 0.0 if frequency is None else frequency.max or frequency.current
    if not megahertz:
        return None
    multiplied, copied = _speeds()
    trim()
    return DeviceProfile(
        name="here",
        reference="here",
        title="this machine",
        platform="linux",
        clusters=(Cluster("unknown", threads, megahertz / 1000, None, SOURCE, KIND),),
        threads=threads,
        cpu_peak=Number(multiplied, "GFLOP/s", SOURCE, KIND),
        copy=Number(copied, "GB/s", SOURCE, KIND),
    )


def _speeds() -> tuple[float, float]:
    """GFLOP/s of a product of matrices, GB/s copied."""
    left, right, product = (np.ones((SIDE, SIDE), np.float32) for _ in range(3))
    source, target = np.ones(COPIED, np.uint8), np.ones(COPIED, np.uint8)
    multiplying = _seconds(lambda: np.matmul(left, right, out=product))
    return 2 * SIDE**3 / multiplying / 1e9, COPIED / _seconds(lambda: np.copyto(target, source)) / 1e9


def _seconds(work: Callable[[], object]) -> float:
    """The shortest time of ROUNDS."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
