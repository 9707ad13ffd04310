"""TensorBoard's event files, written without its package, which brings grpc and takes 4 MB resident beside onnx.

A file is a row of records (TFRecord): the length of the data as uint64, a masked CRC-32C of these 8 bytes, the data, a
masked CRC-32C of the data; all little-endian. The data is an `Event` of TensorFlow's event.proto: of its fields, the
time, the step, and either the version of the format, scalars by tag, or the mark of a session that (re)starts.
"""

import math
import struct
from collections.abc import Mapping

VERSION = "brain.Event:2"
_POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli), reflected
_MASK = 0xA282EAD8
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # protobuf's wire types
_SESSION_STARTS = 1


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()


def version_record(wall_time: float) -> bytes:
    """The record that an event file begins with."""
    return _record(_event(wall_time, 0) + _field(3, _BYTES, VERSION.encode()))


def scalars_record(wall_time: float, step: int, values: Mapping[str, float]) -> bytes:
    """The record of these scalars, by tag, at a step."""
    summary = b"".join(
        _field(1, _BYTES, _field(1, _BYTES, tag.encode()) + _field(2, _FLOAT, _float32(value)))
        for tag, value in values.items()
    )
    return _record(_event(wall_time, step) + _field(5, _BYTES, summary))


def restart_record(wall_time: float, step: int) -> bytes:
    """The record of a run that goes on at a step: readers forget what an earlier process logged after it."""
    return _record(_event(wall_time, step) + _field(7, _BYTES, _field(1, _VARINT, _varint(_SESSION_STARTS))))


def _float32(value: float) -> bytes:
    """A value as float32; what is beyond its range becomes infinite."""
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, value))


def _event(wall_time: float, step: int) -> bytes:
    return _field(1, _DOUBLE, struct.pack("<d", wall_time)) + _field(2, _VARINT, _varint(step))


def _field(number: int, kind: int, value: bytes) -> bytes:
    """A field of a message."""
    length = _varint(len(value)) if kind == _BYTES else b""
    return _varint(number << 3 | kind) + length + value


def _varint(number: int) -> bytes:
    # runtime/protobuf.py has the same lines: to import them would load ONNX Runtime with every metric
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _record(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + _masked_crc(length) + event + _masked_crc(event)


def _masked_crc(content: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)
