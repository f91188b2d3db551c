"""From an official folder to batches: readers -> index -> splits -> cache -> transforms -> parts."""

PHANTOM_MARK = "phantom, not a real image"  # what each file of a phantom carries inside
