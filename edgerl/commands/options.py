"""Options that several commands share: those of settings (edgerl/config/settings.py), and a few more."""

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from edgerl import plugins
from edgerl.config import values
from edgerl.config.setting import Setting
from edgerl.config.settings import SETTINGS
from edgerl.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., None])
Paper = Annotated[bool, typer.Option("--paper", help="store as the paper does: raw frames, float32 latents")]
SettingsFile = Annotated[
    Path | None, typer.Option("--config", help="a TOML file of settings, such as a run's config.toml")
]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", help="any setting: replay.n_step=10", metavar="KEY=VALUE")
]

Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="import code (module:callable) that the files which are read name", envvar="EDGERL_TRUST"
    ),
]


def check_threads(threads: int) -> None:
    """Raise ConfigError for a number of --threads that no run may have."""
    try:
        values.check("threads", threads)
    except ConfigError as error:
        raise ConfigError(f"--threads: {str(error).removeprefix('threads = ')}") from None


def complete_env(begun: str) -> list[str]:
    """The names of environments that begin so, for a shell."""
    from edgerl.envs.suites import known_names

    return [name for name in known_names() if name.startswith(begun)]


def complete_device(begun: str) -> list[str]:
    """The names of devices that begin so, the user's own too, for a shell."""
    import device_profiles

    return [name for name in [*device_profiles.names(), *device_profiles.own_files()] if name.startswith(begun)]


COMPLETED = {"env": complete_env, "device": complete_device}  # by setting


def trust_option(command: Command) -> Command:
    """Give a command `--trust` as its last option: with it, code that files name may be imported within the command."""
    own = inspect.signature(command)

    @wraps(command)
    def trusting(*arguments: Any, trust: bool = False, **named: Any) -> None:
        with plugins.trusting(trust):
            command(*arguments, **named)

    added = inspect.Parameter("trust", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Trust)
    trusting.__signature__ = own.replace(parameters=[*own.parameters.values(), added])  # type: ignore[attr-defined]
    return trusting  # type: ignore[return-value]


def setting_options(without: Collection[str] = (), only: Collection[str] | None = None) -> Callable[[Command], Command]:
    """Give a command the options of settings, before its own; it receives them by name, None if they are not given.

    `without`: names of settings that the command says in another way; `only`: of those that it takes (None: all).
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command)
        kept = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in own.parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]

        def takes(name: str) -> bool:
            return name not in without and (only is None or name in only)

        settings = {setting.name: setting for setting in SETTINGS.values() if setting.option}
        added = [_parameter(setting) for name, setting in settings.items() if takes(name)]
        command.__signature__ = own.replace(parameters=added + kept)  # type: ignore[attr-defined]
        return command

    return decorate


def _parameter(setting: Setting) -> inspect.Parameter:
    kind: Any
    if bool in setting.types:
        kind, option = bool, typer.Option(setting.flag, help=setting.help)
    else:
        default = " (default: the preset's)" if setting.from_preset else ""
        text = setting.size or setting.words or setting.optional
        kind = list[str] if dict in setting.types else str if text else setting.types[0]
        metavar, completed = _metavar(setting), COMPLETED.get(setting.name)
        option = typer.Option(setting.flag, help=setting.help + default, metavar=metavar, autocompletion=completed)
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _metavar(setting: Setting) -> str | None:
    """What stands for the value in the help; None: what stands for any of its type."""
    words = setting.stand_ins
    if setting.metavar is not None or not words or str in setting.types or dict in setting.types:
        return setting.metavar
    return "|".join([*(["SIZE" if setting.size else "N"] if setting.types else []), *words])
