"""A run's folder: the files in it, how they are written whole, and what they say."""
