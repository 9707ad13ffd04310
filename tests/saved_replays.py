"""A replay that is saved now and then, beside full copies of it, for several tests."""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edgerl.errors import CheckpointError
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Latents, Stem
from edgerl.replay.representation import Pixels
from edgerl.runs import checkpoint, segments
from edgerl.runs.checkpoint import Contents, newest
from edgerl.runs.saver import Saver

FRAME, LATENT = (12, 12), (6,)
CODECS = ("raw", "lz4")


def build(codec, *, frozen=False, budget=100_000):
    """An empty replay, of latents if it is frozen."""
    pixels, rng = Pixels(FRAME, 2, codec=codec), np.random.default_rng(0)
    replay = Replay(budget, pixels, np.dtype(np.uint8), n_step=1, gamma=0.9, omega=0.5, rng=rng)
    if frozen:
        freeze(replay)
    return replay


def freeze(replay):
    def encode(windows):
        return windows.reshape(len(windows), -1)[:, : LATENT[0]].astype(np.float32)

    pixels = replay.representation
    replay.transcode(Latents(Stem(encode, LATENT, pixels, rng=replay.sampler.rng)))


def append(replay, rows, rng):
    """Rows whose frames compress well and badly in turn."""
    for number in range(rows):
        frozen = replay.representation.stores == "latents"
        stored = rng.random(LATENT, np.float32) if frozen else np.zeros(FRAME, np.uint8)
        if not frozen:
            stored[: rng.integers(1, 13)] = rng.integers(0, 256, (1, 12))
        replay.append(stored, number % 3, float(number), terminated=rng.random() < 0.02)
    numbers = rng.integers(replay.ring.oldest, replay.ring.head, 4)
    replay.prioritize(numbers, rng.random(4).astype(np.float32) + 0.1)


def contents(replay):
    raw, values = replay.state()
    beside = {name: array for name, array in raw.items() if name != replay.spans[0].name}
    return Contents({"weights": np.arange(3.0)}, {"replay": values}, beside, replay.spans)


def copied(replay):
    """A full copy of all that a replay holds."""
    raw, values = replay.state()
    return {name: array.tobytes() for name, array in raw.items()} | {"values": repr(values)}


@dataclass
class Run:
    """A replay that is saved now and then. `copies`: by step, what was saved there, in full."""

    folder: Path
    codec: str
    replay: Replay
    saver: Saver
    step: int = 0
    frozen: bool = False
    copies: dict = field(default_factory=dict)
    budget: int = 100_000

    def save(self, *, replace=False):
        self.step += not replace
        self.copies.setdefault(self.step, []).append((self.frozen, copied(self.replay)))
        self.saver.begin(self.step, contents(self.replay), lambda: None, replace=replace)
        self.saver.end()

    def resume(self, folder):
        """Another process's run, from what lies in `folder`."""
        saved = newest(folder)
        frozen = self.read(saved)
        replay = build(self.codec, frozen=frozen)
        replay.restore(saved.values["replay"], saved.read_raw)
        saver = Saver(folder)
        saver.go_on_from(saved, replay.spans)
        return Run(folder, self.codec, replay, saver, saved.values["step"], frozen, {**self.copies})

    def read(self, saved):
        """The copy that a checkpoint equals; fails if it equals none of its step."""
        for frozen, copy in self.copies[saved.values["step"]]:
            replay = build(self.codec, frozen=frozen, budget=self.budget)
            with contextlib.suppress(KeyError, CheckpointError):  # it is of the other side of the freeze
                replay.restore(saved.values["replay"], saved.read_raw)
                if copied(replay) == copy:
                    return frozen
        pytest.fail(f"{saved.place} is none of what was saved at that step")


def named_by(place):
    """The files of segments that a checkpoint's manifest names."""
    layouts = segments.layouts(json.loads((place / "state.json").read_text()))
    return {piece.sha256 for layout in layouts.values() for piece in layout.pieces}


def nothing_stray(folder):
    named = set().union(*(named_by(place) for place in checkpoint.places(folder)))
    assert {file.name for file in (folder / "segments").iterdir()} == named
    assert {file.name for file in folder.iterdir()} == {place.name for place in checkpoint.places(folder)} | {
        "segments"
    }


def full(folder, codec):
    """A run whose replay is full, and saved."""
    run = Run(folder, codec, build(codec), Saver(folder))
    while not run.replay.ring.wrapped:
        append(run.replay, 100, np.random.default_rng(run.replay.ring.head))
    run.save()
    return run
