"""The exact command that repeats a run."""

import shlex

from edgerl.config.arguments import arguments
from edgerl.config.settings import Config


def command(config: Config) -> str:
    """`edgerl train ...` for exactly this configuration, whatever the machine's number of cores is."""
    return shlex.join(["edgerl", "train", *arguments(config)])
