"""What fits a budget, before anything is trained: capacities, and the bytes of networks and optimizer. No torch."""

from bisect import bisect_left
from dataclasses import dataclass
from math import prod

from edgerl.agents.algorithms import ALGORITHMS, Parameters
from edgerl.config import architectures
from edgerl.config.settings import AGENTS, Config
from edgerl.envs.base import EnvSpec
from edgerl.envs.suites import suite_of
from edgerl.errors import ConfigError
from edgerl.planning import capacity, flops
from edgerl.planning.capacity import Store
from edgerl.replay import representation
from edgerl.replay.buffer import row_dtype
from edgerl.replay.quantization import MIN_ROWS_FOR_UINT8
from edgerl.replay.representation import pixel_field
from edgerl.replay.sampling import SAMPLERS
from memory_budget import format_bytes

# Bytes; measured: CPython 3.11, torch 2.13 CPU, ONNX Runtime 1.31, x86-64 Linux; what some suites add to it, and what a
# second environment takes, as evaluations make one.
LIBRARIES, SUITES = 318_000_000, {"dmc": 181_000_000, "gym": 20_000_000}
EVALUATION, EVALUATIONS = 8_000_000, {"dmc": 75_000_000}
# Bytes of an update, beside those of each row of its batch (agents/algorithms.py).
SCRATCH = 8_000_000
# Where an encoder's outputs are large a row takes a multiple of them instead: with IMPALA's 144 MB, and 522 MB of dmc.
SCRATCH_OUTPUTS = 2.8
# Of a run frozen from the start: a chunk on its way through the stem too, and what a row takes in the heads; measured:
# 30 MB with Rainbow, 58 MB with CURL.
SCRATCH_FROZEN, SCRATCH_FROZEN_ROW = 20_000_000, 400_000


@dataclass(frozen=True)
class Plan:
    """What is stored before and after the freeze, by exact and by the paper's accounting; planned bytes by line."""

    budget: int  # bytes, with "unbounded" worked out
    before: Store
    after: Store  # pixels where they are kept
    latents: Store  # as they would be stored
    paper_initial: int
    paper_after_freeze: int
    ledger: dict[str, int]
    flops: flops.Flops
    freezing: int  # bytes that the freeze takes for a while
    evaluation: int  # and playing whole games


def make(config: Config, env: EnvSpec) -> Plan:
    """The plan of a run on such an environment.

    Raises ConfigError where one batch and its n-step windows do not fit, naming the smallest budget, and where the
    algorithm is not one for such actions.
    """
    run, replay = config.run, config.replay
    _check_actions(run.algo, env)
    _check_crop(config, env)
    frames, latent = representation.pixels(env, replay), _latent(config, env)
    views = replay.augmentations if replay.random_crop else 0

    def pixels(budget: int) -> Store:
        return capacity.pixels(env, replay.pixel_codec, replay.sampling, budget)

    budget = _unbounded(config, env) if run.budget == "unbounded" else run.budget
    before, (asked, after) = (
        pixels(budget),
        (
            capacity.latents(env, latent, dtype, replay.sampling, budget, views)
            for dtype in (replay.latent_dtype, _latent_dtype(config))
        ),
    )
    kept = _keeps_pixels(config, prod(env.frame), asked, after)
    largest = max(replay.batches)
    needed = (largest + replay.n_step + env.history) * (2 if before.varies else 1)
    if before.rows < needed or (after.rows < needed and not kept):
        least = bisect_left(range(2**48), needed, key=lambda bytes_: pixels(bytes_).rows)
        raise ConfigError(
            f"--budget: {format_bytes(budget)} holds {max(before.rows, 0)} rows; one batch of {largest} "
            f"and its {replay.n_step}-step windows need {needed}: at least {least}B"
        )
    counts = flops.count(config, frames.shape, env.actions, keeps_pixels=kept)
    parameters = _parameters(config, frames.shape, counts)
    paper_initial = budget // prod(env.frame)
    return Plan(
        budget=budget,
        before=before,
        after=before if kept else after,
        latents=after,
        paper_initial=paper_initial,
        paper_after_freeze=paper_initial * prod(env.frame) // (4 * prod(latent) * max(1, views)),
        ledger={
            "libraries": library_bytes(run.env),
            "networks": 4 * parameters.networks,  # float32
            "optimizer": 4 * parameters.moments,
            "replay": budget,
            "scratch": _scratch(config, frames.shape, largest if kept else replay.batch_size),
        },
        flops=counts,
        freezing=_freezing(config, frames.shape),
        evaluation=EVALUATIONS.get(suite_of(run.env), EVALUATION),
    )


def _unbounded(config: Config, env: EnvSpec) -> int:
    """Bytes of as many raw rows as the run has steps (the paper's upper bound)."""
    steps = config.run.steps
    return steps * row_dtype(pixel_field(env.frame), env.action).itemsize + SAMPLERS[
        config.replay.sampling
    ].index_bytes(steps)


def _scratch(config: Config, window: tuple[int, ...], batch: int) -> int:
    """Bytes that updates take for a while: by the batch, and by what a row of it leaves in the encoder, float32.

    Where that is frozen from the start, in what lies right of the cut.
    """
    layers = architectures.layers(config.agent.encoder, window)
    if config.run.freeze_at == 0:
        cut = [layer.name for layer in layers].index(config.agent.cut)
        trained = [prod(product.outputs) for layer in layers[cut + 1 :] for product in layer.products]
        activations = 4 * (prod(layers[cut].outputs) + sum(trained))
        return SCRATCH_FROZEN + (SCRATCH_FROZEN_ROW + round(SCRATCH_OUTPUTS * activations)) * batch
    activations = 4 * (prod(window) + sum(architectures.outputs(config.agent.encoder, window)))
    row = max(ALGORITHMS[config.run.algo].row_bytes, round(SCRATCH_OUTPUTS * activations))
    return SCRATCH + row * batch


def _latent_dtype(config: Config) -> str:
    """How latents are stored behind the freeze: too few rows then give uint8 no scales."""
    freeze_at, dtype = config.run.freeze_at, config.replay.latent_dtype
    return "float16" if dtype == "uint8" and freeze_at is not None and freeze_at < MIN_ROWS_FOR_UINT8 else dtype


def _keeps_pixels(config: Config, frame: int, asked: Store, latents: Store) -> bool:
    """Whether frames stay behind the freeze, as far as that can be told beforehand; `freezing.chosen` decides.

    `asked`: latents of the dtype that was asked for, `latents`: as they will be.
    """
    replay = config.replay
    if replay.store == "pixels":
        return True
    larger = latents.columns["obs"] > frame
    if replay.store == "latents":
        if asked.columns["obs"] > frame:
            raise ConfigError(
                f"--store: a latent of {asked.columns['obs']:,} B is larger than a frame of {frame:,} B; give pixels "
                "or auto, or a later --cut"
            )
        return larger
    return larger or (replay.pixel_codec == "lz4" and (config.run.freeze_at or 0) > latents.rows)


def library_bytes(env: str) -> int:
    """Bytes resident with everything loaded that a run on this environment needs."""
    return LIBRARIES + SUITES.get(suite_of(env), 0)


def _check_actions(algo: str, env: EnvSpec) -> None:
    if AGENTS[algo].continuous != env.continuous:
        kind = "vectors" if env.continuous else "one of a few"
        fitting = [name for name, settings in AGENTS.items() if settings.continuous == env.continuous]
        raise ConfigError(
            f"--algo: {algo} does not fit: this environment's actions are {kind}; {' or '.join(fitting)} fits"
        )


def _check_crop(config: Config, env: EnvSpec) -> None:
    replay, (height, width) = config.replay, env.frame[-2:]
    if not config.agent.continuous and (replay.crop or replay.random_crop):
        raise ConfigError(f"replay.crop: {config.run.algo} learns from whole frames; give 0, and random_crop = false")
    if replay.crop > min(height, width):
        raise ConfigError(f"replay.crop = {replay.crop} is larger than this environment's frames, {height}x{width}")
    if replay.random_crop and not replay.crop:
        raise ConfigError("replay.random_crop = true needs replay.crop, the side of a crop")


def _latent(config: Config, env: EnvSpec) -> tuple[int, ...]:
    """A window's latents: [L], or [N, L] of tied encoders."""
    encoder, cut = config.agent.encoder, config.agent.cut
    shape = architectures.latent_shape(encoder, representation.pixels(env, config.replay).shape, cut)
    encoders = ALGORITHMS[config.run.algo].encoders
    return (encoders, *shape) if cut == "fc" and encoders > 1 else shape


def _parameters(config: Config, window: tuple[int, ...], counts: flops.Flops) -> Parameters:
    layers = architectures.layers(config.agent.encoder, window)
    return ALGORITHMS[config.run.algo].parameters(layers, counts.stem + counts.tail)


def _freezing(config: Config, window: tuple[int, ...]) -> int:
    """Bytes that encoding a chunk takes, and the stem's weights in ONNX Runtime: its file's, and its own copy."""
    encoder, layers = config.agent.encoder, architectures.layers(config.agent.encoder, window)
    stem = layers[: 1 + [layer.name for layer in layers].index(config.agent.cut)]
    weights = sum(layer.parameters for layer in stem)
    if stem[-1].name == "fc":  # each of the N encoders has one of its own
        weights += (ALGORITHMS[config.run.algo].encoders - 1) * stem[-1].parameters
    return representation.chunk(encoder, window) * architectures.encoding_bytes(encoder, window) + 2 * 4 * weights
