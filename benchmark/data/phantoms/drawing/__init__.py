"""Synthetic images: what each kind of phantom shows."""
