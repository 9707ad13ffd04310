"""`edgerl plan`: what a run will take, on one device or several."""

from contextlib import nullcontext
from typing import Annotated, Any

import typer

from edgerl import plugins
from edgerl.commands.options import Assignments, Paper, SettingsFile, complete_device, setting_options, trust_option
from edgerl.config import resolve
from edgerl.output.messages import stdout_left_to_us, warn


@trust_option
@setting_options(without=["device"])
def plan(
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="a board or phone; may be given several times", metavar="NAME[:MODE]", autocompletion=complete_device
        ),
    ] = None,
    paper: Paper = False,
    config: SettingsFile = None,
    set_: Assignments = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="take 400 real steps and say what every store makes of them")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print JSON: an object, or a list for several devices")] = False,
    **settings: Any,
) -> None:
    """Say what a run will take, before anything is allocated: rows, bytes, multiply-adds, and whether it fits."""
    plugins.ask_for(filter(None, (settings["env"], settings["encoder"])))
    from edgerl.envs import suites
    from edgerl.planning import plan_report, plan_table

    with stdout_left_to_us() if json else nullcontext():
        chosen, notes = resolve.started(settings | {"paper": paper}, config, set_ or [])
        run = chosen.run
        spec = suites.describe(run.env, run.env_options)
        reports = [plan_report.report(chosen, spec, name) | {"notes": notes} for name in device or (run.device,)]
        rungs = None
        if measure:
            from edgerl.experiments.calibration import stores
            from edgerl.output.terminal import waiting

            with waiting("measuring every store on real steps"):
                rungs = stores.ladder(chosen, spec)
            reports = [report | {"measured": rungs} for report in reports]
    if json:
        from edgerl.runs.strict_json import dumps

        print(dumps(reports if len(reports) > 1 else reports[0], indent=1))
        return
    from edgerl.output.terminal import console

    for note in notes:
        warn(note)
    output = console()
    plan_table.show(chosen, reports, output)
    if rungs is not None:
        stores.show(rungs, chosen, output)
