"""What several tests need: a small configuration, and the command line in its own process."""

import os
import subprocess
import sys

import pytest

from edgerl import config


@pytest.fixture
def small():
    """Build a Config of toy/catch with changes by table: small(run={"steps": 300})."""

    def build(env="toy/catch", **changes):
        tables = config.preset(env)
        tables["run"] |= {"env": env, "budget": 3_000_000, "seed": 0, "threads": 1, "steps": 400, "freeze_at": 300}
        tables["run"] |= {"eval_every": 0, "checkpoint_every": 0}
        for name, table in changes.items():
            tables[name] |= table
        return config.build(tables)

    return build


@pytest.fixture
def edgerl():
    """Run `edgerl ARGS` as a user does; returns the finished process with its text."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "edgerl.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "120"}, **options)

    return run
