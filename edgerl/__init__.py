"""edgerl: train pixel-based reinforcement-learning agents inside a byte budget."""

__version__ = "0.1.0"
