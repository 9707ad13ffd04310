"""What an update multiplies, layer by layer, for each family of agents (paper, appendix B). No torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from edgerl.config.architectures import Layer, Product
from edgerl.config.settings import DqnConfig, RainbowConfig, SacConfig
from edgerl.types import Phases

Times = Fraction | int
PARTS = ("encoder", "own", "head")


@dataclass(frozen=True)
class Passes:
    """A product: multiply-adds of a forward pass per sample, and how often an update passes through it.

    `paper`: forward passes and twice the backward ones, as the paper counts; `exact`: what runs, forward passes and
    gradients of weights and of inputs. `part`: `encoder`; `own` for the layer of an encoder that actor and critic have
    one of each, where they share all layers before it; `head`. `acts`: acting runs it. `linear`: it has a weight for
    each multiply-add, bias included; a convolution has next to none.
    """

    name: str
    flops: int
    paper: Phases[Times]
    exact: Phases[Times]
    part: str = "encoder"
    acts: bool = True
    linear: bool = False


@dataclass(frozen=True)
class _Step:
    """A product of the encoder. `first`: it is the first one trained, which needs no gradient of its inputs.

    `trained`: it lies right of the cut.
    """

    product: Product
    first: Phases[bool]
    trained: bool


def _steps(layers: list[Layer], cut: int) -> Iterator[_Step]:
    for number, layer in enumerate(layers):
        for product in layer.products:
            begins = product is layer.products[0]
            yield _Step(product, Phases(begins and number == 0, begins and number == cut + 1), number > cut)


def value_passes(
    layers: list[Layer], cut: int, outputs: dict[str, int], config: RainbowConfig | DqnConfig, *, forwards: int
) -> list[Passes]:
    """Rainbow and DQN: convolutions without bias, linear layers with it (Table 3).

    `cut`: the number of the last frozen layer; `outputs`: the width of each head by name; `forwards`: forward passes of
    an update through online and target network.
    """
    features = prod(layers[-1].outputs)
    every = forwards + 2  # and gradients of weights and of inputs; the first trained layer needs none of its inputs
    passes = []
    for step in _steps(layers, cut):
        product = step.product
        exact = Phases[Times](every - step.first.before, (every - step.first.after) * step.trained)
        paper = Phases[Times](every, every * step.trained)
        passes.append(Passes(product.name, product.flops, paper, exact, linear=product.name == "fc"))
    both = Phases[Times](every, every)
    for name, width in outputs.items():
        hidden, out = (features + 1) * config.hidden, (config.hidden + 1) * width
        exact = Phases[Times](every, every - (cut == len(layers) - 1))
        passes.append(Passes(f"{name}_hidden", hidden, both, exact, part="head", linear=True))
        passes.append(Passes(f"{name}_out", out, both, both, part="head", linear=True))
    return passes


def rainbow_passes(layers: list[Layer], cut: int, actions: int, config: RainbowConfig) -> list[Passes]:
    """Online on s and on s', target on s'; a dueling head."""
    outputs = {"value": config.atoms, "advantage": config.atoms * actions}
    return value_passes(layers, cut, outputs, config, forwards=3)


def dqn_passes(layers: list[Layer], cut: int, actions: int, config: DqnConfig) -> list[Passes]:
    """Online on s, target on s'."""
    return value_passes(layers, cut, {"q": actions}, config, forwards=2)


def curl_passes(layers: list[Layer], cut: int, actions: int, config: SacConfig) -> list[Passes]:
    """CURL-SAC: SAC, and query and key of the contrast, which ends with the freeze."""
    return _sac_passes(layers, cut, actions, config, contrast=True)


def sac_passes(layers: list[Layer], cut: int, actions: int, config: SacConfig) -> list[Passes]:
    """SAC; actor and critic tie the convolutions and nothing behind them."""
    return _sac_passes(layers, cut, actions, config, contrast=False)


def _sac_passes(layers: list[Layer], cut: int, actions: int, config: SacConfig, *, contrast: bool) -> list[Passes]:
    """The passes of CURL-SAC and SAC, averaged over the actor's updates.

    Forward passes as the paper counts: critic on s, actor and target on s', every second time actor and critic on s;
    with the contrast query and key too. What runs is less: actor, critic and query share one pass over s.
    """
    passes = []
    for step in _steps(layers, cut):
        if step.product.name == "fc":
            passes += _own_passes(step, config, contrast=contrast)
        else:
            passes.append(_shared_passes(step, config, contrast=contrast))
    features, hidden = prod(layers[-1].outputs), config.hidden
    stored = cut == len(layers) - 1  # what the heads read: it needs no gradient
    alone = layers[-1].name != "fc"  # the actor has no layer of its own before its head, so no gradient passes that
    for name, inputs, outputs in (
        ("actor", features, 2 * actions),
        ("q1", features + actions, 1),
        ("q2", features + actions, 1),
    ):
        acts, often = name == "actor", Fraction(1, config.actor_every)
        paper = 1 + 3 * often if acts else 4 + 3 * often
        every = 1 + 3 * often if acts else 4 + 2 * often
        spared = often if acts else 1
        first = Phases[Times](every - spared * (acts and alone), every - spared * (stored or (acts and alone)))
        for layer, multiplies, exact in (
            ("fc2", (inputs + 1) * hidden, first),
            ("fc3", (hidden + 1) * hidden, Phases[Times](every, every)),
            ("out", (hidden + 1) * outputs, Phases[Times](every, every)),
        ):
            both = Phases[Times](paper, paper)
            passes.append(Passes(f"{name}_{layer}", multiplies, both, exact, part="head", acts=acts, linear=True))
    return passes


def _shared_passes(step: _Step, config: SacConfig, *, contrast: bool) -> Passes:
    """A convolution that actor and critic share."""
    often = Fraction(1, config.actor_every)
    paper = Phases[Times](3 + 2 * often + 2 + 4 * contrast, (3 + 2 * often + 2) * step.trained)
    before = 3 + (2 if contrast else often) + (1 + contrast) * (2 - step.first.before)
    after = (3 + often + 2 - step.first.after) * step.trained
    return Passes(step.product.name, step.product.flops, paper, Phases[Times](before, after))


def _own_passes(step: _Step, config: SacConfig, *, contrast: bool) -> list[Passes]:
    """The fully connected layer, of which the actor has one and the critic another."""
    often, flops, trained = Fraction(1, config.actor_every), step.product.flops, step.trained
    paper, exact = 1 + 3 * often, 1 + 2 * often  # no gradient flows from the actor into the convolutions
    actor = Passes(
        "actor_fc", flops, Phases(paper, paper * trained), Phases(exact, exact * trained), part="own", linear=True
    )
    before = 2 + (2 if contrast else often) + 2 * (1 + contrast)
    critic = Passes(
        "critic_fc",
        flops,
        Phases(2 + often + 2 + 4 * contrast, (2 + often + 2) * trained),
        Phases(before, (2 + often + 2 - step.first.after) * trained),
        part="own",
        acts=False,
        linear=True,
    )
    return [actor, critic]
