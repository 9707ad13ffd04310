"""What an update multiplies, layer by layer, for every family of agents (paper, appendix B). No torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import NamedTuple

from edgerl.config.agent_settings import DqnConfig, RainbowConfig, SacConfig, ValueConfig
from edgerl.config.architectures import Layer, Product
from edgerl.types import Phases

Times = Fraction | int
PARTS = ("encoder", "own", "head")


@dataclass(frozen=True)
class Passes:
    """A product: multiply-adds of a forward pass per sample (`flops`), and how often an update passes through it.

    `paper`: forward passes and twice the backward ones, as the paper counts; `exact`: the forward passes and gradients
    of weights and inputs that run. `part`: `encoder`; `own`: an encoder layer that actor and critic do not share;
    `head`. `acts`: how often an act passes through it while training. `linear`: it has one weight per multiply-add,
    bias included; a convolution has far fewer.
    """

    name: str
    flops: int
    paper: Phases[Times]
    exact: Phases[Times]
    part: str = "encoder"
    acts: int = 1
    linear: bool = False


class _EncoderProduct(NamedTuple):
    """One product of the encoder. `trained`: it lies right of the cut.

    `first` (before, after the freeze): it is the first trained one, which needs no gradient of its inputs.
    """

    product: Product
    first: Phases[bool]
    trained: bool


def _encoder_products(layers: list[Layer], cut: int) -> Iterator[_EncoderProduct]:
    """The products of these layers in order; `cut`: the number of the last frozen layer."""
    for number, layer in enumerate(layers):
        for product in layer.products:
            begins = product is layer.products[0]
            yield _EncoderProduct(product, Phases(begins and number == 0, begins and number == cut + 1), number > cut)


def value_passes(
    layers: list[Layer], cut: int, outputs: dict[str, int], config: ValueConfig, *, forwards: int, acts: int
) -> list[Passes]:
    """Rainbow and DQN: convolutions without bias, linear layers with it (Table 3).

    `cut`: the number of the last frozen layer; `outputs`: the width of each head by name; `forwards`: forward passes of
    an update through online and target network; `acts`: those of an act through the head.
    """
    features = prod(layers[-1].outputs)
    times = forwards + 2  # plus gradients of weights and inputs; the first trained layer needs none of its inputs
    passes = []
    for product, first, trained in _encoder_products(layers, cut):
        exact = Phases[Times](times - first.before, (times - first.after) * trained)
        paper = Phases[Times](times, times * trained)
        passes.append(Passes(product.name, product.flops, paper, exact, linear=product.name == "fc"))
    both = Phases[Times](times, times)
    for name, width in outputs.items():
        hidden, out = (features + 1) * config.hidden, (config.hidden + 1) * width
        exact = Phases[Times](times, times - (cut == len(layers) - 1))
        passes.append(Passes(f"{name}_hidden", hidden, both, exact, "head", acts, linear=True))
        passes.append(Passes(f"{name}_out", out, both, both, "head", acts, linear=True))
    return passes


def rainbow_passes(layers: list[Layer], cut: int, actions: int, config: RainbowConfig) -> list[Passes]:
    """Rainbow: the online network runs on s and s', the target network on s'; a dueling head.

    An act multiplies the few features with means and sigmas, if layers are noisy, rather than make weights of both.
    """
    outputs = {"value": config.atoms, "advantage": config.atoms * actions}
    return value_passes(layers, cut, outputs, config, forwards=3, acts=1 + config.noisy)


def dqn_passes(layers: list[Layer], cut: int, actions: int, config: DqnConfig) -> list[Passes]:
    """DQN: the online network runs on s, the target network on s'."""
    return value_passes(layers, cut, {"q": actions}, config, forwards=2, acts=1)


def curl_passes(layers: list[Layer], cut: int, actions: int, config: SacConfig) -> list[Passes]:
    """CURL-SAC: SAC, plus query and key of the contrast, which ends with the freeze."""
    return _sac_passes(layers, cut, actions, config, contrast=True)


def sac_passes(layers: list[Layer], cut: int, actions: int, config: SacConfig) -> list[Passes]:
    """SAC: actor and critic share the convolutions and nothing after them."""
    return _sac_passes(layers, cut, actions, config, contrast=False)


def _sac_passes(layers: list[Layer], cut: int, actions: int, config: SacConfig, *, contrast: bool) -> list[Passes]:
    """The passes of CURL-SAC and SAC, averaged over updates with and without the actor.

    Forward passes as the paper counts: critic on s, actor and target on s', every second time actor and critic on s;
    with the contrast query and key too. Fewer run: actor, critic and query share one pass over s.
    """
    passes = []
    for encoder_product in _encoder_products(layers, cut):
        if encoder_product.product.name == "fc":
            passes += _own_passes(*encoder_product, config, contrast=contrast)
        else:
            passes.append(_shared_passes(*encoder_product, config, contrast=contrast))
    stored = cut == len(layers) - 1  # the replay stores what the heads read: it needs no gradient
    shares_all = layers[-1].name != "fc"  # the actor has no layer of its own before its head, so no gradient goes there
    return passes + _sac_head_passes(prod(layers[-1].outputs), actions, config, stored=stored, shares_all=shares_all)


def _sac_head_passes(features: int, actions: int, config: SacConfig, *, stored: bool, shares_all: bool) -> list[Passes]:
    """The heads of actor and critics on so many features.

    `stored`: their inputs after the freeze are read from the replay; `shares_all`: the actor has the critic's features.
    """
    share = Fraction(1, config.actor_every)  # of updates that update the actor
    passes = []
    for name, inputs, outputs in (
        ("actor", features, 2 * actions),
        ("q1", features + actions, 1),
        ("q2", features + actions, 1),
    ):
        acts = name == "actor"
        paper = 1 + 3 * share if acts else 4 + 3 * share
        times = 1 + 3 * share if acts else 4 + 2 * share
        skipped = share if acts else 1  # gradients of inputs, if not needed
        first = Phases[Times](
            times - skipped * (acts and shares_all),
            times - skipped * (stored or (acts and shares_all)),
        )
        for layer, flops, exact in (
            ("fc2", (inputs + 1) * config.hidden, first),
            ("fc3", (config.hidden + 1) * config.hidden, Phases[Times](times, times)),
            ("out", (config.hidden + 1) * outputs, Phases[Times](times, times)),
        ):
            both = Phases[Times](paper, paper)
            passes.append(Passes(f"{name}_{layer}", flops, both, exact, "head", int(acts), linear=True))
    return passes


def _shared_passes(
    product: Product, first: Phases[bool], trained: bool, config: SacConfig, *, contrast: bool
) -> Passes:
    """A convolution that actor and critic share."""
    share = Fraction(1, config.actor_every)
    paper = Phases[Times](3 + 2 * share + 2 + 4 * contrast, (3 + 2 * share + 2) * trained)
    before = 3 + (2 if contrast else share) + (1 + contrast) * (2 - first.before)
    after = (3 + share + 2 - first.after) * trained
    return Passes(product.name, product.flops, paper, Phases[Times](before, after))


def _own_passes(
    product: Product, first: Phases[bool], trained: bool, config: SacConfig, *, contrast: bool
) -> list[Passes]:
    """The fully connected layer, of which actor and critic have one each."""
    share, flops = Fraction(1, config.actor_every), product.flops
    paper, exact = 1 + 3 * share, 1 + 2 * share  # no gradient flows from the actor into the convolutions
    actor = Passes(
        "actor_fc", flops, Phases(paper, paper * trained), Phases(exact, exact * trained), part="own", linear=True
    )
    before = 2 + (2 if contrast else share) + 2 * (1 + contrast)
    critic = Passes(
        "critic_fc",
        flops,
        Phases(2 + share + 2 + 4 * contrast, (2 + share + 2) * trained),
        Phases(before, (2 + share + 2 - first.after) * trained),
        part="own",
        acts=0,
        linear=True,
    )
    return [actor, critic]
