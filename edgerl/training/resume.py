"""What a checkpoint holds of a run, and how a resumed run takes it over."""

from typing import TYPE_CHECKING, Any

from edgerl.errors import EpisodeLost
from edgerl.replay.representation import chunk
from edgerl.replay.stem import frozen
from edgerl.runs import checkpoint, snapshots
from edgerl.types import Array

if TYPE_CHECKING:
    from edgerl.training.loop import Trainer

KEPT = (  # of the trainer itself
    "step",
    "score",
    "flops_total",
    "flops_exact",
    "returns",
    "freeze_report",
    "rss_around_freeze",
    "sums",
    "updates",
    "episodes_restarted",
    "origin",
)


def state(trainer: "Trainer") -> tuple[dict[str, Array], dict[str, Any], dict[str, Array]]:
    """Everything that a resumed run goes on from: named arrays, plain values, and the replay's large arrays."""
    arrays, agent = trainer.agent.state()
    env_arrays, env = trainer.env.state()
    raw, replay = trainer.replay.state()
    arrays |= {f"{checkpoint.ENV}{name}": array for name, array in env_arrays.items()}
    values = {
        "identity": trainer.config.identity,
        "trainer": {name: getattr(trainer, name) for name in KEPT},
        "agent": agent,
        "env": env,
        "replay": replay,
        "metrics_bytes": trainer.metrics.sync(),
    }
    return arrays, values, raw


def go_on(trainer: "Trainer", saved: checkpoint.Saved) -> None:
    """Put a new trainer where its run's newest whole checkpoint stood; raises CheckpointError where it is another's."""
    for line in saved.passed:
        trainer.reporter.say(f"passed over: {line}")
    try:
        _restore(trainer, saved)
    except (RuntimeError, KeyError, ValueError) as error:
        raise saved.of_another_run(error) from None
    checkpoint.discard_after(trainer.folder / "checkpoint", trainer.step)
    snapshots.discard_after(trainer.folder, trainer.step)
    trainer.reporter.say(f"resumed at step {trainer.step:,} from {saved.place}")


def _restore(trainer: "Trainer", saved: checkpoint.Saved) -> None:
    values, replay = saved.values, trainer.replay
    trainer.agent.load(saved.agent_arrays, values["agent"])
    if trainer.agent.cut is not None:
        report = values["trainer"]["freeze_report"]
        found = frozen(
            trainer.folder,
            trainer.pixels,
            replay.sampler.rng,
            report,
            provider=trainer.config.run.ort_provider,
            chunk=chunk(trainer.config.agent.encoder, trainer.pixels.shape),
            say=trainer.reporter.say,
        )
        replay.transcode(found)
    replay.restore(values["replay"], saved.read_raw)
    for name in KEPT:
        setattr(trainer, name, ({"origin": None} | values["trainer"])[name])  # which came later
    trainer.recount()
    try:
        trainer.env.restore(saved.env_arrays, values["env"])
    except EpisodeLost as error:
        replay.truncate(replay.representation.observe(saved.env_arrays["window"])[1])
        trainer.env.reset()
        trainer.score, trainer.episodes_restarted = 0.0, trainer.episodes_restarted + 1
        trainer.reporter.say(f"the episode under way starts again: {error}")
    trainer.metrics.cut(values["metrics_bytes"], trainer.step)
    trainer.checkpoint = saved.place
