"""The ledger of a run: planned against measured bytes, line by line, whenever it is asked for."""

from edgerl.agents.agent import Agent
from edgerl.planning.plan import Plan
from edgerl.replay.buffer import Replay
from memory_budget import Ledger, format_bytes, rss_bytes

UNACCOUNTED = 0.10  # of resident memory; more is worth a warning


def take(plan: Plan, libraries: int, agent: Agent, replay: Replay) -> Ledger:
    """The ledger now. `libraries`: bytes resident before networks and replay were made.

    What the other lines leave of resident memory is scratch, as far as scratch was planned, and then unaccounted.
    """
    found = Ledger()
    for name, nbytes in plan.ledger.items():
        found.plan(name, nbytes)
    for name, nbytes in {"libraries": libraries, **agent.nbytes(), "replay": replay.ring.arena.nbytes}.items():
        found.measure(name, nbytes)
    found.balance(rss_bytes(), into="scratch")
    return found


def line(ledger: Ledger) -> str:
    """The ledger in one line, measured of planned."""
    parts = []
    for name, each in ledger.lines.items():
        planned = "" if each["planned"] is None else f" of {format_bytes(each['planned'])}"
        parts.append(f"{name} {format_bytes(each['measured'] or 0)}{planned}")
    return ", ".join(parts)


def warning(ledger: Ledger) -> str | None:
    """A line for the user where more than a tenth of resident memory is unaccounted for."""
    resident = sum(each["measured"] or 0 for each in ledger.lines.values())
    unknown = ledger.lines["unaccounted"]["measured"] or 0
    if unknown <= UNACCOUNTED * resident:
        return None
    return f"warning: {format_bytes(unknown)} of {format_bytes(resident)} resident memory is unaccounted for"
