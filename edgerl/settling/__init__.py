"""How settled a stem is: `edgerl analyze` says it of a run afterwards, `--freeze-at auto` asks it on the way."""
