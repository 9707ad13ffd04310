"""The values that pass between environment, replay and agent."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    Array = Any  # NumPy is half of the time that `import edgerl` would take
T = TypeVar("T")


class Phases(NamedTuple, Generic[T]):
    """A value as it is before the freeze, and after it."""

    before: T
    after: T

    def at(self, frozen: bool) -> T:
        """The value of the phase that a run is in."""
        return self.after if frozen else self.before


class TimeStep(NamedTuple):
    """What the environment returns from a reset or a step.

    `window`: uint8 [history, *frame], the newest frame last, valid until the next step. `reward`: unclipped.
    `terminated`: nothing follows, do not bootstrap. `truncated`: cut off, bootstrap. `over`: the whole game ended (a
    lost life is terminated but not over).
    """

    window: Array
    reward: float
    terminated: bool
    truncated: bool
    over: bool


@dataclass(frozen=True)
class Batch:
    """A sampled batch.

    `obs`, `next_obs`: [B, ...] as the representation reads them; an accelerator's own arrays if the frozen stem runs
    there. `action`: [B], or [B, A] if actions are vectors; `index`: numbers of the rows, int64 [B]. The others are
    float32 [B]. `reward`: n-step returns; `discount`: gamma^k for a window of k steps, 0 if the episode terminated in
    it; `weight`: importance weights.
    """

    obs: Array
    action: Array
    reward: Array
    discount: Array
    next_obs: Array
    weight: Array
    index: Array


class Update(NamedTuple):
    """What an agent's update returns.

    `metrics`: by name; `priority`: the losses of the batch's rows, float32 [B], or [0] if the agent gives none.
    """

    metrics: dict[str, float]
    priority: Array
