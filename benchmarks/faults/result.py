"""What came of a fault: a run that is gone on with comes to the same end, or is refused in one line."""

from typing import NamedTuple

from faults import disk
from faults.runs import INTERVAL, Ended, Lab, Trial, differences, newest, outcome

SURVIVED, REFUSED, MISSED, WRONG, FAILED = "survived", "refused", "missed", "wrong", "failed"
OUTCOMES = (SURVIVED, REFUSED, MISSED, WRONG, FAILED)
REFUSALS = (1, 2, 3)  # exit codes of a program that ends in order


class Result(NamedTuple):
    """The outcome, and where the fault was (`detail`).

    survived: ended bit-identical; refused: in one line, as is right after such a fault; missed: the program had ended
    before; wrong: ended otherwise; failed: did not end, or with a traceback. `lost`: steps that were done and are in no
    checkpoint, None if that has no meaning; `said`: the program's last line, or what differs.
    """

    outcome: str
    detail: str
    lost: int | None = None
    said: str = ""


def in_order(ended: Ended) -> bool:
    """Whether the program ended as documented: with one line that is the program's own, or none."""
    own = all(line.startswith("edgerl: ") for line in ended.said if line)
    return ended.code == 0 or (ended.code in REFUSALS and own and ended.told.startswith("edgerl: "))


def gone_on(
    lab: Lab, trial: Trial, detail: str, lost: int | None = None, *, metrics: bool = True, but: tuple[str, ...] = ()
) -> Result:
    """The result for a run that is gone on with, without faults, to its end.

    `metrics`, `but`: what may differ, as in `differences`, and by name.
    """
    if lost is not None and lost >= 2 * INTERVAL:
        return Result(FAILED, detail, lost, "more than two intervals are lost")
    ended = trial.finish()
    if ended.code:
        return Result(FAILED, detail, lost, f"gone on: exit code {ended.code}: {ended.told}")
    left, expected = outcome(trial.out), lab.expected(trial.store)
    differing = [name for name in differences(left, expected, metrics=metrics) if name not in but]
    return Result(WRONG if differing else SURVIVED, detail, lost, f"other {', '.join(differing)}" if differing else "")


def lost_steps(trial: Trial, fields: disk.Fields) -> int:
    """Steps that a program had done, and that are in no checkpoint.

    More than INTERVAL is right only if the next checkpoint was being written.
    """
    steps = max(0, int(fields.step) - max(newest(trial.out), 0))
    writing = any((trial.out / "checkpoint").glob(".*.part"))
    return steps if steps <= INTERVAL or writing else 2 * INTERVAL
