"""Agents: what they learn with, behind one protocol (`agent.py`), made by `build.py`."""
