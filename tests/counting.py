"""Arrays of NumPy that count what the library is asked for, and what products multiply."""

import contextlib
from collections import Counter
from typing import ClassVar

import numpy as np

from edgerl.agents import build, optimizer
from edgerl.agents.encoder.convolutions import Convolutions
from edgerl.agents.layers.arrays import Engine

MAKERS = ("empty", "zeros", "ascontiguousarray", "asarray")


class Counted(np.ndarray):
    """An array whose functions, operators and products are counted, as are those of all that they return.

    `calls`: by name; views are not counted. `multiplied`: how often matrices [m, n] and [n, k] were, by (m, n, k).
    """

    calls: ClassVar[Counter] = Counter()
    multiplied: ClassVar[Counter] = Counter()

    def __array_ufunc__(self, function, method, *inputs, out=None, **options):
        Counted.calls[function.__name__] += 1
        if function is np.matmul:
            _note(*inputs)
        found = getattr(function, method)(
            *map(plain, inputs), **options, **({} if out is None else {"out": plain(out)})
        )
        return counted(found) if out is None else out[0]

    def __array_function__(self, function, types, args, options):
        Counted.calls[function.__name__] += 1
        return counted(function(*plain(args), **plain(options)))

    def dot(self, other, out=None):
        Counted.calls["dot"] += 1
        _note(self, other)
        found = np.dot(plain(self), plain(other), out=plain(out))
        return counted(found) if out is None else out


def _note(left, right):
    if left.ndim == 2 and right.ndim == 2:
        Counted.multiplied[(*left.shape, right.shape[1])] += 1


def plain(array):
    """Arrays, and those in tuples, lists and mappings, as NumPy's own."""
    if isinstance(array, Counted):
        return array.view(np.ndarray)
    if isinstance(array, tuple | list):
        return type(array)(map(plain, array))
    if isinstance(array, dict):
        return {name: plain(each) for name, each in array.items()}
    return array


def counted(array):
    """Arrays, and those in tuples and lists, as counted ones."""
    if isinstance(array, np.ndarray):
        return array.view(Counted)
    if hasattr(array, "_fields"):
        return type(array)(*map(counted, array))
    return type(array)(map(counted, array)) if isinstance(array, tuple | list) else array


def engine(threads):
    """The engine NumPy with counted arrays; every pass over the weights is one call, however many there are."""
    made = Engine("numpy", counted, Convolutions, lambda layers: made)
    return made


def count_numpy(monkeypatch):
    """Have agents be made on that engine."""
    monkeypatch.setattr(build, "numpy_engine", engine)
    monkeypatch.setattr(optimizer, "CHUNK", 10**7)


@contextlib.contextmanager
def counting():
    """Count within; gives `Counted`."""

    def maker(function):
        def make(*args, **options):
            Counted.calls[function.__name__] += 1
            return counted(function(*plain(args), **options))

        return make

    Counted.calls.clear()
    Counted.multiplied.clear()
    own = {name: getattr(np, name) for name in MAKERS}
    try:
        for name, function in own.items():
            setattr(np, name, maker(function))
        yield Counted
    finally:
        for name, function in own.items():
            setattr(np, name, function)
