"""`edgerl devices`: the list of them, one in full, several side by side, and measuring this machine."""

from pathlib import Path
from typing import Annotated

import typer

import device_profiles
from device_profiles import DeviceProfile
from edgerl.errors import ConfigError
from edgerl.output.messages import warn
from edgerl.runs.files import check_output, write_whole
from edgerl.runs.strict_json import dumps

app = typer.Typer(add_completion=False, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Name = Annotated[
    str, typer.Argument(metavar="NAME[:MODE]", help="a device of the list, or a file; :MODE is a power mode of it")
]
Names = Annotated[list[str], typer.Argument(metavar="A B...", help="devices as show takes them; two or more")]


@app.callback(invoke_without_command=True)
def devices(context: typer.Context, json: Json = False) -> None:
    """List the devices that --device knows, and what each can do: the catalogue's, and profiles of your own.

    A profile of your own is a file like a table of the catalogue: ./my_board.toml, or my_board.toml in
    ~/.config/edgerl/devices, then named my_board.
    """
    if context.invoked_subcommand is not None:
        if json:
            raise ConfigError(f"--json: give it after {context.invoked_subcommand}")
        return
    from edgerl.commands import device_tables as tables
    from edgerl.output.terminal import console

    catalogue = [device_profiles.load(name) for name in device_profiles.names()]
    own, passed_over = _own()
    if json:
        print(dumps([tables.plain(profile) for profile in catalogue + own], indent=1))
    else:
        boards = [profile for profile in catalogue if profile.platform == "linux"]
        phones = [profile for profile in catalogue if profile.platform != "linux"]
        groups = {"boards": boards, "phones": phones} | ({"your own": own} if own else {})
        output = console()
        output.print(tables.listing(groups, output.width))
        output.print(f"\n{tables.LEGEND}", style="dim", soft_wrap=True)
    for line in passed_over:
        warn(line)


@app.command(short_help="every number of a device, with its kind and source")
def show(name: Name, json: Json = False) -> None:
    """Show every number of a device and of its power modes, with its unit, kind and source."""
    from edgerl.commands import device_tables as tables
    from edgerl.output.terminal import console

    profile = _load(name)
    if json:
        print(dumps(tables.plain(profile), indent=1))
        return
    output = console()
    output.print(f"{profile.name}: {profile.title}, {profile.platform}", style="bold", soft_wrap=True)
    if profile.possible is not None:
        output.print(f"{profile.possible.what}: {profile.possible.reason}")
    output.print()
    output.print(tables.sheet(profile))
    unknown = tables.unknown(profile)
    if unknown:
        output.print(f"\nunknown: {', '.join(unknown)}", style="dim")


@app.command(short_help="devices side by side, with ratios")
def compare(names: Names) -> None:
    """Show devices side by side; ratios are to the first of them."""
    from edgerl.commands import device_tables as tables
    from edgerl.output.terminal import console

    if len(names) < 2:
        raise ConfigError("compare: name two devices or more")
    output = console()
    profiles = [_load(name) for name in names]
    for table in tables.comparisons(profiles, output.width):
        output.print(table)
        output.print()
    output.print(f"ratio: to {profiles[0].name}; {tables.MARKS}", style="dim", soft_wrap=True)


@app.command(short_help="measure this machine, and write its profile")
def calibrate(
    out: Annotated[Path, typer.Option(help="the profile to write, such as my_board.toml", metavar="FILE.toml")],
    threads: Annotated[int | None, typer.Option(help="compute threads (default: all cores)")] = None,
    title: Annotated[str, typer.Option(help="what people call this machine")] = "this machine",
) -> None:
    """Measure this machine in about a minute, at the program's own shapes, and write a profile for --device.

    Nothing else should run meanwhile. Add what it cannot measure, such as power, to the file yourself.
    """
    if out.suffix != ".toml":
        raise ConfigError(f"--out: {out} does not end in .toml, as profiles do")
    if out.exists():
        raise ConfigError(f"--out: {out} is there already; name a new file")
    check_output("--out", out)
    if not title.strip() or not title.isprintable():
        raise ConfigError(f"--title: {title!r} is not one line of text that is not empty")
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads: {threads} is below 1")
    import os

    import tomli_w

    from edgerl.commands import device_tables as tables
    from edgerl.experiments.calibration import calibrate as calibrating
    from edgerl.output.terminal import console, waiting

    with waiting("loading") as status:

        def say(line: str) -> None:
            if line.startswith("not measured"):
                warn(line)
            status.update(line)

        table = calibrating.measure(title, threads or os.cpu_count() or 1, out.absolute().parent, say)
    profile = device_profiles.parse(out.stem, table)
    write_whole(out.resolve(), tomli_w.dumps(table).encode())
    console().print(tables.sheet(profile))
    print(f"\n{out}: use it as --device {out if len(out.parts) > 1 else f'./{out}'}")


def _load(name: str) -> DeviceProfile:
    try:
        return device_profiles.load(name)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _own() -> tuple[list[DeviceProfile], list[str]]:
    """The user's own profiles, and a line for every file that was passed over."""
    profiles, passed_over = [], []
    for name, path in device_profiles.own_files().items():
        if device_profiles.in_catalogue(name):
            passed_over.append(f"passed over: {path}: the catalogue has a device of this name; name the file otherwise")
            continue
        try:
            profiles.append(device_profiles.read(path, name))
        except ValueError as error:
            passed_over.append(f"passed over: {error}")
    return profiles, passed_over
