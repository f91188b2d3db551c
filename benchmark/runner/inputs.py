"""What a training receives: a cell's splits, as images or as features, and its encoders. Zoo and data meet here alone."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmark.cell import Cell, Shift, Weights
from benchmark.data.assignment import Assignment, TrainingShare, assign_examples
from benchmark.data.datasets import open_splits
from benchmark.data.evaluation_images import EvaluationImages, open_evaluation_images
from benchmark.data.feature_cache import cache_of
from benchmark.data.index import Index
from benchmark.data.registry import index_of, status_of
from benchmark.data.target import TargetSplit, open_target
from benchmark.errors import BenchmarkError
from benchmark.events import EventKind, Watch
from benchmark.experiment.overlap import NOTE, overlap_notes, trained_on_the_test
from benchmark.runner.encoders import Encoders, describe_load
from benchmark.runner.features import EncoderFeatures, feature_splits, needed_rows, read_features
from benchmark.runner.records import RecordFacts, Unreadable
from benchmark.runner.search import Training
from benchmark.tasks.registry import find_task
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few
from benchmark.training.interface import TrainingInput
from benchmark.workspace import Workspace
from benchmark.zoo.matching import LoadReport

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.zoo.forms import Form

EVALUATED = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class InputBuilder:
    """Opens the splits and the encoders of cells on one device. Fact sheets, indexes and weights are read once."""

    workspace: Workspace
    device: torch.device
    threads: int
    watch: Watch
    indexes: dict[str, Index]
    _tasks: dict[str, TaskSpec] = field(default_factory=dict)

    @cached_property
    def _encoders(self) -> Encoders:
        return Encoders(workspace=self.workspace)

    def task_of(self, cell: Cell | Shift) -> TaskSpec:
        """Returns the task that a cell trains on, or the target of a shift. Raises BenchmarkError where its fact sheet changed
        since the cell was planned.
        """
        task = self._tasks.get(cell.task)
        if task is None or task.digest != cell.task_digest:
            task = self._tasks[cell.task] = find_task(cell.task, self.workspace)
        if task.digest != cell.task_digest:
            raise BenchmarkError(
                f"{task.name}: its fact sheet changed since this cell was planned: give the command again"
            )
        return task

    def _index_of(self, task: TaskSpec, cell: Cell | Shift) -> Index:
        if task.name not in self.indexes:
            self.indexes[task.name] = index_of(task, self.workspace)
        index = self.indexes[task.name]
        if index.digest != cell.data_digest:
            raise BenchmarkError(
                f"{task.name}: the images under {index.root} changed since this cell was planned: give the command again"
            )
        return index

    def of_images(self, training: Training) -> tuple[TrainingInput[Any], RecordFacts]:
        """Returns the input of a training on images, without encoders (`with_encoders` adds them), and the record's facts."""
        cell, task, facts = training.cell, self.task_of(training.cell), self._facts(training.cell)
        splits = open_splits(
            index=self._index_of(task, cell),
            task=task,
            recipe=cell.recipe,
            share=TrainingShare.of_cell(cell),
            seed=cell.seed,
            workspace=self.workspace,
            device=self.device,
            threads=self.threads,
            progress=self._progress(EventKind.CACHE, training),
            notify=self.notify(training.key),
        )
        facts.damage.append(splits.notes)
        facts.unreadable = Unreadable(training.scratch / "unreadable.json", splits.unreadable)
        facts.notes += splits.split_notes
        facts.num_examples = {name: len(getattr(splits, name)) for name in EVALUATED}
        opened = {name: getattr(splits, name) for name in (*EVALUATED, "unlabelled")}
        return self._input(training, facts, opened, splits.columns), facts

    def of_target(self, cell: Cell, scratch: "Path") -> tuple[TargetSplit, RecordFacts]:
        """Returns the test split of the task on which a cell of a shift judges its model, and the facts of the record."""
        shift = cell.shift
        if shift is None:
            raise ValueError(f"{cell.title}: no shift")
        task = self.task_of(shift)
        index = self._index_of(task, shift)
        training = Training(cell=cell, key=cell.key, settings={}, scratch=scratch)
        split = open_target(
            index=index,
            task=task,
            recipe=cell.recipe,
            workspace=self.workspace,
            device=self.device,
            threads=self.threads,
            progress=self._progress(EventKind.CACHE, training, task=task.name),
            notify=self.notify(cell.key),
        )
        phantom_or_not = cell.model_copy(update={"data": shift.data})
        notes = [*index.notes, *overlap_notes(phantom_or_not, task, self.workspace, index)]
        source = self.task_of(cell.source)
        indexes = {source.name: self._index_of(source, cell.source), task.name: index}
        if names := trained_on_the_test(source, task, indexes):
            notes.append(
                f"{NOTE}{source.name}, which it was trained on, has images of this test split ({first_few(names)})"
            )
        facts = RecordFacts(
            notes=notes,
            num_examples={"test": len(split.images)},
            data_status=status_of(index, task, self.workspace),
            num_images=index.num_listed,
            num_published=task.num_published,
            damage=[split.notes],
            unreadable=Unreadable(scratch / "unreadable.json", split.unreadable),
        )
        return split, facts

    def with_encoders(self, inputs: TrainingInput[Any], cell: Cell, facts: RecordFacts) -> TrainingInput[Any]:
        """Returns the input with newly loaded encoders: each attempt at a training begins with its own."""
        form: Form = "pyramid" if inputs.kind_facts.masks else "pooled"
        loaded = [(weights, *self._encoders.load(cell, weights, form)) for weights in cell.weights]
        facts.weights_account = [describe_load(weights, report) for weights, _, report in loaded]
        encoders = tuple((encoder, (weights.mean, weights.std)) for weights, encoder, _ in loaded)
        return replace(inputs, encoders=encoders)

    def of_features(self, trainings: list[Training]) -> list[tuple[TrainingInput[Any], RecordFacts]]:
        """Returns the inputs of trainings on features of one task and recipe, each with its record's facts. Features that are
        missing are computed first, in one pass for all the trainings.
        """
        first = trainings[0]
        task = self.task_of(first.cell)
        index = self._index_of(task, first.cell)
        started = time.perf_counter()
        images = open_evaluation_images(
            index=index,
            task=task,
            recipe=first.cell.recipe,
            workspace=self.workspace,
            device=self.device,
            threads=self.threads,
            progress=self._progress(EventKind.CACHE, first),
            notify=self.notify(first.key),
        )
        cells = [training.cell for training in trainings]
        assignments = [
            assign_examples(index, task, cell.recipe, TrainingShare.of_cell(cell), cell.seed) for cell in cells
        ]
        features = self._features(trainings, assignments, images)
        seconds = (time.perf_counter() - started) / len(trainings)
        inputs = []
        for training, assignment, of_cell in zip(trainings, assignments, features, strict=True):
            facts = self._facts(training.cell)
            facts.notes += assignment.notes
            facts.weights_account = [one.account for one in of_cell]
            facts.timings = {"features": seconds}
            facts.damage += [images.notes, *((lambda notes=one.notes: notes) for one in of_cell)]
            splits, unreadable = feature_splits(assignment, task, of_cell, training.cell, self.device)
            facts.num_examples = {name: len(split) for name, split in splits.items() if split and name in EVALUATED}
            facts.unreadable = Unreadable(training.scratch / "unreadable.json", lambda found=unreadable: found)  # type: ignore[misc]
            inputs.append((self._input(training, facts, splits, assignment.index.labels), facts))
        return inputs

    def _features(
        self, trainings: list[Training], assignments: list[Assignment], images: EvaluationImages
    ) -> list[list[EncoderFeatures]]:
        """Returns the features that each training needs, one item for each of its encoders."""
        first = trainings[0]
        wanted = needed_rows(assignments, images)
        read: dict[Path, EncoderFeatures] = {}
        features = []
        for cell in (training.cell for training in trainings):
            of_cell = []
            for weights in cell.weights:
                cache = replace(cache_of(self.workspace.features, cell, weights), notify=self.notify(first.key))
                if cache.folder not in read:

                    def load(cell: Cell = cell, weights: Weights = weights) -> tuple[nn.Module, LoadReport]:
                        return self._encoders.load(cell, weights, "pooled")

                    progress = self._progress(EventKind.FEATURES, first, weights=weights.name)
                    read[cache.folder] = read_features(cache, weights, cell, load, images, wanted, progress)
                of_cell.append(read[cache.folder])
            features.append(of_cell)
        return features

    def _facts(self, cell: Cell) -> RecordFacts:
        task = self.task_of(cell)
        index = self._index_of(task, cell)
        return RecordFacts(
            notes=[*index.notes, *overlap_notes(cell, task, self.workspace, index)],
            data_status=status_of(index, task, self.workspace),
            num_images=index.num_listed,
            num_published=task.num_published,
        )

    def _input(
        self, training: Training, facts: RecordFacts, splits: dict[str, Any], columns: tuple[str, ...]
    ) -> TrainingInput[Any]:
        cell, task = training.cell, self.task_of(training.cell)

        def watch(line: dict[str, float]) -> None:
            facts.write_unreadable()
            self.watch({"event": EventKind.EPOCH, "key": training.key, "training": training.scratch.name, **line})

        return TrainingInput(
            kind=task.kind,
            encoders=(),
            **splits,
            columns=columns,
            judging=task.judging,
            recipe=cell.recipe,
            seed=cell.seed,
            scratch=training.scratch,
            device=self.device,
            micro_batch=cell.recipe.batch_size,
            watch=watch,
            warn=lambda line: facts.damage.append(lambda: [line]),
        )

    def notify(self, key: str) -> Callable[[str], None]:
        """Returns a function that reports a line about a cell."""
        return lambda line: self.watch({"event": EventKind.NOTE, "key": key, "text": line})

    def _progress(self, kind: EventKind, training: Training, **names: str) -> Callable[[int, int], None]:
        event = {"event": kind, "key": training.key, "task": training.cell.task, **names}

        def progress(done: int, total: int) -> None:
            self.watch({**event, "done": done, "total": total})

        return progress
