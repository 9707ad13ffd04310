"""What checkpoints write, and for how long training stops, at a full replay of 0.07 GB.

Rainbow's agent on Qbert. Its replay holds float32 latents behind the freeze, or lz4 frames before it (a picture of
noise with a moving square, about as long as Qbert's frames). It is filled, saved whole, and saved again after so many
new rows, with all priorities and weights changed. Files are written to --folder, which should lie on the disk that is
asked about.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgerl import configure
from edgerl.agents.build import make_agent
from edgerl.config.settings import Config
from edgerl.envs import suites
from edgerl.envs.base import EnvSpec
from edgerl.planning.plan import make_plan
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Latents, Stem
from edgerl.runs.checkpoint import Contents
from edgerl.runs.saver import Saver
from edgerl.training.build import make_replay

ROWS = (1_000, 1_000, 1_000, 10_000)  # between checkpoints
STORES = {"float32 latents": {"freeze_at": 0}, "lz4 frames": {"freeze_at": "never", "pixel_codec": "lz4"}}


class Written(NamedTuple):
    """One checkpoint: after how many new rows; bytes written; seconds training stopped, and until it was durable."""

    rows: int
    nbytes: int
    stopped: float
    durable: float


def full_replay(config: Config, spec: EnvSpec) -> Replay:
    """The run's replay as it is in the phase that is asked about, wrapped."""
    planned, rng = make_plan(config, spec), np.random.default_rng(0)
    pixels = representation.pixels(spec, config.replay)
    replay = make_replay(config, spec, planned.budget, pixels, rng)
    if config.run.freeze_at == 0:
        replay.transcode(Latents(Stem(np.asarray, (576,), pixels, rng=rng), "float32"))
    append(replay, 1_000)
    while not replay.ring.wrapped:
        append(replay, 1_000)
    return replay


def append(replay: Replay, rows: int) -> None:
    """So many new rows, in episodes of 500."""
    rng = np.random.default_rng(replay.ring.head)
    still = np.random.default_rng(0).integers(0, 256, (84, 84), np.uint8)
    for row in range(rows):
        stored = rng.random(576, np.float32)
        if replay.representation.stores == "pixels":
            stored = still.copy()
            top, left = rng.integers(64, size=2)
            stored[top : top + 20, left : left + 20] = rng.integers(0, 256, (20, 20), np.uint8)
        replay.append(stored, 1, 0.5, terminated=row % 500 == 499)


def saves(config: Config, folder: Path) -> list[Written]:
    """The first checkpoint of a full replay, and those after it."""
    spec, rng = suites.describe(config.run.env), np.random.default_rng(0)
    window = representation.pixels(spec, config.replay).shape
    cut = config.agent.cut if config.run.freeze_at == 0 else None
    agent, replay = make_agent(config, window, spec.actions, rng, cut=cut), full_replay(config, spec)
    saver, written = Saver(folder), []
    for number, rows in enumerate((0, *ROWS)):
        append(replay, rows)
        arrays = agent.state()[0]
        for array in arrays.values():
            array += 1
        replay.sampler.priorities()[: replay.ring.extent] += rng.random()
        written.append(save(saver, number, lambda arrays=arrays: contents(arrays, replay))._replace(rows=rows))
    return written


def contents(arrays: dict[str, np.ndarray], replay: Replay) -> Contents:
    """What the training loop saves, but for the environment."""
    raw, values = replay.state()
    spans = replay.spans
    held = {span.name for span in spans}
    return Contents(arrays, {"replay": values}, {n: array for n, array in raw.items() if n not in held}, spans)


def save(saver: Saver, step: int, collect: Callable[[], Contents]) -> Written:
    """One checkpoint, as a run begins it and ends it."""
    began = time.perf_counter()
    nbytes = saver.begin(step, collect(), lambda: None)
    stopped = time.perf_counter() - began
    saver.end()
    durable = time.perf_counter() - began
    manifest = saver.folder / f"{step:09d}" / "state.json"
    return Written(0, nbytes + manifest.stat().st_size, stopped, durable)


def main() -> None:
    """Print a table for every store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="default: a temporary folder")
    folder = parser.parse_args().folder
    for name, settings in STORES.items():
        with tempfile.TemporaryDirectory(dir=folder) as place:
            config = configure(env="atari/qbert", budget="0.07GB", threads=1, **settings)
            print(f"{name:20}{'MB written':>12}{'ms stopped':>12}{'ms until durable':>18}")
            for written in saves(config, Path(place, "checkpoint")):
                rows = f"{written.rows:,} new rows" if written.rows else "the whole replay"
                times = f"{1e3 * written.stopped:12.1f}{1e3 * written.durable:18.1f}"
                print(f"  {rows:18}{written.nbytes / 1e6:12.2f}{times}")


if __name__ == "__main__":
    main()
