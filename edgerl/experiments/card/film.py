"""Films the first game that a card plays: the whole of it as MP4, and its beginning as GIF."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgerl.envs.base import Environment
from edgerl.experiments.card.contents import BEGINNING, FILM, SECONDS
from edgerl.experiments.video.recorder import VideoRecorder
from edgerl.training.evaluate import Show


@contextmanager
def filming(folder: Path) -> Iterator[Show]:
    """Film the games that are shown to what this gives, into `folder`. Raises as `VideoRecorder` does."""
    with VideoRecorder(folder / FILM) as film, VideoRecorder(folder / BEGINNING) as beginning:

        def show(env: Environment, game: int, score: float) -> None:
            film.show(env, game, score)
            if beginning.seconds < SECONDS:
                beginning.show(env, game, score)

        yield show
