"""What a checkpoint holds of a run, and how a resumed run takes it over."""

from typing import Any

from edgerl.errors import EpisodeLost
from edgerl.replay.representation import chunk
from edgerl.replay.stem import frozen
from edgerl.runs import checkpoint, snapshots
from edgerl.training.state import Parts, State, recount
from edgerl.types import Array
from memory_budget.malloc import trim


def saved_state(parts: Parts, state: State) -> tuple[dict[str, Array], dict[str, Any], dict[str, Array]]:
    """All that a resumed run goes on from: named arrays, plain values, and the replay's large arrays."""
    arrays, agent = parts.agent.state()
    env_arrays, env = parts.env.state()
    raw, replay = parts.replay.state()
    arrays |= {f"{checkpoint.ENV}{name}": array for name, array in env_arrays.items()}
    values = {
        "identity": parts.config.identity,
        "trainer": state.kept(),
        "agent": agent,
        "env": env,
        "replay": replay,
        "metrics_bytes": parts.metrics.sync(),
    }
    return arrays, values, raw


def go_on(parts: Parts, state: State, saved: checkpoint.Saved, *, seamless: bool = False) -> None:
    """Put a run at the step of its newest whole checkpoint; raises CheckpointError if that is of another run.

    `seamless`: nothing has happened since that checkpoint, so there is nothing to say, and none of its metrics to cut.
    """
    for line in saved.passed:
        parts.reporter.say(f"passed over: {line}")
    try:
        _restore(parts, state, saved, seamless=seamless)
    except (RuntimeError, KeyError, ValueError) as error:
        raise saved.of_another_run(error) from None
    saved.arrays.clear()  # mapped from the file: its pages would stay resident
    trim()
    checkpoint.discard_after(parts.folder / "checkpoint", state.step)
    snapshots.discard_after(parts.folder, state.step)
    if not seamless:
        parts.reporter.say(f"resumed at step {state.step:,} from {saved.place}")


def _restore(parts: Parts, state: State, saved: checkpoint.Saved, *, seamless: bool) -> None:
    values, replay = saved.values, parts.replay
    state.restore(values["trainer"])
    parts.agent.load(saved.agent_arrays, values["agent"])
    if state.freeze_report is not None:
        replay.transcode(
            frozen(
                parts.folder,
                parts.pixels,
                replay.sampler.rng,
                state.freeze_report,
                provider=parts.config.run.ort_provider,
                chunk=chunk(parts.config.agent.encoder, parts.pixels.shape),
                say=(lambda line: None) if seamless else parts.reporter.say,
            )
        )
    replay.restore(values["replay"], saved.read_raw)
    recount(parts, state)
    try:
        parts.env.restore(saved.env_arrays, values["env"])
    except EpisodeLost as error:
        replay.truncate(replay.representation.observe(saved.env_arrays["window"])[1])
        parts.env.reset()
        state.score, state.episodes_restarted = 0.0, state.episodes_restarted + 1
        parts.reporter.say(f"the episode under way starts again: {error}")
    if not seamless:
        parts.metrics.cut(values["metrics_bytes"], state.step)
    state.checkpoint = saved.place
