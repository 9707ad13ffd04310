"""What benchmarks/runner_scores.py starts in a venv of its own: screens in, actions of a policy out, through pipes."""

import sys
from typing import IO, Any

import numpy as np


def send(stream: IO[bytes], array: Any) -> None:
    """Write an array: its dtype and shape in a line, and its bytes."""
    stream.write(f"{array.dtype} {' '.join(map(str, array.shape))}\n".encode() + array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read what `send` has written; None at the end of the stream."""
    if not (line := stream.readline()):
        return None
    dtype, *shape = line.decode().split()
    sides = [int(side) for side in shape]
    content = stream.read(int(np.prod(sides, dtype=int)) * np.dtype(dtype).itemsize)
    return np.frombuffer(content, dtype).reshape(sides)


def main() -> None:
    """Act until the screens end: for each, whether an episode begins, the screen, and the one before it."""
    from edgerl_run import Player

    player = Player(sys.argv[1])
    while (is_first := receive(sys.stdin.buffer)) is not None:
        frame, before = receive(sys.stdin.buffer), receive(sys.stdin.buffer)
        if is_first:
            player.reset()
        send(sys.stdout.buffer, np.asarray(player.act(frame, before if before.size else None)))


if __name__ == "__main__":
    main()
