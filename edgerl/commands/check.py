"""`edgerl check`: what an environment is like, and what is wrong with it, before anything is trained."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from edgerl.commands.options import complete_env, setting_options
from edgerl.config import resolve
from edgerl.envs.base import ENV_OPTIONS
from edgerl.errors import ConfigError
from edgerl.output.messages import stdout_left_to_us, warn
from edgerl.runs.files import check_output

FAULTY = 2  # the exit code for an environment that something is wrong with


@setting_options(only=ENV_OPTIONS)
def check(
    env: Annotated[str, typer.Argument(metavar="ENV", help="as --env of train", autocompletion=complete_env)],
    steps: Annotated[int, typer.Option(help="random steps to play")] = 300,
    picture: Annotated[
        Path | None, typer.Option(help="save the last window as a PNG, enlarged", metavar="FILE")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    **settings: Any,
) -> None:
    """Make an environment, play random steps, and say what an agent would see and what is wrong; trains nothing."""
    if steps < 1:
        raise ConfigError(f"--steps: {steps} is below 1")
    if picture is not None:
        if picture.suffix.lower() != ".png":
            raise ConfigError(f"--picture: {picture} does not end in .png")
        check_output("--picture", picture)
    from edgerl.envs import suites
    from edgerl.experiments.check import show
    from edgerl.experiments.check.check import check as play
    from edgerl.output.progress import Reporter

    with stdout_left_to_us() if json else nullcontext():
        chosen, _ = resolve.started(settings | {"env": env}, None, [])
        with Reporter(steps, quiet=sys.stderr is None or not sys.stderr.isatty()) as reporter:
            findings = play(chosen, steps, lambda done: reporter.step(done, "playing", ""))
        if picture is not None and findings.window is not None:
            show.draw(findings.window, suites.describe(env, chosen.run.env_options), picture)
    if json:
        from edgerl.runs.strict_json import dumps

        print(dumps({name: value for name, value in vars(findings).items() if name != "window"}, indent=1))
    else:
        for name, text in show.lines(findings):
            print(f"{name:12} {text}")
        if picture is not None and findings.window is not None:
            print(f"{'picture':12} {picture}")
        for note in findings.notes:
            print(f"{'note':12} {note}")
        print(f"{'faults':12} {len(findings.faults) or 'none'}")
    for fault in findings.faults:
        warn(f"{env}: {fault}")
    sys.exit(FAULTY if findings.faults else 0)
