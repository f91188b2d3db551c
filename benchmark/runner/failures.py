"""Whose fault a failure is: the cell's own becomes its record; the machine's leaves the cell pending, to be continued."""

import errno

import torch

from benchmark.errors import BenchmarkError
from benchmark.files import TemporaryError, temporary_error_of

# behind a BenchmarkError about a file, these say that the machine could not read it, not what is in it
_MACHINE_FAULTS = {
    getattr(errno, name)
    for name in (
        "EIO",
        "EROFS",
        "EACCES",
        "EPERM",
        "ENOMEM",
        "EMFILE",
        "ENFILE",
        "ESTALE",
        "ENODEV",
        "ENXIO",
        "ETIMEDOUT",
    )
    if hasattr(errno, name)
}
_DEVICE_FAULTS = ("CUDA error", "No CUDA GPUs are available", "no NVIDIA driver", "not compiled with CUDA")


class DeviceLost(TemporaryError):
    """The accelerator failed, or is not there: this process cannot use it any more, a new one may."""


def temporary(error: Exception) -> TemporaryError | None:
    """Returns the machine's fault that is behind an exception (disk, memory, device); None where the cell itself failed."""
    if isinstance(error, TemporaryError):
        return error
    if isinstance(error, OSError):
        return temporary_error_of(error)
    cause = error.__cause__
    if isinstance(error, BenchmarkError) and isinstance(cause, OSError) and cause.errno in _MACHINE_FAULTS:
        return TemporaryError(str(error))
    reason = str(error).split("\n")[0]
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in reason:
        return TemporaryError(f"out of memory: fewer --workers, or a machine with more, would do ({reason})")
    if isinstance(error, RuntimeError | AssertionError) and any(words in reason for words in _DEVICE_FAULTS):
        return DeviceLost(f"the device failed: {reason}")
    return None
