"""The ledger of a run: planned and measured bytes, line by line, at the time of asking."""

from edgerl.agents.agent import Agent
from edgerl.planning.plan import Plan
from edgerl.replay.replays import AnyReplay
from edgerl.settling.watch import Watch
from memory_budget import Ledger, format_bytes, rss_bytes

UNACCOUNTED = 0.10  # the share of resident memory above which a warning is given


def take(
    plan: Plan,
    library_bytes: int,
    agent: Agent,
    replay: AnyReplay,
    watch: Watch | None = None,
    children: int | None = None,
) -> Ledger:
    """The ledger now, in bytes.

    `library_bytes`: resident before networks and replay were made; `watch`: of --freeze-at auto; `children`: what the
    processes of several environments hold.

    Resident memory beyond the other lines is scratch, up to what was planned for scratch; the rest is unaccounted.
    """
    ledger = Ledger()
    for name, nbytes in plan.ledger.items():
        ledger.plan(name, nbytes)
    for name, nbytes in {"libraries": library_bytes, **agent.nbytes(), "replay": replay.nbytes}.items():
        ledger.measure(name, nbytes)
    if watch is not None:
        ledger.measure("settling", watch.nbytes)
    if children is not None:
        ledger.measure("environments", children)
    ledger.balance(rss_bytes() + (children or 0), into="scratch")
    return ledger


def line(ledger: Ledger) -> str:
    """The ledger in one line: the measured bytes of each, and the planned ones."""
    parts = []
    for name, entry in ledger.lines.items():
        planned = "" if entry["planned"] is None else f" of {format_bytes(entry['planned'])}"
        parts.append(f"{name} {format_bytes(entry['measured'] or 0)}{planned}")
    return ", ".join(parts)


def warning(ledger: Ledger) -> str | None:
    """A line for the user if more than UNACCOUNTED of resident memory is unaccounted for."""
    resident = sum(entry["measured"] or 0 for entry in ledger.lines.values())
    unknown = ledger.lines["unaccounted"]["measured"] or 0
    if unknown <= UNACCOUNTED * resident:
        return None
    return f"warning: {format_bytes(unknown)} of {format_bytes(resident)} resident memory is unaccounted for"
