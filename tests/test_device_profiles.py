"""The catalogue says what the sources say: devices, their cores, their power modes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib.resources import files

import pytest

from device_profiles import (
    CLOCKED,
    FIXED,
    KINDS,
    DeviceProfile,
    Number,
    load,
    names,
)
from edgerl.config.device import available_cores

KIND = {"s": "sourced", "d": "derived", "u": "unverified"}
EXPECTED = """
device           ram    application cpu_peak gpu_fp32 gpu_fp16 bandwidth copy  fill   power storage_write
jetson_nano      3.9s   3.4s        47d      236d     472d     25.6d     3.7s  8.9s   10s   10s
jetson_nano_2gb  1.9s   1.5s        47d      236d     472d     25.6u     4.1s  11.8s  10s   10s
jetson_tx2       7.66s  -           64d      666d     1330d    59.7d     -     -      -     -
xavier_nx        7.6s   5.2s        91d      845d     1690d    59.7d     9.2s  18.5s  20s   10s
agx_xavier       31s    29s         144d     1410d    2820d    137d      10.9s 22.5s  -     -
orin_nano_8gb    6.3s   5.4s        145d     1280d    -        68d       6.7s  20.2s  15s   10s
orin_nano_4gb    -      -           145d     640d     -        34u       -     -      10s   10s
orin_nx_16gb     -      -           256d     1880d    -        102u      -     -      -     -
orin_nx_8gb      7.4s   6.4s        192d     1880d    -        102u      6.9s  20.5s  -     -
agx_orin_32gb    29s    29s         422d     5325d    -        204.8u    10.6s 30.3s  -     -
agx_orin_64gb    -      -           422d     5325d    -        204.8u    10.6s 30.3s  -     -
pi_4_1gb         0.89s  0.76s       57.6d    -        -        12.8d     2.3s  3.1s   7.2s  10s
pi_4_2gb         1872s  1718s       57.6d    -        -        12.8d     2.3s  3.1s   7.2s  10s
pi_4_4gb         3.7s   3.4s        57.6d    -        -        12.8d     2.5s  3.2s   7.2s  10s
pi_4_8gb         7.7s   7.4s        57.6d    -        -        12.8d     2.3s  2.7s   7.2s  10s
pi_5_2gb         1.95d  1.9d        153.6d   -        -        17.1d     5.3s  14s    12.7s 10s
pi_5_4gb         3.95s  3.8s        153.6d   -        -        17.1d     5.3s  14s    12.7s 10s
pi_5_8gb         7.9s   7.3s        153.6d   -        -        17.1d     4.4s  9.8s   12.7s 10s
pi_5_16gb        15s    15s         153.6d   -        -        17.1d     6.0s  10s    12.7s 10s
pi_zero_2_w      427s   329s        32d      -        -        -         1.3s  1.57s  -     10s
pixel_6          8u     4d          309d     -        -        51.2u     -     -      10u   -
pixel_8          8u     4d          299d     -        -        -         -     -      -     -
galaxy_s21       8u     4d          298d     -        -        51.2u     -     -      10u   -
galaxy_s24       8u     4d          382d     -        -        76.8u     -     -      -     -
iphone_12        4s     2.1u        314d     -        -        34.1d     -     -      6u    -
iphone_15        6u     3.1u        351d     -        -        51.2d     -     -      8u    -
snapdragon_480   4u     2d          150d     -        -        17s       -     -      3u    -
helio_a22        2s     1d          64d      -        -        13.9s     -     -      -     -
"""
UNITS = {"power": "W", "storage_write": "MB/s"} | dict.fromkeys(("bandwidth", "copy", "fill"), "GB/s")
CORES = {
    "jetson_nano": "4 Cortex-A57 1.479 8",
    "jetson_nano_2gb": "4 Cortex-A57 1.479 8",
    "jetson_tx2": "4 Cortex-A57 2.0 8 + 2 Denver_2 2.0 -",
    "xavier_nx": "6 Carmel 1.9 8",
    "agx_xavier": "8 Carmel 2.25 8",
    "orin_nano_8gb": "6 Cortex-A78AE 1.51 16",
    "orin_nano_4gb": "6 Cortex-A78AE 1.51 16",
    "orin_nx_16gb": "8 Cortex-A78AE 2.0 16",
    "orin_nx_8gb": "6 Cortex-A78AE 2.0 16",
    "agx_orin_32gb": "12 Cortex-A78AE 2.2 16",
    "agx_orin_64gb": "12 Cortex-A78AE 2.2 16",
    **dict.fromkeys(("pi_4_1gb", "pi_4_2gb", "pi_4_4gb", "pi_4_8gb"), "4 Cortex-A72 1.8 8"),
    **dict.fromkeys(("pi_5_2gb", "pi_5_4gb", "pi_5_8gb", "pi_5_16gb"), "4 Cortex-A76 2.4 16"),
    "pi_zero_2_w": "4 Cortex-A53 1.0 8",
    "pixel_6": "2 Cortex-X1 2.80 32 + 2 Cortex-A76 2.25 16 + 4 Cortex-A55 1.8 8",
    "pixel_8": "1 Cortex-X3 2.91 32 + 4 Cortex-A715 2.37 16 + 4 Cortex-A510 1.7 8",
    "galaxy_s21": "1 Cortex-X1 2.9 32 + 3 Cortex-A78 2.8 16 + 4 Cortex-A55 2.2 8",
    "galaxy_s24": "1 Cortex-X4 3.2 32 + 2 Cortex-A720 2.9 16 + 3 Cortex-A720 2.6 16 + 4 Cortex-A520 1.95 8",
    "iphone_12": "2 Firestorm 3.1 32 + 4 Icestorm 1.8 16",
    "iphone_15": "2 Everest 3.46 32 + 4 Sawtooth 2.02 16",
    "snapdragon_480": "2 Cortex-A76 2.0 16 + 6 Cortex-A55 1.8 8",
    "helio_a22": "4 Cortex-A53 2.0 8",
}
NAMES = list(CORES)
PHONES = NAMES[NAMES.index("pixel_6") :]
MODES = """
mode                      cores clock   cpu_peak gpu_clock gpu_fp32 bandwidth power
jetson_nano:5w            2     0.918   15d      0.64s     164d     25.6d     5s
jetson_nano_2gb:5w        2     0.918   15d      0.64s     164d     25.6u     5s
jetson_tx2:maxq           4     1.2     38d      0.85s     435d     42.6d     7.5s
jetson_tx2:maxp           4     2.0     64d      1.12s     573d     51.2d     15s
xavier_nx:10w             4     1.1904  38d      0.80325s  617d     51.2d     10s
xavier_nx:15w             6     1.4208  68d      1.10925s  852d     51.2d     15s
xavier_nx:20w             6     1.4208  68d      1.10925s  852d     59.7d     20s
agx_xavier:10w            2     1.2     19d      0.52s     266d     68.2d     10s
agx_xavier:15w            4     1.2     38d      0.67s     686d     85.2d     15s
agx_xavier:30w            8     1.2     77d      0.9s      922d     102d      30s
orin_nano_8gb:7w          4     0.96    61d      0.408s    418d     68d       7s
orin_nano_8gb:25w         6     1.344   129d     0.918s    1880d    102d      25s
orin_nano_8gb:maxn_super  6     1.7     163d     -         2089d    102d      -
orin_nano_4gb:7w          4     0.96    61d      0.306s    313d     34u       7s
orin_nx_16gb:10w          4     1.1904  76d      0.612s    627d     68d       10s
orin_nx_16gb:15w          4     1.6512  106d     0.612s    627d     102u      15s
orin_nx_16gb:25w          8     1.4976  192d     0.408s    836d     102u      25s
orin_nx_8gb:10w           4     1.1904  76d      0.612s    627d     68d       10s
orin_nx_8gb:15w           4     1.4208  91d      0.612s    627d     102u      15s
orin_nx_8gb:20w           6     1.4976  144d     0.408s    836d     102u      20s
agx_orin_32gb:15w         4     1.1136  71d      0.408s    627d     136.5d    15s
agx_orin_32gb:30w         8     1.728   221d     0.612s    1253d    204.8u    30s
agx_orin_32gb:50w         12    1.4976  288d     0.816s    3342d    204.8u    50s
agx_orin_64gb:15w         4     1.1136  71d      0.408s    627d     136.5d    15s
agx_orin_64gb:30w         8     1.728   221d     0.612s    1253d    204.8u    30s
agx_orin_64gb:50w         12    1.4976  288d     0.816s    3342d    204.8u    50s
"""


def rows(text: str) -> dict[str, dict[str, str]]:
    header, *lines = (line.split() for line in text.strip().splitlines())
    return {line[0]: dict(zip(header[1:], line[1:], strict=True)) for line in lines}


def fact(cell: str) -> tuple[float, str] | None:
    return None if cell == "-" else (float(cell[:-1]), KIND[cell[-1]])


def found(profile: DeviceProfile, key: str) -> tuple[float, str] | None:
    number = getattr(profile, key)
    return None if number is None else (number.value, number.kind)


def everything() -> Iterator[DeviceProfile]:
    """Every device, and every one of its power modes."""
    for profile in map(load, names()):
        yield from (profile, *profile.modes)


def test_the_catalogue_holds_all_boards_and_phones() -> None:
    assert names() == NAMES == list(rows(EXPECTED))
    assert [name for name in NAMES if load(name).platform != "linux"] == PHONES


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_are_those_of_the_sources(name: str) -> None:
    profile = load(name)
    assert {key: found(profile, key) for key in rows(EXPECTED)[name]} == {
        key: fact(cell) for key, cell in rows(EXPECTED)[name].items()
    }
    for key, unit in UNITS.items():
        number = getattr(profile, key)
        assert number is None or number.unit == unit
    memory = dict.fromkeys(("pi_zero_2_w", "pi_4_2gb"), "MiB") | dict.fromkeys(PHONES, "GB")
    for key in ("ram", "application"):
        unit = "GB" if (name, key) == ("pi_5_2gb", "application") else memory.get(name, "GiB")
        number = getattr(profile, key)
        assert number is None or number.unit == unit


@pytest.mark.parametrize("name", NAMES)
def test_the_cores_are_those_of_the_sources(name: str) -> None:
    profile = load(name)
    expected = [cluster.split() for cluster in CORES[name].split(" + ")]
    assert [(cluster.count, cluster.core, cluster.clock, cluster.flop_per_cycle) for cluster in profile.clusters] == [
        (int(count), core.replace("_", " "), float(clock), None if flop == "-" else float(flop))
        for count, core, clock, flop in expected
    ]
    assert profile.cores == profile.threads == sum(int(count) for count, *_ in expected)


def test_no_number_is_without_a_source() -> None:
    for profile in everything():
        numbers = [each for key in (*FIXED, *CLOCKED) if isinstance(each := getattr(profile, key), Number)]
        assert len(numbers) >= 3
        for each in (*numbers, *profile.clusters):
            assert len(each.source.strip()) > 3
            assert each.kind in KINDS


def test_the_peak_is_the_sum_over_the_clusters() -> None:
    for profile in everything():
        assert profile.cpu_peak is not None
        assert profile.peak_of_clusters is not None
        rounding = 0.05 if profile.cpu_peak.value % 1 else 0.5
        assert profile.peak_of_clusters == pytest.approx(profile.cpu_peak.value, abs=rounding), profile.name


def test_half_precision_is_twice_single() -> None:
    for profile in everything():
        if profile.gpu_fp16 is not None:
            assert profile.gpu_fp32 is not None
            assert profile.gpu_fp16.value == pytest.approx(2 * profile.gpu_fp32.value, rel=0.002)


def test_what_one_application_may_use_is_what_the_platform_leaves() -> None:
    for profile in map(load, names()):
        if profile.platform == "linux":
            derived = profile.name == "pi_5_2gb"  # from the board of 4 GB
            assert profile.application is None or profile.application.kind == ("derived" if derived else "sourced")
            continue
        assert profile.application is not None
        assert profile.ram is not None
        share = profile.application.bytes / profile.ram.bytes
        assert share == 0.5 if profile.platform == "android" else 0.5 <= share < 0.53


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jetson_nano", 3_650_722_201),
        ("orin_nano_8gb", 5_798_205_849),
        ("raspberry_pi_4", 816_043_786),
        ("pi_zero_2_w", 344_981_504),
        ("pixel_6", 4_000_000_000),
        ("jetson_tx2", None),
    ],
)
def test_application_bytes(name: str, expected: int | None) -> None:
    assert load(name).application_bytes == expected


@pytest.mark.parametrize("name", list(rows(MODES)))
def test_a_power_mode_is_as_its_source_says(name: str) -> None:
    expected, mode = rows(MODES)[name], load(name)
    (cluster,) = mode.clusters
    assert mode.name == mode.reference == name
    assert mode.mode == name.partition(":")[2]
    assert mode.cores == mode.threads == int(expected.pop("cores"))
    assert cluster.clock == float(expected.pop("clock"))
    assert {key: found(mode, key) for key in expected} == {key: fact(cell) for key, cell in expected.items()}
    if name.endswith("w"):
        assert mode.power is not None
        assert f"{mode.power.value:g}w" == mode.mode


def test_all_power_modes_are_these() -> None:
    assert [mode.name for name in names() for mode in load(name).modes] == list(rows(MODES))


def test_a_power_mode_keeps_what_clocks_do_not_decide_and_nothing_else() -> None:
    for device in map(load, names()):
        for mode in device.modes:
            for key in (*FIXED, "title", "platform", "possible"):
                assert getattr(mode, key) == getattr(device, key)
            assert (mode.copy, mode.fill, mode.modes) == (None, None, ())  # nobody measured there


def test_the_catalogue_says_of_every_device_what_is_possible_and_why() -> None:
    said = {}
    for profile in map(load, names()):
        assert profile.possible is not None
        said[profile.name] = profile.possible.what
        assert len(profile.possible.reason) > 20
        assert "glibc" in profile.possible.reason or profile.platform != "linux"
    unverified = ["jetson_nano", "jetson_nano_2gb", "jetson_tx2"]
    assert [name for name, what in said.items() if what == "unverified"] == unverified
    assert [name for name, what in said.items() if what == "acts only"] == PHONES
    assert {said[name] for name in names() if name not in (*unverified, *PHONES)} == {"trains"}


def test_every_file_of_the_catalogue_is_read() -> None:
    folder = files("device_profiles").joinpath("catalog")
    tables = sum(line.startswith("title = ") for file in folder.iterdir() for line in file.read_text().splitlines())
    assert tables == len(names())


def test_profiles_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load("jetson_nano").title = "mine"  # type: ignore[misc]


def test_available_cores_are_those_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {1, 5, 6}, raising=False)
    assert available_cores() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert available_cores() == 7
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert available_cores() == 1
