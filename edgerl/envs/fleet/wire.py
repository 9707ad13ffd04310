"""What goes between a run and the process of an environment: values for JSON, and arrays by name."""

import json
import socket
import struct
from typing import Any, NamedTuple

import numpy as np

from edgerl.types import Array

LENGTHS = struct.Struct("<II")  # bytes of the header, and of the arrays behind it


class Message(NamedTuple):
    """`values`: for JSON; `arrays`: by name, of any dtype but objects."""

    values: dict[str, Any]
    arrays: dict[str, Array]


def send(pipe: socket.socket, values: dict[str, Any], arrays: dict[str, Array] | None = None) -> None:
    """Send a message; raises OSError if nobody is there."""
    whole = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    layout = [[name, array.dtype.str, array.shape] for name, array in (arrays or {}).items()]  # [] stays []
    header = json.dumps({"values": values, "arrays": layout}).encode()
    lengths = LENGTHS.pack(len(header), sum(array.nbytes for array in whole.values()))
    pipe.sendall(b"".join([lengths, header, *(array.tobytes() for array in whole.values())]))


def receive(pipe: socket.socket) -> Message:
    """The next message; its arrays are the caller's own. Raises EOFError or OSError if nobody is there."""
    length, nbytes = LENGTHS.unpack(_read(pipe, LENGTHS.size))
    header, content, start = json.loads(_read(pipe, length)), _read(pipe, nbytes), 0
    arrays = {}
    for name, kind, shape in header["arrays"]:
        dtype, count = np.dtype(kind), int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(content, dtype, count, start).reshape(shape)
        start += count * dtype.itemsize
    return Message(header["values"], arrays)


def _read(pipe: socket.socket, nbytes: int) -> bytearray:
    content, done = bytearray(nbytes), 0
    while done < nbytes:
        count = pipe.recv_into(memoryview(content)[done:])
        if not count:
            raise EOFError("the other end is closed")
        done += count
    return content
