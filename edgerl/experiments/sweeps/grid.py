"""From a sweep's options to its cells: all are resolved, checked and sized before anything runs."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from edgerl.config import resolve
from edgerl.config.arguments import arguments
from edgerl.config.device import available_cores
from edgerl.config.setting import flag
from edgerl.config.settings import SETTINGS, Config, RunConfig
from edgerl.envs import suites
from edgerl.envs.base import EnvSpec
from edgerl.errors import ConfigError, EnvError
from edgerl.experiments.sweeps import axes, paper, pretrained
from edgerl.experiments.sweeps.axes import Variant
from edgerl.experiments.sweeps.manifest import Cell, Sweep
from edgerl.experiments.sweeps.paper import Experiment
from edgerl.experiments.sweeps.sharing import share
from edgerl.planning import limits, plan

MOST_CELLS, LONGEST_NAME, LARGEST_SCALE = 10_000, 200, 1000
AXES = {"env": "--env", "seed": "--seeds", "budget": "--budgets", "freeze_at": "--freeze-at"}  # options by setting
LENGTHS = ("steps", "freeze_at", "freeze_by", "eval_every", "stop_at_flops")  # settings that --scale multiplies
NOT_BESIDE_A_PRESET = ("budgets", "freeze_at", "steps", "algo", "vary")  # options
OPTIONS = [setting.name for setting in SETTINGS.values() if setting.option and setting.name not in AXES]


class Resolved(NamedTuple):
    """What the cells of one environment and variant share: all but the seed."""

    variant: str
    config: Config
    plan: plan.Plan


def make(options: dict[str, Any], *, local: bool) -> tuple[Sweep, list[str]]:
    """The sweep that the options of the command line ask for, and notes for the user.

    `options`: by name, None or empty if not given; `local`: whether the cells will run on this machine.
    Raises ConfigError or EnvError, naming the option and the cell, for what is not allowed or does not fit.
    """
    experiment = None if options["preset"] is None else paper.load(options["preset"])
    scale = _check_scale(options)
    if experiment is not None:
        for name in NOT_BESIDE_A_PRESET:
            if options[name] not in (None, []):
                raise ConfigError(f"{flag(name)}: --preset says it; --scale makes every run shorter")
    environments = axes.environments(options["env"], experiment)
    seeds = axes.seeds(options["seeds"], experiment.seeds if experiment else 1)
    if experiment is None:
        variants = axes.variants(options["budgets"], options["freeze_at"], options["vary"])
    else:
        variants = [Variant(name, variant_options) for name, variant_options in experiment.variants.items()]
    if options.get("freeze_by") is not None and not any(
        variant.options.get("freeze_at") == "auto" for variant in variants
    ):
        raise ConfigError("--freeze-by: is for cells of --freeze-at auto, and there are none")
    _check_assignments(options, experiment)
    sources = pretrained.find(options, experiment, seeds)
    count = len(environments) * len(variants) * len(seeds)
    if count > MOST_CELLS:
        raise ConfigError(f"--seeds, --budgets, --vary: {count:,} cells are more than {MOST_CELLS:,}")
    common = {name: options.get(name) for name in OPTIONS}
    common |= {"paper": options["paper"] or experiment is not None, "threads": _threads(options, count, local)}
    resolved, notes, describe = [], [], cache(suites.describe)
    for env, variant in itertools.product(environments, variants):
        with _naming(f"{env}, {variant.name}"):
            cell_options = common | variant.options | {"env": env}
            if variant.options.get("freeze_at") != "auto":
                cell_options["freeze_by"] = None  # which is for the cells that choose T_f themselves
            assignments = [*options["set"], *variant.assignments]
            config, own_notes = resolve.started(cell_options, None, assignments)
            if scale != 1:
                config, own_notes = resolve.started(cell_options | _scaled(config.run, scale), None, assignments)
            notes += own_notes
            resolved.append(Resolved(variant.name, config, _plan(config, describe, local)))
    alone = [_cell(of_all, seed, sources) for seed in seeds for of_all in resolved]
    _check_folders([cell for cell, _ in alone])
    _check_unlike([cell for cell, _ in alone])
    cells, beginnings = shared = share(alone)
    if beginnings:
        notes.append(f"beginnings that cells share are trained once: {shared.saved_steps:,} steps less")
    title = experiment.title if experiment else None
    sweep = Sweep(preset=options["preset"], scale=scale, title=title, cells=cells, beginnings=beginnings)
    return sweep, list(dict.fromkeys(notes))


def _threads(options: dict[str, Any], count: int, local: bool) -> int:
    """Compute threads of a cell: as given; else on this machine an equal share of the cores, and 1 elsewhere."""
    if options["threads"] is not None:
        return int(options["threads"])
    cores = available_cores()
    return max(1, cores // min(options["jobs"] or cores, count)) if local else 1


def _cell(resolved: Resolved, seed: int, sources: pretrained.Sources) -> tuple[Cell, Config]:
    """The cell of one seed, with the folder of the run whose networks it begins with, if any; and its configuration."""
    run = resolved.config.run
    run = replace(run, seed=seed, encoder_from=sources.get((run.encoder_from, seed), run.encoder_from))
    config = replace(resolved.config, run=run)
    cell = Cell(
        name=f"{run.env}, {resolved.variant}, seed {seed}",
        folder=f"{_clean(run.env)}__{_clean(resolved.variant)}__{seed}",
        env=run.env,
        variant=resolved.variant,
        seed=seed,
        arguments=tuple(arguments(config)),
        steps=resolved.plan.last_step,
        threads=run.threads,
        planned_bytes=sum(resolved.plan.ledger.values()),
    )
    return cell, config


def _scaled(run: RunConfig, scale: float) -> dict[str, Any]:
    """The lengths of a run times `scale`, by option: at least 1, T_f within the run; None if it has no such length."""
    lengths: dict[str, Any] = {
        name: value if value in (None, 0, "auto") else max(1, round(value * scale))
        for name, value in ((name, getattr(run, name)) for name in LENGTHS)
    }
    for name in ("freeze_at", "freeze_by"):
        if isinstance(lengths[name], int):
            lengths[name] = min(lengths[name], lengths["steps"] - 1)
    if lengths["freeze_at"] is None:
        lengths["freeze_at"] = "never"
    if lengths["stop_at_flops"] is not None:
        lengths["stop_at_flops"] = float(lengths["stop_at_flops"])
    return lengths


def _plan(config: Config, describe: Callable[..., EnvSpec], local: bool) -> plan.Plan:
    """The plan of a cell; raises ConfigError if this machine or a limit is too small.

    Elsewhere (not `local`) only the limits that the options say are known.
    """
    run = config.run
    spec = describe(run.env, run.env_options)
    planned = plan.make_plan(config, spec)
    limit, source = limits.process_limit(config) if local else limits.lasting_limit(config)
    if local:
        limits.check_size(planned, limit, source)
    limits.check_fit(planned, planned.ledger["libraries"], limit, source)
    return planned


def _check_scale(options: dict[str, Any]) -> float:
    """The scale, 1 if not given; raises ConfigError if it is out of range, or a length is given beside it."""
    scale = 1.0 if options["scale"] is None else float(options["scale"])
    if not 0 < scale <= LARGEST_SCALE:
        raise ConfigError(f"--scale: {scale:g} is not above 0 and at most {LARGEST_SCALE:,}")
    if options["scale"] is not None:
        given = ("steps", "freeze_by", "eval_every", "stop_at_flops")
        lengths = [name for name in given if options.get(name) is not None]
        lengths += ["freeze_at"] if re.search(r"\d", options["freeze_at"] or "") else []
        for name in lengths:
            raise ConfigError(
                f"--scale: multiplies the lengths that presets say, but {flag(name)} {options[name]} says "
                "one; give one of the two"
            )
    return scale


def _check_assignments(options: dict[str, Any], experiment: Experiment | None) -> None:
    """Raise ConfigError for a `--set` or `--vary` of a setting that another option gives: each is given once."""
    said = {name: flag(name) for name in OPTIONS if options.get(name) is not None}
    elsewhere = AXES | {"threads": "--threads"} | said
    if experiment is not None:
        elsewhere |= {name: "--preset" for variant in experiment.variants.values() for name in variant}
    if options["paper"] or experiment is not None:
        elsewhere |= dict.fromkeys(resolve.PAPER, "--paper" if experiment is None else "--preset")
    if options["scale"] is not None:
        elsewhere |= dict.fromkeys(LENGTHS, "--scale")
    resolve.assigned(options["set"])
    for option, texts in (("--set", options["set"]), ("--vary", options["vary"])):
        names = [axes.setting_of(text).name for text in texts]
        for name in names:
            if name in elsewhere:
                raise ConfigError(f"{option}: {name} is for {elsewhere[name]} to say")
        elsewhere |= dict.fromkeys(names, option)
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--vary: {name} is given twice")


def _check_folders(cells: Sequence[Cell]) -> None:
    """Raise ConfigError if two cells would share a folder, or if a folder's name is too long."""
    taken: dict[str, Cell] = {}
    for cell in cells:
        holder = taken.setdefault(cell.folder, cell)
        if holder is not cell:
            raise ConfigError(f"--vary: {holder.name!r} and {cell.name!r} would share the folder {cell.folder}")
        if len(cell.folder) > LONGEST_NAME:
            raise ConfigError(f"--vary: the folder of {cell.name!r} would have a name of {len(cell.folder)} characters")


def _check_unlike(cells: Sequence[Cell]) -> None:
    """Raise ConfigError if two cells are the same run, by whatever words."""
    by_arguments: dict[tuple[str, ...], Cell] = {}
    for cell in cells:
        first = by_arguments.setdefault(cell.arguments, cell)
        if first is not cell:
            raise ConfigError(f"--budgets, --freeze-at, --vary: {first.name!r} and {cell.name!r} are the same run")


def _clean(text: str) -> str:
    """A text as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._+]+", "-", text).strip("-.")


@contextmanager
def _naming(cell: str) -> Iterator[None]:
    """Name the cell in the errors that its options raise."""
    try:
        yield
    except (ConfigError, EnvError) as error:
        raise ConfigError(f"{error} (cell {cell})") from None
