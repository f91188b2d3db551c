"""Views per second of SimCLR here and in its usual public PyTorch form, side by side, in rounds of A B A B …

The plain form: files decoded anew, torchvision's transforms in worker processes, an NCHW fp32 net. Ours: a decoded cache,
albumentations in threads, channels last, fp32 or bf16. Each is timed as a loader alone and as a training, after a warm-up.
Images are made up, 512 pixels, in JPEG; nothing here is a test: times are printed, never asserted.
"""
# ruff: noqa: E402 - the allocator is told before torch is imported

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmark.torch_setup import prepare_for_torch

prepare_for_torch()

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from benchmark.data.cache import open_cache
from benchmark.data.decoding import ImageFiles, StoredSize
from benchmark.data.rendering import PixelSource
from benchmark.data.views import PairSplit
from benchmark.models.normalization import Normalization
from benchmark.models.projection import Projector
from benchmark.recipe import Recipe
from benchmark.training.contrastive import nt_xent
from benchmark.training.optimizers import optimizer_of

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PlainPairs(torch.utils.data.Dataset):
    """Two views of each file by torchvision, as public code has them."""

    def __init__(self, files: list[Path], size: int) -> None:
        self.files = files
        kernel = size // 10 // 2 * 2 + 1
        jitter = transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)
        blur = transforms.GaussianBlur(kernel, (0.1, 2.0))
        self.views = transforms.Compose([
            transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(),
            transforms.RandomApply([jitter], p=0.8), transforms.RandomGrayscale(p=0.2),
            transforms.RandomApply([blur], p=0.5), transforms.ToTensor(),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = Image.open(self.files[row]).convert("RGB")
        return self.views(image), self.views(image)


def plain_batches(files: list[Path], told: argparse.Namespace, device: torch.device) -> Iterator[torch.Tensor]:
    """Yields the plain form's batches on the device, 2B x 3 x size x size, without end."""
    loader = torch.utils.data.DataLoader(
        PlainPairs(files, told.size),
        batch_size=told.batch,
        shuffle=True,
        drop_last=True,
        num_workers=CORES,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )
    for _ in itertools.count():
        for one, other in loader:
            yield torch.cat([one, other]).to(device, non_blocking=True)


def our_batches(files: list[Path], told: argparse.Namespace, device: torch.device) -> Iterator[torch.Tensor]:
    """Yields our batches on the device, uint8, without end."""
    folder = files[0].parent
    listed = ImageFiles(root=folder, images=[file.name for file in files], data_digest="0" * 16, phantom=True)
    size = StoredSize(shape="short_side", size=512)
    cache = open_cache(listed, size, folder / "cache", name="simclr", progress=lambda _done, _total: None)
    rows = np.arange(len(files))
    source = PixelSource(cache=cache, positions=rows, targets=np.zeros((len(files), 0), np.float32))
    pairs = PairSplit(
        source=source,
        bags=list(rows[:, None]),
        views="photographs",
        image_size=told.size,
        seed=0,
        device=device,
        threads=CORES,
    )
    for epoch in itertools.count(1):
        for batch in pairs.epoch(epoch, told.batch):
            yield batch.images


def training_step(told: argparse.Namespace, device: torch.device, side: str) -> Callable[[torch.Tensor], Any]:
    """Returns a function that takes one optimizer step."""
    encoder = timm.create_model(told.architecture, pretrained=False, num_classes=0)
    intake = nn.Identity() if side == "plain" else Normalization((0.0,) * 3, (1.0,) * 3)
    model = Projector(encoder, intake, seed=0).to(device).train()  # type: ignore[arg-type]
    if side != "plain":
        model = model.to(memory_format=torch.channels_last)
    optimizer = optimizer_of(model, Recipe(optimizer="lars", learning_rate=0.3, weight_decay=1e-6))

    def step(images: torch.Tensor) -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=side == "bf16"):
            projections = model(images)
        loss = nt_xent(projections, 0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def measure(
    batches: Iterator[torch.Tensor], step: Callable[[torch.Tensor], Any], told: argparse.Namespace, device: torch.device
) -> tuple[float, float]:
    """Returns views per second, and the share of the time that was spent waiting for batches."""
    for _ in range(told.warm_up):
        step(next(batches))
    if device.type == "cuda":
        torch.cuda.synchronize()
    started, waited = time.perf_counter(), 0.0
    for _ in range(told.steps):
        asked = time.perf_counter()
        images = next(batches)
        waited += time.perf_counter() - asked
        step(images)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    return 2 * told.batch * told.steps / seconds, waited / seconds


def main() -> None:
    """Measures each side in turn and prints medians of the rounds' ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=512 if torch.cuda.is_available() else 16)
    parser.add_argument("--steps", type=int, default=20 if torch.cuda.is_available() else 4, help="timed in each round")
    parser.add_argument("--warm-up", type=int, default=5 if torch.cuda.is_available() else 1)
    parser.add_argument("--images", type=int, default=0, help="files to draw from (default: four batches)")
    parser.add_argument("--rounds", type=int, default=3)
    told = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sides = ("plain", "fp32", "bf16") if device.type == "cuda" else ("plain", "fp32")
    measured: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        files = [Path(folder) / f"{number:05d}.jpg" for number in range(told.images or 4 * told.batch)]
        for file in files:
            coarse = Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8))
            coarse.resize((512, 512), Image.Resampling.BICUBIC).save(file, quality=90)
        for _, side in itertools.product(range(told.rounds), sides):
            for what in ("loader", "training") if side != "bf16" else ("training",):
                step = training_step(told, device, side) if what == "training" else lambda _: None
                batches = (plain_batches if side == "plain" else our_batches)(files, told, device)
                measured.setdefault((what, side), []).append(measure(batches, step, told, device))
                del batches
    for (what, side), rates in measured.items():
        ratios = [rate / plain for (rate, _), (plain, _) in zip(rates, measured[what, "plain"], strict=True)]
        views, waited = (statistics.median(values) for values in zip(*rates, strict=True))
        print(f"{what:8} {side:5} {views:10,.1f} views/s  x {statistics.median(ratios):.2f}  waiting {waited:6.1%}")


if __name__ == "__main__":
    main()
