"""The limits that a run must fit, checked before it starts."""

import math
from pathlib import Path

import psutil

from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.errors import ConfigError, MemoryLimitError
from edgerl.planning.plan import Plan
from edgerl.types import Array
from memory_budget import Watchdog, format_bytes
from memory_budget.limits import cgroup_bytes, smallest
from memory_budget.ring import arena_of

LIMIT_NAMES = {"given": "--process-limit", "device": "--device", "cgroup": "the control group's memory limit"}


def process_limit(config: Config) -> tuple[int | None, str]:
    """What the process tree may hold now, in bytes (the smallest limit rules), and the name of that limit."""
    return _named(**_lasting(config), cgroup=cgroup_bytes())


def lasting_limit(config: Config) -> tuple[int | None, str]:
    """The same without the control group's, which may change while the run goes on."""
    return _named(**_lasting(config))


def _named(**known: int | None) -> tuple[int | None, str]:
    limit, name = smallest(**known)
    return limit, LIMIT_NAMES.get(name, "")


def _lasting(config: Config) -> dict[str, int | None]:
    profile = load_device(config.run.device)
    return {"given": config.run.process_limit, "device": profile.application_bytes if profile else None}


def check_size(plan: Plan, limit: int | None, source: str) -> None:
    """Raise ConfigError if replay or networks alone are larger than the machine's free memory or the limit.

    `source`: the name of the limit.
    """
    available = psutil.virtual_memory().available
    networks = plan.ledger["networks"] + plan.ledger["optimizer"]
    for name, nbytes in (("--budget", plan.budget), ("networks and optimizer", networks)):
        if nbytes > available:
            raise ConfigError(
                f"{name}: {format_bytes(nbytes)} is larger than this machine: {format_bytes(available)} are available"
            )
        if limit is not None and nbytes > limit:
            raise ConfigError(
                f"{name}: {format_bytes(nbytes)} is larger than what {source} leaves the process, {format_bytes(limit)}"
            )


def take_arena(watchdog: Watchdog, nbytes: int, folder: Path) -> Array:
    """The replay's bytes, touched; raises MemoryLimitError if a control group's limit, lowered since, lacks the room.

    Other limits kill nobody: they are left to the training loop, which ends with a checkpoint. `folder`: the run's.
    """

    def ask(left: int) -> None:
        if not watchdog.group_allows(left):
            raise MemoryLimitError(
                f"the control group's memory limit has no room for the replay of {format_bytes(nbytes)} any more; "
                f"go on with --resume {folder}"
            )

    return arena_of(nbytes, ask, inherited=False)  # an environment that forks workers would double them


def check_fit(plan: Plan, library_bytes: int, limit: int | None, source: str) -> None:
    """Raise ConfigError, with the ledger, if the run as planned is larger than the limit.

    `library_bytes`: resident before networks and replay are made; `source`: the name of the limit.
    """
    lines = plan.ledger | {"libraries": library_bytes}
    needed = sum(lines.values())
    if limit is not None and needed > Watchdog.LEAVE * limit:
        parts = ", ".join(f"{name} {format_bytes(nbytes)}" for name, nbytes in lines.items())
        raise ConfigError(
            f"{source}: {format_bytes(limit)} is too little for the {format_bytes(needed)} that this run needs "
            f"({parts}); at least {math.ceil(needed / Watchdog.LEAVE)}B, as a run ends at {Watchdog.LEAVE:.0%}"
        )
