"""Environments: what one is, the suites by name, and what lets a run go on where an episode stood."""
