"""Predictions -> scores: metrics, how a task is scored, intervals over test sets."""
