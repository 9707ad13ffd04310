"""Kills with -9, and power cuts: a run that was ended by force goes on to the same end."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable

from faults import child, disk, power
from faults.result import FAILED, MISSED, SURVIVED, WRONG, Result, gone_on, lost_steps
from faults.runs import BEGINNINGS, Ended, Lab, newest

STORES = ("raw, then float32", "lz4, then uint8", "raw")
AGAIN = 0.3  # how often the resumed run is killed too
BEGINNINGS_OF = {
    "saving": ("start", "early", "late"),
    "converting": ("start", "early"),
    "shedding": ("early",),
    "resuming": ("early", "late"),
}
OLD = b"an older policy"


def was_killed(ended: Ended) -> bool:
    """Whether the program was ended by -9."""
    return ended.code == -signal.SIGKILL


def at_an_operation(lab: Lab, rng: random.Random) -> Result:
    """Killed before an operation on files, behind it, or in the middle of a write; sometimes again at the resume."""
    store, name = rng.choice(STORES), rng.choice(list(BEGINNINGS))
    most = sum(operation.kind != disk.Kind.MAP for operation in lab.operations(store, name))
    trial = lab.trial(store)
    fields = trial.prepare(lab.beginning(store, name))
    fields.action = rng.choice([disk.Action.KILL_BEFORE, disk.Action.KILL_AFTER])
    fields.first = fields.last = rng.randint(1, most)
    ended = trial.end(trial.begin())
    detail = f"{store}, {name}: {disk.Kind(fields.hit).name or 'nothing'} {fields.first} of {most}"
    if not was_killed(ended):
        return Result(MISSED if ended.code == 0 else FAILED, detail, said=ended.told)
    steps = lost_steps(trial, fields)
    if rng.random() < AGAIN:
        fields.operations, fields.first = 0, rng.randint(1, 60)
        fields.last = fields.first
        trial.end(trial.begin())
        detail += f", and {fields.first} of the next"
    return gone_on(lab, trial, detail, steps)


def at_a_line(phase: str) -> Callable[[Lab, random.Random], Result]:
    """Killed before a line of Python of a phase, whichever thread runs it."""

    def kill(lab: Lab, rng: random.Random) -> Result:
        store = "with torch" if phase == "shedding" else rng.choice(STORES[:2])
        name = rng.choice(BEGINNINGS_OF[phase])
        trial, beginning = lab.trial(store), lab.beginning(store, name)
        trial.environment = {child.PHASE: phase}
        most = lab.lines(trial, phase, name)
        fields = trial.prepare(beginning)
        fields.line = rng.randint(1, most)
        ended = trial.end(trial.begin())
        detail = f"{store}, {name}: line {fields.line} of {most}"
        if not was_killed(ended):
            return Result(MISSED if ended.code == 0 else FAILED, detail, said=ended.told)
        return gone_on(lab, trial, detail, lost_steps(trial, fields))

    return kill


def exporting(lab: Lab, rng: random.Random) -> Result:
    """`edgerl export` over an older file, killed: the old one stays, or the new one is whole."""
    store, counted = rng.choice(STORES[:2]), rng.choice(["lines", "operations"])
    trial, whole = lab.trial(store), lab.whole(store)
    trial.environment = {child.PHASE: "exporting"} if counted == "lines" else {}
    most, expected = lab.exported(trial, counted)
    fields = trial.prepare(whole)
    policy = trial.root / "policy.onnx"
    policy.write_bytes(OLD)
    fields.action = disk.Action.KILL_BEFORE if counted == "operations" else disk.Action.NOTHING
    number = most - int(most * rng.random() ** 3)  # more often near the end, where the file is written
    fields.first = fields.last = fields.line = number
    ended, detail = trial.end(trial.begin(trial.exporting)), f"{store}: {counted.removesuffix('s')} {number} of {most}"
    if not was_killed(ended):
        return Result(MISSED if ended.code == 0 else FAILED, detail, said=ended.told)
    if policy.read_bytes() not in (OLD, expected):
        return Result(WRONG, detail, said="half a policy is left")
    ended = trial.finish(trial.exporting)
    if ended.code:
        return Result(FAILED, detail, said=ended.told)
    same = policy.read_bytes() == expected and not list(trial.root.glob(".*"))
    return Result(SURVIVED if same else WRONG, detail, said="" if same else "another policy, or rests of one")


def at_any_moment(lab: Lab, rng: random.Random) -> Result:
    """Killed after a random time."""
    store, name = rng.choice(STORES), rng.choice(list(BEGINNINGS))
    trial, seconds = lab.trial(store), rng.uniform(0, lab.seconds(store, name))
    fields = trial.prepare(lab.beginning(store, name))
    number = trial.begin()
    time.sleep(seconds)
    os.kill(number, signal.SIGKILL)
    ended, detail = trial.end(number), f"{store}, {name}: after {seconds:.3f} s, in step {fields.step}"
    if not was_killed(ended):
        return Result(MISSED if ended.code == 0 else FAILED, detail, said=ended.told)
    return gone_on(lab, trial, detail, lost_steps(trial, fields))


def power_cut(lab: Lab, rng: random.Random) -> Result:
    """What was not synced when the power went is lost in part."""
    store, name, losses = rng.choice(STORES), rng.choice(list(BEGINNINGS)), rng.choice(power.LOSSES[1:])
    operations, beginning = lab.operations(store, name), lab.beginning(store, name)
    cut = rng.randint(0, len(operations))
    trial = lab.trial(store)
    trial.prepare(beginning)
    after = power.Disk(trial.root)
    for operation in operations[:cut]:
        after.apply(operation)
    shutil.rmtree(trial.root)
    after.write(trial.root, losses, rng)
    step = max((operation.step for operation in operations[:cut]), default=0)
    durable = max([BEGINNINGS[name] or -1, *synced_steps(operations[:cut])])
    detail, newest_step = f"{store}, {name}: {losses}; after {cut} of {len(operations)}", newest(trial.out)
    if newest_step < durable:
        return Result(FAILED, detail, step - max(newest_step, 0), f"step {durable} was synced, and is lost")
    return gone_on(lab, trial, detail, max(0, step - max(newest_step, 0)))


def synced_steps(operations: list[power.Operation]) -> list[int]:
    """The steps of the checkpoints that the program takes for durable: renamed, and their folder synced."""
    renamed, durable = list[int](), list[int]()
    for operation in operations:
        if operation.kind == disk.Kind.RENAME and operation.target.parent.name == "checkpoint":
            renamed += [int(operation.target.name)] if operation.target.name.isdecimal() else []
        if operation.kind == disk.Kind.SYNC and operation.path.name == "checkpoint":
            durable += renamed
            renamed = []
    return durable
