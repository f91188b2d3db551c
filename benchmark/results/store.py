"""The results folder: claimed, written and read here alone. Safe for many processes, and for a kill at any moment.

results/cells/<task>/<key>/cell.json        the question
                           predictions.npz  the answer (unlabelled.npz: on a challenge's images without labels)
                           attention.json   between the encoders of a fusion
                           embedding.npy    a fusion's, of the test examples, in the order of the predictions
                           record.json      the verdict, written last: its existence means done (or failed); it holds
                                            the sha256 of itself and of the files above
                           .lock            held while a process works on the cell
                           scratch/         the state of an unfinished training, removed when done
results/encoders/<key>/                     scratch of `pretrain`
results/reports/<name>/                     tables and figures
results/published/                          the papers' numbers (shipped, never written)

A record that does not hold (it was edited, or a file that it names is gone, cut or another cell's) is named and left out.
The sizes of the files are compared whenever a record is read; their sha256 when they are read, or where `hashed` says so.
"""

import gc
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.files import space_for, temporary_error_of, whole_file, write_whole
from benchmark.locks import is_locked, locked
from benchmark.results.predictions import Predictions
from benchmark.results.record import RunRecord, StoredFile, write_record
from benchmark.results.verification import RECORD, check_files, content_in, record_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUESTION = "cell.json"
PREDICTIONS = ("predictions.npz", "unlabelled.npz")
ATTENTION, EMBEDDING = "attention.json", "embedding.npy"
UNREADABLE = "record-unreadable.json"  # a record that did not hold, when its cell was run again
CLAIM_SECONDS = 1.0  # a killed process's lock may take a moment to go


class ClaimedElsewhere(Exception):
    """Another process works on the cell."""


@dataclass(frozen=True)
class Store:
    """A results folder."""

    root: Path

    def folder(self, cell: Cell) -> Path:
        """The cell's folder."""
        return self.root / "cells" / cell.task / cell.key

    @contextmanager
    def claim(self, cell: Cell) -> Iterator[Path]:
        """Work on a cell: yields its scratch folder, which outlives a kill. Raises Claimed where another process does.

        The lock is the operating system's: it goes with the process that held it, however that ended. Raises
        TemporaryFault where the folder cannot be written.
        """
        from filelock import Timeout  # it takes its time: verbs that only read do without

        folder = self.folder(cell)
        scratch = folder / "scratch"
        with ExitStack() as held:
            try:
                with space_for(folder):
                    folder.mkdir(parents=True, exist_ok=True)
                    held.enter_context(locked(self.lock(cell), timeout=CLAIM_SECONDS))
                    question = cell.model_dump_json(indent=1) + "\n"
                    if _text_of(folder / QUESTION) != question:
                        write_whole(folder / QUESTION, question)
                    if not self.has_record(cell):
                        scratch.mkdir(exist_ok=True)
            except Timeout as error:
                raise ClaimedElsewhere(cell.key) from error
            except OSError as error:
                raise temporary_error_of(error) from error
            yield scratch

    def lock(self, cell: Cell) -> Path:
        """The file that a process locks while it works on the cell."""
        return self.folder(cell) / ".lock"

    def is_claimed(self, cell: Cell) -> bool:
        """Whether a process works on the cell at this moment."""
        return is_locked(self.lock(cell))

    def put(
        self,
        record: RunRecord,
        predictions: Predictions | None,
        unlabelled: Predictions | None = None,
        attention: "NDArray[np.float64] | None" = None,
        embedding: "NDArray[np.float16] | None" = None,
    ) -> RunRecord:
        """Write a verdict: predictions first, the record last; returns it with what it says of these files.

        The scratch of a done cell is removed; that of a failed one stays, for its next attempt to continue from.
        """
        import numpy as np  # `status` reads records alone

        contents: dict[str, bytes] = {}
        for name, some in zip(PREDICTIONS, (predictions, unlabelled), strict=True):
            if some is not None:
                contents[name] = some.to_bytes()
        if attention is not None:
            told = {"encoders": [weights.name for weights in record.cell.weights], "attention": attention.tolist()}
            contents[ATTENTION] = (json.dumps(told) + "\n").encode()
        if embedding is not None:
            buffer = io.BytesIO()
            np.save(buffer, embedding)
            contents[EMBEDDING] = buffer.getvalue()
        folder = self.folder(record.cell)
        for name, content in contents.items():
            write_whole(folder / name, content)
        files = {
            name: StoredFile(size=len(content), sha256=hashlib.sha256(content).hexdigest())
            for name, content in contents.items()
        }
        record = record.model_copy(update={"files": files})
        if self.damage(record.cell):
            (folder / RECORD).replace(folder / UNREADABLE)
        write_record(folder / RECORD, record)
        if record.status == "done":
            self.remove_scratch(record.cell)
        return record

    def take(self, record: RunRecord, source: "Store") -> None:
        """Copy a cell's answer and verdict from another results folder, byte for byte, the record last."""
        folder, origin = self.folder(record.cell), source.folder(record.cell)
        for name in (*record.files, RECORD):
            with whole_file(folder / name) as partial:
                shutil.copyfile(origin / name, partial)
        self.remove_scratch(record.cell)

    def has_record(self, cell: Cell) -> bool:
        """Whether the cell has a record, readable or not."""
        return (self.folder(cell) / RECORD).exists()

    def is_begun(self, cell: Cell) -> bool:
        """Whether the cell has the state of an unfinished training."""
        return (self.folder(cell) / "scratch").is_dir()

    def remove_scratch(self, cell: Cell) -> None:
        """Remove the state of a training that is not to be continued."""
        shutil.rmtree(self.folder(cell) / "scratch", ignore_errors=True)

    def remove_leftovers(self, done: Iterable[Cell]) -> None:
        """Remove the states of done cells, which stay where a process was killed between a record and their removal."""
        for cell in done:
            if self.is_begun(cell) and not self.is_claimed(cell):
                self.remove_scratch(cell)

    def get(self, cell: Cell) -> RunRecord | None:
        """The cell's record; None where it has none, or one that does not hold (`damage` tells)."""
        try:
            return record_in(self.folder(cell))
        except BenchmarkError:
            return None

    def damage(self, cell: Cell) -> str:
        """Why the cell's record does not hold, in one line; nothing where it holds, or there is none."""
        try:
            if self.has_record(cell):
                record_in(self.folder(cell))
        except BenchmarkError as fault:
            return str(fault)
        return ""

    def answer(self, cell: Cell, name: str) -> Predictions | None:
        """One of the PREDICTIONS of a done cell; None where it has none. Raises BenchmarkError where they are not its
        record's.
        """
        content = content_in(self.folder(cell), name)
        return None if content is None else Predictions.from_bytes(content, self.folder(cell) / name)

    def predictions(self, cell: Cell) -> Predictions:
        """The answer of a done cell. Raises BenchmarkError where there is none, and as `answer`."""
        if (found := self.answer(cell, PREDICTIONS[0])) is None:
            raise BenchmarkError(f"{self.folder(cell)}: no predictions: the cell failed")
        return found

    def unlabelled(self, cell: Cell) -> Predictions | None:
        """What a done cell says of a challenge's images without labels, None where it was asked of none."""
        return self.answer(cell, PREDICTIONS[1])

    def embedding(self, cell: Cell) -> "NDArray[np.float16] | None":
        """What a fusion made of the test examples, examples x width in the order of the predictions; None: none kept."""
        import numpy as np

        content = content_in(self.folder(cell), EMBEDDING)
        return None if content is None else np.load(io.BytesIO(content), allow_pickle=False)

    def attention(self, cell: Cell) -> "tuple[list[str], NDArray[np.float64]] | None":
        """How much each encoder of a fusion attends to each, averaged over the test part (rows sum to 1): their names,
        and encoders x encoders; None where the cell has none.
        """
        import numpy as np

        if (content := content_in(self.folder(cell), ATTENTION)) is None:
            return None
        told = json.loads(content)
        return list(told["encoders"]), np.asarray(told["attention"])

    def records(self, *, hashed: bool = True) -> tuple[list[RunRecord], list[str]]:
        """All records, in order of task and key, and one line for each that does not hold. `hashed`: by the sha256 of the
        files that it names, not by their sizes alone.
        """
        records, unread = [], []
        with _collector_paused():
            for found in self.each(hashed=hashed):
                if isinstance(found, str):
                    unread.append(found)
                else:
                    records.append(found)
        return records, unread

    def each(self, *, hashed: bool = False) -> Iterator[RunRecord | str]:
        """The same one by one, in order: a record, or the line about one that does not hold. They need not all be held at
        once.
        """
        for folder in self._folders():
            if not (folder / RECORD).exists():
                continue
            try:
                record = record_in(folder)
                if hashed:
                    check_files(folder, record)
            except BenchmarkError as fault:
                yield str(fault)
            else:
                yield record

    def _folders(self) -> list[Path]:
        """Every cell's folder, in order of task and key."""
        tasks = _subfolders(str(self.root / "cells"))
        return [Path(cell) for task in tasks for cell in _subfolders(task)]

    def unfinished(self) -> tuple[list[tuple[Cell, bool]], list[str]]:
        """Cells that were begun and have no record: the cell, and whether a process works on it now; and one line for each
        whose question cannot be read.
        """
        begun, unread = [], []
        for folder in self._folders():
            question = folder / QUESTION
            if (folder / RECORD).exists() or not question.exists():
                continue
            try:
                cell = Cell.model_validate_json(question.read_bytes())
            except OSError as error:
                unread.append(f"{question}: {error.strerror or error}")
            except ValidationError:
                unread.append(f"{question}: damaged, or of another version: running its cell writes it again")
            else:
                begun.append((cell, is_locked(folder / ".lock")))
        return begun, unread

    def encoder_scratch(self, key: str) -> Path:
        """Where `pretrain` keeps the state of an unfinished training."""
        folder = self.root / "encoders" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def remove_encoder_scratch(self, key: str) -> None:
        """Remove it, when the encoder is in the zoo."""
        shutil.rmtree(self.root / "encoders" / key, ignore_errors=True)

    def put_report(self, name: str, files: dict[str, bytes]) -> Path:
        """Write a report's files, each whole; the folder."""
        folder = self.root / "reports" / name
        for file, content in files.items():
            write_whole(folder / file, content)
        return folder


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Records are all kept: looking among them for garbage, again and again, takes a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
