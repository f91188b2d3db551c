"""One cell -> one record. The only place where zoo, data, protocol and judge meet."""

import datetime as dt
import gc
import json
import platform
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark import __version__
from benchmark.cell import Cell, Weights, stream
from benchmark.data.index import Index
from benchmark.data.parts import Parts, Share, open_parts
from benchmark.data.readers import index_of
from benchmark.disk import DiskFull, Places, write_whole
from benchmark.evaluate import group_scores, scores_of, unscored
from benchmark.fault import Fault, first_few, plural
from benchmark.overlap import overlap_notes
from benchmark.protocols import PROTOCOLS, Answer, Question
from benchmark.record import RunRecord
from benchmark.store import Store
from benchmark.tasks import TaskSpec, find_task
from benchmark.training.loop import Diverged, OutOfMemory
from benchmark.zoo import backbone, fetch
from benchmark.zoo.catalog import find_entry, read_catalog
from benchmark.zoo.converted import encoder_of

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "albumentations",
    "numpy",
    "pillow",
    "opencv-python-headless",
)
Watch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Answers cells on one device. Indexes are read once; `watch` is told of epochs and of caches being built."""

    places: Places
    device: torch.device
    threads: int = 1
    watch: Watch = lambda _: None
    _indexes: dict[str, Index] = field(default_factory=dict)
    _verified: dict[str, fetch.WeightFile] = field(default_factory=dict)

    def run(self, cell: Cell, *, retry_failed: bool = False) -> RunRecord:
        """The cell's record: the stored one, or a new one. A fault or divergence becomes a failed record.

        Raises store.Claimed where another process works on the cell. An interruption leaves it resumable; so does a
        full disk (DiskFull).
        """
        store = Store(self.places.results)
        with store.claim(cell) as scratch:
            earlier = store.get(cell)
            if earlier is not None and not (retry_failed and earlier.status == "failed"):
                return earlier
            attempt = earlier.attempt + 1 if earlier else 1
            try:
                record, answer = self._judge(cell, scratch, attempt)
            except DiskFull:
                raise
            except Exception as error:  # noqa: BLE001 - one cell's failure, of whatever kind, must not end the others
                record, answer = self._failed(cell, error, attempt), None
            store.put(record, answer and answer.predictions, answer and answer.unlabelled)
        return record

    def _judge(self, cell: Cell, scratch: Path, attempt: int) -> tuple[RunRecord, Answer]:
        self._reset_peak_memory()
        answer, told = self.answer(cell, scratch)
        judging = self.task_of(cell).judging
        scores, per_label = scores_of(answer.predictions, judging)
        if absent := unscored(per_label):
            told["notes"].append(f"no AUC for {first_few(absent)}: the test part has one class of it only")
        fit = answer.fit
        seconds = {"train": fit.train_seconds, "wait": fit.wait_seconds, "validation": fit.validation_seconds}
        record = RunRecord(
            key=cell.key,
            cell=cell,
            status="done",
            attempt=attempt,
            finished=_now(),
            scores=scores,
            per_label=per_label,
            per_group=group_scores(answer.predictions, judging),
            epochs_trained=fit.epochs_trained,
            best_epoch=fit.best_epoch,
            stopped=fit.stopped,
            history=fit.history,
            timings={name: round(value, 3) for name, value in {**seconds, "test": answer.test_seconds}.items()},
            images_per_second=round(fit.num_images / fit.train_seconds, 2) if fit.train_seconds else None,
            peak_memory_gb=self._peak_memory(),
            environment=self._environment(),
            **told,
        )
        return record, answer

    def answer(self, cell: Cell, scratch: Path) -> tuple[Answer, dict[str, Any]]:
        """Train and predict, continuing from `scratch`; and what the record tells beside the scores.

        Where memory runs out, the same batch is taken in smaller pieces, from the last whole epoch on.
        """
        task = self.task_of(cell)
        index = self._index_of(task, cell)
        parts = self._parts(cell, task, index)
        unreadable = _Unreadable(scratch / "unreadable.json", parts.unreadable)
        notes = [*index.notes, *overlap_notes(cell, task, self.places)]
        micro_batch, note = _micro_batch(scratch, cell.recipe.batch_size)
        while True:
            try:
                answer, account = self._ask(cell, task, parts, scratch, micro_batch, unreadable)
                break
            except OutOfMemory as error:
                if error.micro_batch == 1:
                    raise Fault(f"out of memory with one image of {cell.recipe.image_size} pixels at a time") from error
                micro_batch = error.micro_batch // 2
                note = (
                    f"out of memory: each batch of {cell.recipe.batch_size} was taken {micro_batch} images at a time, "
                )
                note += "so batch norms saw those only"
                write_whole(scratch / "micro_batch", f"{micro_batch}\n{note}")
            gc.collect()
            torch.cuda.empty_cache()
        counts = {"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)}
        if found := unreadable.kept():
            why = first_few([f"{path} ({reason})" for path, reason in sorted(found.items())])
            notes.append(f"{plural(len(found), 'image')} could not be decoded and were left out: {why}")
        return answer, {"num_examples": counts, "notes": notes + [note] * bool(note), "weights_account": account}

    def _ask(
        self, cell: Cell, task: TaskSpec, parts: Parts, scratch: Path, micro_batch: int, unreadable: "_Unreadable"
    ) -> tuple[Answer, list[dict[str, Any]]]:
        def watch(line: dict[str, float]) -> None:
            unreadable.kept()
            self.watch({"event": "epoch", "key": cell.key, **line})

        encoders, account = [], []
        for weights in cell.weights:
            encoder, its = self._encoder(cell, weights, "pyramid" if task.kind == "segmentation" else "pooled")
            encoders.append((encoder, (weights.mean, weights.std)))
            account.append(
                {"name": weights.name, "share": round(its.share, 6), "dropped": its.dropped, "fresh": its.fresh}
            )
        question = Question(
            kind=task.kind,
            encoders=tuple(encoders),
            train=parts.train,
            validation=parts.validation,
            test=parts.test,
            unlabelled=parts.unlabelled,
            columns=parts.columns,
            judging=task.judging,
            recipe=cell.recipe,
            seed=cell.seed,
            scratch=scratch,
            device=self.device,
            micro_batch=micro_batch,
            watch=watch,
        )
        return PROTOCOLS[cell.protocol](question), account

    def task_of(self, cell: Cell) -> TaskSpec:
        """The cell's task, as it was when the cell was planned. Raises Fault where its fact sheet changed since."""
        task = find_task(cell.task, self.places)
        if task.digest != cell.task_digest:
            raise Fault(f"{task.name}: its fact sheet changed since this cell was planned: give the command again")
        return task

    def _index_of(self, task: TaskSpec, cell: Cell) -> Index:
        if task.name not in self._indexes:
            self._indexes[task.name] = index_of(task, self.places)
        index = self._indexes[task.name]
        if index.digest != cell.data_digest:
            raise Fault(
                f"{task.name}: the images under {index.root} changed since this cell was planned: give the command again"
            )
        return index

    def _parts(self, cell: Cell, task: TaskSpec, index: Index) -> Parts:
        def progress(done: int, total: int) -> None:
            self.watch({"event": "cache", "key": cell.key, "task": task.name, "done": done, "total": total})

        return open_parts(
            index=index,
            task=task,
            recipe=cell.recipe,
            share=Share.of_cell(cell),
            seed=cell.seed,
            places=self.places,
            device=self.device,
            threads=self.threads,
            progress=progress,
        )

    def _encoder(self, cell: Cell, weights: Weights, form: backbone.Form) -> tuple[nn.Module, backbone.Account]:
        entry = find_entry(weights.name, read_catalog(self.places.project / "model_zoo.yaml", self.places.own_zoo))
        seed = stream(cell.seed, "encoder")
        if not weights.fresh:
            if weights.sha256 not in self._verified:
                self._verified[weights.sha256] = fetch.verified(fetch.fetch(entry, self.places.weights, offline=True))
            file = self._verified[weights.sha256]
            if file.sha256 != weights.sha256 or entry.naming != weights.naming:
                raise Fault(
                    f"{entry.name}: its file or naming changed since this cell was planned: give the command again"
                )
            tensors, account = encoder_of(entry, file)
            return backbone.filled(entry, tensors, account, form, seed, cell.recipe.image_size), account
        return backbone.load(entry, None, form, seed, cell.recipe.image_size)

    def _failed(self, cell: Cell, error: Exception, attempt: int) -> RunRecord:
        known = isinstance(error, Fault | Diverged)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        return RunRecord(
            key=cell.key,
            cell=cell,
            status="failed",
            attempt=attempt,
            finished=_now(),
            error=reason.split("\n")[0],
            traceback=reason if known else "".join(traceback.format_exception(error)),
            environment=self._environment(),
        )

    def _reset_peak_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def _peak_memory(self) -> float:
        """GB: of the device on a GPU, of this process since its start on a CPU."""
        if self.device.type == "cuda":
            return round(torch.cuda.max_memory_allocated(self.device) / 1e9, 3)
        unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 3)

    def _environment(self) -> dict[str, str]:
        on_gpu = self.device.type == "cuda"
        return {
            "benchmark": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
            "device": torch.cuda.get_device_name(self.device) if on_gpu else "CPU",
            "cpu": _cpu_name(),
            "threads": str(torch.get_num_threads()),
            "system": platform.system(),
        }


@dataclass(frozen=True)
class _Unreadable:
    """Images that could not be decoded, over all attempts: a resumed training does not open all of them again."""

    path: Path
    met: Callable[[], dict[str, str]]

    def kept(self) -> dict[str, str]:
        """Image -> reason, those of earlier attempts included; written down where there are any."""
        earlier = json.loads(self.path.read_text()) if self.path.is_file() else {}
        known = {**earlier, **self.met()}
        if known != earlier:
            write_whole(self.path, json.dumps(known))
        return known


def _micro_batch(scratch: Path, batch_size: int) -> tuple[int, str]:
    """The pieces that an earlier, interrupted attempt had come down to; a resumed training must keep them."""
    path = scratch / "micro_batch"
    if not path.is_file():
        return batch_size, ""
    size, _, note = path.read_text().partition("\n")
    return int(size), note


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
