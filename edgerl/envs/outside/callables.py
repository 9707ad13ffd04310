"""What a user's `module:callable` makes or is."""

import inspect
import sys
from typing import Any

import numpy as np

from edgerl import plugins
from edgerl.envs.base import EnvOptions
from edgerl.envs.outside.screen import headless

_lent: list[Any] = []  # what users' callables have given, and what they named itself, as long as it is in use


def called(name: str, rng: np.random.Generator, options: EnvOptions) -> Any:
    """What the callable makes of the run's arguments, and of `rng` if it takes one; an environment itself is taken.

    A parameter `rng`, or the first that has no default and no argument, is given the Generator; a parameter
    `render_mode` is given "rgb_array". Raises what module and callable raise.
    """
    headless()
    named = plugins.load(name)
    arguments = dict(options.env_arg or {})
    if is_gym(named):
        if arguments:
            raise TypeError("it is an environment, not a callable that takes arguments")
        return named
    before: tuple[Any, ...] = ()
    parameters = _parameters(named)
    if "rng" in parameters and "rng" not in arguments and parameters["rng"].kind is not _POSITIONAL_ONLY:
        arguments["rng"] = rng
    elif _takes_generator(named, parameters, arguments):
        before = (rng,)
    if "render_mode" in parameters:
        arguments.setdefault("render_mode", "rgb_array")
    return named(*before, **arguments)


_POSITIONAL_ONLY = inspect.Parameter.POSITIONAL_ONLY
_BY_PLACE = (_POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _parameters(named: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a callable; those of one that tells none are a Generator alone."""
    try:
        return dict(inspect.signature(named).parameters)
    except (TypeError, ValueError):
        return {"rng": inspect.Parameter("rng", _POSITIONAL_ONLY)}


def _takes_generator(named: Any, parameters: dict[str, inspect.Parameter], arguments: dict[str, Any]) -> bool:
    """Whether the first place of a call is for the Generator: one that must be filled and that no argument fills."""
    if inspect.isclass(named) and _gym() is not None and issubclass(named, _gym()):
        return False
    for parameter in parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL or parameter.kind is _POSITIONAL_ONLY:
            return True
        must = parameter.kind in _BY_PLACE and parameter.default is inspect.Parameter.empty
        return must and parameter.name not in arguments
    return False


def _gym() -> Any:
    """gymnasium.Env, if what the user named has loaded Gymnasium; None otherwise."""
    return getattr(sys.modules.get("gymnasium"), "Env", None)


def is_gym(env: Any) -> bool:
    """Whether a value is an environment of Gymnasium."""
    return _gym() is not None and isinstance(env, _gym())


def is_named(name: str, env: Any) -> bool:
    """Whether the name is that of the environment itself, not of what makes it."""
    return plugins.load(name) is env


def lend(env: Any) -> None:
    """Keep an environment from being used twice at once; raises RuntimeError for that. `close` gives it back."""
    if is_lent(env):
        raise RuntimeError("it is one environment, and in use; name a callable that makes another at each call")
    _lent.append(_innermost(env))


def is_lent(env: Any) -> bool:
    """Whether an environment is in use, or one that it wraps."""
    return any(lent is _innermost(env) for lent in _lent)


def close(env: Any) -> None:
    """Close an environment if it can be closed. It is in use no more, even if that fails."""
    _lent[:] = [lent for lent in _lent if lent is not _innermost(env)]
    if hasattr(env, "close"):
        env.close()


def _innermost(env: Any) -> Any:
    return env.unwrapped if is_gym(env) else env
