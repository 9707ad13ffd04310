"""How settled a stem is: what `edgerl analyze` says of a run afterwards, and what `--freeze-at auto` asks on the way."""
