"""A trained agent, ready to act: what `edgerl eval` plays with and `edgerl.load` returns."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.build import make_agent
from edgerl.agents.layers.arrays import to_numpy
from edgerl.config.toml import load
from edgerl.envs import suites
from edgerl.replay import representation
from edgerl.replay.representation import Representation
from edgerl.replay.stem import frozen
from edgerl.runs import checkpoint
from edgerl.runs.checkpoint import Saved
from edgerl.training.state import freeze_report_of
from edgerl.types import Array


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
        saved = checkpoint.newest(folder / "checkpoint")
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
                self.agent.load(saved.agent_arrays, saved.values["agent"], to_act=True)
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

    def act(self, windows: Array) -> Any:
        """The greedy action for a window, uint8 [history, *frame], newest frame last: a number, or a vector [A].

        For windows [N, history, *frame]: numbers [N], or vectors [N, A]. Raises ValueError for other shapes.
        """
        windows = self._checked(windows)
        if self._is_one(windows):
            return self.agent.act(self.representation.see(windows), explore=False)
        return self.agent.exported().own(self.representation.see_all(windows))["action"]

    def values(self, windows: Array) -> Array:
        """The mean return that acting promises, float32; windows and errors as of `act`.

        Of every action, [actions] or [N, actions]; where actions are vectors of the mean action, [] or [N].
        """
        return self._of_all(windows, lambda all_: self.agent.promised(self.representation.see_all(all_)))

    def latents(self, windows: Array) -> Array:
        """The latents at the cut, float32 [*shape] or [N, *shape]: of the frozen encoder, before a freeze of today's.

        Windows and errors as of `act`.
        """
        if self.frozen_at is not None:
            return self._of_all(windows, lambda all_: to_numpy(self.representation.see_all(all_)))
        stem = self.agent.stem(self.config.agent.cut)
        return self._of_all(windows, lambda all_: stem.latents(self.representation.see_all(all_)))

    def _checked(self, windows: Array) -> Array:
        """The windows as an array; raises ValueError for what are none."""
        windows, expected = np.asarray(windows), (self.spec.history, *self.spec.frame)
        if windows.dtype != np.uint8 or windows.shape[-len(expected) :] != expected or windows.ndim > 1 + len(expected):
            raise ValueError(
                f"an observation is uint8 {list(expected)}, or more of them [N, ...], "
                f"not {windows.dtype} {list(windows.shape)}"
            )
        return windows

    def _is_one(self, windows: Array) -> bool:
        return windows.ndim == 1 + len(self.spec.frame)

    def _of_all(self, windows: Array, function: Callable[[Array], Array]) -> Array:
        """What a function of windows [N, ...] makes of one window or of more."""
        windows = self._checked(windows)
        outputs: Array = function(windows[None])[0] if self._is_one(windows) else function(windows)
        return outputs
