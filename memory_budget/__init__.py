"""Who owns which byte: units, capacities, the ring in its arena, the ledger and the watchdog."""

from memory_budget.budget import Ledger, fit_rows
from memory_budget.ring import Ring
from memory_budget.surroundings import Surroundings
from memory_budget.units import format_bytes, parse_bytes
from memory_budget.watchdog import Watchdog, rss_bytes, tree_bytes

__all__ = [
    "Ledger",
    "Ring",
    "Surroundings",
    "Watchdog",
    "fit_rows",
    "format_bytes",
    "parse_bytes",
    "rss_bytes",
    "tree_bytes",
]
