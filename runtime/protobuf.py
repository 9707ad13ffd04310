"""protobuf's wire format, as much of it as an ONNX file needs, without the protobuf package.

A message is its fields, one after the other. A field is a key (its number and its wire type), then its value.
"""

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4, of groups, are in no ONNX file
_NUMBERS = 1 << 29  # of fields: from 1 to one less
_LONGEST_VARINT = 10  # bytes, of 7 bits each: 64 bits


def integer(field: int, value: int) -> bytes:
    """A field with an int64."""
    return _key(field, _VARINT) + _varint(value & (1 << 64) - 1)  # a negative one in two's complement


def real(field: int, value: float) -> bytes:
    """A field with a float32."""
    return _key(field, _FIXED32) + struct.pack("<f", value)


def text(field: int, value: str) -> bytes:
    """A field with a string."""
    return data(field, value.encode())


def data(field: int, value: bytes) -> bytes:
    """A field with bytes, which may be those of a message."""
    return prefix(field, len(value)) + value


def prefix(field: int, length: int) -> bytes:
    """The bytes that precede the `length` bytes of a field: its key and its length."""
    return _key(field, _BYTES) + _varint(length)


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The number and the value of each field, in order: an int64, or a view of the bytes of any other value.

    Raises ValueError, once it comes to the place, if this is no message or one that has lost its end.
    """
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        field, wire = key >> 3, key & 7
        if not 0 < field < _NUMBERS:
            raise ValueError(f"a field has the number {field}")
        if wire == _VARINT:
            value, at = _read_varint(message, at)
            yield field, _signed(value)
            continue
        length, at = _read_length(message, at, wire)
        if length > len(message) - at:
            raise ValueError("it ends within a field")
        yield field, message[at : at + length]
        at += length


def views(message: memoryview, field: int) -> Iterator[memoryview]:
    """The values of a field of strings, bytes, messages or floats; raises ValueError as `fields` does."""
    return (value for number, value in fields(message) if number == field and isinstance(value, memoryview))


def integers(message: memoryview, field: int) -> Iterator[int]:
    """The values of a field of integers, packed into one value or not; raises ValueError as `fields` does."""
    for number, value in fields(message):
        if number == field and isinstance(value, int):
            yield value
        elif number == field and isinstance(value, memoryview):
            at = 0
            while at < len(value):
                element, at = _read_varint(value, at)
                yield _signed(element)


def _key(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """The uint64 that begins at `at`, and where it ends."""
    number = 0
    for place, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        number |= (byte & 127) << 7 * place
        if byte < 128:
            return number & (1 << 64) - 1, at + place + 1
    raise ValueError("it ends within a number, or a number has no end")


def _signed(number: int) -> int:
    """The int64 whose two's complement, as a uint64, is `number`."""
    return number - (number >> 63 << 64)


def _read_length(message: memoryview, at: int, wire: int) -> tuple[int, int]:
    """How many bytes the value of a field has that is no integer, and where they begin."""
    if wire == _BYTES:
        return _read_varint(message, at)
    if wire not in (_FIXED32, _FIXED64):
        raise ValueError(f"a field has the wire type {wire}")
    return (4 if wire == _FIXED32 else 8), at
