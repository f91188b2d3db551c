"""Training of cells: one by itself, several frozen encoders' heads at once, and the candidates of a search."""

import gc
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.files import TemporaryError, write_atomically
from benchmark.protocols.registry import PROTOCOLS
from benchmark.runner.inputs import InputBuilder
from benchmark.runner.records import RecordFacts, micro_batch_of
from benchmark.runner.search import Training, choose, mark_chosen, search_in_turn, trainings_of, trial_of
from benchmark.tasks.kinds import KINDS
from benchmark.training.interface import TrainingResult
from benchmark.training.loop import Diverged, OutOfMemory

if TYPE_CHECKING:
    from benchmark.recipe import Recipe

Trained = tuple[TrainingResult | Exception, RecordFacts]


@dataclass(frozen=True)
class Trainer:
    """Trains cells by their protocols."""

    inputs: InputBuilder

    def train_cells(self, cells: list[tuple[Cell, Path]]) -> list[Trained]:
        """Trains cells that belong together, each with its scratch folder, and returns a result, or what was raised, for
        each; a fault of one of several does not end the others.
        """
        if len(cells) > 1 or self._has_heads(cells[0][0]):
            return self._train_heads(cells)
        return [self._train_cell(*cells[0])]

    def _has_heads(self, cell: Cell) -> bool:
        protocol = PROTOCOLS[cell.protocol]
        return protocol.train_together is not None and protocol.uses_features(self.inputs.task_of(cell).kind)

    def _train_cell(self, cell: Cell, scratch: Path) -> tuple[TrainingResult, RecordFacts]:
        """Trains a cell by itself; of a search, each candidate in turn."""
        trainings = trainings_of(cell, scratch)
        if cell.search is None:
            return self.train(trainings[0])
        all_facts: dict[int, RecordFacts] = {}

        def train_candidate(training: Training) -> TrainingResult:
            training.scratch.mkdir(parents=True, exist_ok=True)
            result, all_facts[trainings.index(training)] = self.train(training)
            return result

        started = time.perf_counter()
        metric = self.inputs.task_of(cell).metric
        result, chosen, trials = search_in_turn(trainings, scratch, metric, train_candidate)
        facts = all_facts[chosen]
        facts.search = trials
        facts.timings["search"] = time.perf_counter() - started
        return result, facts

    def train(
        self, training: Training, trained: dict[str, torch.Tensor] | None = None
    ) -> tuple[TrainingResult, RecordFacts]:
        """Trains once, or takes the weights of an earlier training (`trained`). Where memory runs out, the same batch is taken
        in smaller pieces, from the last state on.
        """
        cell, kind = training.cell, self.inputs.task_of(training.cell).kind
        protocol = PROTOCOLS[cell.protocol]
        uses_features = protocol.uses_features(kind)
        train = protocol.train_segmentation if KINDS[kind].masks else protocol.train
        if train is None:
            raise BenchmarkError(f"--protocol {cell.protocol} does not train a single {kind} task")
        if uses_features:
            ((inputs, facts),) = self.inputs.of_features([training])
        else:
            inputs, facts = self.inputs.of_images(training)
        micro_batch, note = micro_batch_of(training.scratch, cell.recipe.batch_size)
        while True:
            attempt = replace(inputs, micro_batch=micro_batch, trained=trained)
            try:
                result = train(attempt if uses_features else self.inputs.with_encoders(attempt, cell, facts))
                break
            except OutOfMemory as error:
                if error.micro_batch == 1:
                    raise TemporaryError(
                        f"out of memory with one image of {cell.recipe.image_size} pixels at a time: wanted a device with more "
                        f"memory, fewer --workers on it, or --set image_size"
                    ) from error
                micro_batch = error.micro_batch // 2
                note = (
                    f"out of memory: each batch of {cell.recipe.batch_size} was taken {micro_batch} images at a time, "
                    "so batch norms saw those only"
                )
                write_atomically(training.scratch / "micro_batch", f"{micro_batch}\n{note}")
            gc.collect()
            torch.cuda.empty_cache()
        if note:
            facts.notes.append(note)
        return result, facts

    def _train_heads(self, cells: list[tuple[Cell, Path]]) -> list[Trained]:
        """Trains the heads of all cells, and of all candidates of those that search, in as few matrix products as their
        recipes allow: those that differ in the learning rate alone are one.
        """
        protocol = cells[0][0].protocol
        train_together = PROTOCOLS[protocol].train_together
        if train_together is None:
            raise ValueError(f"{protocol} trains no cells together")
        trainings = [training for cell, scratch in cells for training in trainings_of(cell, scratch)]
        by_recipe: dict[Recipe, list[int]] = {}
        by_cell: dict[str, list[int]] = {}
        for number, training in enumerate(trainings):
            training.scratch.mkdir(parents=True, exist_ok=True)
            by_recipe.setdefault(training.cell.recipe.model_copy(update={"learning_rate": 1.0}), []).append(number)
            by_cell.setdefault(training.key, []).append(number)
        trained: dict[int, Trained] = {}
        for numbers in by_recipe.values():
            all_inputs = self.inputs.of_features([trainings[number] for number in numbers])
            results = train_together([inputs for inputs, _ in all_inputs])
            for number, result, (_, facts) in zip(numbers, results, all_inputs, strict=True):
                trained[number] = result, facts
        return [
            self._choose(cell, [trainings[n] for n in by_cell[cell.key]], [trained[n] for n in by_cell[cell.key]])
            for cell, _ in cells
        ]

    def _choose(self, cell: Cell, trainings: list[Training], trained: list[Trained]) -> Trained:
        """Returns the result that a cell's search chooses; the only one where it has none."""
        if cell.search is None:
            return trained[0]
        metric = self.inputs.task_of(cell).metric
        trials = []
        for training, (result, _) in zip(trainings, trained, strict=True):
            if not isinstance(result, TrainingResult | Diverged):
                return result, RecordFacts()
            trials.append(trial_of(training, result, metric))
        chosen = choose(trials)
        if chosen is None:
            return Diverged(f"every candidate of the search diverged; the first: {trials[0].error}"), RecordFacts()
        result, facts = trained[chosen]
        facts.search = mark_chosen(trials, chosen)
        return result, facts
