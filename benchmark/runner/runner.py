"""One cell in, one record out: claims cells, has them trained, judges them and stores their records."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from benchmark.cell import Cell
from benchmark.data.index import Index
from benchmark.events import Watch
from benchmark.results.claims import ClaimedElsewhere
from benchmark.results.record import RunRecord
from benchmark.results.store import Store
from benchmark.runner.environment import reset_peak_memory
from benchmark.runner.failures import temporary
from benchmark.runner.inputs import InputBuilder
from benchmark.runner.records import RecordFacts, failed_record, record_of
from benchmark.runner.search import Training
from benchmark.runner.shift import ShiftJudge, weights_file
from benchmark.runner.trainer import Trained, Trainer
from benchmark.training.interface import TrainingResult
from benchmark.training.loop import Diverged
from benchmark.workspace import Workspace

_Due = tuple[Cell, Path, int]  # a cell, its scratch folder, the number of the attempt


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs cells on one device. `threads` read images; `watch` is called with events (`benchmark.events`); `indexes` are
    those of tasks that were read already; `keep_weights`: the weights of trained models are stored beside their records.
    """

    workspace: Workspace
    device: torch.device
    threads: int = 1
    watch: Watch = lambda _: None
    indexes: dict[str, Index] = field(default_factory=dict)
    keep_weights: bool = False

    @cached_property
    def _shifts(self) -> ShiftJudge:
        return ShiftJudge(self._inputs, self._store)

    @cached_property
    def _store(self) -> Store:
        return Store(self.workspace.results)

    @cached_property
    def _inputs(self) -> InputBuilder:
        return InputBuilder(
            workspace=self.workspace,
            device=self.device,
            threads=self.threads,
            watch=self.watch,
            indexes=self.indexes,
        )

    def run(self, cell: Cell, *, retry_failed: bool = False) -> RunRecord:
        """Returns the cell's record: the stored one, or a new one. A fault of the cell's own, or a divergence, becomes a
        failed record.

        Raises ClaimedElsewhere where another process works on the cell. An interruption leaves it resumable; so does a
        fault of the machine (TemporaryError).
        """
        ((_, record),) = self.run_together([cell], retry_failed=retry_failed)
        if record is None:
            raise ClaimedElsewhere(cell.key)
        return record

    def run_together(self, cells: list[Cell], *, retry_failed: bool = False) -> Iterator[tuple[Cell, RunRecord | None]]:
        """Yields each cell with its record, of one alone or of several that `benchmark.experiment.groups` put together; with
        None for one that another process works on. Otherwise as `run`.

        Where the first cell is taken, all are left to the other process, which has the same group: two halves would train
        for longer than one whole.
        """
        due: list[_Due] = []
        with ExitStack() as claims:
            for number, cell in enumerate(cells):
                try:
                    scratch = claims.enter_context(self._store.claim(cell))
                except ClaimedElsewhere:
                    if number == 0:
                        yield from ((other, None) for other in cells)
                        return
                    yield cell, None
                    continue
                earlier = self._store.get(cell)
                if earlier is not None and not (retry_failed and earlier.status == "failed"):
                    yield cell, earlier
                else:
                    due.append((cell, scratch, earlier.attempt + 1 if earlier else 1))
            to_train = [one for one in due if one[0].shift is None]
            to_judge: dict[str, list[_Due]] = {}
            for one in due:
                if one[0].shift is not None:
                    to_judge.setdefault(one[0].source.key, []).append(one)
            trained = self._train([(cell, scratch) for cell, scratch, _ in to_train])
            for (cell, _, attempt), (result, facts) in zip(to_train, trained, strict=True):
                # the record of the source comes last: it removes the training's state, without which a kill between the
                # two would leave nothing to judge
                yield from self._judge_shifts(to_judge.pop(cell.key, []), (result, facts))
                yield cell, self._store_record(cell, result, facts, attempt)
            for shifts in to_judge.values():
                yield from self._judge_shifts(shifts, self._restored(shifts[0]))

    def result(self, cell: Cell, scratch: Path) -> tuple[TrainingResult, RecordFacts]:
        """Trains a cell that has no search, continuing from `scratch`; returns the result and the facts of its record."""
        return Trainer(self._inputs).train(Training(cell=cell, key=cell.key, settings={}, scratch=scratch))

    def _restored(self, due: _Due) -> Trained:
        """Returns the model of a shift's source from the weights that it has kept; of a fault, the exception."""
        cell, scratch, _ = due
        try:
            return self._shifts.restored(cell.source, scratch)
        except Exception as error:  # of whatever kind
            if (fault := temporary(error)) is not None:
                raise fault from error
            return error, RecordFacts()

    def _judge_shifts(self, shifts: list[_Due], trained: Trained) -> Iterator[tuple[Cell, RunRecord]]:
        """Judges a trained model on other tasks and stores the records; a fault of one is the record of its failure."""
        for cell, scratch, attempt in shifts:
            try:
                record, output = self._shifts.judge(cell, trained, scratch, attempt, self.device)
                yield cell, self._store.put(record, output.predictions)
            except Exception as error:  # of whatever kind
                if (fault := temporary(error)) is not None:
                    raise fault from error
                yield cell, self._store.put(failed_record(cell, error, attempt, self.device), None)

    def _train(self, cells: list[tuple[Cell, Path]]) -> list[Trained]:
        """Trains cells; of a fault of their own that ends all, each gets the exception as its result."""
        if not cells:
            return []
        reset_peak_memory(self.device)
        try:
            return Trainer(self._inputs).train_cells(cells)
        except Exception as error:  # of whatever kind
            if (fault := temporary(error)) is not None:
                raise fault from error
            return [(error, RecordFacts())] * len(cells)

    def _store_record(
        self, cell: Cell, result: TrainingResult | Exception, facts: RecordFacts, attempt: int
    ) -> RunRecord:
        """Tests what was trained, and stores the record of it, or of the failure."""
        try:
            if isinstance(result, Exception):
                raise result
            output = result.test()
            judging = self._inputs.task_of(cell).judging
            record = record_of(cell, result, output, facts, judging, attempt, self.device)
            weights = weights_file(result) if self.keep_weights else None
            record = self._store.put(
                record, output.predictions, output.unlabelled, output.attention, output.embedding, weights
            )
        except Exception as error:  # of whatever kind
            if (fault := temporary(error)) is not None:
                raise fault from error
            record = self._store.put(failed_record(cell, error, attempt, self.device), None)
            if isinstance(error, Diverged):  # it would diverge again
                self._store.remove_scratch(cell)
        for line in facts.repairs():
            self._inputs.notify(cell.key)(line)
        return record
