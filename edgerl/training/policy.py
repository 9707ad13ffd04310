"""A trained agent, ready to act: what `edgerl eval` plays with and `edgerl.load` returns."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgerl import reading
from edgerl.agents.build import make_agent
from edgerl.config.toml import load
from edgerl.envs import suites
from edgerl.errors import CheckpointError
from edgerl.replay import representation
from edgerl.replay.representation import Representation
from edgerl.replay.stem import frozen
from edgerl.runs import checkpoint
from edgerl.runs.checkpoint import Saved
from edgerl.training.state import freeze_report_of
from edgerl.types import Array

MOST_SAVED = 64 * 2**30  # bytes of a file of a checkpoint: as large a replay as a machine holds


def newest(folder: Path) -> Saved:
    """The newest whole checkpoint in a run's checkpoint folder, whoever wrote it; raises CheckpointError if none is.

    What is no regular file is not opened, and no link is followed out of the folder.
    """
    try:
        reading.check_files(folder, MOST_SAVED)
        return checkpoint.newest(folder)
    except CheckpointError:
        raise
    except Exception as error:  # its values may be of any type
        raise CheckpointError(f"{folder} cannot be read: {type(error).__name__}: {error}") from None


@contextmanager
def of_this_run(saved: Saved) -> Iterator[None]:
    """Raise CheckpointError for whatever is wrong within: the checkpoint, whoever wrote it, does not fit its folder."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # its values may be of any type, and its stem any graph
        raise saved.of_another_run(error) from None


class Policy:
    """The agent of a run's newest whole checkpoint. `config`: the run's; `spec`: its environment's.

    `saved`: that checkpoint, without its arrays; `step`: agent steps that it was trained for; `frozen_at`: the step of
    its freeze, None before it; `passed`: a line for every newer checkpoint that is damaged, and for an execution
    provider that is not here or does not agree. Raises ConfigError or CheckpointError.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self.config = load(folder / "config.toml")
        saved = newest(folder / "checkpoint")
        run = self.config.run
        with of_this_run(saved):
            saved.check(self.config.identity)
            report = freeze_report_of(saved)
            self.frozen_at = None if report is None else int(report["step"])
            self.step = int(saved.values["step"])
        self.saved, self.passed = replace(saved, arrays={}), saved.passed
        self.spec = suites.describe(run.env, run.env_options)
        rng = np.random.default_rng(run.seed)
        pixels = representation.pixels(self.spec, self.config.replay)
        cut = None if report is None else self.config.agent.cut
        self.agent = make_agent(self.config, pixels.shape, self.spec.actions, rng, cut=cut, threads=threads)
        with of_this_run(saved):
            if saved.for_training:
                self.agent.adopt(saved.agent_arrays, {}, heads=True)
            else:
                self.agent.load(saved.agent_arrays, saved.values["agent"])
        self.representation: Representation = pixels
        if report is not None:
            most = representation.chunk(self.config.agent.encoder, pixels.shape)
            with of_this_run(saved):
                self.representation = frozen(
                    folder,
                    pixels,
                    rng,
                    report,
                    accelerated=self.agent.frozen_stem,
                    provider=run.ort_provider,
                    chunk=most,
                    say=self.passed.append,
                )

    def act(self, observation: Array) -> Any:
        """The greedy action for one window, uint8 [history, *frame], newest frame last: a number or a vector.

        Raises ValueError for windows of another shape.
        """
        window = np.asarray(observation)
        expected = (self.spec.history, *self.spec.frame)
        if window.shape != expected or window.dtype != np.uint8:
            raise ValueError(f"an observation is uint8 {list(expected)}, not {window.dtype} {list(window.shape)}")
        return self.agent.act(self.representation.see(window), explore=False)
