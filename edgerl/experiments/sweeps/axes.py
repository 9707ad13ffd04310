"""The axes of a sweep from its options: environments, variants and seeds."""

import itertools
from typing import Any, NamedTuple

from edgerl.config import resolve
from edgerl.config.setting import Setting
from edgerl.config.values import lookup
from edgerl.envs import suites
from edgerl.errors import ConfigError
from edgerl.experiments.sweeps.paper import Experiment
from memory_budget import parse_bytes

MOST_SEEDS = 10_000


class Variant(NamedTuple):
    """What the runs of one variant share: options of `edgerl train` by name, and KEY=VALUE texts for its `--set`."""

    name: str
    options: dict[str, Any]
    assignments: tuple[str, ...] = ()


def environments(named: list[str], experiment: Experiment | None) -> list[str]:
    """The environments that are `named`, by their canonical names; all of the experiment's if none is.

    Raises ConfigError or EnvError for one that is unknown, named twice, or not in the experiment.
    """
    names = [suites.canonical_name(name) for name in named]
    _once("--env", names)
    if experiment is None:
        if not names:
            raise ConfigError("--env: give at least one environment, such as atari/qbert (or --preset, or --resume)")
        return names
    for name in names:
        if name not in experiment.envs:
            raise ConfigError(f"--env: {name} is not in {experiment.name}, which has {', '.join(experiment.envs)}")
    return names or list(experiment.envs)


def seeds(text: str | None, default: int) -> list[int]:
    """The seeds that a text names: `5` means 0 to 4, `3,7` these two, `3,` seed 3 alone; raises ConfigError."""
    if text is None:
        return list(range(default))
    words = _words("--seeds", text.strip().removesuffix(","))
    for word in words:
        if not word.isdecimal() or len(word) > 18:
            raise ConfigError(f"--seeds: {word!r} is no seed; give how many, such as 5, or which, such as 3,7")
    if len(words) > 1 or text.strip().endswith(","):
        return [int(word) for word in words]
    if not 1 <= int(text) <= MOST_SEEDS:
        raise ConfigError(f"--seeds: {int(text)} is not from 1 to {MOST_SEEDS:,}; one seed of that number is {text},")
    return list(range(int(text)))


def variants(budgets: str | None, freeze_at: str | None, vary: list[str]) -> list[Variant]:
    """A variant for every combination of the axes' values, named after them; raises ConfigError, naming the option."""
    axes = []
    if budgets is not None:
        axes.append([Variant(word, {"budget": word}) for word in _words("--budgets", budgets)])
        for variant in axes[-1]:
            _check_budget(variant.name)
    if freeze_at is not None:
        axes.append([_frozen(word) for word in _words("--freeze-at", freeze_at)])
    axes += [_varied(text) for text in vary]
    combined = []
    for parts in itertools.product(*axes):
        options: dict[str, Any] = {}
        for part in parts:
            options |= part.options
        name = ", ".join(part.name for part in parts) or "preset"
        combined.append(Variant(name, options, tuple(text for part in parts for text in part.assignments)))
    return combined


def setting_of(assignment: str) -> Setting:
    """The setting that a `KEY=VALUE` text sets; raises ConfigError if there is none of that name."""
    return lookup(assignment.partition("=")[0].strip())


def _check_budget(word: str) -> None:
    if word != "unbounded":
        try:
            parse_bytes(word)
        except ValueError as error:
            raise ConfigError(f"--budgets: {error}") from None


def _frozen(word: str) -> Variant:
    """The variant of one value of --freeze-at."""
    if word not in ("never", "preset", "auto") and not (word.isdecimal() and len(word) <= 18):
        raise ConfigError(f"--freeze-at: {word!r} is neither a number of steps, nor never, auto or preset")
    return Variant(f"freeze {word}", {} if word == "preset" else {"freeze_at": word})


def _varied(text: str) -> list[Variant]:
    """The variants of one --vary, in the order of its values."""
    key, equals, values = (part.strip() for part in text.partition("="))
    if not equals:
        raise ConfigError(f"--vary: {text!r} is not KEY=VALUE,VALUE, such as replay.latent_dtype=float32,uint8")
    varied = []
    for word in _words("--vary", values):
        assignment = f"{key}={word}"
        resolve.assigned([assignment], "--vary")
        varied.append(Variant(f"{setting_of(assignment).name} {word}", {}, (assignment,)))
    return varied


def _words(option: str, text: str) -> list[str]:
    """The values between the commas of an option's text; raises ConfigError for an empty or a repeated one."""
    words = [word.strip() for word in text.split(",")]
    if "" in words:
        raise ConfigError(f"{option}: {text!r} has an empty place; values stand between commas")
    _once(option, words)
    return words


def _once(option: str, words: list[str]) -> None:
    values = [word.lstrip("0") if word.isdecimal() else word for word in words]  # 03 is 3
    for word, value in zip(words, values, strict=True):
        if values.count(value) > 1:
            raise ConfigError(f"{option}: {word} is given twice")
