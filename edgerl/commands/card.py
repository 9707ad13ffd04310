"""`edgerl card`: a folder to share or to put on a model hub."""

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from edgerl.commands.options import trust_option
from edgerl.output.messages import figure, warn


@trust_option
def card(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    out: Annotated[Path, typer.Option(help="the folder to make", metavar="DIR")] = Path("card"),
    episodes: Annotated[int, typer.Option(help="whole games to play")] = 10,
    seed: Annotated[int, typer.Option(help="seeds the games")] = 0,
    license: Annotated[
        str, typer.Option(help="the policy's licence as hubs write it, such as mit", metavar="NAME")
    ] = "other",
    no_video: Annotated[bool, typer.Option("--no-video", help="film no game")] = False,
    force: Annotated[bool, typer.Option("--force", help="write over a card that is there")] = False,
) -> None:
    """Make a folder to share: the policy, a film, scores, settings, and a README.md as model hubs read it."""
    from edgerl.experiments.card.card import Options, make
    from edgerl.experiments.card.scores import below_random

    options = Options(episodes=episodes, seed=seed, film=not no_video, license=license, force=force)
    contents = make(run_folder, out, options, say=warn)
    run, played = contents.config.run, contents.scores["evaluation"]
    print(f"{run.env}, {run.algo}, step {played['step']:,}: {out}")
    print(f"score {figure(played['mean'])} +- {figure(played['std'])} over {played['episodes']} games")
    if below_random(contents.scores):
        print("the score is below that of random play: it shows no learning")
    print(contents.parity)
    name = re.sub("[^A-Za-z0-9.-]+", "-", f"{run.algo}-{run.env}")
    print(f"nothing was uploaded; with Hugging Face's program: hf upload YOUR_NAME/{name} {shlex.quote(str(out))} .")
