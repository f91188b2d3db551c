"""The two pipelines that `throughput.py` measures, each in a process of its own, and what they are fed with.

Importing this imports torch: for our sides `keep_pages` must have been called before.
"""

import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from plain_pipeline import Pipeline
from throughput_clock import Clock, best_workers, wait_for_go
from throughput_machine import flops_per_image

if TYPE_CHECKING:
    from throughput import Plan

    from benchmark.data.datasets import ImageSplit, Splits
    from benchmark.data.index import Index
    from benchmark.recipe import Recipe
    from benchmark.tasks.spec import TaskSpec

CHECKOUT = Path(__file__).parent.parent.parent
SIDES: dict[str, dict[str, Any]] = {
    "exact": {"pixels": "exact", "train_resolution": "native", "precision": "fp32"},
    "fast": {"pixels": "fast", "train_resolution": 512, "precision": "fp32"},
    "fast-bf16": {"pixels": "fast", "train_resolution": 512, "precision": "bf16"},
}


class ClockedPart:
    """A part of a task whose batches are clocked; it has the examples that were served."""

    def __init__(self, part: "ImageSplit", clock: Clock) -> None:
        self.part, self.clock, self.groups = part, clock, {}

    def __len__(self) -> int:
        return len(self.part)

    @property
    def ids(self) -> Any:
        return self.part.ids[: self.clock.served]

    @property
    def present(self) -> dict[str, Any]:
        return {name: values[: self.clock.served] for name, values in self.part.present.items()}

    def batches(self, size: int) -> Iterator[Any]:
        return self.clock.over(self.part.batches(size))

    def epoch(self, number: int, size: int, first: int = 0) -> Iterator[Any]:
        return self.clock.over(self.part.epoch(number, size, first))


def measure_theirs(plan: "Plan") -> dict[str, Any]:
    """The plain pipeline, with the number of workers that the plan says; or, with None, images per second of each number
    of workers that might be its best.
    """
    torch.set_num_threads(plan.threads)
    device = torch.device(plan.device)
    listed = json.loads((Path(plan.work) / f"{plan.task}.json").read_text())
    phase = "validation" if plan.phase.startswith("linear") else plan.phase  # a frozen encoder: forward alone
    pipeline = Pipeline(phase, listed[_part_name(plan.phase)], plan.size, device)

    def measured(workers: int, warm_up: int, images: int, gate: Callable[[], None]) -> dict[str, float]:
        clock = Clock(warm_up=warm_up, images=images, device=device, gate=gate)
        ahead = plan.step * (2 * workers + 1)  # what its workers render beyond the last timed batch
        loader = pipeline.loader(num=plan.step * warm_up + images + ahead, batch=plan.step, workers=workers)
        pipeline.run(clock.over(loader, count=lambda batch: len(batch[1])))
        return clock.told()

    if plan.workers is not None:
        return measured(plan.workers, plan.warm_up, plan.images, wait_for_go)
    return {"tried": best_workers(plan, measured)}


def measure_ours(plan: "Plan") -> dict[str, Any]:
    """The real thing, from index to predictions: `finetune`, in which only the phase's part is more than two images."""
    from benchmark.tasks.spec import ScoringRules
    from benchmark.training.finetune import finetune
    from benchmark.training.interface import TrainingInput
    from benchmark.zoo import forms

    torch.set_num_threads(plan.threads)
    device = torch.device(plan.device)
    task, recipe, index = _asked(plan)
    # as a worker of `benchmark run` has it
    parts = _parts(plan, task, recipe, index, device, threads=min(8, plan.threads) if device.type == "cuda" else 1)
    clock = Clock(warm_up=plan.warm_up, images=plan.images, device=device, gate=wait_for_go)
    form: forms.Form = "pyramid" if task.kind == "segmentation" else "pooled"
    statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    few = {
        name: replace(part, ids=part.ids[:2], groups={}, present={mask: has[:2] for mask, has in part.present.items()})
        for name, part in (("train", parts.train), ("validation", parts.validation), ("test", parts.test))
    }
    # validation and test parts are rendered alike; the phantoms' test part is the larger one
    clocked = ClockedPart(getattr(parts, _part_name(plan.phase)), clock)
    phase = plan.phase if plan.phase in few else "train"
    with tempfile.TemporaryDirectory(dir=plan.work) as scratch:
        question = TrainingInput(
            kind=task.kind,
            encoders=((forms.build_encoder("resnet50", form, seed=0), statistics),),
            **{**few, phase: clocked},
            columns=parts.columns,
            judging=ScoringRules(),
            recipe=recipe,
            seed=0,
            scratch=Path(scratch),
            device=device,
            micro_batch=recipe.batch_size,
            watch=lambda _: None,
        )
        finetune(question)
    return clock.told()


def _part_name(phase: str) -> str:
    return "test" if phase in ("validation", "test") or phase.startswith("linear") else "train"


def _asked(plan: "Plan") -> "tuple[TaskSpec, Recipe, Index]":
    """The task, the side's recipe, and the phantoms' index, its rows repeated until the phase has enough of them."""
    import pandas as pd

    from benchmark.data import splitting as splits
    from benchmark.data.registry import read_index
    from benchmark.recipe import Recipe
    from benchmark.tasks.registry import read_task

    task = read_task(CHECKOUT / "tasks" / f"{plan.task}.yaml")
    asked = SIDES[plan.side] | {"image_size": plan.size, "batch_size": plan.batch, "max_epochs": 1}
    asked["test_crops"] = 10 if plan.phase == "test" else 1
    if _part_name(plan.phase) == "test":
        asked["augmentation"] = "none"  # spares the cache of training pixels, which no evaluation reads
    index = read_index(task, Path(plan.work) / "phantoms")
    wanted = plan.batch * (plan.warm_up + 11) + plan.images  # eight threads render ahead
    copies = math.ceil(wanted / int((splits.assign_splits(index, task.split) == _part_name(plan.phase)).sum()))
    tables = [index.table.assign(id=index.table["id"] + f"-{copy}") for copy in range(copies)]
    return task, Recipe.complete(task.recipe, asked), replace(index, table=pd.concat(tables, ignore_index=True))


def _parts(
    plan: "Plan", task: "TaskSpec", recipe: "Recipe", index: "Index", device: torch.device, threads: int
) -> "Splits":
    from benchmark.data.datasets import open_splits
    from benchmark.workspace import Workspace

    work = Path(plan.work)
    return open_splits(
        index=index,
        task=task,
        recipe=recipe,
        seed=0,
        workspace=Workspace(project=CHECKOUT, results=work / "results", home=work / "home", data=work / "phantoms"),
        device=device,
        threads=threads,
        progress=lambda _done, _total: None,
    )


def prepare(plans: "list[Plan]", num: int, side: int) -> dict[str, Any]:
    """Phantoms in the official layouts (`num` of `side` pixels), the plain pipeline's lists and masks, our caches (always
    made anew: what they cost is told), and the operations that an image takes.
    """
    from benchmark.data.phantoms.folder import PhantomSpec
    from benchmark.data.registry import write_phantom
    from benchmark.tasks.registry import read_task

    work = Path(plans[0].work)
    shutil.rmtree(work / "home", ignore_errors=True)
    for name in sorted({plan.task for plan in plans}):
        task = read_task(CHECKOUT / "tasks" / f"{name}.yaml")
        write_phantom(task, work / "phantoms", PhantomSpec(num=num, size=side), renew=True)
        _write_lists(task, work)
    return {
        "caches": [built for plan in plans if plan.side in SIDES for built in _build_caches(plan)],
        "flops": {plan.phase: flops_per_image(plan.phase, plan.size) for plan in plans},
    }


def _write_lists(task: "TaskSpec", work: Path) -> None:
    """Which images the plain pipeline reads: (path, labels) or (path, path of the mask as PNG), by part."""
    import cv2

    from benchmark.data import splitting as splits
    from benchmark.data.image_files import read_image, read_mask
    from benchmark.data.registry import read_index

    index = read_index(task, work / "phantoms")
    table, parts = index.table, splits.assign_splits(index, task.split)
    paths = [str(index.root / image) for image in table["image"]]
    if task.kind == "segmentation":
        masks = work / "masks"
        masks.mkdir(exist_ok=True)
        known: list[Any] = [str(masks / f"{name}.png") for name in table["id"]]
        for path, place, mask in zip(paths, known, table["mask"], strict=True):
            shape = read_image(Path(path))[0].shape[:2]
            cv2.imwrite(place, read_mask(mask, index.root, shape).astype(np.uint8) * 255)
    else:
        known = table[list(task.labels)].to_numpy(dtype=float).tolist()
    listed = {
        name: [pair for pair, part in zip(zip(paths, known, strict=True), parts, strict=True) if part == name]
        for name in ("train", "test")
    }
    (work / f"{task.name}.json").write_text(json.dumps(listed))


def _build_caches(plan: "Plan") -> list[dict[str, Any]]:
    """Build the caches of a measurement that are not there, and tell what they took together."""
    import benchmark.data.datasets  # noqa: F401 - the seconds of its import are not the caches'
    from benchmark.data.cache import StoredSize

    before = _caches(plan)
    task, recipe, index = _asked(plan)
    started = time.perf_counter()
    if plan.phase.startswith("simclr"):
        from throughput_simclr import open_simclr_cache

        open_simclr_cache(plan)
    else:
        _parts(plan, task, recipe, index, torch.device("cpu"), threads=torch.get_num_threads())
    seconds = time.perf_counter() - started
    new = [cache for name, cache in _caches(plan).items() if name not in before]
    told = {
        "task": plan.task,
        "sizes": " and ".join(sorted({StoredSize(**cache["working"]).title for cache in new})),
        "images": sum(cache["num_images"] for cache in new),
        "seconds": seconds,
        "gb": sum(cache["bytes"] for cache in new) / 1e9,
    }
    return [told] if new else []


def _caches(plan: "Plan") -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in Path(plan.work).glob("home/pixels/*/cache.json")}
