"""Measures this machine, at the shapes that the program has."""
