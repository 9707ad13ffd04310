"""Layers that know their own backward pass, over arrays of NumPy or torch alike; what heads are composed of."""
