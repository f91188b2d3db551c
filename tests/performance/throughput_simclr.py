"""SimCLR's training and its loader alone, in the usual public PyTorch form and in ours, as `throughput.py` measures them.

The plain form: files decoded anew, torchvision's transforms in worker processes, an NCHW fp32 net. Ours: a decoded cache,
albumentations in threads, channels last, fp32 or bf16. Both take the loss, the projector and the optimizer from here. What is
counted as an image is a view.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import timm
import torch
from PIL import Image
from throughput_clock import Clock, best_workers, wait_for_go
from throughput_sides import SIDES
from torch import nn
from torchvision import transforms

from benchmark.data.cache import Cache, open_cache
from benchmark.data.decoding import ImageFiles, StoredSize
from benchmark.data.rendering import PixelSource
from benchmark.data.views import PairSplit
from benchmark.models.normalization import Normalization
from benchmark.models.projection import Projector
from benchmark.recipe import Recipe
from benchmark.training.contrastive import nt_xent
from benchmark.training.optimizers import optimizer_of

if TYPE_CHECKING:
    from throughput import Plan

STORED = StoredSize(shape="short_side", size=512)
PASS = 4  # batches in a pass over the files, at least: they are listed repeatedly


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


def measure_simclr(plan: "Plan") -> dict[str, Any]:
    """Returns the measurement of one side; of the plain form without a number of workers, views per second by number."""
    torch.set_num_threads(plan.threads)
    device = torch.device(plan.device)
    step = _training_step(plan, device) if plan.phase == "simclr" else lambda _: None

    def measured(workers: int, warm_up: int, images: int, gate: Callable[[], None]) -> dict[str, float]:
        clock = Clock(warm_up=warm_up, images=images, device=device, gate=gate)
        batches = _plain_batches(plan, workers, device) if plan.side == "theirs" else _our_batches(plan, device)
        for views in clock.over(batches):
            step(views)
        return clock.told()

    if plan.side == "theirs" and plan.workers is None:
        return {"tried": best_workers(plan, measured)}
    return measured(plan.workers or 0, plan.warm_up, plan.images, wait_for_go)


def open_simclr_cache(plan: "Plan") -> Cache:
    """Returns the decoded cache of the phase's images; builds it where it does not exist."""
    files = _files(plan)
    listed = ImageFiles(root=Path("/"), images=[str(file) for file in files], data_digest="0" * 16, phantom=True)
    home = Path(plan.work) / "home" / "pixels"
    return open_cache(listed, STORED, home, name="simclr", progress=lambda _done, _total: None, threads=plan.threads)


def _files(plan: "Plan") -> list[Path]:
    return [Path(path) for path, _ in json.loads((Path(plan.work) / f"{plan.task}.json").read_text())["train"]]


def _copies(plan: "Plan", num_files: int) -> int:
    return math.ceil(PASS * (plan.batch // 2) / num_files)


def _plain_batches(plan: "Plan", workers: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Yields the plain form's batches on the device, views x 3 x size x size in 0..1, without end."""
    files = _files(plan)
    loader = torch.utils.data.DataLoader(
        PlainPairs(files * _copies(plan, len(files)), plan.size),
        batch_size=plan.batch // 2,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )
    for _ in itertools.count():
        for one, other in loader:
            yield torch.cat([one, other]).to(device, non_blocking=True)


def _our_batches(plan: "Plan", device: torch.device) -> Iterator[torch.Tensor]:
    """Yields our batches on the device, views x 3 x size x size in uint8, without end."""
    cache = open_simclr_cache(plan)
    rows = np.arange(len(_files(plan)))
    pairs = PairSplit(
        source=PixelSource(cache=cache, positions=rows, targets=np.zeros((len(rows), 0), np.float32)),
        bags=list(np.tile(rows, _copies(plan, len(rows)))[:, None]),
        views="photographs",
        image_size=plan.size,
        seed=0,
        device=device,
        threads=plan.threads,
    )
    for epoch in itertools.count(1):
        for batch in pairs.epoch(epoch, plan.batch // 2):
            yield batch.images


def _training_step(plan: "Plan", device: torch.device) -> Callable[[torch.Tensor], None]:
    """Returns a function that takes one optimizer step."""
    is_plain = plan.side == "theirs"
    encoder = timm.create_model("resnet50", pretrained=False, num_classes=0)
    intake = nn.Identity() if is_plain else Normalization((0.0,) * 3, (1.0,) * 3)
    model = Projector(encoder, intake, seed=0).to(device).train()  # type: ignore[arg-type]
    if not is_plain:
        model = model.to(memory_format=torch.channels_last)
    optimizer = optimizer_of(model, Recipe(optimizer="lars", learning_rate=0.3, weight_decay=1e-6))
    half = not is_plain and SIDES[plan.side]["precision"] == "bf16"

    def step(views: torch.Tensor) -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            projections = model(views)
        loss = nt_xent(projections, 0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step
