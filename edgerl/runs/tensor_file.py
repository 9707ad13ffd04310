"""Named arrays in one file of the safetensors format, written and read piece by piece, without a copy in memory.

Eight bytes of header length, a JSON header (dtype, shape and offsets of every array), then the arrays, those with the
largest items first, so that every array is aligned. The safetensors library reads and writes the same files, but copies
all arrays first.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from edgerl import reading
from edgerl.reading import COUNT, Each, Kind
from edgerl.types import Array

_NAMES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
          "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"}  # fmt: skip
METADATA = "__metadata__"  # the header's key of texts about the arrays
LONGEST_HEADER, MOST_AXES = 2**24, 32  # bytes; NumPy's limit
TEXT = Kind("text", lambda value: isinstance(value, str))  # as long as the header may be
ENTRY = {"dtype": Kind(f"one of {', '.join(_NAMES)}", lambda value: isinstance(value, str) and value in _NAMES),
         "shape": [COUNT], "data_offsets": [COUNT]}  # fmt: skip
_KINDS = {np.dtype(kind): name for name, kind in _NAMES.items()}


def write(file: Path, arrays: dict[str, Array], metadata: dict[str, str] | None = None) -> None:
    """Write arrays, and texts about them. Raises KeyError for a dtype that safetensors has no name for.

    Raises ValueError if the header would be longer than `read` takes.
    """
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    header: dict[str, Any] = {} if metadata is None else {METADATA: metadata}
    end = 0
    for name, array in ordered:
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _KINDS[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST_HEADER:
        raise ValueError(f"{len(arrays):,} arrays have a header of {len(text):,} bytes, more than {LONGEST_HEADER:,}")
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def read(file: Path) -> dict[str, Array]:
    """The arrays, as private mappings of the file: only what is read of them takes memory.

    Raises OSError, or ValueError if the file does not have this layout.
    """
    length, header = _header(file)
    content = np.memmap(file, np.uint8, "c")[8 + length :]
    arrays = {}
    for name, entry in _in_order(header):
        start, stop = entry["data_offsets"]
        arrays[name] = content[start:stop].view(_NAMES[entry["dtype"]]).reshape(entry["shape"])
    if (end := sum(array.nbytes for array in arrays.values())) != len(content):
        raise ValueError(f"{file} has {len(content):,} bytes of arrays, its header says {end:,}")
    return arrays


def _in_order(header: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The arrays that a header names, in the order of their bytes.

    Raises ValueError if they are not as the format has them: each begins where the one before it ends.
    """
    entries = [(name, entry) for name, entry in header.items() if name != METADATA]
    for name, entry in entries:
        if (wrong := reading.fault(entry, ENTRY, name)) is not None:
            raise ValueError(wrong)
    entries.sort(key=lambda named: named[1]["data_offsets"])
    end = 0
    for name, entry in entries:
        start, stop = entry["data_offsets"] if len(entry["data_offsets"]) == 2 else (-1, -1)
        rank, items = len(entry["shape"]), math.prod(entry["shape"][:MOST_AXES])
        if start != end or rank > MOST_AXES or items * np.dtype(_NAMES[entry["dtype"]]).itemsize != stop - start:
            raise ValueError(f"{name} is not where the array before it ends, or has another size than its shape")
        end = stop
    return entries


def metadata(file: Path) -> dict[str, str]:
    """The texts that were written with the arrays. Raises OSError, or ValueError if the file has another layout."""
    texts: dict[str, str] = _header(file)[1].get(METADATA, {})
    if (wrong := reading.fault(texts, Each(TEXT), METADATA)) is not None:
        raise ValueError(wrong)
    return texts


def _header(file: Path) -> tuple[int, dict[str, Any]]:
    """The header's length in bytes, and the header; raises ValueError if there is none."""
    with reading.opened(file) as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > os.fstat(stream.fileno()).st_size:
            raise ValueError(f"{file} is shorter than its header says")
        if length > LONGEST_HEADER:
            raise ValueError(f"{file} has a header of {length:,} bytes, more than {LONGEST_HEADER:,}")
        header = reading.parsed(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{file} has no header")
    return length, header
