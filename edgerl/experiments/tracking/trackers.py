"""`edgerl train --track`: what a run logs goes to an experiment tracker too, each a few lines over `Listeners`.

A tracker is begun at the first metrics, and a resumed run goes on in it: its id is kept in the run's folder.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from edgerl.config.settings import Config
from edgerl.errors import ConfigError
from edgerl.output.listeners import Listeners
from edgerl.output.messages import warn
from edgerl.runs.files import write_whole

FILE = "tracker.json"  # in a run's folder: the id that a tracker gave the run, by the tracker's name
PROJECT = "edgerl"


class Tracker(Protocol):
    """A run in a tracker. `id`: what it goes on by."""

    id: str

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class WandbRun:
    """A run of Weights & Biases. Its own variables choose the server, or none at all (WANDB_MODE=offline)."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], known: str | None) -> None:
        import wandb

        self._run = wandb.init(
            project=PROJECT, name=folder.name, dir=str(folder), config=dict(settings), id=known, resume="allow"
        )
        self.id: str = self._run.id

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class MlflowRun:
    """A run of MLflow. Its own variables choose the store (MLFLOW_TRACKING_URI)."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], known: str | None) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()
        if known is None:
            experiment = self._client.get_experiment_by_name(PROJECT)
            place = experiment.experiment_id if experiment else self._client.create_experiment(PROJECT)
            known = self._client.create_run(place, run_name=folder.name).info.run_id
            for name, value in settings.items():
                self._client.log_param(known, name, value)
        else:
            self._client.set_terminated(known, "RUNNING")
        self.id: str = known

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self.id, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self.id)


TRACKERS: dict[str, Callable[[Path, Mapping[str, Any], str | None], Tracker]] = {
    "wandb": WandbRun,
    "mlflow": MlflowRun,
}


@contextmanager
def tracking(name: str, config: Config, folder: Path) -> Iterator[Listeners]:
    """Listeners that log a run of this folder in the tracker of this name, until the end of the block.

    Raises ConfigError if there is no such tracker, or it is not installed.
    """
    if name not in TRACKERS:
        raise ConfigError(f"--track: {name!r} is neither {' nor '.join(TRACKERS)}")
    if find_spec(name) is None:
        raise ConfigError(f"--track: {name} is not installed; pip install 'edgerl[{name}]'")
    begun: list[Tracker | None] = []  # None: it could not be begun, which the user has been told

    def log(step: int, values: Mapping[str, float]) -> None:
        if not begun:
            begun.append(None)
            begun[0] = _begin(name, config, folder)
        if begun[0] is not None:
            begun[0].log(step, values)

    try:
        yield Listeners(on_metrics=log)
    finally:
        for tracker in filter(None, begun):
            try:
                tracker.close()
            except Exception as error:  # a server that is gone: the run itself has ended in order
                warn(f"--track: {name} could not be closed: {error}")


def _begin(name: str, config: Config, folder: Path) -> Tracker:
    """Begin a run in a tracker, or go on with the one that the folder names."""
    settings = {f"{table}.{key}": value for table, part in asdict(config).items() for key, value in part.items()}
    try:
        ids = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        ids = {}
    tracker = TRACKERS[name](folder, settings, ids.get(name))
    write_whole(folder / FILE, json.dumps(ids | {name: tracker.id}).encode())
    return tracker
