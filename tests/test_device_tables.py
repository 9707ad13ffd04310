"""A device's table is checked: what is malformed is refused in one line that names it."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

import pytest

from device_profiles import Number, ProfileError, parse

A_NUMBER = {"value": 2.0, "unit": "GB", "source": "a data sheet", "kind": "sourced"}
TABLE: dict[str, Any] = {
    "title": "A board",
    "platform": "linux",
    "clusters": [
        {"core": "A53", "count": 2, "clock": 1.5, "flop_per_cycle": 8, "source": "a data sheet", "kind": "sourced"},
        {"core": "M4", "count": 1, "source": "a photograph", "kind": "unverified"},
    ],
    "application": A_NUMBER,
    "power": A_NUMBER | {"unit": "W"},
    "possible": {"what": "acts only", "reason": "it has no disk"},
    "modes": {"eco": {"power": A_NUMBER | {"value": 1, "unit": "W"}}},
}


def changed(path: str, value: object = None, *, remove: bool = False) -> dict[str, Any]:
    """TABLE with the value at a dotted path replaced, or removed."""
    table = copy.deepcopy(TABLE)
    *parents, last = path.split(".")
    inner = functools.reduce(lambda found, key: found[int(key) if key.isdecimal() else key], parents, table)
    inner[last] = value
    if remove:
        del inner[last]
    return table


def refusal(table: object) -> str:
    with pytest.raises(ProfileError) as caught:
        parse("my_board", table)
    message = str(caught.value)
    assert message.startswith("device 'my_board': ")
    assert "\n" not in message
    assert len(message) < 300
    return message


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1.0, "MiB", 1_048_576),
        (1.001, "GB", 1_001_000_000),
        (1.0, "GiB", 1_073_741_824),
        (10.0, "MB/s", 10_000_000),
    ],
)
def test_bytes_are_exact(value: float, unit: str, expected: int) -> None:
    assert Number(value, unit, "a test", "sourced").bytes == expected


def test_watts_are_not_bytes() -> None:
    with pytest.raises(ProfileError, match="W has no size in bytes"):
        _ = Number(1.0, "W", "a test", "sourced").bytes


def test_a_minimal_table_is_enough() -> None:
    profile = parse("my_board", {key: TABLE[key] for key in ("title", "platform", "clusters")})
    assert (profile.title, profile.platform, profile.cores, profile.threads) == ("A board", "linux", 3, 3)
    assert profile.application_bytes is profile.power is profile.mode is None
    assert profile.modes == ()
    assert [cluster.peak for cluster in profile.clusters] == [24, None]
    assert profile.peak_of_clusters == 24  # of what is known


def test_what_a_power_mode_does_not_say_is_unknown_in_it() -> None:
    profile = parse("my_board", TABLE | {"cpu_peak": A_NUMBER | {"unit": "GFLOP/s"}})
    (eco,) = profile.modes
    assert (eco.name, eco.mode, eco.title) == ("my_board:eco", "eco", "A board")
    assert eco.power is not None
    assert eco.power.value == 1
    assert (eco.clusters, eco.cores, eco.cpu_peak, eco.peak_of_clusters) == ((), None, None, None)
    assert eco.application_bytes == profile.application_bytes == 2_000_000_000
    assert eco.threads == 3  # no mode has more


def test_an_origin_beside_numbers_is_theirs_unless_they_name_another() -> None:
    own = {"value": 1, "unit": "W", "source": "a meter", "kind": "unverified"}
    bare = {"core": "A53", "count": 2}
    table = TABLE | {"source": "a book", "kind": "derived", "clusters": [bare], "power": own}
    profile = parse("my_board", table | {"ram": {"value": 2, "unit": "GB"}})
    assert profile.ram == Number(2, "GB", "a book", "derived")
    assert profile.power == Number(1, "W", "a meter", "unverified")
    assert (profile.clusters[0].source, profile.clusters[0].kind) == ("a book", "derived")


@pytest.mark.parametrize("key", ["title", "platform", "clusters"])
def test_a_missing_key(key: str) -> None:
    assert f"missing key '{key}'" in refusal(changed(key, remove=True))


PARTS = ["power.value", "power.unit", "power.source", "power.kind", "possible.reason", "modes.eco.power.unit"]


@pytest.mark.parametrize("path", [*PARTS, "clusters.0.core", "clusters.0.count", "clusters.1.kind"])
def test_a_missing_part_of_an_entry(path: str) -> None:
    assert f": missing key '{path.rpartition('.')[2]}'" in refusal(changed(path, remove=True))


@pytest.mark.parametrize("value", [-1, -0.5, 0, math.nan, math.inf, -math.inf, 10**400, True, "2", None, [2]])
@pytest.mark.parametrize("path", ["application.value", "power.value", "clusters.0.count", "clusters.0.clock"])
def test_a_bad_value(path: str, value: object) -> None:
    assert f"{path.rpartition('.')[2]}: must be" in refusal(changed(path, value))


ABSURD = {
    "clusters.0.count": (1025, "from 1 to 1024 cores"),
    "clusters.0.clock": (1479, "from 0.01 to 10 GHz, not 1479"),
    "clusters.0.flop_per_cycle": (1e6, "FLOP/cycle"),
    "application": (A_NUMBER | {"value": 4097, "unit": "GiB"}, "to 4096 GiB"),
    "ram": (A_NUMBER | {"value": 5e6, "unit": "MB"}, "MB, not"),
    "cpu_peak": (A_NUMBER | {"value": 1e7, "unit": "GFLOP/s"}, "to 1e+06 GFLOP/s"),
    "gpu_clock": (A_NUMBER | {"value": 921, "unit": "GHz"}, "to 10 GHz"),
    "power": (A_NUMBER | {"value": 10_001, "unit": "W"}, "to 10000 W"),
    "copy": (A_NUMBER | {"value": 3700_000, "unit": "GB/s"}, "to 10000 GB/s"),
}


@pytest.mark.parametrize("path", ABSURD)
def test_an_absurd_number_is_held_against_the_bounds_of_its_unit(path: str) -> None:
    value, says = ABSURD[path]
    message = refusal(changed(path, value))
    assert "must be from" in message
    assert says in message


def test_more_cores_than_bounds_allow_in_all_clusters() -> None:
    assert "clusters: must be from 1 to 1024 cores" in refusal(changed("clusters", TABLE["clusters"][1:] * 1025))


def test_an_application_that_may_use_more_than_there_is() -> None:
    small = A_NUMBER | {"value": 512, "unit": "MiB"}
    assert "application: is more than ram, 512 MiB" in refusal(TABLE | {"ram": small})


@pytest.mark.parametrize(
    ("path", "unit"),
    [("power.unit", "kW"), ("power.unit", "GB"), ("application.unit", "gb"), ("application.unit", ["GB"])],
)
def test_a_wrong_unit_gives_those_allowed(path: str, unit: object) -> None:
    allowed = "W," if path.startswith("power") else "MB, MiB, GB, GiB,"
    assert f"{path}: must be one of {allowed} not" in refusal(changed(path, unit))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("title", " "),
        ("title", "two\nlines"),
        ("platform", "windows"),
        ("source", 3),
        ("kind", "guessed"),
        ("possible", "trains"),
        ("possible.what", "maybe"),
        ("possible.reason", "\n"),
        ("power", 10),
        ("power.source", 3),
        ("power.kind", "guessed"),
        ("clusters", []),
        ("clusters", "4 x A53"),
        ("clusters.0.core", ""),
        ("clusters.0.count", 2.0),
        ("modes", ["eco"]),
        ("modes.eco", 5),
    ],
)
def test_a_wrong_type_or_text(path: str, value: object) -> None:
    assert f"{path.rpartition('.')[2]}: must be" in refusal(changed(path, value))


UNKNOWN = {
    "powr": "'power'",
    "power.units": "'unit'",
    "clusters.0.clocks": "'clock'",
    "modes.eco.gpu_clok": "'gpu_clock'",
    "modes.eco.ram": "known: source, kind, clusters, cpu_peak",  # a mode has the memory that the device has
    "zzz": "known: title, platform, clusters",
}


@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_key_gives_the_nearest(path: str) -> None:
    message = refusal(changed(path, 1))
    assert f"unknown key '{path.rpartition('.')[2]}'; " in message
    assert UNKNOWN[path] in message


@pytest.mark.parametrize("name", ["5 w", "a:b", "", "ä", "two\nlines"])
def test_a_power_modes_name_that_nobody_could_ask_for(name: str) -> None:
    assert "is no name of a mode" in refusal(TABLE | {"modes": {name: {}}})


def test_a_power_mode_that_differs_from_another_only_in_case() -> None:
    assert "twice" in refusal(TABLE | {"modes": {"5w": {}, "5W": {}}})


@pytest.mark.parametrize("table", [3, "a board", []])
def test_not_a_table(table: object) -> None:
    assert "must be a table" in refusal(table)
