"""What a record says of the machine that trained: packages, devices, memory."""

import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from benchmark import __version__

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "albumentations",
    "scikit-learn",
    "numpy",
    "pillow",
    "opencv-python-headless",
)


def environment_of(device: torch.device) -> dict[str, str]:
    """Returns versions and hardware, without names or paths of the machine."""
    on_gpu = device.type == "cuda"
    return {
        "benchmark": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "device": torch.cuda.get_device_name(device) if on_gpu else "CPU",
        "cpu": _cpu_name(),
        "threads": str(torch.get_num_threads()),
        "system": platform.system(),
    }


def reset_peak_memory(device: torch.device) -> None:
    """Begins to measure anew, where that can be done."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> float:
    """Returns the peak in GB: of the device on a GPU, of this process since its start on a CPU."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e9, 3)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 3)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
