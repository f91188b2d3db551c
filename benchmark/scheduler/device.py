"""The device that a user names: whether it is there, before anything is trained."""

import re

from benchmark.errors import BenchmarkError
from benchmark.torch_setup import prepare_for_torch


def check_device(name: str) -> None:
    """Raises BenchmarkError where `name` is no device that is known (auto, cpu, cuda, cuda:N), or one that this machine lacks.

    Torch is imported only where a GPU is named.
    """
    if name in ("auto", "cpu"):
        return
    named = re.fullmatch(r"cuda(?::(\d+))?", name)
    if not named:
        raise BenchmarkError(f"--device {name}: wanted auto, cpu, cuda or cuda:N")
    prepare_for_torch()
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise BenchmarkError(
            f"--device {name}: torch finds no CUDA GPU here: wanted --device cpu, or a machine with one"
        )
    if named[1] and int(named[1]) >= count:
        raise BenchmarkError(
            f"--device {name}: {count} GPUs are here, counted from 0: wanted cuda:0 to cuda:{count - 1}"
        )
