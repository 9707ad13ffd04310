"""The work of a run in counts: multiply-adds, bytes moved, calls, bytes written; no device and no time."""

from dataclasses import astuple, dataclass, replace
from math import prod
from typing import NamedTuple

from edgerl.agents.algorithms import algorithm_of
from edgerl.agents.engine_choice import engines
from edgerl.agents.passes import Passes
from edgerl.config import architectures
from edgerl.config.settings import Config
from edgerl.planning import memory
from edgerl.planning.capacity import Store
from edgerl.planning.memory import FLOAT_BYTES
from edgerl.planning.plan import Plan
from edgerl.types import Phases
from memory_budget.changes import segment_bytes

ADAM_ACCESSES = 9  # times that an update reads or writes a trained weight, besides the passes: its gradient 2, Adam 7
LEAF_BYTES = 8  # of a row's priority, which every checkpoint writes anew
ENCODING_CALLS = 4  # to encode with ONNX Runtime: its own call and those around it


@dataclass(frozen=True)
class Work:
    """Counts that can be added, and multiplied by a number.

    `trained`, `acted`: multiply-adds of the engine, in updates and in acts; `inferred`: multiply-adds in ONNX Runtime;
    `moved`: bytes read or written in memory; `calls`: of the engine's array library and ONNX Runtime; `simulated`:
    steps of the environment; `written`: bytes to storage.
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

    def shared_by(self, count: int) -> "Work":
        """The work of one of `count` that are done by the same calls, which read the weights once."""
        return replace(self, moved=self.moved / count, calls=self.calls / count)

    def __rmul__(self, times: float) -> "Work":
        return Work(*(times * count for count in astuple(self)))


@dataclass(frozen=True)
class StepWork:
    """The work of one step, before the freeze or after it."""

    encoding: Work  # the latents of a step's windows; none before the freeze
    acting: Work
    updating: Work

    def in_rounds_of(self, envs: int) -> "StepWork":
        """The same where so many environments act at once."""
        return StepWork(self.encoding.shared_by(envs), self.acting.shared_by(envs), self.updating)


def step_work(config: Config, plan: Plan, window: tuple[int, ...]) -> Phases[StepWork]:
    """The work of one step with an update. `window`: the shape of what an encoder sees, (channels, H, W)."""
    phases = (_before(config, plan, window), _after(config, plan, window))
    return Phases(*(phase.in_rounds_of(config.run.envs) for phase in phases))


def _before(config: Config, plan: Plan, window: tuple[int, ...]) -> StepWork:
    """A step before the freeze: one engine trains encoder and heads."""
    counts, calls = plan.flops, algorithm_of(config).calls[engines(config, window).before]
    products = counts.stem + counts.tail
    passes = {product: float(product.exact.before) for product in products}
    depth = _encoder_layers(products)
    return StepWork(
        encoding=Work(),
        acting=Work(
            acted=counts.before.acting,
            moved=_acting_bytes(products),
            calls=calls.act + calls.act_layer * depth,
        ),
        updating=Work(
            trained=counts.before.exact_per_update - counts.before.acting,
            moved=_update_bytes(config, plan.before, window, config.replay.batches.before, passes),
            calls=calls.update + calls.update_layer * depth,
        ),
    )


def _after(config: Config, plan: Plan, window: tuple[int, ...]) -> StepWork:
    """A step after the freeze: ONNX Runtime runs the stem, an engine trains the rest."""
    counts, batch = plan.flops, config.replay.batches.after
    calls = algorithm_of(config).calls[engines(config, window).after]
    stem, depth = sum(product.flops for product in counts.stem), _encoder_layers(counts.tail)
    passes = {product: float(product.exact.after) for product in counts.tail}
    encoding_step, encoding_batch = stem * counts.windows_per_step, stem * counts.windows_per_batch
    return StepWork(
        encoding=Work(inferred=encoding_step, moved=FLOAT_BYTES * encoding_step / max(1, batch), calls=ENCODING_CALLS),
        acting=Work(
            acted=counts.after.acting - encoding_step,
            moved=_acting_bytes(counts.tail),
            calls=calls.act + calls.act_layer * depth,
        ),
        updating=Work(
            trained=counts.after.exact_per_update - counts.after.acting - encoding_batch,
            inferred=encoding_batch,
            moved=_update_bytes(config, plan.after, window, batch, passes),
            calls=calls.update + calls.update_layer * depth + ENCODING_CALLS * (encoding_batch > 0),
        ),
    )


def run_work(config: Config, plan: Plan, window: tuple[int, ...], steps: int | None = None) -> dict[str, Work]:
    """The work of the first `steps` agent steps (None: the whole run) by phase, without evaluations."""
    run = config.run
    steps = plan.last_step if steps is None else steps
    frozen_at = min(steps, steps if run.latest_freeze is None else run.latest_freeze)
    before, after = step_work(config, plan, window)
    updates = config.replay.updates(steps, frozen_at)
    work = {
        "acting before T_f": frozen_at * before.acting,
        "updating before T_f": updates.before * before.updating,
        "conversion": Work(),
        "encoding after T_f": (steps - frozen_at) * after.encoding,
        "acting after T_f": (steps - frozen_at) * after.acting,
        "updating after T_f": updates.after * after.updating,
        "environment": Work(simulated=steps / min(run.envs, run.threads)),
        "checkpoints": Work(written=sum(written(config, plan, window, steps).values())),
    }
    if run.latest_freeze is not None and run.latest_freeze < steps:
        rows = min(plan.before.rows, run.latest_freeze)
        work["conversion"] = Work(
            inferred=plan.flops.conversion(rows), moved=rows * 2 * plan.before.row_bytes, calls=rows
        )
    return work


class Saving(NamedTuple):
    """What a checkpoint of one phase writes, in bytes: `fixed` always, and `row` for each new row, up to `rows`.

    A snapshot writes `snapshot`.
    """

    fixed: float
    row: float
    rows: int
    snapshot: float

    def after(self, steps: int) -> float:
        """Bytes of a checkpoint that comes so many steps after the one before."""
        return self.fixed + self.row * min(steps, self.rows)


def saving(config: Config, plan: Plan, window: tuple[int, ...]) -> Phases[Saving]:
    """What checkpoints and snapshots write, before the freeze and after it."""
    keeps_pixels = plan.after.stores == "pixels"
    ledgers = memory.phases(config, window, plan.flops, plan.budget, keeps_pixels=keeps_pixels)
    before, after = (
        _saving(ledger, store, plan.budget) for ledger, store in zip(ledgers, (plan.before, plan.after), strict=True)
    )
    return Phases(before, after)


def _saving(ledger: memory.Ledger, store: Store, budget: int) -> Saving:
    """A third of the optimizer's line are gradients, one for each trained weight, which are not kept."""
    beside = store.row_bytes - store.columns["obs"] if store.varies else LEAF_BYTES
    moments, weights = ledger["optimizer"] * 2 / 3, ledger["optimizer"] / 3
    fixed = ledger["networks"] + moments + beside * store.rows + segment_bytes(budget)
    return Saving(fixed, store.row_bytes, store.rows, weights)


def written(config: Config, plan: Plan, window: tuple[int, ...], steps: int | None = None) -> dict[str, float]:
    """Bytes that checkpoints and snapshots of the first `steps` agent steps (None: the whole run) write to storage."""
    run, (before, after) = config.run, saving(config, plan, window)
    steps = plan.last_step if steps is None else steps
    frozen_at = steps + 1 if run.latest_freeze is None else run.latest_freeze
    pace = run.pace or max(1, steps)
    last = -(-steps // pace)  # the number of the last checkpoint, counted from that of step 0

    def step_of(number: int) -> int:
        return min(number * pace, steps)

    def between(phase: Saving, first: int, after: int) -> float:
        """Bytes of the checkpoints with these numbers; all but the first and the last come at the pace."""
        ends = [number for number in {0, last} if first <= number < after]
        gaps = [step_of(number) - step_of(max(0, number - 1)) for number in ends]
        at_pace = len(range(max(first, 1), min(after, last)))
        return at_pace * phase.after(pace) + sum(map(phase.after, gaps))

    late = min(last, -(-frozen_at // pace)) if frozen_at <= steps else last + 1  # the first one after the freeze
    checkpoints = between(before, 0, late) + between(after, late + 1, last + 1)
    if late <= last:  # it writes all rows anew
        checkpoints += after.after(min(frozen_at, before.rows) + step_of(late) - frozen_at)
    snapshots = 0.0
    if every := run.snapshot_every:
        whole, every_one = (2 + (end - 1) // every for end in (min(steps, frozen_at), steps))
        snapshots = whole * before.snapshot + (every_one - whole) * after.snapshot
    return {"checkpoints": checkpoints, "snapshots": snapshots}


def _encoder_layers(products: tuple[Passes, ...]) -> int:
    """How many of the products belong to the encoder; a layer of which actor and critic have one each counts once."""
    return sum(product.part == "encoder" for product in products) + any(product.part == "own" for product in products)


def _weights(config: Config, product: Passes) -> int:
    """Weights that a pass through a product reads; those of a convolution are few and not counted."""
    return product.flops * algorithm_of(config).weight_reads if product.linear else 0


def _acting_bytes(products: tuple[Passes, ...]) -> float:
    """Bytes of weights that an act reads: one number for a multiply-add."""
    return FLOAT_BYTES * sum(product.flops * product.acts for product in products if product.linear)


def _update_bytes(
    config: Config, store: Store, window: tuple[int, ...], batch: int, passes: dict[Passes, float]
) -> float:
    """Bytes that an update moves: weights in every pass and in Adam, outputs of layers, and the batch itself.

    `passes`: how often an update passes through a product.
    """
    weights = sum(_weights(config, product) * (times + ADAM_ACCESSES) for product, times in passes.items())
    by_name = {product.name: times for product, times in passes.items()}
    layers = architectures.layers(config.agent.encoder, window)
    outputs = sum(
        prod(product.outputs) * by_name.get(product.name, 0.0) for layer in layers for product in layer.products
    )
    gathered = prod(window) * (2 + 2 * FLOAT_BYTES)  # read and written as bytes, then as float32
    observation = gathered if store.stores == "pixels" else 2 * store.columns["obs"]
    return FLOAT_BYTES * (weights + 2 * batch * outputs) + 2 * batch * observation
