"""The `edgerl` program: its commands and its exit codes. Only the commands that need torch import it."""

import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from edgerl.commands import analyze, card, check, devices, evaluate, export, plan, report, sweep, train
from edgerl.output.ending import leave_threads
from edgerl.output.messages import discard_output, keep_streams_usable, warn
from edgerl.runs.status import EXIT_CODES

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Train pixel-based reinforcement-learning agents inside a byte budget.",
)
app.command(short_help="train an agent, through the freeze")(train.train)
app.command("eval", short_help="play whole games with a trained agent")(evaluate.evaluate)
app.command(short_help="a trained policy as one ONNX file")(export.export)
app.command(short_help="a folder to share: policy, film, scores, README.md")(card.card)
app.command(short_help="what an environment is like, and what is wrong with it")(check.check)
app.command(short_help="what a run will take, and whether it fits")(plan.plan)
app.command(short_help="train a grid of runs: environments, budgets, freezes, seeds")(sweep.sweep)
app.command(short_help="runs and sweeps as one page, a table, a picture or JSON")(report.report)
app.command(short_help="what the encoder learned: SVCCA and attention of a run's snapshots")(analyze.analyze)
app.add_typer(devices.app, name="devices", short_help="the boards and phones that --device knows")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"edgerl {version('edgerl')}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Train pixel-based reinforcement-learning agents inside a byte budget."""


def main() -> None:
    """Run the program; an error that a user can cause becomes one line on stderr and the exit code of its class.

    A reader of stdout that goes away, such as `head`, has what it wanted: the program ends in order.
    """
    keep_streams_usable()
    try:
        _run()
    except SystemExit as ending:
        leave_threads(ending.code if isinstance(ending.code, int) else bool(ending.code))
        raise


def _run() -> None:
    """Do what the arguments say; ends in SystemExit, or in the exception of a fault of ours."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        if code == EXIT_CODES["interrupted"]:  # Typer returns this after Ctrl-C; `train` leaves by itself
            _leave("interrupted", code)
        sys.exit(code)
    except TyperException as error:
        message = error.format_message().replace("\n", " ")
        where = " (edgerl --help lists them)" if message.startswith("No such command") else ""
        _leave(f"{message}{where}", 2)
    except (KeyboardInterrupt, typer.Abort):  # before Typer handles it
        _leave("interrupted", EXIT_CODES["interrupted"])
    except BrokenPipeError:
        discard_output()
        sys.exit(0)
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # Typer's own way to end then
            discard_output()
            sys.exit(0)
        raise
    except OSError as error:
        _leave(f"{error.filename or 'the system'}: {error.strerror or error}", 1)
    except Exception as error:
        code = getattr(error, "exit_code", None)  # of edgerl.errors, and of runtime's own
        if code is None:
            raise
        _leave(str(error), code)


def _leave(message: str, code: int) -> None:
    warn(message)
    sys.exit(code)
