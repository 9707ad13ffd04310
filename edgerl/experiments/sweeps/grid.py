"""From a sweep's options to its cells: every one resolved, checked and sized before anything runs."""

import itertools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from edgerl.config import resolve
from edgerl.config.settings import Config, RunConfig
from edgerl.envs import suites
from edgerl.envs.base import EnvSpec
from edgerl.errors import ConfigError, EnvError
from edgerl.experiments.sweeps import axes, paper, pretrained
from edgerl.experiments.sweeps.axes import Variant
from edgerl.experiments.sweeps.manifest import Cell, Sweep
from edgerl.experiments.sweeps.paper import Experiment
from edgerl.planning import limits, plan

MOST_CELLS, LONGEST_NAME, LARGEST_SCALE = 10_000, 200, 1000
COMMON = ("algo", "steps", "device", "eval_every", "eval_episodes", "checkpoint_every")
OWN = {"env": "--env", "seed": "--seeds", "budget": "--budgets", "freeze_at": "--freeze-at", "threads": "--threads"}
LENGTHS = ("steps", "freeze_at", "eval_every", "stop_at_flops")
NOT_BESIDE_A_PRESET = ("budgets", "freeze_at", "steps", "algo", "vary")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Setting(NamedTuple):
    """What the cells of one environment and variant share: all but the seed."""

    env: str
    variant: str
    explicit: dict[str, Any]  # options of `edgerl train`
    sets: list[str]  # and what is given with --set
    planned_bytes: int


def make(given: dict[str, Any], *, local: bool) -> tuple[Sweep, list[str]]:
    """The sweep that the options of the command line ask for, and notes for the user.

    `given`: by name, None or empty where they were not given; `local`: whether its cells will run on this machine.
    Raises ConfigError or EnvError, naming the option and the cell, for what is not allowed or does not fit.
    """
    experiment = None if given["preset"] is None else paper.load(given["preset"])
    scale = _check_scale(given)
    if experiment is not None:
        for name in NOT_BESIDE_A_PRESET:
            if given[name] not in (None, []):
                raise ConfigError(f"--{name.replace('_', '-')}: --preset says it; --scale makes every run shorter")
    environments = axes.environments(given["env"], experiment)
    seeds = axes.seeds(given["seeds"], experiment.seeds if experiment else 1)
    if experiment is None:
        variants = axes.variants(given["budgets"], given["freeze_at"], given["vary"])
    else:
        variants = [Variant(name, said) for name, said in experiment.variants.items()]
    _check_assignments(given, experiment)
    sources = pretrained.find(given, experiment, seeds)
    count = len(environments) * len(variants) * len(seeds)
    if count > MOST_CELLS:
        raise ConfigError(f"--seeds, --budgets, --vary: {count:,} cells are more than {MOST_CELLS:,}")
    common = {name: given[name] for name in COMMON}
    common |= {"paper": given["paper"] or experiment is not None, "threads": _threads(given, count, local)}
    settings, notes, describe = [], [], cache(suites.describe)
    for env, variant in itertools.product(environments, variants):
        with _naming(f"{env}, {variant.name}"):
            said = common | variant.options | {"env": env}
            assignments = [*given["set"], *variant.assignments]
            config, found = resolve.started(said, None, assignments)
            notes += found
            explicit, sets = _explicit(_scaled(config.run, scale), said), _without_options(assignments)
            complete = resolve.started(explicit, None, sets)[0]
            settings.append(Setting(env, variant.name, explicit, sets, _planned(complete, describe, local)))
    cells = tuple(_cell(setting, seed, sources) for seed in seeds for setting in settings)
    _check_folders(cells)
    return Sweep(given["preset"], scale, experiment.title if experiment else None, cells), list(dict.fromkeys(notes))


def _threads(given: dict[str, Any], count: int, local: bool) -> int:
    """Compute threads of a cell: here, the cores that the jobs leave each other."""
    if given["threads"] is not None:
        return int(given["threads"])
    return max(1, cores() // min(given["jobs"] or cores(), count)) if local else 1


def _cell(setting: Setting, seed: int, sources: pretrained.Sources) -> Cell:
    source = setting.explicit.get("encoder_from")
    own = {"seed": seed, "encoder_from": sources.get((source, seed), source)}
    return Cell(
        name=f"{setting.env}, {setting.variant}, seed {seed}",
        folder=f"{_clean(setting.env)}__{_clean(setting.variant)}__{seed}",
        env=setting.env,
        variant=setting.variant,
        seed=seed,
        arguments=tuple(_arguments(setting.explicit | own, setting.sets)),
        steps=setting.explicit["steps"],
        threads=setting.explicit["threads"],
        planned_bytes=setting.planned_bytes,
    )


def _scaled(run: RunConfig, scale: float) -> RunConfig:
    """A run with its lengths times `scale`: at least 1, T_f within the run; what is never or 0 stays so."""
    if scale == 1:
        return run
    steps, freeze_at, eval_every, flops = (
        value and max(1, round(value * scale)) for value in (getattr(run, name) for name in LENGTHS)
    )
    return replace(
        run,
        steps=steps,
        freeze_at=None if freeze_at is None else min(freeze_at, steps - 1),
        eval_every=eval_every,
        stop_at_flops=None if flops is None else float(flops),
    )


def _explicit(run: RunConfig, said: dict[str, Any]) -> dict[str, Any]:
    """Every option of `edgerl train` that a cell comes to, and those said of replay and agent; None: not given."""
    found = {
        "env": run.env,
        "algo": run.algo,
        "budget": said.get("budget") or (run.budget if run.budget == "unbounded" else f"{run.budget}B"),
        "freeze_at": "never" if run.freeze_at is None else str(run.freeze_at),
        "steps": run.steps,
        "seed": 0,
        "threads": run.threads,
        "eval_every": run.eval_every,
        "eval_episodes": run.eval_episodes,
        "checkpoint_every": run.checkpoint_every,
        "stop_at_flops": run.stop_at_flops,
        "device": run.device,
        "process_limit": None if run.process_limit is None else f"{run.process_limit}B",
        "accelerator": run.accelerator,
        "action_repeat": run.action_repeat,
        "sticky_actions": run.sticky_actions or None,
        "full_action_set": run.full_action_set or None,
        "encoder_from": run.encoder_from,
        "transfer": run.transfer,
        "paper": said["paper"] or None,
    }
    return found | {name: value for name, value in said.items() if name not in found}


def _without_options(assignments: list[str]) -> list[str]:
    """The assignments that no option stands for."""
    return [text for text in assignments if axes.key_of(text)[0] != "run" or axes.key_of(text)[1] == "eval_epsilon"]


def _arguments(explicit: dict[str, Any], sets: list[str]) -> Iterator[str]:
    for name, value in explicit.items():
        if value is not None:
            yield f"--{name.replace('_', '-')}"
            if value is not True:
                yield str(value)
    for text in sets:
        yield from ("--set", text)


def _planned(config: Config, describe: Callable[..., EnvSpec], local: bool) -> int:
    """Bytes that a cell's process is planned to hold; raises ConfigError where this machine or a limit is too small."""
    run = config.run
    spec = describe(run.env, full_action_set=run.full_action_set, action_repeat=run.action_repeat)
    found = plan.make(config, spec)
    if local:
        limits.check_size(found, *limits.process_limit(config))
    return sum(found.ledger.values())


def _check_scale(given: dict[str, Any]) -> float:
    scale = 1.0 if given["scale"] is None else float(given["scale"])
    if not 0 < scale <= LARGEST_SCALE:
        raise ConfigError(f"--scale: {scale:g} is not above 0 and at most {LARGEST_SCALE:,}")
    if given["scale"] is not None:
        said = [name for name in ("steps", "eval_every") if given[name] is not None]
        said += ["freeze_at"] if re.search(r"\d", given["freeze_at"] or "") else []
        for name in said:
            raise ConfigError(
                f"--scale: multiplies the lengths that presets say, but --{name.replace('_', '-')} {given[name]} says "
                "one; give one of the two"
            )
    return scale


def _check_assignments(given: dict[str, Any], experiment: Experiment | None) -> None:
    """Every setting is said once: raises ConfigError for a `--set` or `--vary` of what another option says."""
    elsewhere = OWN | {name: f"--{name.replace('_', '-')}" for name in COMMON if given[name] is not None}
    if experiment is not None:
        elsewhere |= {name: "--preset" for said in experiment.variants.values() for name in said}
    if given["paper"] or experiment is not None:
        elsewhere |= dict.fromkeys(resolve.PAPER, "--paper" if experiment is None else "--preset")
    if given["scale"] is not None:
        elsewhere |= dict.fromkeys(LENGTHS, "--scale")
    resolve.assigned(given["set"])
    for option, texts in (("--set", given["set"]), ("--vary", given["vary"])):
        for text in texts:
            key = axes.key_of(text)[1]
            if key in elsewhere:
                raise ConfigError(f"{option}: {key} is for {elsewhere[key]} to say")
        elsewhere |= {axes.key_of(text)[1]: option for text in texts}
    varied = [axes.key_of(text)[1] for text in given["vary"]]
    for key in varied:
        if varied.count(key) > 1:
            raise ConfigError(f"--vary: {key} is given twice")


def _check_folders(cells: tuple[Cell, ...]) -> None:
    """Raise ConfigError where two cells would share a folder, or where its name is too long."""
    taken: dict[str, Cell] = {}
    for cell in cells:
        other = taken.setdefault(cell.folder, cell)
        if other is not cell:
            raise ConfigError(f"--vary: {other.name!r} and {cell.name!r} would share the folder {cell.folder}")
        if len(cell.folder) > LONGEST_NAME:
            raise ConfigError(f"--vary: the folder of {cell.name!r} would have a name of {len(cell.folder)} characters")


def _clean(text: str) -> str:
    """A text as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._+]+", "-", text).strip("-.")


@contextmanager
def _naming(cell: str) -> Iterator[None]:
    """Add the cell to what is wrong with it."""
    try:
        yield
    except (ConfigError, EnvError) as error:
        raise ConfigError(f"{error} (cell {cell})") from None
