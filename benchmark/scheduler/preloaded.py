"""What a worker needs before its first cell, imported once by the server that all workers are forked from.

Importing torch and what stands on it takes seconds; so a worker that replaces a dead one, or the eighth beside seven,
starts at once. Nothing here runs torch: a forked process must not inherit its threads.
"""

from benchmark.torch_setup import prepare_for_torch

prepare_for_torch()

import benchmark.runner.runner  # noqa: E402, F401 - after the allocator was told
