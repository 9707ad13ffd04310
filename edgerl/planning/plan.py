"""What fits a budget, before anything is trained: rows, and the bytes of networks and optimizer. No torch."""

from bisect import bisect_left
from dataclasses import dataclass
from math import prod

from edgerl.agents.algorithms import algorithm_of
from edgerl.config import architectures
from edgerl.config.agent_settings import AGENTS
from edgerl.config.settings import Config
from edgerl.envs.base import EnvSpec
from edgerl.errors import ConfigError
from edgerl.planning import capacity, flops, memory
from edgerl.planning.capacity import Store
from edgerl.replay import representation
from edgerl.replay.buffer import row_dtype
from edgerl.replay.quantization import MIN_ROWS_FOR_UINT8
from edgerl.replay.replays import share
from edgerl.replay.representation import pixel_field
from edgerl.replay.sampling import SAMPLERS
from edgerl.settling.checks import Checks, make_checks
from memory_budget import format_bytes


@dataclass(frozen=True)
class Plan:
    """What is stored before and after the freeze, by exact and by the paper's accounting, and the planned bytes."""

    budget: int  # bytes, with "unbounded" worked out
    before: Store
    after: Store  # the same as `before` if pixels are kept
    latents: Store  # as they are stored, or would be
    paper_initial: int  # rows by the paper's accounting
    paper_after_freeze: int
    ledger: memory.Ledger  # planned bytes by line, of the larger phase
    flops: flops.Flops
    freeze_bytes: int  # that the freeze takes for a while
    evaluation_bytes: int  # that playing whole games takes
    checks: Checks | None  # of how settled the stem is, with --freeze-at auto
    last_step: int  # the agent step that the run ends at
    total_flops: int  # multiply-adds up to there, by the paper's convention


def make_plan(config: Config, env: EnvSpec) -> Plan:
    """The plan of a run on such an environment.

    Raises ConfigError, naming the smallest budget, if one batch and its n-step windows do not fit, and ConfigError if
    the algorithm does not take such actions, the crop does not suit the frames, or latents are larger than frames.
    """
    run, replay = config.run, config.replay
    _check_actions(run.algo, env)
    _check_steps(config)
    _check_crop(config, env)
    window, latent = representation.pixels(env, replay).shape, _latent_shape(config, env)
    frame_bytes, views = prod(env.frame), replay.augmentations if replay.random_crop else 0
    budget = _unbounded(config, env) if run.budget == "unbounded" else run.budget
    part, count = share(budget, run.envs), run.envs
    before = capacity.pixel_store(env, replay.pixel_codec, replay.sampling, part).times(count)
    asked, latents = (
        capacity.latent_store(env, latent, dtype, replay.sampling, part, views=views).times(count)
        for dtype in (replay.latent_dtype, _latent_dtype(config))
    )
    keeps_pixels = _keeps_pixels(config, frame_bytes, asked, latents)
    after = before if keeps_pixels else latents
    _check_rows(config, env, budget, before, after)
    counts = flops.count(config, window, env.actions, keeps_pixels=keeps_pixels)
    forward, update = sum(counts.layers.values()), counts.before.exact_per_update - counts.before.acting
    checks = make_checks(config, window, rows=before.rows, forward=forward, update=update)
    paper_initial = budget // frame_bytes
    last_step = _last_step(config, counts, before.rows)
    return Plan(
        budget=budget,
        before=before,
        after=after,
        latents=latents,
        paper_initial=paper_initial,
        paper_after_freeze=paper_initial * frame_bytes // (4 * prod(latent) * max(1, views)),
        ledger=memory.planned(config, window, counts, budget, keeps_pixels=keeps_pixels, checks=checks),
        flops=counts,
        freeze_bytes=memory.freeze_bytes(config, window),
        evaluation_bytes=memory.evaluation_bytes(run.env),
        checks=checks,
        last_step=last_step,
        total_flops=_paper_flops(config, counts, before.rows, last_step),
    )


def _last_step(config: Config, counts: flops.Flops, rows: int) -> int:
    """The agent step that a run ends at: of --steps, --until and --stop-at-flops the one that comes first.

    `rows`: the most that the freeze converts.
    """
    run = config.run
    last = run.steps if run.until is None else min(run.steps, -(-run.until // run.envs) * run.envs)
    if run.stop_at_flops is None:
        return last
    rounds = range(0, last, run.envs)
    enough = bisect_left(rounds, run.stop_at_flops, key=lambda steps: _paper_flops(config, counts, rows, steps))
    return rounds[enough] if enough < len(rounds) else last


def _paper_flops(config: Config, counts: flops.Flops, rows: int, steps: int) -> int:
    """Multiply-adds of the first `steps` agent steps, by the paper's convention. `rows`: the most of a freeze."""
    start, latest = config.replay.learn_start, config.run.latest_freeze
    frozen_at = steps if latest is None else min(steps, latest)
    updates = config.replay.updates(steps, frozen_at)
    conversion = counts.conversion(min(rows, frozen_at)) if latest is not None and latest < steps else 0
    before = counts.before.paper(max(0, frozen_at - start), updates.before)
    return before + conversion + counts.after.paper(max(0, steps - max(frozen_at, start)), updates.after)


def _unbounded(config: Config, env: EnvSpec) -> int:
    """Bytes of as many raw rows as the run has steps (the paper's upper bound)."""
    count, sampler = config.run.envs, SAMPLERS[config.replay.sampling]
    steps = config.run.steps // count
    part = steps * row_dtype(pixel_field(env.frame), env.action).itemsize + sampler.index_bytes(steps)
    return part * count  # rows and index are multiples of what shares are aligned to


def _check_steps(config: Config) -> None:
    """Raise ConfigError if not all environments make the same number of steps, or if their last ones reach T_f."""
    steps, count, latest = config.run.steps, config.run.envs, config.run.latest_freeze
    if steps % count:
        nearest = [str(rounds * count) for rounds in (steps // count, steps // count + 1) if rounds]
        raise ConfigError(f"--steps: {steps} is no multiple of --envs {count}; give {' or '.join(nearest)}")
    if count > 1 and latest is not None and latest > steps - count:
        name = "--freeze-by" if config.run.freeze_at == "auto" else "--freeze-at"
        raise ConfigError(
            f"{name}: {latest} is reached by the last steps of --envs {count}; give {steps - count} or less"
        )


def _check_rows(config: Config, env: EnvSpec, budget: int, before: Store, after: Store) -> None:
    """Raise ConfigError, naming the smallest budget, if one batch and its n-step windows do not fit."""
    replay, count = config.replay, config.run.envs
    batch = max(replay.batches)
    needed = (batch + count * (replay.n_step + env.history)) * (2 if before.varies else 1)
    if min(before.rows, after.rows) >= needed:
        return

    def rows(nbytes: int) -> int:
        return capacity.pixel_store(env, replay.pixel_codec, replay.sampling, share(nbytes, count)).rows * count

    smallest = bisect_left(range(2**48), needed, key=rows)
    for_all = f" for {count} environments" if count > 1 else ""
    raise ConfigError(
        f"--budget: {format_bytes(budget)} holds {max(before.rows, 0)} rows; one batch of {batch} "
        f"and its {replay.n_step}-step windows need {needed}{for_all}: at least {smallest}B"
    )


def _latent_dtype(config: Config) -> str:
    """The dtype of latents after the freeze: float16 instead of uint8 if there are too few rows to fit scales to."""
    freeze_at, dtype = config.run.latest_freeze, config.replay.latent_dtype
    return "float16" if dtype == "uint8" and freeze_at is not None and freeze_at < MIN_ROWS_FOR_UINT8 else dtype


def _keeps_pixels(config: Config, frame_bytes: int, asked: Store, latents: Store) -> bool:
    """Whether frames stay after the freeze, as far as the plan can tell; the freeze itself decides.

    `asked`: latents of the dtype that was asked for; `latents`: of the dtype that they will have.
    """
    replay = config.replay
    if replay.store == "pixels":
        return True
    larger = latents.columns["obs"] > frame_bytes
    if replay.store == "latents":
        if asked.columns["obs"] > frame_bytes:
            raise ConfigError(
                f"--store: a latent of {asked.columns['obs']:,} B is larger than a frame of {frame_bytes:,} B; "
                "give pixels or auto, or a later --cut"
            )
        return larger
    return larger or (replay.pixel_codec == "lz4" and (config.run.latest_freeze or 0) > latents.rows)


def _check_actions(algo: str, env: EnvSpec) -> None:
    """Raise ConfigError if the algorithm does not take the environment's actions."""
    if AGENTS[algo].continuous != env.continuous:
        kind = "vectors" if env.continuous else "one of a few"
        fitting = [name for name, settings in AGENTS.items() if settings.continuous == env.continuous]
        raise ConfigError(
            f"--algo: {algo} does not fit: this environment's actions are {kind}; {' or '.join(fitting)} fits"
        )


def _check_crop(config: Config, env: EnvSpec) -> None:
    """Raise ConfigError if the crop does not suit the algorithm or the environment's frames."""
    replay, (height, width) = config.replay, env.frame[-2:]
    if not config.agent.continuous and (replay.crop or replay.random_crop):
        raise ConfigError(f"replay.crop: {config.run.algo} learns from whole frames; give 0, and random_crop = false")
    if replay.crop > min(height, width):
        raise ConfigError(f"replay.crop = {replay.crop} is larger than this environment's frames, {height}x{width}")
    if replay.random_crop and not replay.crop:
        raise ConfigError("replay.random_crop = true needs replay.crop, the side of a crop")


def _latent_shape(config: Config, env: EnvSpec) -> tuple[int, ...]:
    """The shape of a window's latents: [L], or [N, L] if encoders are tied."""
    encoder, cut = config.agent.encoder, config.agent.cut
    shape = architectures.latent_shape(encoder, representation.pixels(env, config.replay).shape, cut)
    encoders = algorithm_of(config).encoders
    return (encoders, *shape) if cut == "fc" and encoders > 1 else shape
