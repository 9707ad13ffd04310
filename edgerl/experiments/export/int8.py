"""A run's policy in 8 bits beside the float one: sizes, actions and scores."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.errors import ConfigError
from edgerl.experiments.export.export import Compared, Written, check, comparing, write
from edgerl.experiments.export.windows import show_windows
from edgerl.output.messages import figure
from edgerl.replay import representation
from edgerl.replay.representation import Representation
from edgerl.training.evaluate import Actor, Games, play_with, statistics
from edgerl.types import Array
from runtime import Session
from runtime.int8 import is_possible, quantised
from runtime.model_file import with_metadata
from runtime.policy import pieces

WINDOWS, EVERY = 1280, 5  # of play; one of so many calibrates, the others compare
WITHIN = 0.01  # of the range between its bounds: how far a component of an action may be off
ENOUGH = 0.99  # of the windows with the same action
SEED = 0  # of the games: that of `edgerl eval`


@dataclass(frozen=True)
class Int8:
    """How a policy in 8 bits compares with the float one, on windows that did not calibrate it and in the same games.

    `agreement`: on which share of `windows` it takes the same action; if actions are vectors, one that is `within` so
    much of the range in every component (else None). `scores` of the games with `seed`, and `nbytes` of the files, by
    name: float, int8.
    """

    calibration_windows: int
    windows: int
    agreement: float
    within: float | None
    seed: int
    scores: dict[str, dict[str, Any]]
    nbytes: dict[str, int]

    @property
    def lines(self) -> str:
        """The figures for people."""
        same = "the same action" if self.within is None else f"an action within {self.within:.0%} of the range"
        played = ", ".join(f"{name} {figure(own['mean'])} +- {figure(own['std'])}" for name, own in self.scores.items())
        return (
            f"int8 takes {same} on {self.agreement:.1%} of {self.windows:,} windows "
            f"(calibrated on {self.calibration_windows:,} others)\n"
            f"score in {self.scores['float']['episodes']:,} games, seed {self.seed}: {played}"
        )

    @property
    def warning(self) -> str | None:
        """What must be said if too few actions are the same; None if enough are."""
        if self.agreement >= ENOUGH:
            return None
        return f"--int8: it agrees on {self.agreement:.1%} of the windows, below {ENOUGH:.0%}; compare the scores"


def export_int8(folder: Path, out: Path, *, episodes: int = 10, force: bool = False) -> tuple[Written, Int8]:
    """Write the policy of a run's newest whole checkpoint in 8 bits to `out`, whole or not at all.

    It is calibrated on windows of play, and plays `episodes` games, as the program does. Raises as `export` does, and
    ConfigError if the package onnx is missing.
    """
    if not is_possible():
        raise ConfigError("--int8: needs the package onnx: pip install onnx")
    if episodes < 1:
        raise ConfigError(f"--episodes: {episodes} is below 1")
    check(out, force=force)
    with comparing(folder) as compared:
        model, int8 = _int8(compared, episodes)
        return compared.written(write(out, [model])), int8


def _int8(compared: Compared, episodes: int) -> tuple[bytes, Int8]:
    """The file of a policy in 8 bits, and how it compares with the float one."""
    windows = _windows(compared)
    calibrates = np.arange(len(windows)) % EVERY == 0
    model = _quantised(compared, windows[calibrates])
    session, others = Session(model), windows[~calibrates]
    int8 = Int8(
        calibration_windows=int(calibrates.sum()),
        windows=len(others),
        agreement=agreement(_actions(compared.session, others), _actions(session, others), compared.bounds),
        within=None if compared.bounds is None else WITHIN,
        seed=SEED,
        scores=_scores(compared, session, episodes),
        nbytes={"float": sum(map(len, pieces(compared.graph, compared.metadata()))), "int8": 0},
    )
    int8, file = _file(compared, model, int8)
    return file, int8


def agreement(float_actions: Array, int8_actions: Array, bounds: tuple[Array, Array] | None) -> float:
    """The share of rows with the same action; of vectors [N, A], with all components WITHIN of the range."""
    if bounds is None:
        return float((float_actions == int8_actions).mean())
    low, high = bounds
    return float((np.abs(float_actions - int8_actions) <= WITHIN * (high - low)).all(axis=1).mean())


def _windows(compared: Compared) -> Array:
    """Windows of play as the policy takes them, uint8 [WINDOWS, C, H, W]."""
    policy = compared.policy
    pixels, windows = representation.pixels(policy.spec, policy.config.replay), []

    def act(window: Array) -> Any:
        windows.append(np.array(pixels.see(window)))
        return policy.act(window)

    show_windows(policy, compared.env, WINDOWS, act)
    return np.stack(windows)


def _quantised(compared: Compared, windows: Array) -> bytes:
    try:
        return quantised(compared.graph, windows)
    except OSError as error:
        raise ConfigError(f"--int8: its temporary files cannot be written: {error.strerror}") from None


def _actions(session: Session, windows: Iterable[Array]) -> Array:
    return np.concatenate([session.outputs(window[None])["action"] for window in windows])


@dataclass(frozen=True)
class _Actor:
    """An exported policy in an agent's place: it acts in [-1, 1] if its actions are vectors, which `bounds` are of."""

    session: Session
    bounds: tuple[Array, Array] | None

    def act(self, observation: Array, *, explore: bool) -> Any:
        action = _actions(self.session, np.ascontiguousarray(observation)[None])[0]
        if self.bounds is None:
            return int(action)
        low, high = self.bounds
        half = np.where(high > low, (high - low) / 2, 1.0)
        return np.clip((action - low) / half - 1, -1, 1).astype(np.float32)


def _scores(compared: Compared, session: Session, episodes: int) -> dict[str, dict[str, Any]]:
    """The statistics of both in the same games: of the program, which the float policy acts as, and of `session`."""
    policy = compared.policy
    run, pixels = policy.config.run, representation.pixels(policy.spec, policy.config.replay)

    def played(actor: Actor, sees: Representation) -> dict[str, Any]:
        games = Games(episodes, run.eval_epsilon, np.random.default_rng([SEED, 1]), run.eval_max_steps)
        return statistics(play_with(policy, actor, sees, games, SEED))

    return {
        "float": played(policy.agent, policy.representation),
        "int8": played(_Actor(session, compared.bounds), pixels),
    }


def _file(compared: Compared, model: bytes, int8: Int8) -> tuple[Int8, bytes]:
    """The bytes of the file, and the figures in it, among which is how many bytes these are."""
    file = b""
    while True:
        int8 = replace(int8, nbytes=int8.nbytes | {"int8": len(file)})
        file = with_metadata(model, compared.metadata(asdict(int8)))
        if len(file) == int8.nbytes["int8"]:
            return int8, file
