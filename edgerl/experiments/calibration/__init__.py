"""Measuring this machine, at the program's own shapes."""
