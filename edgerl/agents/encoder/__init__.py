"""Encoders: a stack of convolutions in NumPy, and the layers behind any engine's convolutions."""
