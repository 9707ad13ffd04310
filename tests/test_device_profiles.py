"""The catalogue says what the sources say, and a malformed table is refused by name."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from typing import Any

import pytest

from device_profiles import KINDS, DeviceProfile, Number, ProfileError, UnknownDevice, load, names, parse

NAMES = ["jetson_nano", "orin_nano_8gb", "raspberry_pi_4", "pi_zero_2_w", "pixel_6"]
KIND = {"s": "sourced", "d": "derived", "u": "unverified"}
EXPECTED = """
key            unit     jetson_nano  orin_nano_8gb  raspberry_pi_4  pi_zero_2_w  pixel_6
application    GiB      3.4s         5.4s           0.76s           -            -
application    MiB      -            -              -               329s         -
application    GB       -            -              -               -            4d
clock          GHz      1.479s       1.51s          1.8s            1.0s         2.8s
ram            GiB      3.9s         6.3s           0.89s           -            -
ram            MiB      -            -              -               427s         -
ram            GB       -            -              -               -            8u
cpu_peak       GFLOP/s  47d          145d           57.6d           32d          309d
gpu_fp32       GFLOP/s  236d         1280d          -               -            -
gpu_fp16       GFLOP/s  472d         -              -               -            -
bandwidth      GB/s     25.6d        68d            12.8d           -            51.2u
copy           GB/s     3.7s         6.7s           2.3s            1.3s         -
fill           GB/s     8.9s         20.2s          3.1s            1.57s        -
power          W        10s          15s            7.2s            -            10u
storage_write  MB/s     10s          10s            10s             10s          -
"""

A_NUMBER = {"value": 2.0, "unit": "GB", "source": "a data sheet", "kind": "sourced"}
TABLE: dict[str, Any] = {
    "title": "A board",
    "cpu": {"text": "2 x A53", "source": "a data sheet", "kind": "sourced"},
    "cores": A_NUMBER | {"value": 2, "unit": "cores"},
    "application": A_NUMBER,
    "power": A_NUMBER | {"unit": "W"},
}


def expected(name: str) -> dict[str, tuple[float, str, str]]:
    header, *rows = (line.split() for line in EXPECTED.strip().splitlines())
    cells = {row[0]: (row[header.index(name)], row[1]) for row in rows if row[header.index(name)] != "-"}
    return {key: (float(cell[:-1]), unit, KIND[cell[-1]]) for key, (cell, unit) in cells.items()}


def numbers(profile: DeviceProfile) -> dict[str, Number]:
    fields = {field.name: getattr(profile, field.name) for field in dataclasses.fields(profile)}
    return {name: value for name, value in fields.items() if isinstance(value, Number)}


def changed(path: str, value: object = None, *, remove: bool = False) -> dict[str, Any]:
    """TABLE with the value at a dotted path replaced, or removed."""
    table = copy.deepcopy(TABLE)
    *parents, last = path.split(".")
    inner = functools.reduce(dict.__getitem__, parents, table)
    inner[last] = value
    if remove:
        del inner[last]
    return table


def refusal(table: object) -> str:
    with pytest.raises(ProfileError) as caught:
        parse("my_board", table)
    message = str(caught.value)
    assert "my_board" in message
    assert "\n" not in message
    return message


def test_the_catalogue_holds_the_five() -> None:
    assert names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_are_those_of_the_sources(name: str) -> None:
    found = numbers(load(name))
    assert {key: (number.value, number.unit, number.kind) for key, number in found.items()} == expected(name)
    assert all(number.source.strip() and number.kind in KINDS for number in found.values())


@pytest.mark.parametrize(
    ("name", "cores", "core", "application_bytes"),
    [
        ("jetson_nano", 4, "Cortex-A57", 3_650_722_201),
        ("orin_nano_8gb", 6, "Cortex-A78AE", 5_798_205_849),
        ("raspberry_pi_4", 4, "Cortex-A72", 816_043_786),
        ("pi_zero_2_w", 4, "Cortex-A53", 344_981_504),
        ("pixel_6", 8, "Cortex-X1", 4_000_000_000),
    ],
)
def test_cores_and_application_bytes(name: str, cores: int, core: str, application_bytes: int) -> None:
    profile = load(name)
    assert profile.name == name
    assert profile.cores == profile.threads == cores
    assert core in profile.cpu
    assert profile.application_bytes == application_bytes


def test_power_modes_where_there_are_any() -> None:
    assert "2 cores at 0.918 GHz" in (load("jetson_nano").power_modes or "")
    assert "4 cores at 0.96 GHz" in (load("orin_nano_8gb").power_modes or "")
    assert [name for name in NAMES if load(name).power_modes is None] == NAMES[2:]


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


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [("jetson_nno", "jetson_nano"), ("Pixel 6", "pixel_6"), ("raspberry_pi4", "raspberry_pi_4")],
)
def test_an_unknown_name_gives_the_nearest_and_all(typed: str, nearest: str) -> None:
    with pytest.raises(UnknownDevice) as caught:
        load(typed)
    message = str(caught.value)
    assert repr(typed) in message
    assert f"nearest is {nearest};" in message
    assert ", ".join(NAMES) in message
    assert "\n" not in message


def test_a_minimal_table_is_enough() -> None:
    profile = parse("my_board", changed("power", remove=True))
    assert (profile.title, profile.cpu, profile.cores) == ("A board", "2 x A53", 2)
    assert profile.application_bytes == 2_000_000_000
    assert profile.power is None
    assert profile.power_modes is None


@pytest.mark.parametrize("key", ["title", "cpu", "cores", "application"])
def test_a_missing_key(key: str) -> None:
    assert f"missing key '{key}'" in refusal(changed(key, remove=True))


@pytest.mark.parametrize("path", ["power.value", "power.unit", "power.source", "power.kind", "cpu.text"])
def test_a_missing_part_of_an_entry(path: str) -> None:
    key, part = path.split(".")
    assert f"{key}: missing key '{part}'" in refusal(changed(path, remove=True))


@pytest.mark.parametrize("value", [-1, -0.5, 0, math.nan, math.inf, -math.inf, 10**400, True, "2", None, [2]])
@pytest.mark.parametrize("key", ["cores", "application", "power"])
def test_a_bad_value(key: str, value: object) -> None:
    assert f"{key}.value: must be" in refusal(changed(f"{key}.value", value))


@pytest.mark.parametrize(
    ("key", "unit"),
    [("power", "kW"), ("power", "GB"), ("application", "gb"), ("application", "GB/s"), ("cores", ["cores"])],
)
def test_a_wrong_unit(key: str, unit: object) -> None:
    assert f"{key}.unit: must be one of" in refusal(changed(f"{key}.unit", unit))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("title", " "),
        ("power", 10),
        ("cpu", "2 x A53"),
        ("cpu.source", ""),
        ("power.source", 3),
        ("power.kind", "guessed"),
        ("cores.value", 2.5),
    ],
)
def test_a_wrong_type_or_text(path: str, value: object) -> None:
    assert f"{path.removesuffix('.value')}: must be" in refusal(changed(path, value))


@pytest.mark.parametrize("path", ["watts", "power.note", "cpu.value"])
def test_an_unknown_key(path: str) -> None:
    assert f"unknown key '{path.rpartition('.')[2]}'" in refusal(changed(path, 1))


@pytest.mark.parametrize("table", [3, "a board", []])
def test_not_a_table(table: object) -> None:
    assert "must be a table" in refusal(table)
