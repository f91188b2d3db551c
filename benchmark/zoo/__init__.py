"""Pretrained weights: which there are (catalog), getting them (fetch), reading them (unpack, naming, backbone)."""
