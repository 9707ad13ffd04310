"""A quick check that learning works: toy/catch over five seeds, with the freeze and without. About four minutes."""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

import edgerl


def scores(freeze_at: int | str, seeds: range) -> list[list[float]]:
    """The mean score of every evaluation, a list for every seed."""
    table = []
    for seed in seeds:
        settings = {"env": "toy/catch", "budget": 10_000_000, "seed": seed, "threads": 2}
        config = edgerl.configure(**settings, freeze_at=freeze_at, eval_every=500, checkpoint_every=0)
        with tempfile.TemporaryDirectory() as folder:
            summary = edgerl.train(config, Path(folder, "run"))
        table.append([entry["mean"] for entry in summary["returns"]])
        print(".", end="", flush=True, file=sys.stderr)
    return table


def main() -> None:
    """Print one table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    seeds = range(5)
    print("toy/catch, mean score of 30 games (-1 to 1) every 500 steps; mean and lowest of 5 seeds")
    for name, freeze_at in (("frozen at 1,000", 1000), ("never frozen", "never")):
        table = np.array(scores(freeze_at, seeds))
        cells = [f"{mean:5.2f} ({low:5.2f})" for mean, low in zip(table.mean(axis=0), table.min(axis=0), strict=True)]
        print(f"{name:16}", *cells)


if __name__ == "__main__":
    main()
