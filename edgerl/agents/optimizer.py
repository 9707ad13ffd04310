"""Adam and AdamW over blocks of weights: in NumPy in chunks that stay in the cache, in torch by its fused kernel."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgerl.agents.layers import threads
from edgerl.agents.layers.arrays import Engine, to_numpy, zeros_like
from edgerl.agents.layers.parameters import Missing, Parameters, copy
from edgerl.types import Array

CHUNK = 98_304  # numbers: smaller ones stay in the cache longer, but threads wait for each other between their passes
# What the moments of a weight are called: torch's running means, and NumPy's sums, which are means over (1 - beta): two
# passes less over every weight.
MEANS, SUMS = ("exp_avg", "exp_avg_sq"), ("sum", "square_sum")


class Moments(NamedTuple):
    """Running means or sums of a block's gradients and of their squares."""

    first: Any
    second: Any


class Adam:
    """Adam (Kingma & Ba 2015) over the weights of named layers, with clipping by the norm of the whole gradient.

    `clip_norm`: a gradient of a larger norm is scaled to it; None: never, and no norm is computed. `weight_decay`: the
    share of every weight, biases included, that a step first takes away, over the learning rate (AdamW, Loshchilov &
    Hutter 2019, as torch.optim.AdamW does). `steps`: taken; `begun`: after how many of them a layer's moments began.
    """

    def __init__(
        self,
        engine: Engine,
        layers: Mapping[str, Parameters],
        learning_rate: float,
        *,
        eps: float = 1e-8,
        betas: tuple[float, float] = (0.9, 0.999),
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        self.learning_rate, self.eps, self.betas, self.clip_norm = learning_rate, eps, betas, clip_norm
        self.weight_decay = weight_decay
        self.layers, self.steps = dict(layers), 0
        self.begun = dict.fromkeys(layers, 0)
        self.moments = {name: _zeros(parameters) for name, parameters in layers.items()}
        self._settle(engine)

    def _settle(self, engine: Engine) -> None:
        """Step as this engine does, on its threads."""
        self._kernel = engine.adam

    def step(self) -> float:
        """One step on the gradients that are there; returns their norm before clipping (0 without `clip_norm`)."""
        self.steps += 1
        norm, scale = 0.0, 1.0
        if self.clip_norm is not None:
            norm = math.sqrt(sum(float(p.gradient @ p.gradient) for p in self.layers.values()))
            scale = self.clip_norm / (norm + 1e-6) if norm > self.clip_norm else 1.0
        blocks = [(p.flat, p.gradient, *self.moments[name]) for name, p in self.layers.items()]
        counts = [self.steps - self.begun[name] for name in self.layers]
        if self._kernel is not None and blocks:
            self._kernel(blocks, counts, self.learning_rate, self.betas, self.eps, scale, self.weight_decay)
        else:
            self._in_chunks(blocks, counts, scale)
        return norm

    def _in_chunks(self, blocks: Sequence[tuple[Array, ...]], counts: Sequence[int], scale: float) -> None:
        """Step on NumPy arrays, each thread on some of the chunks; `counts`: the steps of each block."""
        factors = {count: self._factors(count, scale) for count in counts}
        chunks = [
            (tuple(array[low : low + CHUNK] for array in block), factors[count])
            for block, count in zip(blocks, counts, strict=True)
            for low in range(0, len(block[0]), CHUNK)
        ]
        work = sum(len(block[0]) for block in blocks)
        threads.run(lambda part: _step_chunks(chunks[part]), threads.parts(len(chunks), work))

    def _factors(self, steps: int, scale: float) -> "_Factors":
        """The factors of a block's step of this number, its corrections of the moments' bias among them."""
        beta1, beta2 = self.betas
        root = math.sqrt((1 - beta2) / (1 - beta2**steps))  # sqrt(second) * root is the root of the unbiased mean
        return _Factors(
            gradient=scale,
            decay=beta1,
            square_decay=beta2,
            eps=self.eps / root,
            step=self.learning_rate * (1 - beta1) / ((1 - beta1**steps) * root),
            weight=1 - self.learning_rate * self.weight_decay,
        )

    def restart(self, layers: Iterable[str]) -> None:
        """Begin the moments of these layers anew, as if no step had been taken."""
        for name in layers:
            self.begun[name] = self.steps
            for moment in self.moments[name]:
                moment[:] = 0

    def keep(self, layers: Mapping[str, Parameters], engine: Engine) -> None:
        """Go on with these layers alone, on `engine`; moments of weights that have the names of before stay."""
        old, were, kernel, before = self._named(), self._kinds, self._kernel, self.layers
        self.layers = dict(layers)
        self._settle(engine)
        for name in [name for name in self.moments if name not in layers]:
            del self.moments[name], self.begun[name]
        for name, parameters in self.layers.items():
            stays = kernel is engine.adam and parameters.channels_last == before[name].channels_last
            if not stays:
                self.moments[name] = _zeros(parameters)
                for key, array in self._named_of(name).items():
                    self._take(key, array, old, were)

    def _named_of(self, layer: str) -> dict[str, Any]:
        own = self.layers[layer]
        return {
            _under(layer, f"{name}.{kind}"): array
            for kind, moment in zip(self._kinds, self.moments[layer], strict=True)
            for name, array in own.views(moment).items()
        }

    def _named(self) -> dict[str, Any]:
        """Moments by `<layer>.<weight>.<kind>`, the kinds being MEANS or SUMS."""
        return {key: array for layer in self.layers for key, array in self._named_of(layer).items()}

    def state(self) -> dict[str, Array]:
        """Moments by `<layer>.<weight>.<kind>`, and `step`; views, not copies, on the CPU.

        `<layer>.begun`, if the moments of a layer have begun anew.
        """
        moments = {name: to_numpy(array) for name, array in self._named().items()}
        begun = {_under(layer, "begun"): np.array(steps, np.int64) for layer, steps in self.begun.items() if steps}
        return moments | begun | {"step": np.array(self.steps, np.int64)}

    def load(self, state: Mapping[str, Array]) -> None:
        """Restore what `state` of either engine returned; raises Missing if a weight's moments are not there.

        Older checkpoints have the steps of every weight, which are the same for all.
        """
        steps = [array for name, array in state.items() if name.rpartition(".")[2] == "step"]
        kinds = SUMS if any(name.endswith(f".{SUMS[0]}") for name in state) else MEANS
        for name, array in self._named().items():
            self._take(name, array, state, kinds)
        self.steps = int(steps[0]) if steps else 0
        self.begun = {layer: int(state.get(_under(layer, "begun"), 0)) for layer in self.layers}

    @property
    def _kinds(self) -> tuple[str, str]:
        return SUMS if self._kernel is None else MEANS

    def _take(self, name: str, array: Any, source: Mapping[str, Any], kinds: tuple[str, str]) -> None:
        """Copy the moments called `name` here from a source that has moments of these kinds."""
        weight, _, kind = name.rpartition(".")
        number = self._kinds.index(kind)
        theirs = f"{weight}.{kinds[number]}"
        if theirs not in source or tuple(source[theirs].shape) != tuple(array.shape):
            raise Missing(f"the moments {theirs} are not there, or of another shape")
        copy(array, source[theirs])
        if kinds != self._kinds:
            factor = 1 - self.betas[number]
            array *= factor if kinds == SUMS else 1 / factor

    @property
    def nbytes(self) -> int:
        """Bytes of the moments."""
        return sum(int(array.nbytes) for moments in self.moments.values() for array in moments)


class _Factors(NamedTuple):
    """What a step multiplies with; `gradient`: the clipping, `eps`: added, in the unit of the squares' root.

    `weight`: what the decay leaves of a weight.
    """

    gradient: float
    decay: float
    square_decay: float
    eps: float
    step: float
    weight: float


def _under(layer: str, name: str) -> str:
    """`<layer>.<name>`; the name alone if the layer has none."""
    return f"{layer}.{name}" if layer else name


def _zeros(parameters: Parameters) -> Moments:
    return Moments(zeros_like(parameters.flat), zeros_like(parameters.flat))


def _step_chunks(chunks: list[tuple[tuple[Array, ...], _Factors]]) -> None:
    """One step on chunks of (weights, gradient, sum, sum of squares), in place, with one temporary array."""
    temporary = np.empty(CHUNK, chunks[0][0][0].dtype)
    for (weights, gradient, first, second), factors in chunks:
        numbers = temporary[: len(weights)]
        if factors.gradient != 1:
            gradient *= factors.gradient
        first *= factors.decay
        first += gradient
        np.multiply(gradient, gradient, out=numbers)
        second *= factors.square_decay
        second += numbers
        np.sqrt(second, out=numbers)
        numbers += factors.eps
        np.divide(first, numbers, out=numbers)
        numbers *= factors.step
        if factors.weight != 1:
            weights *= factors.weight
        weights -= numbers
