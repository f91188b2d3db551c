"""Clusters that start workers: each worker is the same `benchmark run` on a results folder that all machines see."""
