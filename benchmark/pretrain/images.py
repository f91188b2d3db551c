"""The images of a contrastive training: those of a task's training split, or of any folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.data import dicom
from benchmark.data.cache import Images, open_cache
from benchmark.data.cache_build import Progress
from benchmark.data.datasets import image_files_of, images_of
from benchmark.data.decoding import ImageFiles, StoredSize
from benchmark.data.index import Index, files_in
from benchmark.data.phantom_mark import is_phantom
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few
from benchmark.workspace import Workspace

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp", *dicom.SUFFIXES)
FEW_IMAGES = 10_000  # below, a contrastive training often learns little; it is said, and nothing is refused


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """Images to learn from without labels. `rows`: those of the index's table; `task`: None for a plain folder."""

    index: Index
    rows: pd.Index
    task: TaskSpec | None = None

    @property
    def name(self) -> str:
        """The task's name, or the folder's."""
        return self.index.task

    @property
    def patients(self) -> list[str] | None:
        """The patients of the images; None for a plain folder, which names none."""
        return None if self.task is None else sorted(set(self.index.table.loc[self.rows, "patient"]))

    def bags(self, column: str | None) -> list[NDArray[np.int64]]:
        """Returns which of the rows, by position, are one bag: those with one value in a column, or each row alone.

        Raises BenchmarkError where the table has no such column.
        """
        if column is None:
            return list(np.arange(len(self.rows))[:, None])
        table = self.index.table.loc[self.rows]
        if column not in table:
            labels = {*self.index.labels, "id", "image", "part", "mask"}
            columns = [name for name in table if name not in labels]
            raise BenchmarkError(
                f"--bags {column}: {self.name} has no such column: wanted one of {first_few(columns, 12)}"
            )
        groups = table.reset_index(drop=True).groupby(table[column].astype(str).to_numpy(), sort=True)
        return [np.sort(positions).astype(np.int64) for positions in groups.indices.values()]

    def open(
        self,
        rows: pd.Index,
        size: StoredSize,
        workspace: Workspace,
        *,
        threads: int,
        progress: Progress,
        notify: Callable[[str], None],
    ) -> Images:
        """Returns decoded images of some rows; first builds their pixel cache where it does not exist yet."""
        if self.task is not None:
            files = image_files_of(self.index, self.task, rows, size)
            return images_of(files, size, self.task, workspace, threads=threads, progress=progress, notify=notify)
        files = ImageFiles(
            root=self.index.root,
            images=list(self.index.table.loc[rows, "image"]),
            data_digest=self.index.digest,
            phantom=self.index.phantom,
        )
        return open_cache(
            files,
            size,
            workspace.pixels,
            name="images",
            progress=progress,
            notify=notify,
            threads=max(2, threads),
            ledgers=workspace.sources,
        )


def images_of_task(index: Index, task: TaskSpec) -> TrainingImages:
    """Returns the images of a task's training split."""
    splits = assign_splits(index, task.split)
    return TrainingImages(index=index, rows=index.table.index[splits == "train"], task=task)


def images_of_folder(folder: Path) -> TrainingImages:
    """Returns all images in a folder and below it. Its table has a column `folder`: where below it an image lies.

    Raises BenchmarkError where there are fewer than two.
    """
    if not folder.is_dir():
        raise BenchmarkError(f"--images {folder}: no such folder")
    paths = sorted(path for name, path in files_in(folder) if name.lower().endswith(SUFFIXES) and name[0] != ".")
    if len(paths) < 2:
        found = "no image" if not paths else f"one image alone ({paths[0]})"
        raise BenchmarkError(f"--images {folder}: {found}: wanted two or more files of {', '.join(SUFFIXES)}")
    table = pd.DataFrame({"id": paths, "image": paths, "patient": paths, "part": ""})
    table["folder"] = [str(Path(path).parent) for path in paths]
    resolved = folder.resolve()
    index = Index(task=resolved.name, root=resolved, table=table, labels=(), phantom=is_phantom(resolved))
    return TrainingImages(index=index, rows=table.index)
