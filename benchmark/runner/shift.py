"""Distribution shift: a trained model is judged on another task's test split, without further training."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load, save

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.files import TemporaryError
from benchmark.results.record import RunRecord
from benchmark.results.store import Store
from benchmark.runner.inputs import InputBuilder
from benchmark.runner.records import record_of
from benchmark.runner.search import Training
from benchmark.runner.trainer import Trained, Trainer
from benchmark.scoring.shared_labels import Outputs, judged_across
from benchmark.tasks.shift import are_exclusive
from benchmark.tasks.spec import ScoringRules
from benchmark.text import plural
from benchmark.training.interface import TestOutput, TrainingResult
from benchmark.training.loop import Fit


def weights_file(result: TrainingResult) -> bytes | None:
    """Returns the weights of a trained model as a safetensors file; None for protocols that train on features."""
    if result.model is None:
        return None
    return save(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in result.model.state_dict().items()}
    )


@dataclass(frozen=True)
class ShiftJudge:
    """Judges trained models on other tasks."""

    inputs: InputBuilder
    store: Store

    def restored(self, source: Cell, scratch: Path) -> Trained:
        """Returns the model of a cell that is done, from the weights that it has kept. Raises TemporaryError where it has kept
        none: it is to be trained again.
        """
        record, weights = self.store.get(source), self.store.weights(source)
        if record is None or weights is None:
            raise TemporaryError(
                f"{source.title}: its weights were not kept: once the folder {self.store.folder(source)} is removed, it is "
                "trained again"
            )
        chosen = [trial.settings for trial in record.search if trial.chosen]
        recipe = next((recipe for settings, recipe in source.candidates() if settings in chosen), source.recipe)
        cell = source.model_copy(update={"recipe": recipe, "search": None})
        training = Training(cell=cell, key=source.key, settings={}, scratch=scratch)
        return Trainer(self.inputs).train(training, trained=load(weights))

    def judge(
        self, cell: Cell, trained: Trained, scratch: Path, attempt: int, device: torch.device
    ) -> tuple[RunRecord, TestOutput]:
        """Returns the record and the predictions of a model on the target of a shift."""
        result, source_facts = trained
        shift = cell.shift
        if isinstance(result, Exception):
            raise result
        if shift is None or result.predict is None:
            raise BenchmarkError(f"{cell.title}: --protocol {cell.protocol} gives no model that judges other images")
        source, target = self.inputs.task_of(cell.source), self.inputs.task_of(shift)
        split, facts = self.inputs.of_target(cell, scratch)
        started = time.perf_counter()
        truth, score = result.predict(split.images)
        seconds = time.perf_counter() - started
        outputs = Outputs(
            ids=split.images.ids,
            groups=split.images.groups,
            columns=result.columns,
            score=score,
            labels=split.labels,
            truth=truth,
        )
        predictions, num_left_out = judged_across(outputs, shift.labels, exclusive=are_exclusive(source, target))
        pairs = ", ".join(other if own == other else f"{other} (there {own})" for own, other in shift.labels)
        facts.notes.append(f"trained on {source.name}, tested on {target.name} without further training: {pairs}")
        if num_left_out:
            facts.notes.append(f"{plural(num_left_out, 'test image')} of classes that {source.name} has not left out")
        facts.weights_account = source_facts.weights_account
        facts.num_examples = {**source_facts.num_examples, "test": len(predictions.ids)}
        # how the model was trained stands in the record of the source
        judged = replace(result, fit=Fit(), validation={})
        output = TestOutput(predictions=predictions, seconds=seconds)
        record = record_of(cell, judged, output, facts, ScoringRules(case=target.case), attempt, device)
        return record, output
