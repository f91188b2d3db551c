"""Random draws inside torch's modules (first weights, dropout) from a named stream."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

CPU = torch.device("cpu")


@contextmanager
def seeded(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Starts torch's generators (of the CPU and of `device`) from `seed`; afterwards they are as they were before.

    Modules draw from those generators and take no others, so this is the one way to give them a random stream.
    """
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
