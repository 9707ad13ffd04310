"""Makes the folder of a run's card, whole or not at all: `edgerl card RUN`."""

import contextlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerl.errors import CheckpointError, ConfigError
from edgerl.experiments.card import readme
from edgerl.experiments.card.contents import CONFIG, FILES, POLICY, README, SCORES, Contents, Facts, facts
from edgerl.experiments.card.scores import Asked, collect
from edgerl.experiments.export.export import export
from edgerl.experiments.export.metadata import KEY
from edgerl.runs.files import making_folder
from edgerl.runs.status import read_summary
from edgerl.training.evaluate import Show, show_nothing
from edgerl.training.policy import Policy
from runtime import Session

LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class Options:
    """What a card is asked for: how many games it plays and their seed, whether it films the first of them.

    `license`: of the policy, as hubs write it; `force`: also over a card that is there.
    """

    episodes: int = 10
    seed: int = 0
    film: bool = True
    license: str = "other"
    force: bool = False


def make(
    folder: Path, out: Path, options: Options | None = None, *, say: Callable[[str], None] = lambda line: None
) -> Contents:
    """Make the card of a run's newest whole checkpoint in the folder `out`; returns what its README.md says.

    `say` is told what was passed over. Raises ConfigError, CheckpointError or EnvError, in one line, for what the user
    must change, ExportError if the exported policy acts otherwise than the program, OSError if the disk fails on the
    way: nothing of the card is left then.
    """
    options = options or Options()
    check(out, options)
    filming = _filming() if options.film else None
    with contextlib.ExitStack() as stack:
        try:
            part = stack.enter_context(making_folder(out.resolve()))
        except OSError as error:
            raise ConfigError(f"--out: {out} cannot be written: {error.strerror}") from None
        policy = Policy(folder)
        for line in policy.passed:
            say(f"passed over: {line}")
        written = export(folder, part / POLICY)
        about = json.loads(Session(part / POLICY).metadata[KEY])
        _check_same(policy, about)
        with contextlib.nullcontext(show_nothing) if filming is None else filming(part) as show:
            scores = collect(policy, Asked(options.episodes, options.seed), show)
        contents = Contents(
            policy.config,
            about,
            scores,
            _facts(folder, say),
            policy_bytes=written.nbytes,
            parity=written.parity.line,
            is_filmed=options.film,
            license=options.license,
        )
        shutil.copyfile(folder / CONFIG, part / CONFIG)
        _write(contents, part)
    return contents


def _write(contents: Contents, part: Path) -> None:
    """Write the scores and the page into the folder `part`."""
    (part / SCORES).write_text(json.dumps(contents.scores, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (part / README).write_text(readme.text(contents), encoding="utf-8")


def check(out: Path, options: Options) -> None:
    """Raise ConfigError for what is wrong with a card before anything is read or played; creates nothing."""
    if options.episodes < 1:
        raise ConfigError(f"--episodes: {options.episodes} is below 1")
    if options.seed < 0:
        raise ConfigError(f"--seed: {options.seed} is below 0")
    if not LICENSE.fullmatch(options.license):
        raise ConfigError(f"--license: {options.license!r} is no name as hubs write it, such as mit or apache-2.0")
    try:
        _check_place(out, force=options.force)
    except OSError as error:
        raise ConfigError(f"--out: {out} cannot be written: {error.strerror}") from None


def _check_place(out: Path, *, force: bool) -> None:
    """Raise ConfigError if no card may be made in `out`. What is not a card is never written over."""
    if not out.exists():
        if not out.resolve().parent.is_dir():
            raise ConfigError(f"--out: there is no folder {out.parent}")
        return
    if not out.is_dir():
        raise ConfigError(f"--out: {out} is a file; name a folder")
    if not force:
        raise ConfigError(f"--out: {out} exists; name another folder, or give --force to write over it")
    others = sorted({entry.name for entry in out.iterdir()} - set(FILES))
    if others:
        raise ConfigError(f"--out: {out} holds {others[0]}, which is of no card; --force writes over a card alone")


def _filming() -> Callable[[Path], contextlib.AbstractContextManager[Show]]:
    """What films the first game into a folder; raises ConfigError if its packages are missing."""
    try:
        from edgerl.experiments.card.film import filming
    except ConfigError as error:
        raise ConfigError(f"the film {str(error).removeprefix('--video: ')}, or give --no-video") from None
    return filming


def _check_same(policy: Policy, about: dict[str, Any]) -> None:
    """Raise CheckpointError if the policy that plays is not the one that was exported."""
    if policy.saved.values["sha256"]["weights.safetensors"] != about["checkpoint_sha256"]:
        raise CheckpointError(f"{policy.saved.place} is no longer the newest checkpoint: the run goes on; try again")


def _facts(folder: Path, say: Callable[[str], None]) -> Facts:
    """What the run's summary says for people and of versions; nothing where it cannot be read."""
    summary, without = read_summary(folder), "the card lacks the run's memory and its speed"
    if not summary:
        say(f"passed over: {folder} has no summary.json that can be read; {without}")
        return Facts()
    try:
        return facts(summary)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        say(f"passed over: {folder / 'summary.json'} is not as this edgerl writes it ({error!r}); {without}")
        return Facts()
