"""A run's policy as one ONNX file: windows in, actions out. It is written only if it acts as the program does."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.exported import Exported
from edgerl.envs.base import EnvSpec, interface
from edgerl.envs.door import Door
from edgerl.errors import ConfigError
from edgerl.experiments.export.metadata import metadata
from edgerl.experiments.export.parity import Comparison, Parity
from edgerl.experiments.export.windows import show_windows
from edgerl.replay import representation
from edgerl.replay.stem import stem_file
from edgerl.replay.stem_graph import WINDOW_MEANING, acting_operations
from edgerl.runs.files import check_output, write_pieces
from edgerl.training.build import make_env
from edgerl.training.policy import Policy
from edgerl.training.state import freeze_report_of
from edgerl.types import Array
from runtime import Session, model_file
from runtime.policy import Bounds, NamedGraph, Output, pieces

WINDOWS = 1000  # of play, that the exported policy is compared with the program's on


@dataclass(frozen=True)
class Written:
    """An exported policy: the run's environment, algorithm and step, the bytes of the file, and its parity."""

    env: str
    algo: str
    step: int
    nbytes: int
    parity: Parity
    passed: list[str]  # a line for everything that was passed over, such as a damaged newer checkpoint


@dataclass(frozen=True)
class Compared:
    """A policy that acts as the program does, ready to be written: as an ONNX graph, run by `session`.

    `env`: to play its games in; `bounds`: of actions that are vectors, None if they are whole numbers.
    """

    policy: Policy
    env: Door
    graph: NamedGraph
    session: Session
    bounds: tuple[Array, Array] | None
    parity: Parity

    def metadata(self, int8: dict[str, Any] | None = None) -> dict[str, str]:
        """What the file says of itself; `int8`: as in `metadata`."""
        return metadata(self.policy, self.env, self.bounds, self.parity, int8)

    def written(self, nbytes: int) -> Written:
        """The policy once it is in a file of so many bytes."""
        run = self.policy.config.run
        return Written(run.env, run.algo, self.policy.step, nbytes, self.parity, self.policy.passed)


def export(folder: Path, out: Path, *, force: bool = False) -> Written:
    """Write the policy of a run's newest whole checkpoint to `out`, whole or not at all.

    What the file says of itself is made in `metadata`. `force`: also over a file that is there. Raises ConfigError,
    CheckpointError or EnvError, in one line, for what the user must change, and ExportError if the policy acts
    otherwise than the program: nothing is written then.
    """
    check(out, force=force)
    with comparing(folder) as compared:
        return compared.written(write(out, pieces(compared.graph, compared.metadata())))


@contextmanager
def comparing(folder: Path) -> Iterator[Compared]:
    """The policy of a run's newest whole checkpoint as a graph, compared with the program's; raises as `export`."""
    policy = Policy(folder)
    with closing(make_env(policy.config, np.random.default_rng(policy.config.run.seed), training=False)) as env:
        yield _compared(folder, policy, env)


def _compared(folder: Path, policy: Policy, env: Door) -> Compared:
    bounds = _bounds(policy.spec, interface(env).bounds)
    exported = policy.agent.exported()
    graph = _graph(folder, policy, exported, bounds)
    try:
        session = Session(b"".join(pieces(graph)))
    except KeyError as error:
        raise policy.saved.of_another_run(error) from None
    comparison = Comparison(policy, exported, session, bounds)
    show_windows(policy, env, WINDOWS, comparison.act)
    parity = comparison.parity
    parity.check()
    return Compared(policy, env, graph, session, bounds, parity)


def write(out: Path, written: Iterable[bytes | memoryview]) -> int:
    """Write a file from its pieces, whole or not at all; returns its bytes. Raises ConfigError if that cannot be."""
    try:
        write_pieces(out.resolve(), written)
    except OSError as error:
        raise ConfigError(f"--out: {out} cannot be written: {error.strerror}") from None
    return out.stat().st_size


def check(out: Path, *, force: bool) -> None:
    """Raise ConfigError if a policy may not be written to `out`; creates nothing."""
    check_output("--out", out)
    if out.exists() and not force:
        raise ConfigError(f"--out: {out} exists; name another file, or give --force to write over it")


def _bounds(spec: EnvSpec, own: tuple[Array, Array] | None) -> tuple[Array, Array] | None:
    """What actions in [-1, 1] are scaled to: the environment's bounds, or as they are if it scales none.

    None if actions are whole numbers.
    """
    if not spec.continuous:
        return None
    return own or (np.full(spec.actions, -1.0), np.full(spec.actions, 1.0))


def _graph(folder: Path, policy: Policy, exported: Exported, bounds: tuple[Array, Array] | None) -> NamedGraph:
    """The whole policy, from windows as encoders see them. A frozen stem's weights are those in the run's folder."""
    config, report = policy.config, freeze_report_of(policy.saved)
    stem = {} if report is None else model_file.weights(stem_file(folder, report))
    window = representation.pixels(policy.spec, config.replay).shape
    encoder = acting_operations(config.agent.encoder, window, encoders=exported.encoders)
    outputs = dict(exported.outputs)
    if bounds is not None:
        outputs["action"] = _scaled(outputs["action"], bounds)
    run = config.run
    return NamedGraph(
        "policy",
        (*encoder, *exported.operations),
        outputs,
        stem | dict(exported.weights),
        window,
        meaning=f"{run.algo} trained on {run.env} for {policy.step:,} agent steps: how it acts without exploring",
        window_meaning=WINDOW_MEANING,
    )


def _scaled(action: Output, bounds: tuple[Array, Array]) -> Output:
    """The output `action` in the environment's own units."""
    low, high = (tuple(bound.astype(float).tolist()) for bound in bounds)
    return replace(
        action,
        operations=(*action.operations, Bounds(low, high)),
        meaning="the mean action, in the environment's own units, between its bounds",
    )
