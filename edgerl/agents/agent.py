"""What the training loop and the freeze need of an agent."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgerl.agents.layers.arrays import Engine
from edgerl.types import Array, Batch, Update

if TYPE_CHECKING:  # these import ONNX Runtime, which plans need not
    from edgerl.agents.exported import Exported
    from edgerl.replay.stem import FrozenStem
    from runtime.export import StemGraph


class Stem(Protocol):
    """What lies left of a cut, with the weights it has now."""

    @property
    def graph(self) -> "StemGraph":
        """Its operations and weights, for ONNX."""

    def latents(self, windows: Array) -> Array:
        """The trainer's own latents, float32 [B, ...], of windows uint8 [B, C, H, W]."""


class Agent(Protocol):
    """The protocol of an agent. It sees neither environment nor replay.

    `cut`: the last frozen layer, None before the freeze; `engine`: what computes.
    """

    cut: str | None
    engine: Engine

    @property
    def needs_torch(self) -> bool:
        """Whether it computes with torch."""

    def act(self, observation: Array, *, explore: bool) -> Any:
        """An action for one observation, as `Representation.see` gives it: an int, or float32 [A] in [-1, 1]."""

    def explore(self, observations: Array) -> Array:
        """Actions that explore, [B, ...], for the observations [B, ...] of several environments."""

    def update(self, batch: Batch) -> Update:
        """One update on a batch."""

    def stem(self, cut: str) -> Stem:
        """What lies left of the cut behind layer `cut`; the agent stays whole."""

    def freeze(self, cut: str) -> None:
        """Keep what lies right of the cut behind layer `cut`; observations are latents from now on."""

    def frozen_stem(self, file: Path) -> "FrozenStem | None":
        """The frozen stem of this ONNX file where a frozen agent computes, if that is an accelerator; else None.

        It gives latents that the agent acts on and updates with; they stay there.
        """

    def exported(self) -> "Exported":
        """How it acts when it does not explore, for ONNX."""

    def promised(self, observations: Array) -> Array:
        """The mean return that acting promises: of every action, [B, actions]; of the mean action, [B]."""

    def reset_heads(self) -> None:
        """Begin the heads anew, drawn from the agent's Generator, with their moments and targets; the encoder stays."""

    def adopt(self, arrays: dict[str, Array], stem: dict[str, Array], *, heads: bool) -> None:
        """Start from another agent's encoder, and with `heads` from its heads too: `arrays` as its `state` returned.

        `stem`: the weights that its freeze removed, by name. Raises RuntimeError for other networks.
        """

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All that training changes: arrays by name (views, not copies, on the CPU), and values for JSON."""

    def load(self, arrays: dict[str, Array], values: dict[str, Any], *, to_act: bool = False) -> None:
        """Restore what `state` returned, its cut too; `to_act`: without the moments, which then take no memory.

        Raises RuntimeError or KeyError for another agent's arrays.
        """

    def nbytes(self) -> dict[str, int]:
        """Bytes held, by line of the ledger."""

    def activations(self, observations: Array, actions: Array) -> dict[str, Array]:
        """Activations of each layer, up to the last hidden one of the heads, for a batch: by name, in order, no noise.

        `actions` [B, ...]: for critics that also take actions. Maps are float32 [B, C, h, w], features [B, n].
        """


def arrays_under(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose names begin with `prefix`; the names returned are without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
