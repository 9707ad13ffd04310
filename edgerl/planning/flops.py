"""Multiply-adds of a run, layer by layer: the paper's convention (appendix B) and an exact count beside it.

Paper: F forward and B backward passes of each layer per sample of an update; a backward pass counts as two forward
ones, acting is not counted. After the freeze the layers left of the cut count only for a step's new latents, E K N.
Exact: every multiply-add that runs, acting included, and no gradients of what is not trained.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from edgerl.agents.algorithms import algorithm_of
from edgerl.agents.passes import Passes
from edgerl.config import architectures
from edgerl.config.architectures import Shape
from edgerl.config.settings import Config
from edgerl.types import Phases


class PhaseFlops(NamedTuple):
    """Multiply-adds in one phase, before the freeze or after it.

    `acting`: a step without an update: one encoding, and one pass through what acts. `per_update`: an update by the
    paper's count, b F (E + M) + 2 b B (E + M), and after the freeze b F M + 2 b B M + E K N. `exact_per_update`: a step
    with an update: acting, forward passes and gradients. If a frozen stem encodes batches, E is added for every window.
    `storing`: the part of `per_update` that a step takes once, E K N for its new latents.
    """

    acting: int
    per_update: int
    exact_per_update: int
    storing: int

    def paper(self, steps: int, updates: int) -> int:
        """Of so many learning steps with so many updates among them, by the paper's count."""
        return steps * self.storing + updates * (self.per_update - self.storing)

    def exact(self, steps: int, updates: int) -> int:
        """Of so many steps with so many updates among them: all that run."""
        return steps * self.acting + updates * (self.exact_per_update - self.acting)


@dataclass(frozen=True)
class Flops:
    """Counts for one agent: the products left of the cut (`stem`) and right of it (`tail`), in order of execution."""

    stem: tuple[Passes, ...]
    tail: tuple[Passes, ...]
    batches: Phases[int]  # rows of a batch
    views: int = 1  # K: latents of one encoder that a step stores
    windows_per_step: int = 1  # encoded after the freeze: K, and one more if the window acted on is not among them
    windows_per_batch: int = 0  # encoded by the stem after the freeze if pixels are kept; else none

    @property
    def layers(self) -> dict[str, int]:
        """Multiply-adds of a forward pass by product."""
        return {product.name: product.flops for product in self.stem + self.tail}

    @property
    def encoder(self) -> int:
        """E N: multiply-adds left of the cut, per sample; the paper counts shared layers N times, once per encoder."""
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
        return PhaseFlops(
            acting, int(self.batches.before * paper), acting + int(self.batches.before * exact), storing=0
        )

    @cached_property
    def after(self) -> PhaseFlops:
        """Counts after the freeze."""
        products = self.stem + self.tail
        stem = sum(product.flops for product in self.stem)
        acting = stem * self.windows_per_step + sum(product.flops * product.acts for product in self.tail)
        paper = sum(product.flops * product.paper.after for product in products)
        exact = sum(product.flops * product.exact.after for product in products)
        return PhaseFlops(
            acting,
            int(self.batches.after * paper) + self.encoder * (self.views + self.windows_per_batch),
            acting + stem * self.windows_per_batch + int(self.batches.after * exact),
            storing=self.encoder * self.views,
        )

    @property
    def phases(self) -> Phases[PhaseFlops]:
        """Counts before and after the freeze."""
        return Phases(self.before, self.after)

    def conversion(self, rows: int) -> int:
        """The freeze's one-time cost: E K N for every row present; 0 if pixels are kept."""
        return 0 if self.windows_per_batch else self.encoder * self.views * rows


def count(config: Config, window: Shape, actions: int, *, keeps_pixels: bool = False) -> Flops:
    """The counts of the configured agent for windows of this shape.

    `keeps_pixels`: the replay keeps pixels after the freeze, so that the stem encodes every batch.
    """
    agent, replay = config.agent, config.replay
    layers = architectures.layers(agent.encoder, window)
    cut = [layer.name for layer in layers].index(agent.cut)
    products = algorithm_of(config).passes(layers, cut, actions, agent)
    end = 1 + max(number for number, product in enumerate(products) if product.paper.after == 0)
    crops = replay.augmentations if replay.random_crop and not keeps_pixels else 0
    return Flops(
        stem=tuple(products[:end]),
        tail=tuple(products[end:]),
        batches=replay.batches,
        views=max(1, crops),
        windows_per_step=crops + 1,
        windows_per_batch=2 * replay.batches.after if keeps_pixels else 0,  # obs and next_obs
    )
