"""An exported policy against the program's: their values and their actions, on the same windows."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgerl.agents.exported import Exported
from edgerl.envs.simulator import scaled
from edgerl.errors import ExportError
from edgerl.replay import representation
from edgerl.training.policy import Policy
from edgerl.types import Array
from runtime import Session

TOLERANCE = 1e-4  # of values up to 1, and as a share of larger ones


@dataclass(frozen=True)
class Parity:
    """How an exported policy compares with the program's over `windows`.

    `largest_difference`: of values; of actions that are vectors, in halves of the range between their bounds, and of
    their log standard deviations. `tolerance`: how large it may be. `other_actions`: on how many windows the exported
    action is another one, ties aside; `ties`: on how many the two best values are closer than twice that difference.
    """

    windows: int
    largest_difference: float
    tolerance: float
    other_actions: int
    ties: int

    def check(self) -> None:
        """Raise ExportError if the policies differ."""
        if not self.largest_difference <= self.tolerance:  # NaN fails too
            raise ExportError(
                f"the exported policy differs from the program's by {self.largest_difference:.3g}, above "
                f"{self.tolerance:.3g}, over {self.windows:,} windows; nothing is written"
            )
        if self.other_actions:
            raise ExportError(
                f"the exported policy acts otherwise than the program's on {self.other_actions:,} of "
                f"{self.windows:,} windows; nothing is written"
            )

    @property
    def line(self) -> str:
        """The same for people."""
        ties = f"{self.ties:,} tie{'' if self.ties == 1 else 's'}"
        return (
            f"compared over {self.windows:,} windows: largest difference {self.largest_difference:.1e}, "
            f"{self.other_actions:,} other actions, {ties}"
        )

    def summary(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self)


class Comparison:
    """A policy beside its export, which `session` runs. `bounds`: of the exported actions, if they are vectors."""

    def __init__(
        self, policy: Policy, exported: Exported, session: Session, bounds: tuple[Array, Array] | None
    ) -> None:
        self._pixels = representation.pixels(policy.spec, policy.config.replay)
        self._policy, self._exported, self._session, self._bounds = policy, exported, session, bounds
        self._own: list[dict[str, Array]] = []
        self._theirs: list[dict[str, Array]] = []

    def act(self, window: Array) -> Any:
        """Have both act on a window uint8 [history, *frame]; returns the program's action."""
        own = self._exported.own(self._policy.representation.see(window)[None])
        self._own.append(own)
        self._theirs.append(self._session.outputs(np.ascontiguousarray(self._pixels.see(window)[None])))
        return own["action"][0]

    @property
    def parity(self) -> Parity:
        """How they compare over the windows so far."""
        own, theirs = _together(self._own), _together(self._theirs)
        return of_values(own, theirs) if self._bounds is None else of_vectors(own, theirs, self._bounds)


def _together(outputs: list[dict[str, Array]]) -> dict[str, Array]:
    """The outputs of all windows by name, one after the other."""
    return {name: np.concatenate([of_window[name] for of_window in outputs]) for name in outputs[0]}


def of_values(own: dict[str, Array], theirs: dict[str, Array]) -> Parity:
    """The parity of outputs by name, `action` [N] and `values` [N, actions]: the program's own, and its export's."""
    difference = float(np.abs(own["values"] - theirs["values"]).max())
    ranked = np.sort(own["values"], axis=1)
    ties = np.zeros(len(ranked), bool) if ranked.shape[1] < 2 else ranked[:, -1] - ranked[:, -2] < 2 * difference
    return Parity(
        windows=len(ranked),
        largest_difference=difference,
        tolerance=TOLERANCE * max(1.0, float(np.abs(ranked).max())),
        other_actions=int((~ties & (own["action"] != theirs["action"])).sum()),
        ties=int(ties.sum()),
    )


def of_vectors(own: dict[str, Array], theirs: dict[str, Array], bounds: tuple[Array, Array]) -> Parity:
    """The same of `action` and `log_std`, [N, A]; the program's actions are in [-1, 1], the exported in `bounds`."""
    low, high = (bound.astype(np.float64) for bound in bounds)
    half = np.where(high > low, (high - low) / 2, 1.0)
    actions = np.abs(scaled(own["action"], low, high) - theirs["action"]) / half
    difference = max(float(actions.max()), float(np.abs(own["log_std"] - theirs["log_std"]).max()))
    return Parity(
        windows=len(actions),
        largest_difference=difference,
        tolerance=TOLERANCE,
        other_actions=int((actions.max(axis=1) > TOLERANCE).sum()),
        ties=0,
    )
