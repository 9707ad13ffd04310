"""Settings of the replay and of the schedule of updates, each declared once."""

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal

from edgerl.config.setting import setting
from edgerl.types import Phases


@dataclass(frozen=True)
class ReplayConfig:
    """The replay and the schedule of updates."""

    sampling: Literal["prioritized", "uniform"] = setting("how rows are drawn", option=True)
    store: Literal["auto", "pixels", "latents"] = setting(
        "what the replay holds after T_f", option=True, always=True, after_freeze=True
    )
    pixel_codec: Literal["raw", "lz4"] = setting("how frames are stored", option=True, always=True)
    latent_dtype: Literal["float32", "float16", "uint8"] = setting(
        "how latents are stored", option=True, always=True, after_freeze=True
    )
    crop: int = setting("the side of what encoders see of a frame, in pixels; 0: the whole frame", low=0, high=65536)
    random_crop: bool = setting("whether a sampled window is cropped at random, or in the centre")
    augmentations: int = setting(
        "K: latents of as many random crops that a row holds after the freeze", low=1, high=255
    )
    batch_size: int = setting("rows a batch holds", low=1, high=65536, option=True)
    learn_start: int = setting("agent steps before the first update", low=1)
    n_step: int = setting("steps of a return", low=1, high=1000)
    gamma: float = setting("discount of one step", low=0, high=1)
    omega: float = setting("exponent of priorities", low=0, high=1)
    beta_start: float = setting("exponent of importance weights at the first update", low=0, high=1)
    beta_end: float = setting("exponent of importance weights at the last step", low=0, high=1)
    reward_clip: float | None = setting("rewards are clipped to plus or minus this while training", low=0)
    batch_size_after_freeze: int = setting(  # added later
        "rows a batch holds after T_f; 0: as before it", default=0, low=0, high=65536, option=True, after_freeze=True
    )

    updates_per_step: float = setting(  # added later
        "updates an agent step, before T_f; 0.5: one every second step", default=1.0, low=0.001, high=1000, option=True
    )
    updates_per_step_after_freeze: float | Literal["same"] = setting(  # added later
        "updates an agent step after T_f; same: as before it (default: same)",
        default="same", low=0.001, high=1000, option=True, after_freeze=True,
    )  # fmt: skip

    @property
    def batches(self) -> Phases[int]:
        """Rows that a batch holds."""
        return Phases(self.batch_size, self.batch_size_after_freeze or self.batch_size)

    def updates(self, steps: int, frozen_at: int | None) -> Phases[int]:
        """How many updates the first `steps` agent steps make, before the freeze at step `frozen_at` and after it."""
        rate, after = self.updates_per_step, self.updates_per_step_after_freeze
        until = steps if frozen_at is None else min(steps, frozen_at)
        since = steps if frozen_at is None else max(frozen_at, self.learn_start)
        return Phases(
            floor(max(0, until - self.learn_start) * Fraction(str(rate))),
            floor(max(0, steps - since) * Fraction(str(rate if after == "same" else after))),
        )
