"""Sweeps: many runs of `edgerl train` as one grid of environments, variants and seeds."""
