"""From an official folder to batches: readers -> index -> splits -> cache -> transforms -> parts."""
