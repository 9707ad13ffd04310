"""The command line. torch and the rest of training are imported by the commands that need them."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from edgerl import cli_analysis, cli_devices, cli_sweeps
from edgerl.config import resolve
from edgerl.envs import suites
from edgerl.errors import ConfigError
from edgerl.experiments.reports.human_scores import human_normalised
from edgerl.planning import plan_table
from memory_budget import Watchdog

EXIT = {"finished": 0, "memory-limit": 3, "interrupted": 130, "failed": 1}
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Train pixel-based reinforcement-learning agents inside a byte budget.",
)


Cut = Annotated[
    str | None, typer.Option(help="the encoder's last frozen layer, such as conv1, block2 or last (the default)")
]
StoreOption = Annotated[
    str | None,
    typer.Option(help="what the replay holds after T_f (default: the preset's)", metavar="auto|pixels|latents"),
]
PixelCodec = Annotated[
    str | None, typer.Option(help="how frames are stored (default: the preset's)", metavar="raw|lz4")
]
LatentDtype = Annotated[
    str | None, typer.Option(help="how latents are stored (default: the preset's)", metavar="float32|float16|uint8")
]
BatchAfter = Annotated[int | None, typer.Option(help="rows a batch holds after T_f (default: as before it)")]
Paper = Annotated[bool, typer.Option("--paper", help="store as the paper does: raw frames, float32 latents")]


@app.command(short_help="train an agent, through the freeze")
def train(
    env: Annotated[
        str | None,
        typer.Option(help="such as atari/qbert (the default), dmc/cartpole-swingup, gym/CartPole-v1 or toy/catch"),
    ] = None,
    algo: Annotated[
        str | None, typer.Option(help="rainbow or dqn; curl or sac where actions are vectors (default: the preset's)")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="data_efficient, canonical, curl, impala or module:callable (default: the preset's)"),
    ] = None,
    cut: Cut = None,
    budget: Annotated[
        str | None, typer.Option(help="bytes the replay holds, such as 0.07GB, or unbounded (default: the preset's)")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="a board or phone (see edgerl devices), or a profile's file")
    ] = None,
    process_limit: Annotated[
        str | None, typer.Option(help="bytes the process tree may hold (default: what the device leaves)")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="agent steps (default: the preset's)")] = None,
    stop_at_flops: Annotated[float | None, typer.Option(help="end at this many multiply-adds, such as 45e12")] = None,
    freeze_at: Annotated[
        str | None, typer.Option(help="T_f in agent steps, or never (default: the preset's)", metavar="N|never")
    ] = None,
    encoder_from: Annotated[
        str | None, typer.Option(help="begin with the networks of another run, in this folder", metavar="RUN")
    ] = None,
    transfer: Annotated[
        str | None, typer.Option(help="which of them (default: encoder)", metavar="all|encoder")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="rows a batch holds (default: the preset's)")] = None,
    batch_size_after_freeze: BatchAfter = None,
    store: StoreOption = None,
    pixel_codec: PixelCodec = None,
    latent_dtype: LatentDtype = None,
    paper: Paper = False,
    seed: Annotated[int | None, typer.Option(help="seeds environment, replay and agent (default: 0)")] = None,
    threads: Annotated[int | None, typer.Option(help="compute threads (default: the device's, or all cores)")] = None,
    accelerator: Annotated[
        str | None, typer.Option(help="where torch trains: cpu (the default), cuda or auto", metavar="cpu|cuda|auto")
    ] = None,
    ort_provider: Annotated[
        str | None, typer.Option(help="who encodes for ONNX Runtime after T_f (default: cpu)", metavar="cpu|cuda|...")
    ] = None,
    action_repeat: Annotated[
        int | None, typer.Option(help="env steps that an action of dmc lasts (default: the preset's)")
    ] = None,
    sticky_actions: Annotated[
        float | None, typer.Option(help="probability that Atari repeats the last action (default: 0)")
    ] = None,
    full_action_set: Annotated[
        bool | None, typer.Option("--full-action-set", help="all 18 Atari actions, not the game's own")
    ] = None,
    eval_every: Annotated[int | None, typer.Option(help="agent steps between evaluations; 0: none")] = None,
    eval_episodes: Annotated[int | None, typer.Option(help="whole games an evaluation plays")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="agent steps between checkpoints; 0: ends only")] = None,
    snapshot_every: Annotated[int | None, typer.Option(help="steps between weights kept for analyze; 0: none")] = None,
    config: Annotated[Path | None, typer.Option(help="a TOML file of settings, such as a run's config.toml")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="any setting: replay.n_step=10", metavar="KEY=VALUE")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="run folder (default: runs/<env>__<algo>__<seed>__<time>)")] = None,
    resume: Annotated[Path | None, typer.Option(help="go on with the run in this folder", metavar="RUN")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
) -> None:
    """Train an agent; the encoder freezes at T_f and the replay turns from pixels to latents in the same bytes."""
    settings = {name: value for name, value in locals().items() if name not in ("config", "set_", "out", "resume")}
    settings.pop("quiet")
    if resume is not None:
        chosen = resolve.resumed(resume, settings | {"out": out, "config": config, "set": set_})
        notes: list[str] = []
    else:
        chosen, notes = resolve.started(settings, config, set_ or [])
    from rich.console import Console

    from edgerl.runs.folder import default_folder
    from edgerl.training import summary
    from edgerl.training import train as training

    for note in notes if not quiet else []:
        _complain(note)
    folder = resume or out or default_folder(chosen)
    found = training.train(chosen, folder, resume=resume is not None, quiet=quiet)
    if not quiet:
        summary.show(found, folder, Console(highlight=False))
    if found["status"] == "memory-limit":
        _complain(
            f"the process tree reached {Watchdog.LEAVE:.0%} of its limit of {found['memory']['limit_bytes']:,} bytes; "
            f"checkpoint saved in {folder / found['checkpoint']}"
        )
    if found["status"] == "interrupted":
        _complain(f"interrupted; checkpoint saved in {folder / found['checkpoint']}")
    sys.exit(EXIT[found["status"]])


@app.command("eval", short_help="play whole games with a trained agent")
def evaluate(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    episodes: Annotated[int, typer.Option(help="whole games to play")] = 10,
    seed: Annotated[int, typer.Option(help="seeds the games")] = 0,
    threads: Annotated[int, typer.Option(help="compute threads")] = 1,
    video: Annotated[
        Path | None, typer.Option(help="film the first game into this file, .gif or .mp4", metavar="FILE")
    ] = None,
    video_games: Annotated[int, typer.Option(help="how many games to film, from the first on")] = 1,
) -> None:
    """Play whole games with a run's newest checkpoint: unclipped scores, no exploration."""
    for name, value in (("episodes", episodes), ("threads", threads), ("video-games", video_games)):
        if value < 1:
            raise ConfigError(f"--{name}: {value} is below 1")
    if seed < 0:
        raise ConfigError(f"--seed: {seed} is below 0")
    with _filming(video, video_games) as film:
        from edgerl.training.evaluate import evaluate_run, unseen

        shown = unseen if film is None else film.show
        found = evaluate_run(run_folder, episodes=episodes, seed=seed, threads=threads, say=_complain, shown=shown)
        print(f"{found['env']} at step {found['step']:,}: {found['episodes']} games")
        print(f"score {found['mean']:,.1f} +- {found['std']:,.1f} ({found['min']:,.0f} to {found['max']:,.0f})")
        normalised = human_normalised(found["env"], found["mean"])
        if normalised is not None:
            print(f"human-normalised {normalised:.3f} (0: random play, 1: a human tester; Wang et al. 2016)")
    if film is not None:
        print(film)


def _filming(file: Path | None, games: int) -> contextlib.AbstractContextManager[Any]:
    """What films the games, or nothing where no file is named; checked now, so before the games are played."""
    if file is None:
        return contextlib.nullcontext()
    from edgerl.experiments.video.video import Video

    return Video(file, games)


@app.command(short_help="what a run will take, and whether it fits")
def plan(
    env: Annotated[str | None, typer.Option(help="such as atari/qbert (the default) or dmc/cartpole-swingup")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="data_efficient, canonical, curl, impala or module:callable")
    ] = None,
    cut: Cut = None,
    action_repeat: Annotated[
        int | None, typer.Option(help="env steps an action of dmc lasts (default: the preset's)")
    ] = None,
    algo: Annotated[str | None, typer.Option(help="the algorithm (default: the preset's)")] = None,
    budget: Annotated[
        str | None, typer.Option(help="bytes the replay holds, or unbounded (default: the preset's)")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="a board or phone; may be given several times", metavar="NAME[:MODE]")
    ] = None,
    process_limit: Annotated[str | None, typer.Option(help="bytes the process tree may hold")] = None,
    steps: Annotated[int | None, typer.Option(help="agent steps (default: the preset's)")] = None,
    freeze_at: Annotated[str | None, typer.Option(help="T_f in agent steps, or never", metavar="N|never")] = None,
    batch_size: Annotated[int | None, typer.Option(help="rows a batch holds (default: the preset's)")] = None,
    batch_size_after_freeze: BatchAfter = None,
    full_action_set: Annotated[bool | None, typer.Option("--full-action-set", help="all 18 Atari actions")] = None,
    store: StoreOption = None,
    pixel_codec: PixelCodec = None,
    latent_dtype: LatentDtype = None,
    paper: Paper = False,
    config: Annotated[Path | None, typer.Option(help="a TOML file of settings")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="any setting", metavar="KEY=VALUE")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="take 400 real steps and say what every store makes of them")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print JSON: an object, or a list for several devices")] = False,
) -> None:
    """Say what a run will take, before anything is allocated: rows, bytes, multiply-adds, and whether it fits."""
    settings = {k: v for k, v in locals().items() if k not in ("config", "set_", "device", "json", "measure")}
    chosen, notes = resolve.started(settings, config, set_ or [])
    from edgerl.planning import plan_report

    run = chosen.run
    spec = suites.describe(run.env, full_action_set=run.full_action_set, action_repeat=run.action_repeat)
    reports = [plan_report.report(chosen, spec, name) for name in device or (run.device,)]
    rungs = None
    if measure:
        from rich.console import Console

        from edgerl.experiments.calibration import stores

        with Console(stderr=True).status("measuring every store on real steps"):
            rungs = stores.ladder(chosen, spec)
        reports = [each | {"measured": rungs} for each in reports]
    if json:
        from json import dumps

        print(dumps(reports if len(reports) > 1 else reports[0], indent=1))
        return
    from rich.console import Console

    for note in notes:
        _complain(note)
    console = Console(highlight=False)
    plan_table.show(chosen, reports, console)
    if rungs is not None:
        stores.show(rungs, chosen, console)


app.command(short_help="train a grid of runs: environments, budgets, freezes, seeds")(cli_sweeps.sweep)
app.command(short_help="runs and sweeps as one page, a table, a picture or JSON")(cli_sweeps.report)
app.command(short_help="what the encoder learned: SVCCA and attention of a run's snapshots")(cli_analysis.analyze)
app.add_typer(cli_devices.app, name="devices", short_help="the boards and phones that --device knows")


def _complain(message: str) -> None:
    print(f"edgerl: {message}", file=sys.stderr)


def main() -> None:
    """The `edgerl` program: errors a user can cause are one line on stderr and exit code 2."""
    try:
        code = app(standalone_mode=False)
        if code == EXIT["interrupted"]:  # which Typer makes of Ctrl-C; `train` has said more, and left itself
            _leave("interrupted", code)
        sys.exit(code)
    except ConfigError as error:
        _leave(str(error), 2)
    except TyperException as error:
        _leave(error.format_message().replace("\n", " "), 2)
    except (KeyboardInterrupt, typer.Abort):  # before Typer's own hands
        _leave("interrupted", 130)
    except OSError as error:
        _leave(f"{error.filename or 'the system'}: {error.strerror or error}", 1)
    except Exception as error:
        code = {
            "EnvError": 2,
            "CheckpointError": 2,
            "EnvFailed": 1,
            "TrainingError": 1,
            "FreezeError": 1,
            "ExportError": 1,
        }
        if type(error).__name__ in code:  # by name: importing them here would import torch
            _leave(str(error), code[type(error).__name__])
        raise


def _leave(message: str, code: int) -> None:
    with contextlib.suppress(OSError):
        _complain(message)
    sys.exit(code)


if __name__ == "__main__":
    main()
