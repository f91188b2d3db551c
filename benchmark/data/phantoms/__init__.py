"""Synthetic images in the official layouts of data sets."""
