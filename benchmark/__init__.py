"""Which pretrained weights transfer best to a medical imaging task, by how much, how surely, how fast."""

__version__ = "0.1.0"
