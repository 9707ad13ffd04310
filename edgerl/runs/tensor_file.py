"""Named arrays in one file, as safetensors lays them out, without a copy in memory: written and read piece by piece.

Eight bytes of header length, a JSON header (dtype, shape and place of every array), then the arrays, largest items
first, so that each is aligned. The library of that name reads and writes the same files, but copies all arrays first.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.types import Array

_NAMES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
          "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"}  # fmt: skip
METADATA = "__metadata__"  # what safetensors calls words about the arrays
_KINDS = {np.dtype(kind): name for name, kind in _NAMES.items()}


def write(file: Path, arrays: dict[str, Array], metadata: dict[str, str] | None = None) -> None:
    """Write these arrays, and words about them. Raises KeyError for a dtype that safetensors has no name for."""
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    header: dict[str, Any] = {} if metadata is None else {METADATA: metadata}
    end = 0
    for name, array in ordered:
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _KINDS[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def read(file: Path) -> dict[str, Array]:
    """The arrays, as private mappings of the file: they take memory only as they are looked at.

    Raises ValueError or KeyError where the file is not of this layout.
    """
    length, header = _header(file)
    data = np.memmap(file, np.uint8, "c")[8 + length :]
    found = {}
    for name, entry in header.items():
        if name != METADATA:
            start, stop = entry["data_offsets"]
            found[name] = data[start:stop].view(_NAMES[entry["dtype"]]).reshape(entry["shape"])
    return found


def metadata(file: Path) -> dict[str, str]:
    """The words that were written with the arrays. Raises ValueError where the file is not of this layout."""
    found: dict[str, str] = _header(file)[1].get(METADATA, {})
    return found


def _header(file: Path) -> tuple[int, dict[str, Any]]:
    """The header and its length; ValueError where there is none."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError(f"{file} is shorter than its header says")
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{file} has no header")
    return length, header
