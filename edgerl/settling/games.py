"""Whether training games score more than before: means of unequal samples, told from noise."""

from dataclasses import dataclass
from math import sqrt

FEWEST_GAMES = 5  # with fewer in a stretch of training, nothing can be said
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


def doubts(beginning: Games, before: Games, now: Games) -> list[str]:
    """What the scores of training games say against a freeze now, in words; nothing if they rose, and rise no more.

    `beginning`: games that ended by the first check; `before`, `now`: in the last interval but one, and in the last.
    """
    if not (beginning.enough and before.enough and now.enough):
        fewest = min(beginning.count, before.count, now.count)
        return [f"an interval had {fewest} training games ({FEWEST_GAMES} are the least)"]
    if not higher(now, beginning):
        return [f"training games scored {now.mean:,.4g}, at the beginning {beginning.mean:,.4g}"]
    if higher(now, before):
        return [f"training games still rose, from {before.mean:,.4g} to {now.mean:,.4g}"]
    return []
