"""Byte counts as people write and read them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_budget import format_bytes, parse_bytes
from memory_budget.units import UNITS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.07GB", 70_000_000),
        ("0.03GB", 30_000_000),
        ("0.06 GB", 60_000_000),
        ("1.001GB", 1_001_000_000),
        ("64MiB", 67_108_864),
        ("64 MiB", 67_108_864),
        ("  64MB\n", 64_000_000),
        ("1GB", 1_000_000_000),
        ("1GiB", 1_073_741_824),
        ("0.5KiB", 512),
        ("7kB", 7000),
        ("7KB", 7000),
        ("1B", 1),
        ("+1.GB", 1_000_000_000),
        (".5MB", 500_000),
        ("7e-2GB", 70_000_000),
        ("1E2MB", 100_000_000),
        ("1.9B", 1),
    ],
)
def test_bytes_are_exact(text, expected):
    assert parse_bytes(text) == expected


@given(st.integers(1, 10**7), st.integers(0, 4), st.sampled_from(sorted(UNITS)))
def test_decimal_fractions_lose_nothing_but_the_fraction_of_a_byte(digits, places, unit):
    text = f"{digits // 10**places}.{digits % 10**places:0{places}d}" if places else str(digits)
    expected = int(Fraction(digits, 10**places) * UNITS[unit])
    if expected:
        assert parse_bytes(text + unit) == expected
    else:
        with pytest.raises(ValueError, match="not above zero"):
            parse_bytes(text + unit)


REFUSED = {
    "0.07": "no unit",
    "70000000": "no unit",
    "0GB": "not above zero",
    "0.0MiB": "not above zero",
    "-1GB": "not above zero",
    "-0.07GB": "not above zero",
    "0.4B": "not above zero",
    "1e-30GB": "not above zero",
    "nan": "not a number",
    "nanGB": "not a number",
    "inf": "not a number",
    "infGB": "not a number",
    "-inf GB": "not a number",
    "": "not a number",
    "   ": "not a number",
    "GB": "not a number",
    "1,5GB": "not a number",
    "1GB 2MB": "not a number",
    "1\n2GB": "not a number",
    "0x10MB": "not a number",
    "1TB": "unknown unit",
    "1gb": "unknown unit",
    "1Gb": "unknown unit",
    "1mib": "unknown unit",
    "1e16GB": "larger than any machine",
    "1e999999GB": "larger than any machine",
    "9" * 5000 + "GB": "larger than any machine",
    "1e999999999999999999999GB": "not a number of bytes",
    "1e-999999999999999999999GB": "not a number of bytes",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:30]))
def test_what_is_no_size_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match=REFUSED[text]) as caught:
        parse_bytes(text)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (70_000_000, "70.0 MB"),
        (67_108_864, "67.1 MB"),
        (1_000_000_000, "1 GB"),
        (3_650_722_201, "3.651 GB"),
        (-70_000_000, "-70.0 MB"),
    ],
)
def test_formatted_for_reading(count, expected):
    assert format_bytes(count) == expected


@given(st.integers(1, 10**13))
def test_what_is_formatted_can_be_parsed_and_is_within_a_twentieth(count):
    assert parse_bytes(format_bytes(count)) == pytest.approx(count, rel=0.05)
