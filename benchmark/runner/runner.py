"""One cell -> one record. The only place where zoo, data, protocol and judge meet."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmark.cell import Cell
from benchmark.data.assignment import TrainingShare, assign_examples
from benchmark.data.datasets import open_splits
from benchmark.data.evaluation_images import open_evaluation_images
from benchmark.data.feature_cache import cache_of
from benchmark.data.index import Index
from benchmark.data.registry import index_of, status_of
from benchmark.errors import BenchmarkError
from benchmark.experiment.overlap import overlap_notes
from benchmark.files import TemporaryError, write_whole
from benchmark.protocols.registry import PROTOCOLS
from benchmark.results.record import RunRecord
from benchmark.results.store import ClaimedElsewhere, Store
from benchmark.runner.encoders import Encoders, told_of
from benchmark.runner.environment import reset_peak_memory
from benchmark.runner.failures import temporary
from benchmark.runner.features import EncoderFeatures, rows_of, seen, vector_parts
from benchmark.runner.records import RecordFacts, Unreadable, failed_record, micro_batch_of, record_of
from benchmark.runner.search import Training, choose, marked, search_in_turn, trainings_of, trial_of
from benchmark.tasks.registry import find_task
from benchmark.tasks.spec import TaskSpec
from benchmark.training.interface import TrainingInput, TrainingResult
from benchmark.training.loop import Diverged, OutOfMemory
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from benchmark.recipe import Recipe
    from benchmark.zoo.forms import Form

Watch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Answers cells on one device. Indexes are read once; `watch` is told of epochs and of caches being built."""

    workspace: Workspace
    device: torch.device
    threads: int = 1
    watch: Watch = lambda _: None
    _indexes: dict[str, Index] = field(default_factory=dict)
    _tasks: dict[str, TaskSpec] = field(default_factory=dict)
    _encoders: list[Encoders] = field(default_factory=list)

    def run(self, cell: Cell, *, retry_failed: bool = False) -> RunRecord:
        """The cell's record: the stored one, or a new one. A fault of the cell's own or a divergence becomes a failed record.

        Raises store.Claimed where another process works on the cell. An interruption leaves it resumable; so does a
        fault of the machine (TemporaryFault).
        """
        ((_, record),) = self.run_together([cell], retry_failed=retry_failed)
        if record is None:
            raise ClaimedElsewhere(cell.key)
        return record

    def run_together(self, cells: list[Cell], *, retry_failed: bool = False) -> Iterator[tuple[Cell, RunRecord | None]]:
        """Yields each cell with its record, of one alone or of several that `benchmark.experiment.groups` put together; with
        None for one that another process works on. Otherwise as `run`.
        """
        store, due = Store(self.workspace.results), []
        with ExitStack() as claims:
            for cell in cells:
                try:
                    scratch = claims.enter_context(store.claim(cell))
                except ClaimedElsewhere:
                    yield cell, None
                    continue
                earlier = store.get(cell)
                if earlier is not None and not (retry_failed and earlier.status == "failed"):
                    yield cell, earlier
                else:
                    due.append((cell, scratch, earlier.attempt + 1 if earlier else 1))
            results = self._answers([(cell, scratch) for cell, scratch, _ in due])
            for (cell, _, attempt), (result, told) in zip(due, results, strict=True):
                yield cell, self._recorded(store, cell, result, told, attempt)

    def _answers(self, due: list[tuple[Cell, Path]]) -> list[tuple[TrainingResult | Exception, RecordFacts]]:
        """Answers, or what was raised in their place: one cell's failure must not end the others."""
        if not due:
            return []
        reset_peak_memory(self.device)
        try:
            together = len(due) > 1 or self._is_of_heads(due[0][0])
            return self._heads(due) if together else [self._alone(*due[0])]
        except Exception as error:  # of whatever kind
            if (fault := temporary(error)) is not None:
                raise fault from error
            return [(error, RecordFacts())] * len(due)

    def _recorded(
        self, store: Store, cell: Cell, result: TrainingResult | Exception, told: RecordFacts, attempt: int
    ) -> RunRecord:
        """Test what was trained, and store the record of it, or of the failure."""
        try:
            if isinstance(result, Exception):
                raise result
            output = result.test()
            record = record_of(cell, result, output, told, self.task_of(cell).judging, attempt, self.device)
            record = store.put(record, output.predictions, output.unlabelled, output.attention, output.embedding)
        except Exception as error:  # of whatever kind
            if (fault := temporary(error)) is not None:
                raise fault from error
            record = store.put(failed_record(cell, error, attempt, self.device), None)
            if isinstance(error, Diverged):  # it would diverge again
                store.remove_scratch(cell)
        for line in told.repairs():
            self._tell(cell.key)(line)
        return record

    def _is_of_heads(self, cell: Cell) -> bool:
        protocol = PROTOCOLS[cell.protocol]
        return protocol.train_together is not None and protocol.uses_features(self.task_of(cell).kind)

    def result(self, cell: Cell, scratch: Path) -> tuple[TrainingResult, RecordFacts]:
        """Train a cell that has no search, continuing from `scratch`; and what the record tells beside the scores."""
        return self._train(Training(cell=cell, key=cell.key, settings={}, scratch=scratch))

    def _alone(self, cell: Cell, scratch: Path) -> tuple[TrainingResult, RecordFacts]:
        """Train a cell by itself; of a search, each candidate in turn."""
        trainings = trainings_of(cell, scratch)
        if cell.search is None:
            return self._train(trainings[0])
        all_told: dict[int, RecordFacts] = {}

        def result(training: Training) -> TrainingResult:
            training.scratch.mkdir(parents=True, exist_ok=True)
            found, told = self._train(training)
            all_told[trainings.index(training)] = told
            return found

        started = time.perf_counter()
        found, chosen, trials = search_in_turn(trainings, scratch, self.task_of(cell).metric, result)
        told = all_told[chosen]
        told.search = trials
        told.timings["search"] = time.perf_counter() - started
        return found, told

    def _train(self, training: Training) -> tuple[TrainingResult, RecordFacts]:
        """One training. Where memory runs out, the same batch is taken in smaller pieces, from the last whole epoch on."""
        cell, scratch = training.cell, training.scratch
        task, told = self.task_of(cell), self._told(cell)
        protocol = PROTOCOLS[cell.protocol]
        frozen = protocol.uses_features(task.kind)
        train = protocol.train_segmentation if task.kind == "segmentation" else protocol.train
        if train is None:
            raise BenchmarkError(f"--protocol {cell.protocol} does not train a single {task.kind} task")
        if frozen:
            ((inputs, told),) = self._vector_questions([training])
        else:
            inputs = self._pixel_question(training, told)
        micro_batch, note = micro_batch_of(scratch, cell.recipe.batch_size)
        while True:
            try:
                result = train(self._with_encoders(inputs, cell, told, micro_batch, frozen=frozen))
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
                )
                note += "so batch norms saw those only"
                write_whole(scratch / "micro_batch", f"{micro_batch}\n{note}")
            gc.collect()
            torch.cuda.empty_cache()
        told.notes += [note] * bool(note)
        return result, told

    def _heads(self, due: list[tuple[Cell, Path]]) -> list[tuple[TrainingResult | Exception, RecordFacts]]:
        """Train the heads of all cells, and of all candidates of those that search, as few products at a time as their
        recipes allow: those that differ in the learning rate alone are one.
        """
        train_together = PROTOCOLS[due[0][0].protocol].train_together
        if train_together is None:
            raise ValueError(f"{due[0][0].protocol} trains no cells together")
        trainings = [training for cell, scratch in due for training in trainings_of(cell, scratch)]
        alike: dict[Recipe, list[int]] = {}
        for number, training in enumerate(trainings):
            training.scratch.mkdir(parents=True, exist_ok=True)
            alike.setdefault(training.cell.recipe.model_copy(update={"learning_rate": 1.0}), []).append(number)
        answered: dict[int, tuple[TrainingResult | Exception, RecordFacts]] = {}
        for numbers in alike.values():
            all_inputs = self._vector_questions([trainings[number] for number in numbers])
            results = train_together([inputs for inputs, _ in all_inputs])
            answered |= {
                number: (result, told) for number, result, (_, told) in zip(numbers, results, all_inputs, strict=True)
            }
        of_cell: dict[str, list[int]] = {}
        for number, training in enumerate(trainings):
            of_cell.setdefault(training.key, []).append(number)
        return [
            self._chosen(cell, [trainings[n] for n in of_cell[cell.key]], [answered[n] for n in of_cell[cell.key]])
            for cell, _ in due
        ]

    def _chosen(
        self, cell: Cell, trainings: list[Training], answered: list[tuple[TrainingResult | Exception, RecordFacts]]
    ) -> tuple[TrainingResult | Exception, RecordFacts]:
        """The answer that a cell's search chooses; the only one where it has none."""
        if cell.search is None:
            return answered[0]
        metric = self.task_of(cell).metric
        trials = []
        for training, (result, _) in zip(trainings, answered, strict=True):
            if not isinstance(result, TrainingResult | Diverged):
                return result, RecordFacts()
            trials.append(trial_of(training, result, metric))
        chosen = choose(trials)
        if chosen is None:
            return Diverged(f"every candidate of the search diverged; the first: {trials[0].error}"), RecordFacts()
        result, told = answered[chosen]
        told.search = marked(trials, chosen)
        return result, told

    def _told(self, cell: Cell) -> RecordFacts:
        task = self.task_of(cell)
        index = self._index_of(task, cell)
        return RecordFacts(
            notes=[*index.notes, *overlap_notes(cell, task, self.workspace)],
            data_status=status_of(index, task, self.workspace),
            num_images=index.num_listed,
            num_published=task.num_published,
        )

    def _pixel_question(self, training: Training, told: RecordFacts) -> TrainingInput:
        """The question about images, its encoders still to come (an attempt that ran out of memory wants fresh ones)."""
        cell, scratch = training.cell, training.scratch
        task = self.task_of(cell)
        parts = open_splits(
            index=self._index_of(task, cell),
            task=task,
            recipe=cell.recipe,
            share=TrainingShare.of_cell(cell),
            seed=cell.seed,
            workspace=self.workspace,
            device=self.device,
            threads=self.threads,
            progress=self._progress("cache", training),
            notify=self._tell(training.key),
        )
        told.damage.append(parts.notes)
        told.unreadable = Unreadable(scratch / "unreadable.json", parts.unreadable)
        told.notes += parts.split_notes
        named = ("train", "validation", "test")
        told.num_examples = {name: len(getattr(parts, name)) for name in named}
        return self._question(
            training, told, {name: getattr(parts, name) for name in (*named, "unlabelled")}, parts.columns
        )

    def _question(
        self, training: Training, told: RecordFacts, parts: dict[str, Any], columns: tuple[str, ...]
    ) -> TrainingInput:
        cell = training.cell
        task = self.task_of(cell)

        def watch(line: dict[str, float]) -> None:
            told.keep()
            self.watch({"event": "epoch", "key": training.key, "training": training.scratch.name, **line})

        return TrainingInput(
            kind=task.kind,
            encoders=(),
            **parts,
            columns=columns,
            judging=task.judging,
            recipe=cell.recipe,
            seed=cell.seed,
            scratch=training.scratch,
            device=self.device,
            micro_batch=cell.recipe.batch_size,
            watch=watch,
            warn=lambda line: told.damage.append(lambda: [line]),
        )

    def _with_encoders(
        self, inputs: TrainingInput, cell: Cell, told: RecordFacts, micro_batch: int, *, frozen: bool
    ) -> TrainingInput:
        if frozen:
            return replace(inputs, micro_batch=micro_batch)
        form: Form = "pyramid" if inputs.kind == "segmentation" else "pooled"
        loaded = [(w, *self._loader().load(cell, w, form)) for w in cell.weights]
        told.weights_account = [told_of(weights, account) for weights, _, account in loaded]
        encoders = tuple((encoder, (weights.mean, weights.std)) for weights, encoder, _ in loaded)
        return replace(inputs, encoders=encoders, micro_batch=micro_batch)

    def _vector_questions(self, trainings: list[Training]) -> list[tuple[TrainingInput, RecordFacts]]:
        """Questions about features, those that are missing computed first: one pass for all the trainings."""
        cells = [training.cell for training in trainings]
        task = self.task_of(cells[0])
        index = self._index_of(task, cells[0])
        started = time.perf_counter()
        views = open_evaluation_images(
            index=index,
            task=task,
            recipe=cells[0].recipe,
            workspace=self.workspace,
            device=self.device,
            threads=self.threads,
            progress=self._progress("cache", trainings[0]),
            notify=self._tell(trainings[0].key),
        )
        assignments = [
            assign_examples(index, task, cell.recipe, TrainingShare.of_cell(cell), cell.seed) for cell in cells
        ]
        wanted = rows_of(assignments, views)
        held: dict[Path, EncoderFeatures] = {}
        asked = []
        for cell in cells:
            caches = [(weights, cache_of(self.workspace.features, cell, weights)) for weights in cell.weights]
            for weights, found in caches:
                cache = replace(found, notify=self._tell(trainings[0].key))
                if cache.folder not in held:
                    progress = self._progress("features", trainings[0], weights=weights.name)

                    def load(cell: Cell = cell, weights: Any = weights) -> Any:
                        return self._loader().load(cell, weights, "pooled")

                    held[cache.folder] = seen(cache, weights, cell, load, views, wanted, progress)
            asked.append([held[cache.folder] for _, cache in caches])
        share = (time.perf_counter() - started) / len(cells)
        all_inputs = []
        for training, its, vectorised in zip(trainings, assignments, asked, strict=True):
            cell = training.cell
            told = self._told(cell)
            told.notes += its.notes
            told.weights_account = [one.account for one in vectorised]
            told.timings = {"features": share}
            told.damage += [views.notes, *((lambda notes=one.notes: notes) for one in vectorised)]
            parts, unreadable = vector_parts(its, task, vectorised, cell, self.device)
            told.num_examples = {name: len(part) for name, part in parts.items() if part and name != "unlabelled"}
            told.unreadable = Unreadable(training.scratch / "unreadable.json", lambda found=unreadable: found)  # type: ignore[misc]
            all_inputs.append((self._question(training, told, parts, its.index.labels), told))
        return all_inputs

    def _loader(self) -> Encoders:
        if not self._encoders:
            self._encoders.append(Encoders(workspace=self.workspace))
        return self._encoders[0]

    def task_of(self, cell: Cell) -> TaskSpec:
        """The cell's task, as it was when the cell was planned. Raises BenchmarkError where its fact sheet changed since."""
        task = self._tasks.get(cell.task)
        if task is None or task.digest != cell.task_digest:
            task = self._tasks[cell.task] = find_task(cell.task, self.workspace)
        if task.digest != cell.task_digest:
            raise BenchmarkError(
                f"{task.name}: its fact sheet changed since this cell was planned: give the command again"
            )
        return task

    def _index_of(self, task: TaskSpec, cell: Cell) -> Index:
        if task.name not in self._indexes:
            self._indexes[task.name] = index_of(task, self.workspace)
        index = self._indexes[task.name]
        if index.digest != cell.data_digest:
            raise BenchmarkError(
                f"{task.name}: the images under {index.root} changed since this cell was planned: give the command again"
            )
        return index

    def _tell(self, key: str) -> Callable[[str], None]:
        return lambda line: self.watch({"event": "note", "key": key, "text": line})

    def _progress(self, event: str, training: Training, **told: str) -> Callable[[int, int], None]:
        facts = {"event": event, "key": training.key, "task": training.cell.task, **told}

        def progress(done: int, total: int) -> None:
            self.watch({**facts, "done": done, "total": total})

        return progress
