"""`edgerl eval`: whole games with a trained agent, filmed if asked."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from edgerl.commands.options import check_threads, trust_option
from edgerl.envs.human_scores import is_below_random, references
from edgerl.errors import ConfigError
from edgerl.output.messages import figure, warn


@trust_option
def evaluate(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    episodes: Annotated[int, typer.Option(help="whole games to play")] = 10,
    seed: Annotated[int, typer.Option(help="seeds the games")] = 0,
    threads: Annotated[int, typer.Option(help="compute threads")] = 1,
    eval_max_steps: Annotated[
        int | None, typer.Option(help="agent steps after which a game is cut (default: as in the run)", metavar="N")
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="film the first game into this file, .gif or .mp4", metavar="FILE")
    ] = None,
    video_games: Annotated[
        int | None, typer.Option(help="how many games to film, from the first on (default: 1)", metavar="N")
    ] = None,
) -> None:
    """Play whole games with a run's newest checkpoint: unclipped scores, no exploration but the run's eval_epsilon."""
    least_one = {"episodes": episodes, "video-games": video_games, "eval-max-steps": eval_max_steps}
    for name, value in least_one.items():
        if value is not None and value < 1:
            raise ConfigError(f"--{name}: {value} is below 1")
    check_threads(threads)
    if video_games is not None and video is None:
        raise ConfigError("--video-games: there is no video; give --video FILE too")
    if seed < 0:
        raise ConfigError(f"--seed: {seed} is below 0")
    with _filming(video, video_games or 1) as film:
        from edgerl.training.evaluate import cut_games, evaluate_run, show_nothing

        show = show_nothing if film is None else film.show
        played = evaluate_run(
            run_folder,
            episodes=episodes,
            seed=seed,
            threads=threads,
            say=warn,
            show=show,
            max_steps=eval_max_steps,
        )
        print(f"{played['env']} at step {played['step']:,}: {played['episodes']} games")
        low_to_high = f"{figure(played['min'])} to {figure(played['max'])}"
        print(f"score {figure(played['mean'])} +- {figure(played['std'])} ({low_to_high})")
        if played["cut"]:
            print(cut_games(played))
        known = references(played["env"])
        if known is not None:
            normalised = known.normalised(played["mean"])
            print(f"human-normalised {normalised:.3f} (0: {known.words}; Wang et al. 2016)")
        if is_below_random(played["env"], played["mean"]):
            print("the score is below that of random play: it shows no learning")
    if film is not None:
        print(film)


def _filming(file: Path | None, games: int) -> contextlib.AbstractContextManager[Any]:
    """What films the games, nothing if no file is named; the file is checked now, before any game is played."""
    if file is None:
        return contextlib.nullcontext()
    from edgerl.experiments.video.recorder import VideoRecorder

    return VideoRecorder(file, games)
