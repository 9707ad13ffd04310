"""Named arrays in one file of the safetensors format, written and read piece by piece, without a copy in memory.

Eight bytes of header length, a JSON header (dtype, shape and offsets of every array), then the arrays, those with the
largest items first, so that every array is aligned. The safetensors library reads and writes the same files, but copies
all arrays first.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.types import Array

_NAMES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
          "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"}  # fmt: skip
METADATA = "__metadata__"  # the header's key of texts about the arrays
_KINDS = {np.dtype(kind): name for name, kind in _NAMES.items()}


def write(file: Path, arrays: dict[str, Array], metadata: dict[str, str] | None = None) -> None:
    """Write arrays, and texts about them. Raises KeyError for a dtype that safetensors has no name for."""
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
    """The arrays, as private mappings of the file: only what is read of them takes memory.

    Raises ValueError or KeyError if the file does not have this layout.
    """
    length, header = _header(file)
    data = np.memmap(file, np.uint8, "c")[8 + length :]
    arrays = {}
    for name, entry in header.items():
        if name != METADATA:
            start, stop = entry["data_offsets"]
            arrays[name] = data[start:stop].view(_NAMES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def metadata(file: Path) -> dict[str, str]:
    """The texts that were written with the arrays. Raises ValueError if the file does not have this layout."""
    texts: dict[str, str] = _header(file)[1].get(METADATA, {})
    return texts


def _header(file: Path) -> tuple[int, dict[str, Any]]:
    """The header's length in bytes, and the header; raises ValueError if there is none."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError(f"{file} is shorter than its header says")
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{file} has no header")
    return length, header
