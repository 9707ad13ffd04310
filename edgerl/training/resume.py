"""What a run writes to go on from, checkpoints and snapshots, and how a resumed run takes it over."""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.agents.algorithms import learned
from edgerl.envs.fleet.fleet import Fleet
from edgerl.errors import EnvError, EnvFailed, EpisodeLost
from edgerl.output.messages import warn
from edgerl.replay.representation import Pixels, chunk
from edgerl.replay.stem import frozen
from edgerl.runs import checkpoint, snapshots
from edgerl.runs.checkpoint import Contents
from edgerl.runs.files import write_whole
from edgerl.runs.signals import handle_again
from edgerl.runs.snapshots import Snapshot
from edgerl.training.acting import several
from edgerl.training.meters import Stopwatch
from edgerl.training.state import Parts, State, cut_episode, recount
from edgerl.types import Array
from memory_budget.malloc import trim

ERROR_FILE = "environment-error.txt"


def contents(parts: Parts, state: State) -> Contents:
    """All that a resumed run goes on from."""
    arrays, agent = parts.agent.state()
    env_arrays, env = parts.env.state()
    raw, replay = parts.replay.state()
    spans = parts.replay.spans
    arrays |= {f"{checkpoint.ENV}{name}": array for name, array in env_arrays.items()}
    values = {
        "identity": parts.config.identity,
        "trainer": state.kept(),
        "agent": agent,
        "env": env,
        "replay": replay,
        "metrics_bytes": parts.metrics.nbytes,
        "meters": {"stopwatch": state.stopwatch.kept(), "peaks": parts.watchdog.kept()},
    }
    if parts.watch is not None:
        watched, values["settling"] = parts.watch.state()
        arrays |= {f"{checkpoint.SETTLING}{name}": array for name, array in watched.items()}
    for span in spans:
        del raw[span.name]
    return Contents(arrays, values, raw, spans)


def save(parts: Parts, state: State, *, needed: bool, behind: bool = False) -> None:
    """Write a checkpoint and log its size. `behind`: training goes on meanwhile, and `settle` tells how it ended."""
    written = _begin(parts, state, needed=needed)
    if written and (behind or settle(parts, state, needed=needed)):
        parts.metrics.write(state.step, {"checkpoint/bytes": written})


def write_checkpoint(parts: Parts, state: State, *, needed: bool, replace: bool = False) -> bool:
    """Write a checkpoint, even if there is one of this step and it is to `replace` that; returns whether it is there.

    If the disk refuses one that is not `needed`, the run says so and goes on; the older ones stay whole.
    """
    _begin(parts, state, needed=needed, replace=replace)
    return settle(parts, state, needed=needed)


def settle(parts: Parts, state: State, *, needed: bool = False, wait: bool = True) -> bool:
    """See how the checkpoint ended that was begun; returns whether there is a new one. Without `wait`: if it ended."""
    saver = parts.saver
    if saver.writing and not wait:
        return False
    with _refusable(saver.step, needed=needed):
        place = saver.end()
        if place is None:
            return False
        state.checkpoint = place
        if (error := saver.unpruned) is not None:
            warn(f"step {int(place.name):,}: older checkpoints stay: {error.strerror}; going on")
        parts.listeners.checkpoint(int(place.name), place)
        return True
    return False


def _begin(parts: Parts, state: State, *, needed: bool, replace: bool = False) -> int:
    """Begin a checkpoint, once the one before has ended; returns how many bytes are written."""
    settle(parts, state)
    with _refusable(state.step, needed=needed):
        return parts.saver.begin(state.step, contents(parts, state), parts.metrics.sync, replace=replace)
    return 0


@contextlib.contextmanager
def _refusable(step: int, *, needed: bool) -> Iterator[None]:
    """Within, the disk may refuse a checkpoint that is not `needed`: the run says so and goes on."""
    try:
        yield
    except OSError as error:
        if needed:
            raise
        warn(f"step {step:,}: no checkpoint: {error.strerror}; going on")


def keep_snapshot(parts: Parts, state: State, *, freezing: bool, done: bool) -> None:
    """Write a snapshot if one is due and not there yet (see `snapshots.due`).

    If the disk refuses it, the run says so and goes on; nothing half-written stays.
    """
    step, file = state.step, snapshots.place(parts.folder, state.step)
    run = parts.config.run
    is_due = snapshots.due(step, run.snapshot_every, freezing=freezing, done=done, stride=run.envs)
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
    except EnvFailed:
        raise
    except (RuntimeError, KeyError, ValueError) as error:
        raise saved.of_another_run(error) from None
    saved.arrays.clear()  # mapped from the file: its pages would stay resident
    trim()
    checkpoint.discard_after(parts.folder / "checkpoint", state.step)
    snapshots.discard_after(parts.folder, state.step)
    (parts.folder / ERROR_FILE).unlink(missing_ok=True)
    if not seamless:
        fork = state.fork or {}
        begun = f"forked at step {state.step:,} from {fork['run']}" if fork.get("step") == state.step else ""
        parts.reporter.say(begun or f"resumed at step {state.step:,} from {saved.place}")


def begin_again(parts: Parts) -> None:
    """Remove what a run left that was killed before its first checkpoint: its metrics and its snapshots."""
    parts.metrics.cut(0, 0)
    for file in snapshots.files(parts.folder).values():
        file.unlink()


def _restore(parts: Parts, state: State, saved: checkpoint.Saved, *, seamless: bool) -> None:
    values, replay = saved.values, parts.replay
    state.restore(values["trainer"])
    parts.agent.load(saved.agent_arrays, values["agent"])
    if state.freeze_report is not None:
        replay.transcode(
            frozen(
                parts.folder,
                parts.pixels,
                replay.rng,
                state.freeze_report,
                accelerated=parts.agent.frozen_stem,
                provider=parts.config.run.ort_provider,
                chunk=chunk(parts.config.agent.encoder, parts.pixels.shape),
                say=(lambda line: None) if seamless else parts.reporter.say,
            )
        )
    replay.restore(values["replay"], saved.read_raw)
    parts.saver.go_on_from(saved, replay.spans)
    if parts.watch is not None:
        parts.watch.restore(saved.settling_arrays, values["settling"])
    recount(parts, state)
    _restore_env(parts, state, saved.env_arrays, values["env"])
    meters = values.get("meters", {"stopwatch": {}, "peaks": {}})  # which checkpoints of older runs lack
    state.stopwatch = Stopwatch(**meters["stopwatch"])
    if not seamless:
        parts.watchdog.go_on(**meters["peaks"])
        parts.metrics.cut(values["metrics_bytes"], state.step)
    state.checkpoint = saved.place


def _restore_env(parts: Parts, state: State, arrays: dict[str, Array], values: dict[str, Any]) -> None:
    """Put the environment where it stood. If that cannot be, its episode ends there; the next step begins another."""
    if isinstance(parts.env, Fleet):
        several.restore(parts, state, parts.env, arrays, values)
        return
    try:
        parts.env.restore(arrays, values)
    except EpisodeLost as error:
        if not state.between_episodes:
            cut_episode(parts, state, parts.replay.representation.observe(arrays["window"])[1])
            state.episodes_restarted += 1
            parts.reporter.say(f"the episode under way starts again: {error}")
    handle_again()


def reopen(parts: Parts, state: State, arrays: dict[str, Array], values: dict[str, Any]) -> None:
    """Make the environment again, after it was closed, and put it where it stood. Raises EnvFailed."""
    try:
        parts.env.open()
    except EnvError as error:
        raise EnvFailed(str(error).removeprefix("--env: ")) from error
    parts.env.reset()
    _restore_env(parts, state, arrays, values)


def failure(error: EnvFailed, parts: Parts, state: State) -> EnvFailed:
    """The same error with all that the user needs, in one line; the whole traceback goes to the run folder."""
    file, told = parts.folder / ERROR_FILE, ""
    lines = traceback.format_exception(error.__cause__ or error)
    with contextlib.suppress(OSError):  # a full disk does not hide what failed
        write_whole(file, "".join(lines).encode(errors="replace"))
        told = f"; the whole traceback is in {file}"
    kept = "" if state.checkpoint is None else f"; go on with --resume {parts.folder}"
    return EnvFailed(f"step {state.step:,}: {error}{told}{kept}")
