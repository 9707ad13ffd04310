"""What a program that calls `edgerl.train` is told as the run goes on: metrics, episodes, checkpoints."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgerl.errors import StopTraining
from edgerl.output.messages import warn

OnMetrics = Callable[[int, Mapping[str, float]], object]
OnEpisode = Callable[[int, float], object]
OnCheckpoint = Callable[[int, Path], object]


@dataclass
class Listeners:
    """Plain callables, each told the agent step first; None: not wanted.

    `on_metrics`: the metrics written at a step, by name (docs/metrics.md); `on_episode`: the score of a training
    episode that has ended; `on_checkpoint`: the folder of a checkpoint that is on the disk. A listener that raises
    StopTraining ends the run in order, after the step under way. What else it raises is told once, and ends nothing.
    `stop`: set to what is to be called then.
    """

    on_metrics: OnMetrics | None = None
    on_episode: OnEpisode | None = None
    on_checkpoint: OnCheckpoint | None = None
    stop: Callable[[], None] = field(default=lambda: None, repr=False)
    _failed: set[str] = field(default_factory=set, repr=False)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Tell of metrics, and of the episode that they end, if they do."""
        self._tell("on_metrics", step, dict(values))
        if (score := values.get("train/score")) is not None:
            self._tell("on_episode", step, score)

    def checkpoint(self, step: int, folder: Path) -> None:
        """Tell of a checkpoint."""
        self._tell("on_checkpoint", step, folder)

    def _tell(self, name: str, step: int, what: Any) -> None:
        listener = getattr(self, name)
        if listener is None:
            return
        try:
            listener(step, what)
        except StopTraining:
            self.stop()
        except Exception as error:  # a listener may raise anything
            if name not in self._failed:
                self._failed.add(name)
                warn(f"step {step:,}: {name} failed: {type(error).__name__}: {error}; going on")
