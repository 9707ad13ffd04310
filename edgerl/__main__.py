"""`python -m edgerl`: the `edgerl` program."""

from edgerl.commands.app import main

if __name__ == "__main__":
    main()
