"""A device is known by its name however it is typed, and what is no name is answered with those there are."""

import pytest

from device_profiles import UnknownDevice, UnknownMode, in_catalogue, load, names


@pytest.mark.parametrize("typed", ["jetson_nano:5w", "Jetson_Nano:5W", "JETSON_NANO:5w"])
def test_upper_and_lower_case_are_the_same(typed: str) -> None:
    assert load(typed) == load("jetson_nano:5w")
    assert load(typed.partition(":")[0]).name == "jetson_nano"


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("jetson_nno", "jetson_nano"),
        ("pixle_6", "pixel_6"),
        ("6", "pixel_6"),
        ("jetson_nno:5w", "jetson_nano"),
    ],
)
def test_an_unknown_name_gives_the_nearest_and_all(typed: str, nearest: str) -> None:
    with pytest.raises(UnknownDevice) as caught:
        load(typed)
    message = str(caught.value)
    assert repr(typed.partition(":")[0]) in message
    assert f"nearest is {nearest};" in message
    assert ", ".join(names()) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("typed", "says"),
    [("jetson_nano:6w", "it has 5w,"), ("jetson_tx2:", "it has maxq, maxp,"), ("pixel_6:5w", "it has none")],
)
def test_an_unknown_power_mode_gives_those_there_are(typed: str, says: str) -> None:
    with pytest.raises(UnknownMode, match=says) as caught:
        load(typed)
    assert f"no power mode {typed.partition(':')[2]!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("pi4_4gb", "pi_4_4gb"),
        ("Pi 4 2GB", "pi_4_2gb"),
        ("raspberry_pi_5_8gb", "pi_5_8gb"),
        ("Raspberry Pi 5, 16 GB", "pi_5_16gb"),
        ("Jetson Nano", "jetson_nano"),  # and jetson_nano_2gb only by its full name
        ("JETSON-ORIN-NANO-8GB:7W", "orin_nano_8gb:7w"),
        ("tx2", "jetson_tx2"),
        (" Pixel 6", "pixel_6"),
    ],
)
def test_case_and_separators_do_not_count(typed: str, name: str) -> None:
    assert load(typed) == load(name)
    assert load(typed).name == load(typed).reference == name


@pytest.mark.parametrize(
    ("typed", "candidates"),
    [
        ("pi4", "pi_4_1gb, pi_4_2gb, pi_4_4gb, pi_4_8gb"),
        ("Pi 4", "pi_4_1gb, pi_4_2gb, pi_4_4gb, pi_4_8gb"),
        ("pi_5", "pi_5_2gb, pi_5_4gb, pi_5_8gb, pi_5_16gb"),
        ("xavier:15w", "xavier_nx, agx_xavier"),
        ("nano", "jetson_nano, jetson_nano_2gb, orin_nano_8gb, orin_nano_4gb"),
    ],
)
def test_a_name_of_several_devices_is_refused_with_these(typed: str, candidates: str) -> None:
    with pytest.raises(UnknownDevice) as caught:
        load(typed)
    assert str(caught.value) == f"{typed.partition(':')[0]!r} may be any of {candidates}; name one of them"


@pytest.mark.parametrize(("former", "name"), [("raspberry_pi_4", "pi_4_1gb"), ("Raspberry_Pi_5", "pi_5_16gb")])
def test_a_name_that_a_device_had_before_still_means_it(former: str, name: str) -> None:
    assert load(former) == load(name)
    assert in_catalogue(former)
    assert former not in names()
