"""A run's folder: its files, how they are written atomically, and how they are read."""
