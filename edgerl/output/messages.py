"""Lines for the user: warnings on stderr, numbers for reading, and streams that take any text."""

import contextlib
import io
import math
import os
import sys
from collections.abc import Iterator

LONGEST_LINE = 4000  # characters of a warning
SMALLEST, LARGEST = 1e-4, 1e15  # numbers beyond these are written with an exponent


def warn(message: str) -> None:
    """Print one line on stderr, even with --quiet; a stderr that is closed or refuses it does not end the run.

    What would end the line, or move a terminal's cursor, is written as an escape; what is very long is cut.
    """
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"edgerl: {one_line(message)}", file=sys.stderr)


def one_line(text: str) -> str:
    """A text on one line of LONGEST_LINE characters at most, with escapes for what cannot be printed."""
    return printable(text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}...")


def printable(text: str) -> str:
    """A text with escapes for what cannot be printed, such as the end of a line."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def figure(value: float) -> str:
    """A number for people: as many digits as its size asks for, thousands separated, and no negative zero."""
    size = abs(value)
    if not math.isfinite(value) or (size and not SMALLEST <= size < LARGEST):
        return f"{value:.3g}"
    whole_digits = 1 + math.floor(math.log10(size)) if size else 1
    text = f"{value:,.{max(0, 3 - whole_digits)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def keep_streams_usable() -> None:
    """Have stdout and stderr write escapes for what their encoding lacks, and stay open when they are closed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            vars(stream)["close"] = stream.flush


@contextlib.contextmanager
def stdout_left_to_us() -> Iterator[None]:
    """Within, what anything prints on stdout goes to stderr: an environment, or a library in C."""
    if sys.stdout is None or sys.stderr is None:
        yield
        return
    sys.stdout.flush()
    try:
        ours = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    except (OSError, ValueError):  # one of them is no file
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(ours, sys.stdout.fileno())
        os.close(ours)


def discard_output() -> None:
    """Have stdout lead nowhere: its reader is gone, and what is left in it cannot be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
