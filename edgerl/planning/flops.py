"""Multiply-adds of a run, layer by layer: the paper's convention (appendix B) and an exact count beside it.

Paper: per sample and update F forward and B backward passes of each layer, a backward pass as two forward ones, acting
not counted; after the freeze what lies left of the cut counts only for the new latents of a step, E K N. Exact: every
multiply-add that runs, acting too, and no gradient with respect to what is not trained.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from edgerl.config import architectures
from edgerl.config.architectures import Layer, Product, Shape
from edgerl.config.settings import Config, DqnConfig, RainbowConfig, SacConfig


@dataclass(frozen=True)
class Passes:
    """What multiplies: multiply-adds of a forward pass per sample, and how often an update passes through it.

    `paper`: forward passes and twice the backward ones, as the paper counts; `exact`: what really runs, forward passes
    and gradients of weights and of inputs; each before a freeze and after one. `acts`: whether acting runs it; `own`:
    whether actor and critic have one each, where they share all that comes before.
    """

    name: str
    flops: int
    paper: tuple[Fraction | int, Fraction | int]
    exact: tuple[Fraction | int, Fraction | int]
    acts: bool = True
    own: bool = False


@dataclass(frozen=True)
class Flops:
    """Counts for one agent: the layers left of the cut and right of it, in order of execution."""

    stem: tuple[Passes, ...]
    tail: tuple[Passes, ...]
    batches: tuple[int, int]  # rows of one before a freeze, and after it
    views: int = 1  # K: latents of each encoder that a step stores
    seen: int = 1  # windows encoded a step after the freeze; K + 1 where the one acted on is another
    read: int = 0  # windows that the stem encodes for every batch after the freeze, where pixels are kept

    @property
    def layers(self) -> dict[str, int]:
        return {layer.name: layer.flops for layer in self.stem + self.tail}

    @property
    def encoder(self) -> int:
        """E N: multiply-adds left of the cut, per sample; the paper counts shared layers for each of the N encoders."""
        shared = sum(layer.flops for layer in self.stem if not layer.own)
        own = [layer.flops for layer in self.stem if layer.own]
        return shared * max(1, len(own)) + sum(own)

    @property
    def heads(self) -> int:
        """M: multiply-adds of everything right of the cut, per sample."""
        return sum(layer.flops for layer in self.tail)

    def acting(self, *, frozen: bool) -> int:
        """One step without an update: encode, and run what acts once."""
        stem = sum(layer.flops * (self.seen if frozen else layer.acts) for layer in self.stem)
        return stem + sum(layer.flops * layer.acts for layer in self.tail)

    def per_update(self, *, frozen: bool) -> int:
        """b F (E + M) + 2 b B (E + M), and after the freeze b F M + 2 b B M + E K N.

        Where pixels are kept, E more for every window of the batch.
        """
        passes = sum(layer.flops * layer.paper[frozen] for layer in self.stem + self.tail)
        return int(self.batches[frozen] * passes) + (self.encoder * (self.views + self.read) if frozen else 0)

    def exact_per_update(self, *, frozen: bool) -> int:
        """What one step with an update runs: encoding and acting once, the forward passes, and the gradients."""
        passes = sum(layer.flops * layer.exact[frozen] for layer in self.stem + self.tail)
        read = sum(layer.flops for layer in self.stem) * self.read if frozen else 0
        return self.acting(frozen=frozen) + read + int(self.batches[frozen] * passes)

    def conversion(self, rows: int) -> int:
        """The freeze's one-time cost: E K N for every row present, none where pixels are kept."""
        return 0 if self.read else self.encoder * self.views * rows


def count(config: Config, window: Shape, actions: int, *, keeps_pixels: bool = False) -> Flops:
    """The counts of the configured agent for windows of this shape; `keeps_pixels`: the stem encodes every batch."""
    agent, replay = config.agent, config.replay
    layers = architectures.layers(agent.encoder, window)
    cut = [layer.name for layer in layers].index(agent.cut)
    if isinstance(agent, SacConfig):
        found = _sac(layers, cut, actions, agent, contrast=config.run.algo == "curl")
    else:
        found = _values(layers, cut, actions, agent)
    end = 1 + max(n for n, layer in enumerate(found) if layer.paper[1] == 0)
    augment = replay.augmentations if replay.random_crop and not keeps_pixels else 0
    batches = replay.batch(frozen=False), replay.batch(frozen=True)
    read = 2 * batches[1] if keeps_pixels else 0
    return Flops(tuple(found[:end]), tuple(found[end:]), batches, max(1, augment), augment + 1, read)


@dataclass(frozen=True)
class _Step:
    """A product of the encoder: `first` tells, before a freeze and after one, whether training begins with it.

    Then it needs no gradient of its inputs. `trained`: whether it lies right of the cut.
    """

    product: Product
    first: tuple[bool, bool]
    trained: bool


def _steps(layers: list[Layer], cut: int) -> Iterator[_Step]:
    for n, layer in enumerate(layers):
        for product in layer.products:
            begins = product is layer.products[0]
            yield _Step(product, (begins and n == 0, begins and n == cut + 1), n > cut)


def _values(layers: list[Layer], cut: int, actions: int, config: RainbowConfig | DqnConfig) -> list[Passes]:
    """Rainbow and DQN: convolutions without bias, linear layers with it (Table 3).

    Rainbow passes forward through online on s and on s', and target on s'; DQN through online on s and target on s'.
    """
    features, forwards, outputs = prod(layers[-1].outputs), 2, {"q": actions}
    if isinstance(config, RainbowConfig):
        forwards, outputs = 3, {"value": config.atoms, "advantage": config.atoms * actions}
    every = forwards + 2  # and gradients of weights and of inputs; the first trained layer needs none of its inputs
    found = []
    for step in _steps(layers, cut):
        exact = every - step.first[0], (every - step.first[1]) * step.trained
        found.append(Passes(step.product.name, step.product.flops, (every, every * step.trained), exact))
    for name, width in outputs.items():
        hidden, out = (features + 1) * config.hidden, (config.hidden + 1) * width
        found.append(Passes(f"{name}_hidden", hidden, (every, every), (every, every - (cut == len(layers) - 1))))
        found.append(Passes(f"{name}_out", out, (every, every), (every, every)))
    return found


def _sac(layers: list[Layer], cut: int, actions: int, config: SacConfig, *, contrast: bool) -> list[Passes]:
    """CURL-SAC and SAC, averaged over the actor's updates; actor and critic tie the convolutions and nothing behind.

    Forward passes as the paper counts: critic on s, actor and target on s', every second time actor and critic on s;
    with the contrast query and key too. What runs is less: actor, critic and query share one pass over s.
    """
    often = Fraction(1, config.actor_every)
    extra = 1 if contrast else 0
    found = []
    for step in _steps(layers, cut):
        product, first, trained = step.product, step.first, step.trained  # the contrast ends with the freeze
        if product.name != "fc":
            paper = (3 + 2 * often + 2 + 4 * extra, (3 + 2 * often + 2) * trained)
            runs = 3 + (2 if contrast else often), 3 + often
            gradients = (1 + extra) * (2 - first[0]), 2 - first[1]
            exact = (runs[0] + gradients[0], (runs[1] + gradients[1]) * trained)
            found.append(Passes(product.name, product.flops, paper, exact))
            continue
        own = 1 + 3 * often, 1 + 2 * often  # no gradient flows from the actor into the convolutions
        paper, exact = (own[0], own[0] * trained), (own[1], own[1] * trained)
        found.append(Passes("actor_fc", product.flops, paper, exact, own=True))
        paper = (2 + often + 2 + 4 * extra, (2 + often + 2) * trained)
        runs = 2 + (2 if contrast else often), 2 + often
        exact = (runs[0] + 2 * (1 + extra), (runs[1] + 2 - first[1]) * trained)
        found.append(Passes("critic_fc", product.flops, paper, exact, acts=False, own=True))
    features, hidden = prod(layers[-1].outputs), config.hidden
    stored = cut == len(layers) - 1  # what the heads read: it needs no gradient
    alone = layers[-1].name != "fc"  # the actor has nothing of its own before its head: no gradient ever passes that
    for name, inputs, outputs in (
        ("actor", features, 2 * actions),
        ("q1", features + actions, 1),
        ("q2", features + actions, 1),
    ):
        acts = name == "actor"
        both = (1 + 3 * often,) * 2 if acts else (4 + 3 * often,) * 2
        every = 1 + 3 * often if acts else 4 + 2 * often
        spared = often if acts else 1
        exact = every - spared * (acts and alone), every - spared * (stored or (acts and alone))
        found.append(Passes(f"{name}_fc2", (inputs + 1) * hidden, both, exact, acts=acts))
        found.append(Passes(f"{name}_fc3", (hidden + 1) * hidden, both, (every, every), acts=acts))
        found.append(Passes(f"{name}_out", (hidden + 1) * outputs, both, (every, every), acts=acts))
    return found
