"""What a device can do at best, and what an image asks of it: the scale on which `throughput.py` sets its rates."""

import math
import platform
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from plain_pipeline import classifier, unet
from torch.utils.flop_counter import FlopCounterMode

# images x channels in and out x kernel x side: where convolutions ran fastest on the machines seen
PEAK_SHAPES = ((32, 256, 3, 28), (32, 1024, 1, 28))


def flops_per_image(phase: str, size: int) -> float:
    """Floating-point operations of one image, a multiply-add counted as two: forward, and backward where it trains. Those of
    SimCLR's projector are left out.
    """
    if phase == "simclr-loader":
        return 0.0
    with torch.device("meta"):
        model = unet() if phase.startswith("unet") else classifier(14)
        images = torch.empty(2, 3, size, size)
    trains = phase not in ("validation", "test", "linear", "linear-rates")
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(trains):
        outputs = model(images)
        if trains:
            outputs.sum().backward()
    return counter.get_total_flops() / 2 * (10 if phase == "test" else 1)


def convolution_peak(device_name: str, threads: int, repeats: int, *, bf16: bool) -> dict[str, Any]:
    """TFLOP/s of the best of some large convolutions, channels last; and what the device is (`auto`: a GPU, if any)."""
    torch.set_num_threads(threads)
    if device_name == "auto":
        device_name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(device_name)
    peaks = {}
    for precision, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
        if precision == "fp32" or bf16 or has_bf16(device):
            once = partial(_convolution_seconds, device=device, dtype=dtype, repeats=repeats)
            peaks[precision] = max(
                2 * num * side**2 * channels**2 * kernel**2 / once(num, channels, kernel, side) / 1e12
                for num, channels, kernel, side in PEAK_SHAPES
            )
    return {
        "peaks": peaks,
        "has_bf16": has_bf16(device),
        "device_type": device.type,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        "threads": threads,
        "torch": torch.__version__,
    }


def _convolution_seconds(
    num: int, channels: int, kernel: int, side: int, *, device: torch.device, dtype: torch.dtype, repeats: int
) -> float:
    times = 50 if device.type == "cuda" else 1  # a GPU is timed over a queue of them
    convolution = torch.nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
    convolution = convolution.to(device, dtype, memory_format=torch.channels_last)
    images = torch.randn(num, channels, side, side).to(device, dtype, memory_format=torch.channels_last)
    best = math.inf
    with torch.inference_mode():
        for _ in range(repeats + 1):
            started = time.perf_counter()
            for _ in range(times):
                convolution(images)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = min(best, (time.perf_counter() - started) / times)
    return best


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16, rather than emulates it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask() for ask in asked if ask is not None)


def _cpu_name() -> str:
    told = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next(
        (line.partition(":")[2].strip() for line in told if line.startswith("model name")), platform.processor()
    )
