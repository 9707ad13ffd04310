"""The networks of CURL-SAC: two encoders, actor, critics, their targets, the temperature, and CURL's contrast."""

import math
from typing import Any

import numpy as np

from edgerl.agents.agent import arrays_under
from edgerl.agents.encoder.contrast import Contrast
from edgerl.agents.encoder.stem import Stem
from edgerl.agents.encoder.twin import Twin
from edgerl.agents.layers.arrays import Engine, lerp_, to_numpy
from edgerl.agents.layers.dense import Stack, under
from edgerl.agents.layers.parameters import Parameters, copy, load, named_arrays
from edgerl.agents.sac_heads import Actor, Critics
from edgerl.config import architectures
from edgerl.config.agent_settings import SacConfig
from edgerl.config.architectures import Shape
from edgerl.types import Array

LAYERED = ("encoders", "actor", "critics", "target_encoders", "target_critics")  # networks whose weights lie in layers


class Networks:
    """All networks and their targets. `window`: the shape of what encoders see; `rng` draws the weights.

    `cut`: the last frozen layer, if they are frozen already; a frozen one has no contrast, as SAC has none at all.
    """

    def __init__(
        self,
        window: Shape,
        actions: int,
        config: SacConfig,
        rng: np.random.Generator,
        engine: Engine,
        cut: str | None,
        *,
        contrast: bool,
    ) -> None:
        self.encoder, self.window, self.config, self.actions = config.encoder, window, config, actions
        last = architectures.last_layer(config.encoder)
        self.features = features = architectures.latent_shape(config.encoder, window, last)[0]
        self.encoders, self.target_encoders = self._twin(engine, cut, rng), self._twin(engine, cut, None)
        self.actor, self.critics = self._heads(engine, rng)
        self.target_critics = Critics(engine, features, actions, config.hidden, None)
        self.contrast = Contrast(engine, features, rng) if contrast and cut is None else None
        self.temperature = Parameters(engine, {"log_alpha": self._first_log_alpha()}, trained=True)
        self.follow(1.0, 1.0)

    def _twin(self, engine: Engine, cut: str | None, rng: np.random.Generator | None) -> Twin:
        return Twin(engine, self.encoder, self.window, cut=cut, rng=rng)

    def _heads(self, engine: Engine, rng: np.random.Generator) -> tuple[Actor, Critics]:
        """An actor and critics, drawn from `rng`."""
        config, sizes = self.config, (self.features, self.actions, self.config.hidden)
        actor = Actor(engine, *sizes, low=config.log_std_min, high=config.log_std_max, rng=rng)
        return actor, Critics(engine, *sizes, rng)

    def _first_log_alpha(self) -> Array:
        return np.array(math.log(self.config.alpha_start), np.float32)

    @property
    def actor_neck(self) -> Stack:
        """The layers between the shared convolutions and the actor; none behind a cut at the last of them."""
        assert self.encoders.actor is not None  # noqa: S101
        return self.encoders.actor

    @property
    def parts(self) -> dict[str, dict[str, Parameters]]:
        """The layers that each optimizer trains, by the optimizer's name."""
        encoder = under("shared", self.encoders.convolutions) | under("neck", self.encoders.critic.parameters)
        parts = {
            "critic": encoder | under("q", self.critics.parameters),
            "actor": under("neck", self.actor_neck.parameters) | under("head", self.actor.parameters),
            "alpha": {"": self.temperature},
        }
        if self.contrast is not None:
            parts |= {"contrast0": encoder, "contrast1": {"": self.contrast.parameters}}
        return parts

    @property
    def arrays(self) -> dict[str, Any]:
        """All weights by name."""
        arrays: dict[str, Any] = {}
        for name in LAYERED:
            arrays |= named_arrays(under(name, getattr(self, name).parameters))
        return arrays | self.temperature.arrays | (self.contrast.parameters.arrays if self.contrast else {})

    @property
    def nbytes(self) -> int:
        """Bytes of all weights."""
        return sum(int(array.nbytes) for array in self.arrays.values())

    @property
    def gradient_nbytes(self) -> int:
        """Bytes of the gradients: one for each weight that is trained, by however many optimizers."""
        trained = {id(own): own.nbytes for layers in self.parts.values() for own in layers.values()}
        return sum(trained.values())

    def actor_features(self, maps: Any) -> Any:
        """What the actor's head takes, [B, L], of what both encoders share."""
        return self.actor_neck.apply(self.encoders.for_actor(maps))

    def target_features(self, prepared: Any) -> Any:
        """What the target critics take, [B, L]; the contrast's keys."""
        target = self.target_encoders
        return target.critic.apply(target.for_critic(target.maps(prepared)))

    def follow(self, tau_critics: float, tau_encoders: float) -> None:
        """Move the targets towards the online networks, by these shares of the difference."""
        for target, online, tau in (
            (self.target_critics.parameters, self.critics.parameters, tau_critics),
            (self.target_encoders.parameters, self.encoders.parameters, tau_encoders),
        ):
            for name, parameters in target.items():
                lerp_(parameters.flat, online[name].flat, tau)

    def stem(self, cut: str) -> Stem:
        """What lies left of `cut`, with the weights it has now; the networks stay whole."""
        encoders = self.encoders
        return Stem(
            self.encoder,
            self.window,
            cut,
            named_arrays(encoders.parameters),
            lambda windows: encoders.encode_until(cut, encoders.prepare(windows)),
            encoders=2,
        )

    def freeze(self, cut: str, engine: Engine) -> None:
        """Keep what lies right of `cut`, on `engine`; the contrast ends, and the target shares the stem."""
        self.contrast = None
        generator = np.random.default_rng(0)  # layers made with one are trained; what it draws is copied over
        for name, rng in (("encoders", generator), ("target_encoders", None)):
            old = named_arrays(getattr(self, name).parameters)
            kept = self._twin(engine, cut, rng)
            for key, array in named_arrays(kept.parameters).items():
                copy(array, to_numpy(old[key]))
            setattr(self, name, kept)
        for head in (self.actor, self.critics, self.target_critics):
            for parameters in head.parameters.values():
                parameters.move(engine)
        self.temperature.move(engine)

    def reset_heads(self, rng: np.random.Generator, engine: Engine) -> dict[str, list[str]]:
        """Draw actor and critics anew on `engine`; the target critics are copies; the temperature is the first again.

        Returns the layers that begin anew, by the name of their optimizer in `parts`.
        """
        actor, critics = self._heads(engine, rng)
        for own, drawn in ((self.actor, actor), (self.critics, critics), (self.target_critics, critics)):
            for name, parameters in own.parameters.items():
                parameters.flat[:] = drawn.parameters[name].flat
        copy(self.temperature.arrays["log_alpha"], self._first_log_alpha())
        return {
            "actor": list(under("head", self.actor.parameters)),
            "critic": list(under("q", self.critics.parameters)),
            "alpha": [""],
        }

    def adopt(self, source: dict[str, Array], stem: dict[str, Array], *, heads: bool) -> None:
        """Start from the `arrays` of others; see `CurlSac.adopt`. The temperature stays as it is."""
        online = stem | arrays_under(source, "encoders.")
        target = stem | arrays_under(source, "target_encoders.") if heads else online
        load(named_arrays(self.encoders.parameters), online)
        load(
            named_arrays(self.target_encoders.parameters),
            {name: array for name, array in target.items() if not name.startswith("actor.")},
        )
        if heads:
            for name in ("actor", "critics", "target_critics"):
                load(named_arrays(getattr(self, name).parameters), arrays_under(source, f"{name}."))
            if self.contrast is not None and "contrast" in source:
                copy(self.contrast.parameters.arrays["contrast"], source["contrast"])
