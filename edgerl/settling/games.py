"""Whether training games score more than before: means of unequal samples, told from noise."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

FEWEST_GAMES = 5  # whose mean says something
ERRORS = 2.0  # standard errors that a difference of means exceeds, if it is one


@dataclass
class Games:
    """The games of one stretch of training: how many, the sum of their scores, and of the squares."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, score: float) -> None:
        """Count one more game."""
        self.count += 1
        self.total += score
        self.squares += score * score

    def __add__(self, other: "Games") -> "Games":
        return Games(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def enough(self) -> bool:
        return self.count >= FEWEST_GAMES

    @property
    def mean(self) -> float:
        """The mean score; there must be a game."""
        return self.total / self.count

    @property
    def squared_error(self) -> float:
        """The square of the mean's standard error; there must be two games."""
        return max(0.0, self.squares / self.count - self.mean**2) / (self.count - 1)


def higher(later: Games, earlier: Games) -> bool:
    """Whether later games score more than earlier ones, by more than two standard errors of the difference."""
    return later.mean - earlier.mean > ERRORS * sqrt(later.squared_error + earlier.squared_error)


@dataclass(frozen=True)
class Trend:
    """The training games of three stretches, each of so many intervals between checks that it has five games.

    `beginning`: the first intervals; `now`: the newest; `before`: those that come before `now`. Where games are long or
    few, `beginning` and `before` share intervals, or a stretch has too few games.
    """

    beginning: Games
    before: Games
    now: Games

    def doubts(self) -> list[str]:
        """What the scores say against a freeze now, in words; nothing if they rose, and rise no more."""
        if not (self.now.enough and self.before.enough):
            ended = self.now.count + self.before.count
            return [f"only {ended} training games have ended, and scores are compared over two times {FEWEST_GAMES}"]
        if not higher(self.now, self.beginning):
            return [f"training games scored {self.now.mean:,.4g}, at the beginning {self.beginning.mean:,.4g}"]
        if higher(self.now, self.before):
            return [f"training games still rose, from {self.before.mean:,.4g} to {self.now.mean:,.4g}"]
        return []


def trend(intervals: list[Games]) -> Trend:
    """The three stretches of all intervals so far, the oldest first."""
    newest_first = reversed(intervals)
    now = _stretch(newest_first)
    return Trend(beginning=_stretch(intervals), before=_stretch(newest_first), now=now)


def _stretch(intervals: Iterable[Games]) -> Games:
    """The games of the first of these intervals, as many as have enough together; takes no more of an iterator."""
    stretch = Games()
    for interval in intervals:
        stretch += interval
        if stretch.enough:
            break
    return stretch
