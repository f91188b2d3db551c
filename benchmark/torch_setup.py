"""What must be settled before torch is imported: memory that the C library keeps, threads that sleep while they wait.

Each training step on a CPU frees and takes again gigabytes of activations; glibc gives such blocks back to the system,
which then clears them page by page (0.8 to 1.6 million faults a step for ResNet-50 at batch 32). Kept pages make
training there 1.5 to 1.7 times faster and cost about 1 GB. `tests/throughput.py` measures it.
"""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # glibc's malloc.h
_LARGEST = 2**31 - 1


def prepare_for_torch() -> None:
    """Settles both, for this process and those that it starts. To be called before torch is imported.

    Threads that wait for each other give their core away: a cell computes with the same number of threads on any machine
    (`cell.THREADS`), so there may be more of them than cores, and where they spin instead several cells side by side
    become up to five times slower. A user's own OMP_WAIT_POLICY stands.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_pages()


def keep_pages() -> bool:
    """Returns whether the C library took the settings (glibc alone knows them)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _LARGEST))
