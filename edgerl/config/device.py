"""The device profile that a run names, the cores of the machine it runs on, and what both come to."""

import os
from typing import Any

import device_profiles
from device_profiles import DeviceProfile
from edgerl.errors import ConfigError
from memory_budget.limits import cgroup_cores


def load_device(reference: str | None) -> DeviceProfile | None:
    """The profile of a name, perhaps with a power mode, or of a file, if one is given; raises ConfigError otherwise."""
    if reference is None:
        return None
    try:
        return device_profiles.load(reference)
    except ValueError as error:
        raise ConfigError(f"--device: {error}") from None


def available_cores() -> int:
    """How many cores this process may use: those it is bound to, or fewer if its control group has less time.

    All of the machine's if the system cannot tell. A container with half a core has one.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_cores()
    return bound if quota is None else max(1, min(bound, int(quota)))


def settle_machine(run: dict[str, Any]) -> list[str]:
    """Put the device by its full reference, and the threads, into a run's settings; returns notes for the user."""
    if run.get("device") == "never":
        del run["device"]
    profile, cores, notes = load_device(run.get("device")), available_cores(), []
    if run.get("threads") is None:
        run["threads"] = min(profile.threads, cores) if profile else cores
    elif run["threads"] > cores:
        notes.append(f"--threads: {run['threads']} are more than the cores that this process may use, {cores}: slower")
    if profile is None:
        return notes
    run["device"] = profile.reference  # a file by its absolute path: a run is resumed from any folder
    if profile.application is None and run.get("process_limit", "never") == "never":
        notes.append(f"--device: what {profile.name} leaves an application is not known; --process-limit sets a limit")
    return notes
