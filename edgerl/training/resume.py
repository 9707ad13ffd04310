"""What a run writes to go on from, checkpoints and snapshots, and how a resumed run takes it over."""

from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.agents.algorithms import learned
from edgerl.errors import EpisodeLost
from edgerl.replay.representation import Pixels, chunk
from edgerl.replay.stem import frozen
from edgerl.runs import checkpoint, snapshots
from edgerl.runs.snapshots import Snapshot
from edgerl.runs.terminal import warn
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
    if parts.watch is not None:
        watched, values["settling"] = parts.watch.state()
        arrays |= {f"{checkpoint.SETTLING}{name}": array for name, array in watched.items()}
    return arrays, values, raw


def save(parts: Parts, state: State, *, needed: bool) -> None:
    """Write a checkpoint and log its size."""
    if (place := write_checkpoint(parts, state, needed=needed)) is not None:
        written = sum(file.stat().st_size for file in place.iterdir())
        parts.metrics.write(state.step, {"checkpoint/bytes": written})


def write_checkpoint(parts: Parts, state: State, *, needed: bool, replace: bool = False) -> Path | None:
    """Write all that a resumed run goes on from; returns where. `replace`: even if there is one of this step.

    If the disk refuses one that is not `needed`, the run says so and goes on; the older ones stay whole.
    """
    arrays, values, raw = saved_state(parts, state)
    try:
        folder = parts.folder / "checkpoint"
        state.checkpoint = checkpoint.save(folder, state.step, arrays, values, raw, replace=replace)
    except OSError as error:
        if needed:
            raise
        warn(f"step {state.step:,}: no checkpoint: {error.strerror}; going on")
        return None
    return state.checkpoint


def keep_snapshot(parts: Parts, state: State, *, freezing: bool, done: bool) -> None:
    """Write a snapshot if one is due and not there yet (see `snapshots.due`).

    If the disk refuses it, the run says so and goes on; nothing half-written stays.
    """
    step, file = state.step, snapshots.place(parts.folder, state.step)
    is_due = snapshots.due(step, parts.config.run.snapshot_every, freezing=freezing, done=done)
    if not is_due or file.exists():
        return
    arrays, values = parts.agent.state()
    try:
        snapshots.save(parts.folder, Snapshot(step, values["cut"], learned(arrays)))
    except OSError as error:
        warn(f"step {step:,}: no snapshot: {error.strerror}; going on")
        return
    parts.metrics.write(step, {"snapshot/bytes": file.stat().st_size})


def encode_once(agent: Agent, folder: Path, pixels: Pixels, report: dict[str, Any], provider: str) -> None:
    """Run the stem of a frozen run once, before it goes on: its libraries are loaded, as `freeze.rehearse` loads them.

    `report`, `provider`: as in `frozen`. Raises CheckpointError if the stem is not the one that the run wrote.
    """
    stem = frozen(folder, pixels, np.random.default_rng(0), report, accelerated=agent.frozen_stem, provider=provider)
    stem.see(np.zeros((pixels.history, *pixels.field[2]), np.uint8))


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
        fork = state.fork or {}
        begun = f"forked at step {state.step:,} from {fork['run']}" if fork.get("step") == state.step else ""
        parts.reporter.say(begun or f"resumed at step {state.step:,} from {saved.place}")


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
                accelerated=parts.agent.frozen_stem,
                provider=parts.config.run.ort_provider,
                chunk=chunk(parts.config.agent.encoder, parts.pixels.shape),
                say=(lambda line: None) if seamless else parts.reporter.say,
            )
        )
    replay.restore(values["replay"], saved.read_raw)
    if parts.watch is not None:
        parts.watch.restore(saved.settling_arrays, values["settling"])
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
