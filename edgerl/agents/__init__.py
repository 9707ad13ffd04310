"""Agents: networks and updates behind one protocol (`agent.py`), made by `build.py`."""
