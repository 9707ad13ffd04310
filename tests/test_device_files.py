"""Users' own profiles: named by path, or by name from the user's own folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from device_profiles import (
    Number,
    Possible,
    ProfileError,
    UnknownDevice,
    UnknownMode,
    load,
    own_files,
    own_folder,
    read,
)

FILE = """
title = "My board"
platform = "linux"
source = "measured here"
kind = "sourced"
possible = { what = "trains", reason = "tried here" }
clusters = [{ core = "Cortex-A55", count = 4, clock = 2.0, flop_per_cycle = 8 }]
application = { value = 3, unit = "GiB" }
copy = { value = 5.5, unit = "GB/s", kind = "derived" }

[modes.Eco]
source = "its manual"
kind = "unverified"
clusters = [{ core = "Cortex-A55", count = 2, clock = 1.2, flop_per_cycle = 8 }]
power = { value = 3, unit = "W" }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's own folder of profiles, empty; the working folder lies beside it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    own = tmp_path / "config" / "edgerl" / "devices"
    own.mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return own


@pytest.mark.parametrize("name", ["./my_board.toml", "my_board.toml", "../here/my_board.toml"])
def test_a_file_is_a_profile(name: str, folder: Path) -> None:
    Path("my_board.toml").write_text(FILE)
    profile = load(name)
    assert (profile.name, profile.title, profile.application_bytes) == ("my_board", "My board", 3 * 2**30)
    assert profile.reference == os.path.abspath("my_board.toml")
    assert profile.copy == Number(5.5, "GB/s", "measured here", "derived")
    assert profile.possible == Possible("trains", "tried here")
    eco = load(f"{name}:eCO")
    assert (eco.name, eco.cores, eco.copy) == ("my_board:eco", 2, None)
    assert load(eco.reference) == eco  # from any folder


def test_a_bare_name_is_a_file_of_the_users_own_folder(folder: Path) -> None:
    (folder / "My_Board.toml").write_text(FILE)
    assert own_folder() == folder
    assert own_files() == {"My_Board": folder / "My_Board.toml"}
    for name in ("My_Board", "my_board", "MY_BOARD"):
        profile = load(f"{name}:eco")
        assert (profile.title, profile.reference) == ("My board", "My_Board:eco")
        assert load(profile.reference) == profile
    with pytest.raises(UnknownDevice, match=r"nearest is My_Board; known: jetson_nano, .*, My_Board$"):
        load("my_bord")
    with pytest.raises(UnknownMode, match="'My_Board' has no power mode '5w'; it has eco,"):
        load("my_board:5w")


def test_own_files_are_found_without_case_and_separators(folder: Path) -> None:
    for stem in ("my_board", "pi4", "jetson_tx2"):
        (folder / f"{stem}.toml").write_text(FILE)
    assert load("My Board").reference == load("board").reference == "my_board"
    assert load("pi4").title == load("Pi 4").title == "My board"  # of just this name, unlike the catalogue's four
    assert load("TX2").title == "Jetson TX2 8GB"  # the catalogue's, as for jetson_tx2 itself


@pytest.mark.parametrize(
    ("name", "title"), [("jetson_nano", "Jetson Nano 4GB"), ("raspberry_pi_4", "Raspberry Pi 4, 1 GB")]
)
def test_a_name_of_the_catalogue_is_the_catalogues(name: str, title: str, folder: Path) -> None:
    (folder / f"{name}.toml").write_text(FILE)
    assert load(name).title == title
    assert load(str(folder / f"{name}.toml")).title == "My board"


@pytest.mark.parametrize("base", ["", "relative/folder"])
def test_without_a_folder_of_configuration_it_is_the_homes(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", base)
    monkeypatch.setenv("HOME", "/a/home")
    assert own_folder() == Path("/a/home/.config/edgerl/devices")
    assert own_files() == {}


BAD_FILES = {
    "not TOML": (b'title = "x"\nplatform = linux\n', "is not TOML: Invalid value (at line 2"),
    "a key twice": (b'title = "x"\ntitle = "y"\n', "is not TOML: Cannot overwrite a value (at line 2"),
    "a number that Python does not read": (b"title = " + b"9" * 5000, "is not TOML"),
    "not UTF-8": (b'title = "\xe4"\n', "is not UTF-8 text"),
    "nothing": (b"", "missing key 'title'"),
    "under a name": (b'[my_board]\ntitle = "x"\n', "belong at the top of the file, not under [my_board]"),
    "a bad number": (FILE.replace("value = 3,", "value = -3,").encode(), "application.value: must be from"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named(case: str, folder: Path) -> None:
    content, says = BAD_FILES[case]
    Path("bad.toml").write_bytes(content)
    with pytest.raises(ProfileError) as caught:
        read(Path("bad.toml"))
    assert str(caught.value).startswith("bad.toml: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "says"), [("none.toml", "does not exist"), ("..", "is no file")])
def test_what_is_no_file(name: str, says: str, folder: Path) -> None:
    with pytest.raises(ProfileError, match=f"{name}: {says}"):
        load(f"./{name}")


def test_the_example_in_the_documentation_is_a_profile(folder: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "devices.md").read_text(encoding="utf-8")
    example = text[text.index('    title = "My board"') : text.index("Required are")]
    Path("my_board.toml").write_text("".join(line[4:] + "\n" for line in example.splitlines()))
    profile = load("./my_board.toml")
    assert profile.cpu_peak is not None
    assert profile.peak_of_clusters == pytest.approx(profile.cpu_peak.value, abs=0.5)
    assert [mode.cores for mode in profile.modes] == [4]
