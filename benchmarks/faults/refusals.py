"""A disk that refuses, files that are damaged, and what else happens to a machine."""

import errno
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from edgerl.errors import CheckpointError
from edgerl.runs import snapshots
from faults import child, disk
from faults.kills import STORES
from faults.result import FAILED, MISSED, REFUSED, SURVIVED, WRONG, Result, gone_on, in_order
from faults.runs import BEGINNINGS, STEPS, Lab, Trial, differences, outcome


def refused_with(number: int) -> Callable[[Lab, random.Random], Result]:
    """The system refuses operations on files with this errno: once, five times, or from then on."""
    return lambda lab, rng: _disturbed(lab, rng, disk.Action.FAIL, number)


def short_writes(lab: Lab, rng: random.Random) -> Result:
    """The system takes half of what it is given: once, five times, or from then on."""
    return _disturbed(lab, rng, disk.Action.SHORTEN, 0)


def _disturbed(lab: Lab, rng: random.Random, action: disk.Action, number: int) -> Result:
    store, name = rng.choice(STORES), rng.choice(list(BEGINNINGS))
    operations = lab.operations(store, name)
    kinds = sorted({operation.kind for operation in operations})
    kind = disk.Kind.WRITE if action == disk.Action.SHORTEN else rng.choice([*kinds, disk.Kind(255)])
    trial, count = lab.trial(store), sum(bool(operation.kind & kind) for operation in operations)
    fields = trial.prepare(lab.beginning(store, name))
    fields.kinds, fields.action, fields.number = kind, action, number
    fields.first, lasting = rng.randint(1, count), rng.choice([0, 4, disk.FOREVER])
    fields.last = fields.first + lasting
    often = {0: "once", 4: "five times"}.get(lasting, "from then on")
    detail = f"{store}, {name}: {kind.name if kind in disk.Kind else 'any'} {fields.first} of {count}, {often}"
    ended = trial.end(trial.begin())
    if not fields.hits:
        return Result(MISSED if ended.code == 0 else FAILED, detail, said=ended.told)
    if not in_order(ended):
        return Result(FAILED, detail, said=f"exit code {ended.code}: {ended.told}")
    ending = gone_on(lab, trial, detail, metrics=action == disk.Action.SHORTEN)
    return ending if ending.said else ending._replace(said=f"exit code {ended.code}: {ended.told}")


def damaged(how: str) -> Callable[[Lab, random.Random], Result]:
    """A bit of any file of a stopped run is flipped, or the file ends anywhere: "flip" or "cut"."""

    def damage(lab: Lab, rng: random.Random) -> Result:
        store, name = rng.choice(STORES), rng.choice([name for name, step in BEGINNINGS.items() if step])
        trial = lab.trial(store)
        trial.prepare(lab.beginning(store, name))
        files = sorted(file for file in trial.out.rglob("*") if file.is_file() and file.stat().st_size)
        kind = rng.choice(sorted({_kind(file, trial) for file in files}))
        file = rng.choice([file for file in files if _kind(file, trial) == kind])
        text = bytearray(file.read_bytes())
        at = rng.randrange(len(text))
        if how == "cut":
            del text[at:]
        else:
            text[at] ^= 1 << rng.randrange(8)
        file.write_bytes(text)
        detail = f"{store}, {name}: {file.relative_to(trial.out)}, byte {at}"
        ended = trial.end(trial.begin())
        if ended.code:
            return Result(REFUSED if in_order(ended) else FAILED, detail, said=f"exit code {ended.code}: {ended.told}")
        if kind == "snapshots" and not _is_refused(file):
            return Result(WRONG, detail, said="a damaged snapshot is read")
        return gone_on(lab, trial, detail, but=(kind,) if kind in ("snapshots", "metrics") else ())

    return damage


def _kind(file: Path, trial: Trial) -> str:
    """The files of a run that are damaged alike often: each by its name, segments and snapshots together."""
    inside = file.relative_to(trial.out).parts
    if inside[0] == "checkpoint":
        return "segments" if inside[1] == "segments" else file.name
    return inside[0].partition(".")[0] if inside[0] != "config.toml" else inside[0]


def _is_refused(file: Path) -> bool:
    try:
        snapshots.read(file)
    except CheckpointError:
        return True
    return False


def clock_set_back(lab: Lab, rng: random.Random) -> Result:
    """From a step on it is a year ago."""
    return _event(lab, rng, "clock")


def removed_folder(lab: Lab, rng: random.Random) -> Result:
    """At a step the run's folder is moved away; the same command then begins it again."""
    return _event(lab, rng, "removed")


def _event(lab: Lab, rng: random.Random, event: str) -> Result:
    store, name = rng.choice(STORES), rng.choice(list(BEGINNINGS))
    step = rng.randint(BEGINNINGS[name] + 1, STEPS)
    trial = lab.trial(store)
    trial.environment = {child.EVENT: event, child.STEP: str(step)}
    fields = trial.prepare(lab.beginning(store, name))
    ended, detail = trial.end(trial.begin()), f"{store}, {name}: step {step}"
    if not in_order(ended) or not fields.hit or (event == "clock" and ended.code):
        return Result(FAILED, detail, said=f"exit code {ended.code}: {ended.told}")
    ending = gone_on(lab, trial, detail)
    return ending if ending.said else ending._replace(said=f"exit code {ended.code}: {ended.told}")


def stopped(seconds: float) -> Callable[[Lab, random.Random], Result]:
    """SIGSTOP at an operation on files, SIGCONT after so many seconds."""

    def stop(lab: Lab, rng: random.Random) -> Result:
        trial, number, detail = _stopped(lab, rng, at=None)
        time.sleep(seconds)
        return _continued(lab, trial, number, detail)

    return stop


def _stopped(lab: Lab, rng: random.Random, at: int | None) -> tuple[Trial, int, str]:
    """A run that is stopped at an operation on files, any if `at` is None; its process number."""
    store, name = rng.choice(STORES), rng.choice(list(BEGINNINGS))
    most = sum(operation.kind != disk.Kind.MAP for operation in lab.operations(store, name))
    trial = lab.trial(store)
    fields = trial.prepare(lab.beginning(store, name))
    fields.action, fields.first = disk.Action.STOP, at or rng.randint(1, most)
    fields.last = fields.first
    number = trial.begin()
    os.waitid(os.P_PID, number, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    fields.action = disk.Action.NOTHING
    return trial, number, f"{store}, {name}: operation {fields.first} of {most}"


def _continued(lab: Lab, trial: Trial, number: int, detail: str) -> Result:
    os.kill(number, signal.SIGCONT)
    ended = trial.end(number)
    if ended.code:
        return Result(FAILED, detail, said=f"exit code {ended.code}: {ended.told}")
    differing = differences(outcome(trial.out), lab.expected(trial.store), metrics=True)
    return Result(WRONG if differing else SURVIVED, detail, said=", ".join(differing))


def second_process(lab: Lab, rng: random.Random) -> Result:
    """While a run is stopped at an operation on files, another process is to go on with the same folder.

    Often at the first operations: about where a run locks its folder.
    """
    trial, number, detail = _stopped(lab, rng, at=rng.choice([None, None, 1, 2, 3, 4]))
    second = trial.end(trial.begin(said="other"), said="other")
    os.kill(number, signal.SIGCONT)
    ended = trial.end(number)
    codes = (ended.code, second.code)
    if not (in_order(ended) and in_order(second)) or 0 not in codes:
        return Result(FAILED, detail, said=f"exit codes {codes}: {ended.told}; {second.told}")
    differing = differences(outcome(trial.out), lab.expected(trial.store), metrics=True)
    return Result(WRONG if differing else SURVIVED, detail, said=", ".join(differing) or f"{ended.told}; {second.told}")


def full_temporary_folder(lab: Lab, rng: random.Random) -> Result:
    """Nothing can be made in the folder for temporary files, while a run goes on and while its policy is exported."""
    store, name = rng.choice(STORES), rng.choice(list(BEGINNINGS))
    trial = lab.trial(store)
    fields = trial.prepare(lab.beginning(store, name))
    full = trial.place / "tmp"
    full.mkdir()
    trial.environment = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(full))
    fields.root, fields.action, fields.number = os.fsencode(full), disk.Action.FAIL, errno.ENOSPC
    fields.first, fields.last = 1, disk.FOREVER
    ended, detail = trial.end(trial.begin()), f"{store}, {name}"
    if ended.code == 0:
        ended = trial.end(trial.begin(trial.exporting))
    if ended.code:
        return Result(FAILED, detail, said=f"exit code {ended.code}: {ended.told}")
    return gone_on(lab, trial, detail)
