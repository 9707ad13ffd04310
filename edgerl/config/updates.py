"""The updates that a run makes: when they begin, how many there are before T_f and in all.

A run that could not learn is refused before its first step.
"""

from edgerl.config.settings import Config
from edgerl.config.toml import Tables
from edgerl.envs.suites import suite_of
from edgerl.errors import ConfigError

FEW = 1000  # updates before T_f
QUICK = "toy"  # a suite that is learned in fewer
OF_ANY_LENGTH = ("gym", "toy", "custom")  # suites whose runs may be much shorter than their preset
SHARE = 10  # of the steps of such a run: one in so many comes before the first update


def settle_learn_start(tables: Tables) -> None:
    """Begin the updates of a short run earlier than its preset does, where its suite has runs of any length."""
    run, replay = tables["run"], tables["replay"]
    if suite_of(run["env"]) in OF_ANY_LENGTH:
        least = replay["n_step"] * run.get("envs", 1)  # a window in each environment
        replay["learn_start"] = max(least, min(replay["learn_start"], run["steps"] // SHARE))


def check_updates(config: Config) -> list[str]:
    """A note for the user if the encoder is trained little before T_f.

    Raises ConfigError, naming the option, for a run without one update, or without one before T_f.
    """
    run, start, latest = config.run, config.replay.learn_start, config.run.latest_freeze
    updates = config.replay.updates(run.steps, latest)
    earlier = f"--set replay.learn_start=N with a smaller N than {start}"
    if not sum(updates):
        raise ConfigError(
            f"--steps: {run.steps} steps make no update, as learning begins after step {start}; "
            f"give more steps, or {earlier}"
        )
    if not latest:
        return []
    if not updates.before:
        name, words = ("--freeze-by", "") if run.freeze_at == "auto" else ("--freeze-at", ", 0 to freeze at once")
        raise ConfigError(
            f"{name}: {latest} comes before the first update, as learning begins after step {start}: the frozen "
            f"encoder would be untrained; give a later step{words}, or {earlier}"
        )
    if updates.before < FEW and suite_of(run.env) != QUICK:
        return [
            f"few updates: {updates.before:,} before the encoder is frozen at step {latest:,}, "
            f"and {sum(updates):,} in all; the encoder may have learned little by then"
        ]
    return []


def planned(config: Config, steps: int) -> dict[str, int]:
    """After which step updates begin, and how many the first `steps` agent steps make before T_f and in all."""
    updates = config.replay.updates(steps, config.run.latest_freeze)
    return {"after_step": config.replay.learn_start, "before_freeze": updates.before, "total": sum(updates)}


def in_words(total: int, before_freeze: int, after_step: int | None = None) -> str:
    """The same for people; without `after_step`, of a run that has ended."""
    since = f" updates after step {after_step:,}" if after_step is not None else ""
    until = f", {before_freeze:,} of them before the freeze" if before_freeze < total else ""
    return f"{total:,}{since}{until}"
