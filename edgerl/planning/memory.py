"""What a run's process holds before its freeze and after it, line by line, as planned; no torch.

All numbers are measured, of real runs: CPython 3.11, NumPy 2, torch 2.13 CPU, ONNX Runtime 1.31, x86-64 Linux.
"""

from collections.abc import Sequence
from math import prod

from edgerl.agents.algorithms import algorithm_of
from edgerl.agents.engine_choice import engines
from edgerl.config import architectures
from edgerl.config.architectures import Layer
from edgerl.config.settings import Config
from edgerl.envs.suites import suite_of
from edgerl.planning.flops import Flops
from edgerl.replay import representation
from edgerl.settling.checks import Checks
from edgerl.types import Phases

# Resident bytes with all libraries loaded, by engine, and what the environments of a suite add.
LIBRARY_BYTES = {"numpy": 79_000_000, "torch": 287_000_000}
SUITE_LIBRARY_BYTES = {"atari": 6_000_000, "dmc": 177_000_000, "gym": 30_000_000}
# An update, besides what its batch takes.
SCRATCH_BYTES = {"numpy": 5_000_000, "torch": 28_000_000}
ENCODING_SCRATCH_BYTES = 4_000_000  # encoding a few windows with ONNX Runtime, and no update yet
# The second environment that evaluations make; in some suites it takes more.
EVALUATION_BYTES, SUITE_EVALUATION_BYTES = 8_000_000, {"dmc": 75_000_000}
# The process of one of several environments, with its part of the pages that they share.
ENVIRONMENT_BYTES = 22_000_000
SUITE_ENVIRONMENT_BYTES = {"atari": 27_000_000, "dmc": 150_000_000, "gym": 45_000_000}
FLOAT_BYTES = 4

Ledger = dict[str, int]


def planned(
    config: Config,
    window: tuple[int, ...],
    counts: Flops,
    budget: int,
    *,
    keeps_pixels: bool,
    checks: Checks | None = None,
) -> Ledger:
    """Planned bytes by line, of the phase in which the process is largest.

    A run that begins with torch has it until T_f; then it sheds it, unless it is to keep it. `budget`: the replay's;
    `keeps_pixels`: the replay holds pixels after the freeze too; `checks`: of the stem, until the freeze.
    """
    before, after = phases(config, window, counts, budget, keeps_pixels=keeps_pixels)
    if checks is not None:
        before["settling"], after["settling"] = checks.nbytes, 0
    there = [before] if config.run.latest_freeze is None else [before, after]
    return max(there, key=lambda ledger: sum(ledger.values()))


def phases(
    config: Config, window: tuple[int, ...], counts: Flops, budget: int, *, keeps_pixels: bool
) -> Phases[Ledger]:
    """Planned bytes by line before the freeze and after it. The arguments are those of `planned`."""
    algorithm, layers = algorithm_of(config), architectures.layers(config.agent.encoder, window)
    behind, engine = 1 + [layer.name for layer in layers].index(config.agent.cut), engines(config, window)
    whole = algorithm.parameters(layers, counts.stem + counts.tail)
    rest = algorithm.parameters(layers[behind:], counts.tail, frozen=True)
    batches = config.replay.batches
    before = _scratch(config, counts, engine.before, layers, prod(window), batches.before)
    if config.run.latest_freeze == 0:  # networks are made whole, and frozen before they learn
        before = ENCODING_SCRATCH_BYTES
    after = _scratch(config, counts, engine.after, layers[behind:], prod(layers[behind - 1].outputs), batches.after)
    if keeps_pixels:  # the stem encodes both windows of every row
        chunk = representation.chunk(config.agent.encoder, window)
        encoding = min(chunk, 2 * batches.after) * architectures.encoding_bytes(config.agent.encoder, window)
        after += encoding + 2 * batches.after * prod(window)
    # The freeze and evaluations come between updates, when these have left all but the least.
    evaluation = evaluation_bytes(config.run.env) if config.run.eval_every else 0
    freezing = 0 if config.run.latest_freeze is None else freeze_bytes(config, window)
    before = max(before, ENCODING_SCRATCH_BYTES + max(evaluation, freezing))
    after = max(after, ENCODING_SCRATCH_BYTES + evaluation)
    return Phases(
        *(
            {
                "libraries": library_bytes(config.run.env, name),
                "networks": FLOAT_BYTES * parameters.networks,
                "optimizer": FLOAT_BYTES * parameters.optimizer,
                "replay": budget,
                "scratch": scratch,
                **environments(config),
            }
            for name, parameters, scratch in ((engine.before, whole, before), (engine.after, rest, after))
        )
    )


def library_bytes(env: str, engine: str) -> int:
    """Bytes resident with all libraries loaded that a run on this environment needs with this engine."""
    return LIBRARY_BYTES[engine] + SUITE_LIBRARY_BYTES.get(suite_of(env), 0)


def environments(config: Config) -> Ledger:
    """The line of several environments, each in a process of its own; none of one."""
    count, suite = config.run.envs, suite_of(config.run.env)
    return {"environments": count * SUITE_ENVIRONMENT_BYTES.get(suite, ENVIRONMENT_BYTES)} if count > 1 else {}


def evaluation_bytes(env: str) -> int:
    """Bytes that playing whole games takes."""
    return SUITE_EVALUATION_BYTES.get(suite_of(env), EVALUATION_BYTES)


def freeze_bytes(config: Config, window: tuple[int, ...]) -> int:
    """Bytes that encoding a chunk takes, plus two copies of the stem's weights: the file's and ONNX Runtime's."""
    encoder, layers = config.agent.encoder, architectures.layers(config.agent.encoder, window)
    stem = layers[: 1 + [layer.name for layer in layers].index(config.agent.cut)]
    weights = sum(layer.parameters for layer in stem)
    if stem[-1].name == "fc":  # every encoder has its own
        weights += (algorithm_of(config).encoders - 1) * stem[-1].parameters
    encoding = representation.chunk(encoder, window) * architectures.encoding_bytes(encoder, window)
    return encoding + 2 * FLOAT_BYTES * weights


def _scratch(config: Config, counts: Flops, engine: str, layers: Sequence[Layer], inputs: int, batch: int) -> int:
    """Temporary bytes of an update: a constant, what goes through the layers per row, and weights made for a batch.

    `layers`: the trained ones of the encoder; `inputs`: numbers of an observation that they read.
    """
    algorithm = algorithm_of(config)
    heads = [product for product in counts.tail if product.part == "head"]
    hidden = config.agent.hidden * sum(not product.name.endswith("out") for product in heads)
    numbers = inputs + sum(prod(product.outputs) for layer in layers for product in layer.products) + hidden
    joined = inputs if engine == "numpy" and config.run.threads > 1 else 0  # the parts of all threads, put together
    weights = algorithm.made_copies[engine] * sum(product.flops for product in heads)
    return SCRATCH_BYTES[engine] + FLOAT_BYTES * (round(algorithm.copies[engine] * numbers + joined) * batch + weights)
