"""`load_encoder` and `load_task`: an encoder of the zoo as a module, and a task's splits as tables."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.api.options import PathLike, Settings, find_places, progress_of, write_settings
from benchmark.api.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from benchmark.data.datasets import Splits
    from benchmark.data.index import Index
    from benchmark.tasks.spec import TaskSpec
    from benchmark.workspace import Workspace


def load_encoder(
    name: str,
    *,
    image_size: int | None = None,
    seed: int = 0,
    offline: bool = False,
    project: PathLike | None = None,
    progress: Progress | bool = False,
) -> "nn.Module":
    """Returns an encoder of the zoo in evaluation mode, its weights checked against their digest and loaded to the last.

    The module takes images as uint8, B x 3 x H x W (or B x 1 x H x W, gray), 0 to 255: it scales and normalizes them
    itself, by the statistics of the entry. It returns pooled features, float32, B x D; `module[1]` is the bare encoder and
    `module[1].num_features` is D. `image_size` (pixels) matters to encoders of a fixed input size, such as ViT; `seed`
    draws the weights of `scratch:ARCHITECTURE`. A file that is not here is downloaded, unless `offline`. Raises
    BenchmarkError for an unknown name, and for a file that is damaged or cannot be had.

    >>> features = bm.load_encoder("swav")(images)  # doctest: +SKIP
    """
    from benchmark.torch_setup import prepare_for_torch

    prepare_for_torch()
    from torch import nn

    from benchmark.models.normalization import Normalization
    from benchmark.random_streams import Purpose, stream
    from benchmark.zoo import backbone
    from benchmark.zoo.catalog import find_entry, read_catalog
    from benchmark.zoo.conversions import load_converted
    from benchmark.zoo.fetch import fetch, verify_weight_file

    workspace = find_places(None, None, project)
    entry = find_entry(name, read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo))
    weights_seed = stream(seed, Purpose.ENCODER)
    if entry.is_scratch:
        encoder, _ = backbone.load_encoder(entry, None, "pooled", weights_seed, image_size)
    else:
        with progress_of(progress).download(name) as show:
            file = verify_weight_file(fetch(entry, workspace.weights, offline=offline, progress=show))
        tensors, report = load_converted(entry, file)
        encoder = backbone.build_with_tensors(entry, tensors, report, "pooled", weights_seed, image_size)
    return nn.Sequential(Normalization(entry.input.mean, entry.input.std), encoder).eval()


@dataclass(frozen=True, kw_only=True)
class TaskSplits:
    """A task's examples. `train`, `validation` and `test` are tables of one row an image: `id`, `patient`, `image` (its
    path below `root`), a column for each of `labels` (1, 0, missing) or `mask`, and the task's groups; `notes`: lines about
    the data.
    """

    task: "TaskSpec"
    train: "pd.DataFrame"
    validation: "pd.DataFrame"
    test: "pd.DataFrame"
    labels: tuple[str, ...]
    notes: list[str]
    _index: "Index"
    _workspace: "Workspace"

    @property
    def root(self) -> str:
        """The folder that the paths of the images are relative to."""
        return str(self._index.root)

    def open_images(self, *, settings: Settings | None = None, seed: int = 0, device: str = "cpu") -> "Splits":
        """Returns the splits as the training loop takes them: `train.epoch(number, size)` yields augmented batches,
        `test.batches(size)` plain ones, uint8 images with their targets. Decodes the images once, into the caches.

        `settings` changes fields of the task's recipe (image_size, augmentation …). Raises BenchmarkError for images that
        cannot be decoded.
        """
        from benchmark.torch_setup import prepare_for_torch

        prepare_for_torch()
        import torch

        from benchmark.cores import usable_cores
        from benchmark.data.datasets import open_splits

        return open_splits(
            index=self._index,
            task=self.task,
            recipe=self.task.complete_recipe(settings=tuple(write_settings(settings))),
            seed=seed,
            workspace=self._workspace,
            device=torch.device(device),
            threads=usable_cores().count,
            progress=lambda _done, _total: None,
        )


def load_task(name: str, *, data: PathLike | None = None, project: PathLike | None = None) -> TaskSplits:
    """Returns a task's training, validation and test examples, as every run of the task has them.

    Raises BenchmarkError for an unknown task, and for a data set that is not here or not complete.

    >>> bm.load_task("TXC", data="/data/sets").train[["patient", "image"]]  # doctest: +SKIP
    """
    from benchmark.data.labels import settle_classes
    from benchmark.data.registry import index_of
    from benchmark.data.splitting import assign_splits
    from benchmark.tasks.registry import find_task

    workspace = find_places(None, data, project)
    task = find_task(name, workspace)
    index = index_of(task, workspace)
    splits = assign_splits(index, task.split)
    table = settle_classes(index, task, splits)
    tables = {split: table.table[splits == split].reset_index(drop=True) for split in ("train", "validation", "test")}
    return TaskSplits(
        task=task, **tables, labels=table.labels, notes=[*index.notes], _index=index, _workspace=workspace
    )
