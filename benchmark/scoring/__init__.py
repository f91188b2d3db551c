"""Computes scores from predictions: metrics, how a task is scored, intervals over test sets."""
