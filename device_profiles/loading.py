"""Where profiles come from: the catalogue, the user's own folder, a file."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from device_profiles.naming import meant
from device_profiles.parsing import parse
from device_profiles.profile import DeviceProfile, ProfileError, UnknownDevice, UnknownMode

_CATALOG = ("jetson.toml", "jetson_orin.toml", "raspberry_pi.toml", "phones.toml")
_MOST_BYTES = 64 * 1024  # of a user's file
# A key of 64 parts between dots: the parser takes as long as the square of their number.
_LONG_KEY = re.compile(r"""(?<![\w-])(?>(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""")


def names() -> list[str]:
    """The names of the devices in the catalogue, in its order."""
    return list(_catalog())


def in_catalogue(name: str) -> bool:
    """Whether a device of the catalogue has this name, or had it once, in upper or lower case."""
    return name.lower() in _catalog() or name.lower() in _former_names()


def own_files() -> dict[str, Path]:
    """The user's own profiles by name: the files of `own_folder()`; none if there is no such folder."""
    return {path.stem: path for path in sorted(own_folder().glob("*.toml"))}


def own_folder() -> Path:
    """$XDG_CONFIG_HOME/edgerl/devices; ~/.config/edgerl/devices if that is not set or not absolute.

    A user without a home, as in some containers, has no such folder: the name keeps its ~ then.
    """
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        base = Path(os.path.expanduser("~/.config"))
    return base / "edgerl" / "devices"


def load(reference: str) -> DeviceProfile:
    """The profile of `NAME`, or of `NAME:MODE` in one of its power modes.

    NAME is a device of the catalogue or a file in the user's own folder, in upper or lower case; if both have it, it is
    the catalogue's: a name means the same on every machine. A name that neither has means the only device whose name or
    title has its words (`pi5_8gb`, `Orin Nano 4GB`). With a path separator, or ending in .toml, it is a file.
    Raises UnknownDevice, UnknownMode, and ProfileError for a file that is not there or is malformed.
    """
    name, mode = _split(reference)
    device = read(Path(name)) if _is_path(name) else _named(name)
    if mode is None:
        return device
    for profile in device.modes:
        if profile.mode == mode.lower():
            return profile
    known = ", ".join(str(profile.mode) for profile in device.modes)
    raise UnknownMode(
        f"device {device.name!r} has no power mode {mode!r}; "
        + (f"it has {known}, and its own clocks without a mode" if known else "it has none at all")
    )


def read(path: Path, reference: str = "") -> DeviceProfile:
    """The profile in a file, named after it: a table as in the catalogue, its keys at the top.

    `reference`: of the profile (default: the absolute path). Raises ProfileError, naming the file.
    """
    where = str(path) if str(path).isprintable() else repr(str(path))
    try:
        if not path.is_file():
            what = "is no file" if path.exists() else "does not exist"
            raise ProfileError(f"{where}: {what}")
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise ProfileError(f"{where}: has {size:,} bytes; a profile has {_MOST_BYTES:,} at most")
        content = path.read_bytes()
    except OSError as error:
        raise ProfileError(f"{where}: cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8-sig")
        if _LONG_KEY.search(text):
            raise ValueError("a key of 64 parts or more")
        table = tomllib.loads(text)
    except UnicodeDecodeError:
        raise ProfileError(f"{where}: is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{where}: is not TOML: {error}") from None
    for key, value in table.items():
        if len(table) == 1 and isinstance(value, dict) and "title" in value:
            raise ProfileError(f"{where}: the keys belong at the top of the file, not under [{key}]")
    return parse(path.stem, table, where, reference or os.path.abspath(path))


def _split(reference: str) -> tuple[str, str | None]:
    name, colon, mode = reference.rpartition(":")
    return (name, mode) if colon and not _is_path(mode) else (reference, None)


def _is_path(name: str) -> bool:
    return os.sep in name or name.lower().endswith(".toml")


def _named(name: str) -> DeviceProfile:
    catalog, own = _catalog(), own_files()
    exact = _former_names().get(name.lower(), name.lower())
    if exact in catalog:
        return parse(exact, catalog[exact])
    for stem in (name, *own):
        if stem in own and stem.lower() == name.lower():
            return read(own[stem], stem)
    titles = {known: table["title"] for known, table in catalog.items()}
    titles |= {stem: stem for stem in own if not in_catalogue(stem)}
    candidates = meant(name, titles)
    if len(candidates) == 1:
        return _named(candidates[0])
    if candidates:
        raise UnknownDevice(f"{name!r} may be any of {', '.join(candidates)}; name one of them")
    nearest = difflib.get_close_matches(name.lower(), titles, n=1, cutoff=0.0)[0]
    raise UnknownDevice(f"unknown device {name!r}; the nearest is {nearest}; known: {', '.join(titles)}")


@cache
def _catalog() -> dict[str, dict[str, Any]]:
    return {name: table for file in _CATALOG for name, table in _tables(file).items()}


@cache
def _former_names() -> dict[str, str]:
    """The names of today by those that devices of the catalogue had before."""
    return _tables("former_names.toml")


def _tables(file: str) -> dict[str, Any]:
    return tomllib.loads(files("device_profiles").joinpath("catalog", file).read_text(encoding="utf-8"))
