"""One official layout a file, and three that a task sheet describes."""
