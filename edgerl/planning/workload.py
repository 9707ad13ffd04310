"""What a run does, phase by phase, in counts: multiply-adds, bytes moved, calls, bytes written; no device, no time."""

from dataclasses import astuple, dataclass
from math import prod

from edgerl.agents.algorithms import ALGORITHMS
from edgerl.agents.passes import Passes
from edgerl.config import architectures
from edgerl.config.settings import Config
from edgerl.planning.capacity import Store
from edgerl.planning.plan import Plan
from edgerl.types import Phases

FLOAT = 4  # bytes
ADAM = 9  # times that a trained weight is read or written beside its passes: the gradient, and Adam's 7


ENCODING = 4  # calls to have ONNX Runtime encode: it, and what is around it


@dataclass(frozen=True)
class Work:
    """Counts; they add up, and `n * work` is n times it.

    `trained`, `acted`, `inferred`: multiply-adds of updates and of acts in torch, and of ONNX Runtime; `moved`: bytes
    read or written in memory; `calls`: of torch and ONNX Runtime; `simulated`: steps of the environment; `written`:
    bytes to storage.
    """

    trained: float = 0.0
    acted: float = 0.0
    inferred: float = 0.0
    moved: float = 0.0
    calls: float = 0.0
    simulated: float = 0.0
    written: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __rmul__(self, times: float) -> "Work":
        return Work(*(times * each for each in astuple(self)))


@dataclass(frozen=True)
class Unit:
    """What one step is made of, before the freeze or after it."""

    encoding: Work  # a frame's latents, behind the freeze
    acting: Work
    updating: Work


def units(config: Config, plan: Plan, window: tuple[int, ...]) -> Phases[Unit]:
    """The work of one step with an update. `window`: what an encoder sees, (channels, H, W)."""
    return Phases(_before(config, plan, window), _after(config, plan, window))


def _before(config: Config, plan: Plan, window: tuple[int, ...]) -> Unit:
    counts, calls = plan.flops, ALGORITHMS[config.run.algo].calls
    trained = counts.stem + counts.tail
    passes = {product: float(product.exact.before) for product in trained}
    depth = sum(len(layer.products) for layer in architectures.layers(config.agent.encoder, window))
    return Unit(
        encoding=Work(),
        acting=Work(
            acted=counts.before.acting, moved=_acting_bytes(config, trained), calls=calls.act + calls.act_layer * depth
        ),
        updating=Work(
            trained=counts.before.exact_per_update - counts.before.acting,
            moved=_update_bytes(config, plan.before, window, config.replay.batches.before, passes),
            calls=calls.update + calls.update_layer * _encoder_layers(trained),
        ),
    )


def _after(config: Config, plan: Plan, window: tuple[int, ...]) -> Unit:
    counts, calls, batch = plan.flops, ALGORITHMS[config.run.algo].calls, config.replay.batches.after
    stem, left = sum(product.flops for product in counts.stem), _encoder_layers(counts.tail)
    passes = {product: float(product.exact.after) for product in counts.tail}
    encoding, read = stem * counts.seen, stem * counts.read  # ONNX Runtime's: a step's windows, and a batch's
    return Unit(
        encoding=Work(inferred=encoding, moved=FLOAT * encoding / max(1, batch), calls=ENCODING),
        acting=Work(
            acted=counts.after.acting - encoding,
            moved=_acting_bytes(config, counts.tail),
            calls=calls.act + calls.act_layer * left,
        ),
        updating=Work(
            trained=counts.after.exact_per_update - counts.after.acting - read,
            inferred=read,
            moved=_update_bytes(config, plan.after, window, batch, passes),
            calls=calls.update + calls.update_layer * left + ENCODING * (read > 0),
        ),
    )


def phases(config: Config, plan: Plan, window: tuple[int, ...], steps: int | None = None) -> dict[str, Work]:
    """The work of the first `steps` agent steps (None: all of them) by phase; evaluations are not in it."""
    run, start = config.run, config.replay.learn_start
    steps = run.steps if steps is None else steps
    frozen_at = min(steps, steps if run.freeze_at is None else run.freeze_at)
    before, after = units(config, plan, window)
    work = {
        "acting before T_f": frozen_at * before.acting,
        "updating before T_f": max(0, frozen_at - start) * before.updating,
        "conversion": Work(),
        "encoding after T_f": (steps - frozen_at) * after.encoding,
        "acting after T_f": (steps - frozen_at) * after.acting,
        "updating after T_f": max(0, steps - max(frozen_at, start)) * after.updating,
        "environment": Work(simulated=steps),
        "checkpoints": Work(written=_checkpoints(config, steps) * checkpoint_bytes(plan)),
    }
    if run.freeze_at is not None and run.freeze_at < steps:
        rows = min(plan.before.rows, run.freeze_at)
        work["conversion"] = Work(inferred=plan.flops.conversion(rows), moved=rows * 2 * plan.before.row, calls=rows)
    return work


def checkpoint_bytes(plan: Plan) -> int:
    """What a checkpoint writes, before a freeze."""
    return sum(plan.ledger[name] for name in ("networks", "optimizer", "replay"))


def _checkpoints(config: Config, steps: int) -> int:
    """How many: the first, those on the way, the last."""
    every = config.run.checkpoint_every
    return 2 + ((steps - 1) // every if every else 0)


def _encoder_layers(products: tuple[Passes, ...]) -> int:
    """How many of them are layers of an encoder that all its heads share."""
    return sum(product.part == "encoder" for product in products)


def _weights(config: Config, product: Passes) -> int:
    """Weights that a pass through a product reads; next to none of a convolution."""
    return product.flops * ALGORITHMS[config.run.algo].weight_reads if product.linear else 0


def _acting_bytes(config: Config, products: tuple[Passes, ...]) -> float:
    return FLOAT * sum(_weights(config, product) * product.acts for product in products)


def _update_bytes(
    config: Config, stored: Store, window: tuple[int, ...], batch: int, passes: dict[Passes, float]
) -> float:
    """Bytes that an update moves: weights in every pass and in Adam, outputs of layers, and the batch itself."""
    weights = sum(_weights(config, product) * (times + ADAM) for product, times in passes.items())
    by_name = {product.name: times for product, times in passes.items()}
    layers = architectures.layers(config.agent.encoder, window)
    outputs = sum(
        prod(product.outputs) * by_name.get(product.name, 0.0) for layer in layers for product in layer.products
    )
    gathered = prod(window) * (2 + 2 * FLOAT)  # and made float32
    observation = gathered if stored.stores == "pixels" else 2 * stored.columns["obs"]
    return FLOAT * (weights + 2 * batch * outputs) + 2 * batch * observation
