"""`edgerl`, and `python -m edgerl`: the program, which Ctrl-C ends in one line even while it is being loaded."""

import sys

INTERRUPTED = 130  # as edgerl.runs.status has it, which is not loaded yet


def main() -> None:
    """Load the program and run it."""
    try:
        from edgerl.commands.app import main as program
    except KeyboardInterrupt:
        print("edgerl: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    program()


if __name__ == "__main__":
    main()
