"""Published measurements of the share of a device's peak that real work reaches, to fit and test forecasts."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Point:
    """One measurement: `efficiency`, the share of `device`'s CPU peak that `what` reached.

    `kind`: "training" (eager, dense convolutions) or "inference" (optimised).
    """

    kind: str
    device: str
    what: str
    efficiency: float

    @property
    def name(self) -> str:
        return f"{self.what} on {self.device}"


@cache
def points() -> tuple[Point, ...]:
    """All measurements, in the file's order."""
    text = files("device_profiles").joinpath("validation.toml").read_text(encoding="utf-8")
    return tuple(Point(**table) for table in tomllib.loads(text)["point"])
