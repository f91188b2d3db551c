"""The side `frozen` of `throughput.py`: linear evaluation by one pass of the encoder and heads trained together.

It is held against the frozen encoder run anew on every image, for every seed, rate and epoch: its rate is that of the
images which this would take (seeds x rates x epochs x images) by the seconds from the first image to the last record.
The rival's is that of its validation pass, the forward pass alone, which flatters it: its heads cost nothing.
"""

import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from throughput import Plan

SEEDS, EPOCHS = 10, 30
RATES = {"linear": ("1e-3",), "linear-rates": ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2", "1e-1", "3e-1")}
IMAGES = 8  # times the plan's: a pass over a handful would be all overhead
CHECKOUT = Path(__file__).parent.parent.parent


def measure_frozen(plan: "Plan") -> dict[str, Any]:
    """The real thing: cells of `--protocol linear`, from images in the evaluation cache to their records."""
    from safetensors.torch import save_file
    from throughput_clock import wait_for_go

    from benchmark.data.evaluation_images import open_evaluation_images
    from benchmark.data.registry import read_index
    from benchmark.experiment.grid import TaskRun, cells_of
    from benchmark.experiment.groups import group_cells
    from benchmark.protocols.registry import PROTOCOLS
    from benchmark.recipe import Recipe
    from benchmark.runner.environment import peak_memory
    from benchmark.runner.runner import Runner
    from benchmark.tasks.registry import read_task
    from benchmark.workspace import Workspace
    from benchmark.zoo import forms
    from benchmark.zoo.catalog import ZooEntry, add_entry
    from benchmark.zoo.fetch import import_weight_file

    torch.set_num_threads(plan.threads)
    task = read_task(CHECKOUT / "tasks" / f"{plan.task}.yaml")
    index = _repeated(read_index(task, Path(plan.work) / "phantoms"), plan.images * IMAGES)
    num = len(index.table)
    fixed = {"image_size": plan.size, "max_epochs": EPOCHS, "min_epochs": EPOCHS, "early_stop": None}
    recipes = [
        task.complete_recipe(PROTOCOLS["linear"].recipe, fixed, {"learning_rate": float(rate)})
        for rate in RATES[plan.phase]
    ]
    with tempfile.TemporaryDirectory(dir=plan.work) as made:
        workspace = Workspace(
            project=CHECKOUT, results=Path(made) / "results", home=Path(made), data=Path(plan.work) / "phantoms"
        )
        file = Path(made) / "resnet50.safetensors"
        save_file(forms.build_encoder("resnet50", "pooled", seed=0).state_dict(), file)
        facts = {"family": "own", "architecture": "resnet50", "container": "safetensors", "naming": "timm"}
        entry = ZooEntry(name="timed", source="file:resnet50.safetensors", licence="-", cite="-", **facts)
        kept = import_weight_file(entry, file, workspace.weights)
        add_entry(workspace.own_zoo, entry.model_copy(update={"sha256": kept.sha256}))
        asked = [TaskRun(task=task, protocol="linear", recipe=recipe) for recipe in recipes]
        cells = cells_of([[(entry, kept.sha256)]], asked, {task.name: index}, range(SEEDS))
        device = torch.device(plan.device)
        runner = Runner(workspace=workspace, device=device, threads=min(8, plan.threads), indexes={task.name: index})
        seen = Recipe.complete(recipes[0].model_dump())
        open_evaluation_images(  # decoding is not what is compared: the other phases have their caches built before, too
            index=index,
            task=task,
            recipe=seen,
            workspace=workspace,
            device=device,
            threads=plan.threads,
            progress=lambda *_: None,
        )
        wait_for_go()
        started = time.perf_counter()
        features = 0.0
        for bundle in group_cells(cells, {task.name: task}):
            for _, record in runner.run_together(bundle):
                if record is None or record.status != "done":
                    raise RuntimeError(record.traceback if record else "claimed")
                features += record.timings["features"]
        seconds = time.perf_counter() - started
        disk = sum(path.stat().st_size for path in workspace.features.rglob("*.bin"))
    passes = SEEDS * len(recipes) * EPOCHS
    trained = passes * sum(record.num_examples[name] for name in ("train", "validation"))
    return {
        "images": trained,
        "seconds": seconds,
        "images_per_second": trained / seconds,
        "wait_share": 0.0,
        "peak_gb": peak_memory(device),
        "features_seconds": features,
        "disk_gb_per_100000_images": disk / num * 1e5 / 1e9,
    }


def _repeated(index: Any, wanted: int) -> Any:
    """The index, its rows repeated until there are enough."""
    import pandas as pd

    copies = math.ceil(wanted / len(index.table))
    tables = [
        index.table.assign(id=index.table["id"] + f"-{copy}", patient=index.table["patient"] + f"-{copy}")
        for copy in range(copies)
    ]
    return replace(index, table=pd.concat(tables, ignore_index=True))
