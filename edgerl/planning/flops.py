"""Multiply-adds of a run, layer by layer: the paper's convention (appendix B) and an exact count beside it.

Paper: per sample and update F forward and B backward passes of each layer, a backward pass as two forward ones, acting
not counted; after the freeze what lies left of the cut counts only for the new latents of a step, E K N. Exact: every
multiply-add that runs, acting too, and no gradient with respect to what is not trained.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from edgerl.agents.algorithms import ALGORITHMS
from edgerl.agents.passes import Passes
from edgerl.config import architectures
from edgerl.config.architectures import Shape
from edgerl.config.settings import Config
from edgerl.types import Phases


class PhaseFlops(NamedTuple):
    """Multiply-adds in one phase, before the freeze or after it.

    `acting`: a step without an update: encode, and run what acts once. `per_update`: an update by the paper's count,
    b F (E + M) + 2 b B (E + M), and after the freeze b F M + 2 b B M + E K N. `exact_per_update`: a step with an
    update: acting, the forward passes, and the gradients. A frozen stem that encodes batches adds E for each window.
    """

    acting: int
    per_update: int
    exact_per_update: int


@dataclass(frozen=True)
class Flops:
    """Counts for one agent: the products left of the cut and right of it, in order of execution."""

    stem: tuple[Passes, ...]
    tail: tuple[Passes, ...]
    batches: Phases[int]  # rows of one
    views: int = 1  # K: latents of each encoder that a step stores
    seen: int = 1  # windows encoded a step after the freeze; K + 1 where the one acted on is another
    read: int = 0  # windows that the stem encodes for every batch after the freeze, where pixels are kept

    @property
    def layers(self) -> dict[str, int]:
        """Multiply-adds of a forward pass by product."""
        return {product.name: product.flops for product in self.stem + self.tail}

    @property
    def encoder(self) -> int:
        """E N: multiply-adds left of the cut, per sample; the paper counts shared layers for each of the N encoders."""
        shared = sum(product.flops for product in self.stem if product.part != "own")
        own = [product.flops for product in self.stem if product.part == "own"]
        return shared * max(1, len(own)) + sum(own)

    @property
    def heads(self) -> int:
        """M: multiply-adds of everything right of the cut, per sample."""
        return sum(product.flops for product in self.tail)

    @cached_property
    def before(self) -> PhaseFlops:
        """Counts before the freeze."""
        products = self.stem + self.tail
        acting = sum(product.flops * product.acts for product in products)
        paper = sum(product.flops * product.paper.before for product in products)
        exact = sum(product.flops * product.exact.before for product in products)
        return PhaseFlops(acting, int(self.batches.before * paper), acting + int(self.batches.before * exact))

    @cached_property
    def after(self) -> PhaseFlops:
        """Counts after the freeze."""
        products = self.stem + self.tail
        stem = sum(product.flops for product in self.stem)
        acting = stem * self.seen + sum(product.flops * product.acts for product in self.tail)
        paper = sum(product.flops * product.paper.after for product in products)
        exact = sum(product.flops * product.exact.after for product in products)
        return PhaseFlops(
            acting,
            int(self.batches.after * paper) + self.encoder * (self.views + self.read),
            acting + stem * self.read + int(self.batches.after * exact),
        )

    @property
    def phases(self) -> Phases[PhaseFlops]:
        return Phases(self.before, self.after)

    def conversion(self, rows: int) -> int:
        """The freeze's one-time cost: E K N for every row present, none where pixels are kept."""
        return 0 if self.read else self.encoder * self.views * rows


def count(config: Config, window: Shape, actions: int, *, keeps_pixels: bool = False) -> Flops:
    """The counts of the configured agent for windows of this shape; `keeps_pixels`: the stem encodes every batch."""
    agent, replay = config.agent, config.replay
    layers = architectures.layers(agent.encoder, window)
    cut = [layer.name for layer in layers].index(agent.cut)
    products = ALGORITHMS[config.run.algo].passes(layers, cut, actions, agent)
    end = 1 + max(number for number, product in enumerate(products) if product.paper.after == 0)
    augment = replay.augmentations if replay.random_crop and not keeps_pixels else 0
    read = 2 * replay.batches.after if keeps_pixels else 0
    return Flops(tuple(products[:end]), tuple(products[end:]), replay.batches, max(1, augment), augment + 1, read)
