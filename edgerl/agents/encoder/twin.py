"""Two encoders that share their convolutions, N = 2: the actor's and the critic's."""

from typing import Any

import numpy as np

from edgerl.agents.encoder import encoder
from edgerl.agents.layers.arrays import Engine, namespace
from edgerl.agents.layers.dense import under
from edgerl.agents.layers.parameters import Parameters, orthogonal
from edgerl.config.architectures import Shape
from edgerl.types import Array


class Twin:
    """`shared`: the convolutions; `actor`, `critic`: the layers after them that are not shared.

    Behind a cut at the fully connected layer an observation is two latents [B, 2, L], the actor's first. Without `rng`
    it is not trained, and has no actor: a target.
    """

    def __init__(
        self, engine: Engine, name: str, window: Shape, *, cut: str | None, rng: np.random.Generator | None
    ) -> None:
        self.engine, self._pairs = engine, cut == "fc"
        self.shared = encoder.convolutions(engine, name, window, cut, rng, orthogonal)
        self.critic = encoder.dense(engine, name, window, cut, rng, orthogonal)
        self.actor = None if rng is None else encoder.dense(engine, name, window, cut, rng, orthogonal)

    @property
    def convolutions(self) -> dict[str, Parameters]:
        """The weights of the convolutions by layer."""
        return {} if self.shared is None else self.shared.parameters

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The weights by layer."""
        actor = {} if self.actor is None else under("actor", self.actor.parameters)
        return under("shared", self.convolutions) | actor | under("critic", self.critic.parameters)

    def prepare(self, observations: Array) -> Any:
        return encoder.prepare(self.engine, self.shared, observations)

    def maps(self, prepared: Any, *, keep: bool = False) -> Any:
        """What both encoders share: flat maps [B, numbers]; behind the fully connected layer the latents [B, 2, L]."""
        return prepared if self._pairs else encoder.maps_of(self.shared, prepared, keep=keep)

    def for_actor(self, maps: Any) -> Any:
        """What the actor's own layers take."""
        return maps[:, 0] if self._pairs else maps

    def for_critic(self, maps: Any) -> Any:
        """What the critic's own layers take."""
        return maps[:, 1] if self._pairs else maps

    def critic_backward(self, gradient: Any) -> None:
        """Write the gradients of the critic's layers and the convolutions, of that of the critic's features."""
        gradient = self.critic.backward(gradient, inputs=self.shared is not None)
        if self.shared is not None:
            encoder.maps_backward(self.shared, gradient)

    def encode_until(self, cut: str, prepared: Any) -> Any:
        """What crosses the cut behind layer `cut`: maps, or the latents [B, 2, L]."""
        if cut != "fc":
            return self.shared.outputs(prepared)[cut]
        maps = self.maps(prepared)
        assert self.actor is not None  # noqa: S101
        return namespace(maps).stack([self.actor.apply(maps), self.critic.apply(maps)], axis=1)
