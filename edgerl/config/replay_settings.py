"""Settings of the replay and of the schedule of updates, each declared once."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import floor
from typing import Literal, NamedTuple

from edgerl.config.setting import setting
from edgerl.errors import ConfigError
from edgerl.types import Phases


class Horizon(NamedTuple):
    """How far a return looks ahead: its steps, and the discount of one."""

    n_step: int
    gamma: float


@cache
def _exact(rate: float) -> Fraction:
    """A rate as it was written: ten times 0.1 is 1."""
    return Fraction(str(rate))


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
    beta_end: float = setting(
        "exponent of importance weights at the last step; as beta_start: fixed (0.5 in BBF, Schwarzer et al. 2023)",
        low=0, high=1,
    )  # fmt: skip
    reward_clip: float | None = setting("rewards are clipped to plus or minus this while training", low=0)
    batch_size_after_freeze: int = setting(  # added later
        "rows a batch holds after T_f; 0: as before it (default: 0)",
        default=0, low=0, high=65536, option=True, after_freeze=True,
    )  # fmt: skip

    updates_per_step: float = setting(  # added later
        "updates an agent step, before T_f; 0.5: one every second step (default: 1)",
        default=1.0, low=0.001, high=1000, option=True,
    )  # fmt: skip
    updates_per_step_after_freeze: float | Literal["same"] = setting(  # added later
        "updates an agent step after T_f; same: as before it (default: same)",
        default="same", low=0.001, high=1000, option=True, after_freeze=True,
    )  # fmt: skip

    n_step_end: int = setting(  # added later
        "steps of a return that n_step falls to after T_f, and again after each reset of the heads "
        "(BBF, Schwarzer et al. 2023: 10 to 3); 0: n_step throughout",
        default=0, low=0, high=1000, after_freeze=True,
    )  # fmt: skip
    gamma_start: float = setting(  # added later
        "discount at T_f and after each reset of the heads, which rises to gamma (BBF: 0.97 to 0.997); "
        "0: gamma throughout",
        default=0.0, low=0, high=1, after_freeze=True,
    )  # fmt: skip
    n_step_anneal: int = setting(  # added later
        "updates over which n falls to n_step_end and the discount rises from gamma_start, both exponentially",
        default=10_000, low=1, after_freeze=True,
    )  # fmt: skip

    def check(self) -> None:
        """Raise ConfigError for what is wrong only between two settings."""
        if self.n_step_end > self.n_step:
            raise ConfigError(f"replay.n_step_end = {self.n_step_end} is above replay.n_step = {self.n_step}")
        if self.gamma_start and not self.gamma_start <= self.gamma < 1:
            raise ConfigError(
                f"replay.gamma_start = {self.gamma_start:g} cannot rise to replay.gamma = {self.gamma:g}; "
                "give 0 < gamma_start <= gamma < 1"
            )

    def horizon(self, updates: int) -> Horizon:
        """n and gamma of the update that follows `updates` others since T_f or the newest reset of the heads.

        n = n_step^s n_step_end^(1 - s), rounded, with s falling linearly from 1 to 0 over n_step_anneal updates; and
        1 - gamma falls likewise (BBF, Schwarzer et al. 2023, section 4).
        """
        share = 1 - min(1.0, updates / self.n_step_anneal)
        n_step, gamma = self.n_step, self.gamma
        if self.n_step_end:
            n_step = round(self.n_step**share * self.n_step_end ** (1 - share))
        if self.gamma_start:
            gamma = 1 - (1 - self.gamma_start) ** share * (1 - self.gamma) ** (1 - share)
        return Horizon(n_step, gamma)

    @property
    def batches(self) -> Phases[int]:
        """Rows that a batch holds."""
        return Phases(self.batch_size, self.batch_size_after_freeze or self.batch_size)

    @property
    def rates(self) -> Phases[float]:
        """Updates an agent step, before T_f and after it."""
        after = self.updates_per_step_after_freeze
        return Phases(self.updates_per_step, self.updates_per_step if after == "same" else after)

    def updates(self, steps: int, frozen_at: int | None) -> Phases[int]:
        """How many updates the first `steps` agent steps make, before the freeze at step `frozen_at` and after it."""
        rates = self.rates
        until = steps if frozen_at is None else min(steps, frozen_at)
        since = steps if frozen_at is None else max(frozen_at, self.learn_start)
        return Phases(
            floor(max(0, until - self.learn_start) * _exact(rates.before)),
            floor(max(0, steps - since) * _exact(rates.after)),
        )
