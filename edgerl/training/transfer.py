"""A run that begins with another run's networks: all of them, or the encoder alone (paper section 5.5, appendix C).

If it is frozen at step 0, that is the same event as in any run, with another run's stem. Optimizers, counters and
generators are the new run's own. A checkpoint holds all that was taken: a resumed run no longer needs the source.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgerl.agents.agent import Agent
from edgerl.agents.algorithms import ALGORITHMS
from edgerl.config import architectures
from edgerl.config.settings import Config
from edgerl.config.toml import load
from edgerl.envs import suites
from edgerl.envs.base import EnvSpec
from edgerl.errors import CheckpointError, ConfigError, EnvError
from edgerl.replay import representation
from edgerl.replay.stem import stem_file
from edgerl.runs import checkpoint, tensor_file
from edgerl.runs.checkpoint import Saved
from edgerl.training.policy import of_this_run
from edgerl.training.state import freeze_report_of
from runtime import model_file

OPTION = "--encoder-from"
ONLY = "; --transfer encoder takes only the encoder"


@dataclass(frozen=True)
class Source:
    """The run whose networks another one begins with: its newest whole checkpoint, whose arrays stay on the disk.

    `what`: all or encoder; `stem`: the ONNX file with the weights that its freeze removed, None if it was never frozen.
    """

    folder: Path
    config: Config
    saved: Saved
    what: str
    stem: Path | None

    @property
    def origin(self) -> dict[str, Any]:
        """What the new run's summary says of the source."""
        values = self.saved.values
        return {
            "run": str(self.folder),
            "what": self.what,
            "env": self.config.run.env,
            "algo": self.config.run.algo,
            "step": values["step"],
            "weights_sha256": values["sha256"]["weights.safetensors"],
        }

    @property
    def lines(self) -> str:
        """What the user is told of the source."""
        passed_over = [f"passed over: {line}" for line in self.saved.passed]
        return "\n".join([*passed_over, f"begins  with {in_words(self.origin)}"])


def find(config: Config, spec: EnvSpec) -> Source | None:
    """The source that `config` names, None if it names none; nothing is changed.

    `spec`: of the new run's environment. Raises ConfigError, in one line, if there is no such run, if it cannot be
    read, or if its networks do not fit.
    """
    run = config.run
    if run.encoder_from is None:
        return None
    folder = Path(run.encoder_from)
    if not folder.is_dir():
        raise ConfigError(f"{OPTION}: there is no folder {folder}")
    try:
        theirs = load(folder / "config.toml")
        saved = checkpoint.newest(folder / "checkpoint")
        with of_this_run(saved):
            saved.check(theirs.identity)
            report = freeze_report_of(saved)
            stem = None if report is None else stem_file(folder, report)
        source = Source(folder, theirs, replace(saved, arrays={}), run.transfer or "encoder", stem)
        their_spec = suites.describe(theirs.run.env, theirs.run.env_options)
        _check_encoder(source, their_spec, config, spec)
        if source.what == "all":
            _check_heads(source, their_spec, config, spec)
    except (ConfigError, CheckpointError, EnvError) as error:
        raise ConfigError(f"{OPTION}: {error}") from None
    return source


def begin(agent: Agent, source: Source) -> None:
    """Give a new agent the source's networks; raises CheckpointError if they are not what its settings say."""
    try:
        stem = {} if source.stem is None else model_file.weights(source.stem)
        arrays = tensor_file.read(source.saved.place / "weights.safetensors")
        agent.adopt(arrays, stem, heads=source.what == "all")
    except (RuntimeError, KeyError, ValueError) as error:
        raise source.saved.of_another_run(error) from None


def in_words(origin: dict[str, Any]) -> str:
    """Which networks were taken from which run."""
    what = "all networks" if origin["what"] == "all" else "the encoder"
    return f"{what} of {origin['run']}: {origin['env']}, {origin['algo']}, step {origin['step']:,}"


def _check_encoder(source: Source, their_spec: EnvSpec, config: Config, spec: EnvSpec) -> None:
    """Raise ConfigError if the encoders differ: in their layers, in what they see, or in their number."""
    theirs, own = source.config.agent.encoder, config.agent.encoder
    their_window = representation.pixels(their_spec, source.config.replay).shape
    window = representation.pixels(spec, config.replay).shape
    if architectures.layers(theirs, their_window) != architectures.layers(own, window):
        raise ConfigError(
            f"{source.folder} has encoder {theirs} of {_shape(their_window)}, this run {own} of {_shape(window)}"
        )
    algo, their_algo = config.run.algo, source.config.run.algo
    single, pair = sorted((algo, their_algo), key=lambda name: ALGORITHMS[name].encoders)
    if ALGORITHMS[single].encoders != ALGORITHMS[pair].encoders:
        raise ConfigError(
            f"{source.folder} was trained by {their_algo}, this run by {algo}: {pair} has two encoders, {single} one"
        )


def _check_heads(source: Source, their_spec: EnvSpec, config: Config, spec: EnvSpec) -> None:
    """Raise ConfigError if the heads differ: in algorithm, actions or settings."""
    algo, their_algo = config.run.algo, source.config.run.algo
    if their_algo != algo:
        raise ConfigError(f"{source.folder} was trained by {their_algo}, this run by {algo}{ONLY}")
    if their_spec.actions != spec.actions:
        raise ConfigError(f"{source.folder} has {their_spec.actions} actions, this run {spec.actions}{ONLY}")
    for name in ALGORITHMS[algo].head_settings:
        theirs, own = getattr(source.config.agent, name), getattr(config.agent, name)
        if theirs != own:
            raise ConfigError(f"{source.folder} has agent.{name} = {theirs}, this run {own}{ONLY}")


def _shape(window: tuple[int, ...]) -> str:
    return "x".join(map(str, window))
