"""Corruption: which tokens of a row are hidden, masked or replaced. Numpy functions that objectives combine."""
