"""`edgerl plan`: what a run will take, on one device or several."""

from pathlib import Path
from typing import Annotated

import typer

from edgerl.commands.options import BatchAfter, Cut, LatentDtype, Paper, PixelCodec, StoreOption
from edgerl.config import resolve
from edgerl.envs import suites
from edgerl.planning import plan_table
from edgerl.runs.terminal import warn


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
        warn(note)
    console = Console(highlight=False)
    plan_table.show(chosen, reports, console)
    if rungs is not None:
        stores.show(rungs, chosen, console)
