"""When `--freeze-at auto` checks a run's stem and on how many windows, and what that takes; known before the run."""

from dataclasses import dataclass
from math import ceil, prod

from edgerl.config import architectures
from edgerl.config.settings import Config
from edgerl.errors import ConfigError
from edgerl.settling.layers import PER_NEURON, ObservedLayer
from edgerl.settling.rule import FEWEST_INTERVALS

CHECKS = 10  # from the start of learning to the latest step of the freeze
WINDOWS = 64  # at least
DATAPOINTS = 4096  # of a layer, at most
COST = 0.01  # of the multiply-adds of the updates between two checks: a check takes no more


@dataclass(frozen=True)
class Checks:
    """A check is at step `first` and every `every` agent steps after it, on `windows` windows of the replay.

    `flops`: its multiply-adds; `nbytes`: what is kept from one check to the next, the windows included.
    """

    first: int
    every: int
    windows: int
    flops: int
    nbytes: int

    def due(self, step: int, stride: int = 1) -> bool:
        """Whether there is one after `step`, or among the `stride` steps that were made at once with it."""
        return step >= self.first and (step - self.first) % self.every < stride


def make_checks(config: Config, window: tuple[int, ...], *, rows: int, forward: int, update: int) -> Checks | None:
    """The checks of a run; None if its step T_f is given, or if it never freezes.

    `window`: the shape of what encoders see; `rows`: that the replay has room for; `forward`, `update`: multiply-adds
    of the whole network for one window, and of an update. Raises ConfigError if the replay has too few rows, or if no
    check could freeze before the latest step.
    """
    run, replay = config.run, config.replay
    if run.freeze_at != "auto" or run.freeze_by is None:
        return None
    stem = stem_layers(config, window)
    windows = max(WINDOWS, *(ceil(PER_NEURON * layer.neurons / prod(layer.shape[1:])) for layer in stem))
    compared = [(layer.neurons, layer.datapoints(windows)) for layer in stem]
    encoder = sum(layer.flops for layer in architectures.layers(config.agent.encoder, window))
    flops = windows * (forward + encoder) + sum(_svcca_flops(*sizes) for sizes in compared)
    cheap = ceil(flops / (COST * update * replay.updates_per_step))
    every = max(cheap, ceil((run.freeze_by - replay.learn_start) / CHECKS))
    first, earliest = replay.learn_start + every, replay.learn_start + (1 + FEWEST_INTERVALS) * every
    if earliest >= run.freeze_by:
        raise ConfigError(
            f"--freeze-by: {run.freeze_by} leaves --freeze-at auto no room to freeze earlier: it compares the stem at "
            f"{1 + FEWEST_INTERVALS} checks or more, {every} steps apart; give {earliest + 1} or more"
        )
    history = window[0]  # no fewer than the rows of a window
    if (there := min(rows, first) - run.envs * (replay.n_step + history)) < windows:
        raise ConfigError(
            f"--freeze-at: auto compares the stem on {windows} windows of the replay, which "
            f"has {max(there, 0)} at its first check, at step {first}; give a larger --budget, or a step"
        )
    kept = windows * prod(window) + sum(8 * neurons * datapoints for neurons, datapoints in compared)
    return Checks(first, every, windows, flops, kept)


def stem_layers(config: Config, window: tuple[int, ...]) -> list[ObservedLayer]:
    """The layers left of the cut, by the names that they have in a plain encoder."""
    layers = architectures.layers(config.agent.encoder, window)
    end = 1 + [layer.name for layer in layers].index(config.agent.cut)
    return [ObservedLayer(layer.name, "stem", layer.outputs, DATAPOINTS) for layer in layers[:end]]


def _svcca_flops(neurons: int, datapoints: int) -> int:
    """Multiply-adds of comparing a layer with itself at the last check and with an untrained one.

    Two sets of directions take a product of [n, d] with its transpose, eigenvectors (some 10 n^3) and a product each;
    two comparisons take a product and singular values (some 10 n^3) each.
    """
    return 6 * neurons**2 * datapoints + 40 * neurons**3
