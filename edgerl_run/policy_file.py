"""The file of a policy: opened by ONNX Runtime, and held against what it says of itself."""

import json
import os
from typing import Any

import numpy as np

# ONNX Runtime would report to its maker what it runs, from 1.29 on, and decides as it is imported.
_set_by_user = "ORT_DISABLE_TELEMETRY" in os.environ
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime  # noqa: E402

if not _set_by_user:
    del os.environ["ORT_DISABLE_TELEMETRY"]

ENTRY, FORMAT = "edgerl", 1  # in a policy's metadata
MOST_THREADS = 1024
Path = str | os.PathLike[str]


class PolicyError(ValueError):
    """A file that this runner cannot play; the message is one line that names the file."""


def opened(path: Path, threads: int) -> Any:
    """An ONNX Runtime session without an arena, whose idle threads sleep: memory and cores are left to others."""
    if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
        raise PolicyError(f"threads = {threads!r} is no whole number from 1 to {MOST_THREADS}")
    if not isinstance(path, str | os.PathLike):
        raise PolicyError(f"a policy is the path of a file, not {path!r}")
    if not os.path.isfile(path):
        raise PolicyError(f"{path} is no file" if os.path.exists(path) else f"{path}: there is no such file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # what fails is raised, and told in one line
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # A fallback would try again, and say so on stdout.
        return onnxruntime.InferenceSession(
            _readable(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors have no class in common
        raise PolicyError(f"{path} is no ONNX file that runs here: {one_line(error)}") from None


def _readable(path: Path) -> str | bytes:
    """A file as ONNX Runtime opens it: by its path, or by its bytes if the path is no UTF-8."""
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        with open(path, "rb") as file:
            return file.read()
    return os.fsdecode(path)


def entry(path: Path, session: Any) -> dict[str, Any]:
    """What `edgerl export` wrote into the metadata of a policy."""
    try:
        metadata = session.get_modelmeta().custom_metadata_map
    except ValueError as error:  # text that is no UTF-8
        raise PolicyError(f"{path} is no policy of `edgerl export`: its metadata cannot be read: {error}") from None
    if ENTRY not in metadata:
        has = f"only {', '.join(sorted(metadata))}" if metadata else "and no other"
        raise PolicyError(f"{path} is no policy of `edgerl export`: its metadata has no entry {ENTRY!r}, {has}")
    try:
        about = dict(json.loads(metadata[ENTRY]))
    except (TypeError, ValueError, RecursionError):
        raise PolicyError(f"{path}: the entry {ENTRY!r} of its metadata is no JSON object") from None
    if about.get("format") != FORMAT:
        raise PolicyError(f"{path} is a policy of format {about.get('format')!r}; this runner reads format {FORMAT}")
    return about


def check_window(path: Path, session: Any, window: tuple[int, ...]) -> None:
    """Raise PolicyError unless the graph takes uint8 `windows` [B, *window] and nothing else."""
    taken = [(graph_input.name, graph_input.type, list(graph_input.shape[1:])) for graph_input in session.get_inputs()]
    if taken != [("windows", "tensor(uint8)", list(window))]:
        raise PolicyError(f"{path}: its graph does not take the windows that its metadata describes, {list(window)}")


def check_action(path: Path, about: dict[str, Any], action: Any) -> None:
    """Raise PolicyError unless the graph gives an action and the metadata says of which kind it is.

    `action`: what the graph gave, a whole number or float32 [A]; None if nothing.
    """
    said = about.get("action")
    is_action = action is not None and (action.dtype, action.ndim) in ((np.int64, 0), (np.float32, 1))
    if not is_action or not isinstance(said, dict) or not _is_described(said):
        raise PolicyError(f"{path}: its graph gives no action, or its metadata does not say of which kind it is")


def _is_described(action: dict[str, Any]) -> bool:
    meanings = action.get("meanings") or []
    are_words = isinstance(meanings, list) and all(isinstance(word, str) for word in meanings)
    number = {"discrete": "count", "continuous": "size"}.get(str(action.get("kind")), "")
    return are_words and type(action.get(number)) is int


def check_environment(path: Path, about: dict[str, Any]) -> None:
    """Raise PolicyError unless what the metadata says of the environment can be played; older files say less."""
    said = about.get("environment")
    said = {} if said is None else said
    if not isinstance(said, dict):
        raise PolicyError(f"{path}: its metadata says of the environment {said!r}, which is no table")
    for name in ("frame_skip", "most_steps"):
        number = said.get(name)
        if number is not None and (type(number) is not int or not 1 <= number < 2**31):
            raise PolicyError(f"{path}: its metadata says {name} = {number!r}, which is no number of steps")
    shown = said.get("observation")
    key = shown.get("key") if isinstance(shown, dict) else None
    if shown not in (None, "render") and not (isinstance(shown, dict) and (key is None or isinstance(key, str))):
        raise PolicyError(f"{path}: its metadata says observation = {shown!r}, which names no picture")


def one_line(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())
