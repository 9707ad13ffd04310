"""Encoders as torch modules, and their optimizer. All of torch is to be in this package."""
