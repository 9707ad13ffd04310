"""Encoders as torch modules, and their optimizer: the room that is to hold all of torch."""
