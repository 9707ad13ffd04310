"""A buffer's file: its arrays as one safetensors file, its values and checksums as text in that file's header."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.errors import CheckpointError
from edgerl.runs import tensor_file
from edgerl.runs.files import writing_whole
from edgerl.types import Array

FORMAT, KEY = 1, "edgerl.ReplayBuffer"


def write(file: Path, arrays: dict[str, Array], values: dict[str, Any]) -> None:
    """Write arrays and JSON values, whole or not at all. Raises OSError, naming the file, if the disk refuses it."""
    manifest = {"format": FORMAT, "sha256": {name: _digest(array) for name, array in arrays.items()}, **values}
    text = json.dumps(manifest)
    with writing_whole(file) as part:
        tensor_file.write(part, arrays, {KEY: text, "sha256": _digest(text.encode())})


def read(file: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays, as mappings of the file, and the values. Raises CheckpointError, in one line, if it is damaged."""
    with damage(file):
        texts = tensor_file.metadata(file)
        text = texts[KEY]
        if _digest(text.encode()) != texts["sha256"]:
            raise ValueError("its checksum differs")
        values: dict[str, Any] = json.loads(text)
        if values["format"] != FORMAT:
            raise CheckpointError(f"{file} has format {values['format']}, this edgerl reads {FORMAT}")
        arrays = tensor_file.read(file)
        if {name: _digest(array) for name, array in arrays.items()} != values["sha256"]:
            raise ValueError("its checksum differs")
        return arrays, values


@contextmanager
def damage(file: Path) -> Iterator[None]:
    """Whatever reading a file raises becomes a CheckpointError of one line; that it is not there stays an OSError."""
    try:
        yield
    except (CheckpointError, OSError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"{file} is damaged, or no replay buffer: {reason}") from error


def _digest(content: bytes | Array) -> str:
    array = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()
