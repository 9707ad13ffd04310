"""What a run does, phase by phase, in counts: multiply-adds, bytes moved, calls, bytes written; no device, no time."""

from dataclasses import astuple, dataclass
from math import prod
from typing import NamedTuple

from edgerl.config import architectures
from edgerl.config.settings import Config, RainbowConfig
from edgerl.planning.flops import Passes
from edgerl.planning.plan import Plan

FLOAT = 4  # bytes
ADAM = 9  # times that a trained weight is read or written beside its passes: the gradient, and Adam's 7
NOISY = 3  # times the weights of a noisy layer: mean, sigma, and what they come to


class Calls(NamedTuple):
    """Operations that torch is asked for: an update and an act, and what every layer of a trained encoder adds."""

    update: int
    update_layer: int
    act: int
    act_layer: int


# Counted on real updates, views and reshapes too (tests/test_work.py counts anew); of actors' updates, the mean.
CALLS = {
    "rainbow": Calls(252, 23, 46, 3),
    "dqn": Calls(77, 19, 8, 3),
    "curl": Calls(256, 33, 34, 3),
    "sac": Calls(256, 22, 34, 3),
}
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


def unit(config: Config, plan: Plan, window: tuple[int, ...], *, frozen: bool) -> Unit:
    """The work of one step with an update. `window`: what an encoder sees, (channels, H, W)."""
    flops, calls = plan.flops, CALLS[config.run.algo]
    layers = architectures.layers(config.agent.encoder, window)
    depth = sum(len(layer.products) for layer in layers)
    stem = sum(layer.flops for layer in flops.stem)
    acting, encoding = flops.acting(frozen=frozen), stem * flops.seen if frozen else 0
    batch = config.replay.batch(frozen=frozen)
    updating = flops.exact_per_update(frozen=frozen) - acting
    trained = flops.tail if frozen else flops.stem + flops.tail
    left = sum(1 for each in trained if each.name in {product.name for layer in layers for product in layer.products})
    read = flops.read if frozen else 0
    seen = stem * read  # by ONNX Runtime, where pixels are kept
    return Unit(
        encoding=Work(inferred=encoding, moved=FLOAT * encoding / max(1, batch), calls=ENCODING) if frozen else Work(),
        acting=Work(
            acted=acting - encoding,
            moved=FLOAT * sum(_weights(config, each) * each.acts for each in trained),
            calls=calls.act + calls.act_layer * (left if frozen else depth),
        ),
        updating=Work(
            trained=updating - seen,
            inferred=seen,
            moved=_moved(config, plan, trained, window, batch, frozen=frozen),
            calls=calls.update + calls.update_layer * left + ENCODING * (read > 0),
        ),
    )


def phases(config: Config, plan: Plan, window: tuple[int, ...], steps: int | None = None) -> dict[str, Work]:
    """The work of the first `steps` agent steps (None: all of them) by phase; evaluations are not in it."""
    run, start = config.run, config.replay.learn_start
    steps = run.steps if steps is None else steps
    frozen_at = min(steps, steps if run.freeze_at is None else run.freeze_at)
    before, after = (unit(config, plan, window, frozen=frozen) for frozen in (False, True))
    found = {
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
        found["conversion"] = Work(inferred=plan.flops.conversion(rows), moved=rows * 2 * plan.before.row, calls=rows)
    return found


def checkpoint_bytes(plan: Plan) -> int:
    """What a checkpoint writes, before a freeze."""
    return sum(plan.ledger[name] for name in ("networks", "optimizer", "replay"))


def _checkpoints(config: Config, steps: int) -> int:
    """How many: the first, those on the way, the last."""
    every = config.run.checkpoint_every
    return 2 + ((steps - 1) // every if every else 0)


def _weights(config: Config, passes: Passes) -> int:
    """Weights that a pass through a layer reads; a linear one has one a multiply-add, convolutions next to none."""
    head = passes.name.endswith(("_hidden", "_out", "_fc", "_fc2", "_fc3")) or passes.name == "fc"
    if not head:
        return 0
    return passes.flops * (NOISY if isinstance(config.agent, RainbowConfig) else 1)


def _moved(
    config: Config, plan: Plan, trained: tuple[Passes, ...], window: tuple[int, ...], batch: int, *, frozen: bool
) -> float:
    """Bytes that an update moves: weights in every pass and in Adam, outputs of layers, and the batch itself."""
    weights = sum(_weights(config, each) * (float(each.exact[frozen]) + ADAM) for each in trained)
    passes = {each.name: float(each.exact[frozen]) for each in trained}
    layers = architectures.layers(config.agent.encoder, window)
    outputs = sum(
        prod(product.outputs) * passes.get(product.name, 0.0) for layer in layers for product in layer.products
    )
    stored = plan.after if frozen else plan.before
    gathered = prod(window) * (2 + 2 * FLOAT)  # and made float32
    observation = gathered if stored.stores == "pixels" else 2 * stored.columns["obs"]
    return FLOAT * (weights + 2 * batch * outputs) + 2 * batch * observation
