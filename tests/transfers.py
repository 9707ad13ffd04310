"""Tiny runs to begin others with."""

from edgerl import configure
from edgerl.training import train

TINY = {"budget": 1_500_000, "threads": 1, "steps": 12, "learn_start": 6, "batch_size": 2, "hidden": 8}
TINY |= {"eval_every": 0, "checkpoint_every": 0}
SOURCES = {  # a run to begin with, and what it is frozen at
    "whole": {"freeze_at": "never"},
    "frozen": {"freeze_at": 8},
    "frozen early": {"freeze_at": 8, "cut": "conv1"},
    "dqn": {"algo": "dqn", "freeze_at": "never"},
    "larger": {"encoder": "canonical", "freeze_at": "never"},
}


def tiny(env="toy/catch", **changes):
    return configure(env=env, **(TINY | {"freeze_at": "never"} | changes))


def trained(folder):
    """Folders of finished runs to begin with, by name."""
    folders = {name: folder / name.replace(" ", "-") for name in SOURCES}
    for name, folder in folders.items():
        train.train(tiny(**SOURCES[name]), folder, quiet=True)
    return folders
