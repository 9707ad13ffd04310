"""A run's parts, which stay, and its state, which changes and which a checkpoint keeps."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.config.settings import Config
from edgerl.envs.door import Door
from edgerl.envs.fleet.fleet import Fleet
from edgerl.output.listeners import Listeners
from edgerl.output.messages import figure
from edgerl.output.progress import Reporter
from edgerl.planning import flops, ledger
from edgerl.planning.flops import Flops
from edgerl.planning.plan import Plan
from edgerl.replay.buffer import Replay
from edgerl.replay.replays import AnyReplay
from edgerl.replay.representation import Pixels
from edgerl.runs.checkpoint import Saved
from edgerl.runs.metrics import LAST_GAMES, Metrics
from edgerl.runs.saver import Saver
from edgerl.settling.watch import Watch
from edgerl.training.meters import PeakWatchdog, Stopwatch
from edgerl.types import Array
from memory_budget import Ledger


@dataclass(frozen=True)
class Parts:
    """What a run is built of. With several environments `env` is their fleet, and `replay` their replays together.

    `pixels`: what the replay stores before the freeze; `library_bytes`: resident bytes without networks and replay;
    `make_eval_env`: makes an environment for evaluations, from a generator; None if they are played on `env`;
    `baseline`: resident bytes after imports; `lock`: the descriptor of the folder's lock; `launcher`: the words that
    start `edgerl` again in this process, None if it must stay what it is; `watch`: of the stem, with --freeze-at auto;
    `saver`: writes the run's checkpoints; `listeners`: what the program that trains is told.
    """

    config: Config
    env: Door | Fleet
    agent: Agent
    replay: AnyReplay
    pixels: Pixels
    folder: Path
    metrics: Metrics
    watchdog: PeakWatchdog
    reporter: Reporter
    plan: Plan
    library_bytes: int
    make_eval_env: Callable[[np.random.Generator], Door] | None
    baseline: int
    lock: int
    launcher: list[str] | None
    watch: Watch | None
    saver: Saver
    listeners: Listeners


THIS_PROCESS: dict[str, Any] = {"this_process": True}  # marks the fields that `kept` leaves out


@dataclass
class State:
    """What changes as a run goes on, beside agent, replay and environment. A checkpoint keeps it.

    `step`: agent steps done. `score`: of the current game. `games`: training games played to their end;
    `last_scores`: of the newest of them, LAST_GAMES at most. `flops_total`, `flops_exact`: multiply-adds so far, by the
    paper's count and all that ran. `returns`: evaluations. `freeze_report`: the summary's part on the freeze; None
    before it. `rss_around_freeze`: resident bytes before and after it. `sums`, `counts`: of each metric of the updates
    since metrics were last written, its sum, and how many updates have it. `episodes_restarted`: how often a resume
    could not go on with the saved episode. `between_episodes`: the environment is reset before the next step.
    `origin`: the run whose networks this one began with. `fork`: the run whose beginning it shares, and to which step.

    `kept` leaves these out: `flops`: what an update takes; `stopwatch`, which a checkpoint keeps elsewhere;
    `checkpoint`: the newest one; `stop`: why the run was asked to end, set from a signal.
    """

    flops: Flops = field(metadata=THIS_PROCESS)
    step: int = 0
    score: float = 0.0
    flops_total: int = 0
    flops_exact: int = 0
    returns: list[dict[str, Any]] = field(default_factory=list)
    freeze_report: dict[str, Any] | None = None
    rss_around_freeze: tuple[int, int] | None = None
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    episodes_restarted: int = 0
    origin: dict[str, Any] | None = None
    fork: dict[str, Any] | None = None
    games: int = 0
    last_scores: list[float] = field(default_factory=list)
    between_episodes: bool = False
    stopwatch: Stopwatch = field(default_factory=Stopwatch, metadata=THIS_PROCESS)
    checkpoint: Path | None = field(default=None, metadata=THIS_PROCESS)
    stop: str | None = field(default=None, metadata=THIS_PROCESS)

    def interrupt(self) -> None:
        """End the run after the step under way, with a checkpoint."""
        self.stop = "interrupted"

    @property
    def frozen(self) -> bool:
        """Whether the encoder has been frozen."""
        return self.freeze_report is not None

    @property
    def frozen_at(self) -> int | None:
        """The step of the freeze."""
        return None if self.freeze_report is None else int(self.freeze_report["step"])

    @property
    def training_mean(self) -> float | None:
        """The mean score of the last training games, LAST_GAMES at most; None before the first has ended."""
        return _mean(self.last_scores) if self.last_scores else None

    def add(self, metric: str, value: float) -> None:
        """Count what an update says of a metric; one of the encoder's ends at T_f."""
        self.sums[metric] = self.sums.get(metric, 0.0) + value
        self.counts[metric] = self.counts.get(metric, 0) + 1

    def end_game(self) -> dict[str, float]:
        """Count the training game that has ended; returns its score and the mean of the last ones, as metrics."""
        self.games += 1
        self.last_scores = [*self.last_scores, self.score][-LAST_GAMES:]
        metrics = {"train/score": self.score, f"train/score_mean_{LAST_GAMES}": _mean(self.last_scores)}
        self.score = 0.0
        return metrics

    @property
    def training_games(self) -> str:
        """That mean, to follow an evaluation's in a line; nothing before the first game has ended."""
        count, mean = len(self.last_scores), self.training_mean
        return "" if mean is None else f"; last {count} training game{'s' if count > 1 else ''} {figure(mean)}"

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, by name."""
        return {name: getattr(self, name) for name in KEPT}

    def restore(self, kept: dict[str, Any]) -> None:
        """Take over what `kept` gave; raises KeyError if a field is missing."""
        if "updates" in kept:  # of older runs, which counted all metrics as one
            kept = kept | {"counts": dict.fromkeys(kept["sums"], kept["updates"])}
        for name in KEPT:
            setattr(self, name, (ADDED_LATER | kept)[name])


KEPT = [own.name for own in fields(State) if not own.metadata]
# Fields that checkpoints of older runs lack.
ADDED_LATER: dict[str, Any] = {"origin": None, "fork": None, "games": 0, "last_scores": [], "between_episodes": False}


def freeze_report_of(saved: Saved) -> dict[str, Any] | None:
    """What a checkpoint says of the freeze of its run; None if the run was not frozen yet."""
    report: dict[str, Any] | None = saved.values["trainer"]["freeze_report"]
    return report


def recount(parts: Parts, state: State) -> None:
    """Count again what an update takes: only the freeze shows whether pixels are kept, which the plan had guessed."""
    if state.freeze_report is not None:
        kept = state.freeze_report["store"] == "pixels"
        state.flops = flops.count(parts.config, parts.pixels.shape, parts.env.spec.actions, keeps_pixels=kept)


def cut_episode(parts: Parts, state: State, stored: Array) -> None:
    """End the episode under way in the one environment at the pending observation, as `stored`.

    The next step begins another.
    """
    assert isinstance(parts.replay, Replay)  # noqa: S101
    parts.replay.truncate(stored)
    state.score, state.between_episodes = 0.0, True


def clipped(config: Config, reward: float) -> float:
    """A reward as the replay stores it."""
    clip = config.replay.reward_clip
    return reward if clip is None else min(max(reward, -clip), clip)


def accounts(parts: Parts) -> Ledger:
    """The ledger as it is now: what every part is planned to take and what it takes."""
    children = parts.env.nbytes if isinstance(parts.env, Fleet) else None
    return ledger.take(parts.plan, parts.library_bytes, parts.agent, parts.replay, parts.watch, children)


def _mean(scores: list[float]) -> float:
    """The mean of scores, infinite if their sum is beyond the largest float: rewards are as the user's environment."""
    with np.errstate(over="ignore"):
        return float(np.mean(scores))
