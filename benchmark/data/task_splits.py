"""The data of one task for use from Python: its splits as tables and, on request, as torch datasets."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from benchmark.data.assignment import EVERYTHING, TrainingShare, assign_examples
from benchmark.data.cache_build import Progress
from benchmark.data.datasets import ImageSplit, open_splits
from benchmark.data.index import Index
from benchmark.data.registry import index_of
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class TaskSplits:
    """Holds one task's splits. `train`, `validation`, `test`: a row for each image, with the columns that `data.index`
    describes.

    `image` and the masks are paths below `index.root`; `part` is the split's name; `labels` name the columns of labels:
    1, 0 or NaN (not labeled, or uncertain). `unlabelled`: a challenge's test set without public labels (id, image),
    else None.
    """

    task: TaskSpec
    index: Index
    labels: tuple[str, ...]
    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    unlabelled: pd.DataFrame | None
    recipe: Recipe
    share: TrainingShare
    seed: int
    workspace: Workspace

    def datasets(self, *, threads: int = 2, progress: Progress = lambda *_: None) -> dict[str, "ImageDataset"]:
        """Returns the splits as torch datasets (train, validation, test), in the order of the tables' rows.

        Images are square, of the recipe's evaluation size, and never augmented. The first call decodes all images into the
        pixel cache; `progress` is called with images done and in all. Raises BenchmarkError for images that cannot be decoded.
        """
        splits = open_splits(
            index=self.index,
            task=self.task,
            recipe=self.recipe.model_copy(update={"augmentation": "none"}),
            share=self.share,
            seed=self.seed,
            workspace=self.workspace,
            device=torch.device("cpu"),
            threads=threads,
            progress=progress,
        )
        named = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        return {name: ImageDataset(split) for name, split in named.items()}


class ImageDataset(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Gives a split as a torch dataset: (image, target) for each row.

    image: uint8, channels (1 or 3) x height x width. target: float, one value per label, NaN where not labeled; for
    segmentation uint8 masks, masks x height x width, 0 or 1.
    """

    def __init__(self, split: ImageSplit) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a split of {len(self)} images")
        batch = self.split.render(np.array([row]))
        return batch.images[0].contiguous(), batch.targets[0]


def load_splits(
    task: TaskSpec,
    workspace: Workspace,
    *,
    share: TrainingShare = EVERYTHING,
    seed: int = 0,
    settings: tuple[str, ...] = (),
) -> TaskSplits:
    """Returns the splits of a task that the cells of this seed train, validate and test on. No image is opened.

    `share`: a fraction, a subset or a fold of the training split; `settings` change the recipe as `--set` does, such as
    `("image_size=128",)`. Raises BenchmarkError where the data are missing or damaged, or the recipe does not fit the task.
    """
    recipe = task.complete_recipe(settings=settings)
    index = index_of(task, workspace)
    assignment = assign_examples(index, task, recipe, share, seed)
    labels = () if task.has_masks else assignment.index.labels
    table = assignment.index.table.assign(part=assignment.splits)
    table[list(labels)] = assignment.evaluation_labels
    return TaskSplits(
        task=task,
        index=index,
        labels=labels,
        train=table.loc[assignment.training].reset_index(drop=True),
        validation=table.loc[assignment.validation].reset_index(drop=True),
        test=table.loc[assignment.test].reset_index(drop=True),
        unlabelled=index.unlabelled,
        recipe=recipe,
        share=share,
        seed=seed,
        workspace=workspace,
    )
