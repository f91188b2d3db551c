"""The results folder: only this module writes and reads it. Safe for many processes, and for a kill at any moment.

results/cells/<task>/<key>/cell.json        what is trained
                           predictions.npz  on the test split (unlabelled.npz: on a challenge's images without labels;
                                            validation.npz: on the validation split, where thresholds are chosen)
                           attention.json   between the encoders of a fusion
                           embedding.npy    a fusion's, of the test examples, in the order of the predictions
                           weights.safetensors  of the trained model, where a run was to keep them
                           record.json      the scores, written last: its existence means done (or failed); it holds
                                            the sha256 of itself and of the files above
                           .lease           names the process that works on the cell
                           scratch/         the state of an unfinished training, removed when done
results/encoders/<key>/                     scratch of `pretrain`
results/reports/<name>/                     tables and figures
results/published/                          the papers' numbers (shipped, never written)
results/store.json                          how long the lease of a cell lasts

A damaged record (it was edited, or a file that it names is gone, cut or another cell's) is named in messages and left out.
The sizes of the files are compared whenever a record is read; their sha256 when they are read, or where `hashed` says so.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.files import atomic_file, temporary_error_of, write_atomically
from benchmark.locks import Holder, LeaseTerms, holder_of, is_locked
from benchmark.results.claims import LEASE_FILE, ClaimedElsewhere, claimed, terms_of, write_if_changed
from benchmark.results.contents import (
    ATTENTION,
    EMBEDDING,
    PREDICTIONS,
    WEIGHTS,
    decode_attention,
    decode_embedding,
    encode_contents,
)
from benchmark.results.listing import cell_folders, collector_paused
from benchmark.results.predictions import Predictions
from benchmark.results.record import RunRecord, StoredFile, write_record
from benchmark.results.verification import RECORD, check_files, content_in, record_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CELL_FILE = "cell.json"
UNREADABLE = "record-unreadable.json"  # a record that did not hold, when its cell was run again


@dataclass(frozen=True)
class Store:
    """A results folder."""

    root: Path

    def folder(self, cell: Cell) -> Path:
        """Returns the cell's folder."""
        return self.root / "cells" / cell.task / cell.key

    @contextmanager
    def claim(self, cell: Cell) -> Iterator[Path]:
        """Holds the lease of a cell, and yields its scratch folder, which outlives a kill; waits for nobody.

        A process that lost the lease meanwhile cannot replace a file of the cell any more: LeaseLostError. Raises
        ClaimedElsewhere where another process works on the cell, TemporaryError where the folder cannot be written.
        """
        folder = self.folder(cell)
        scratch = folder / "scratch"
        with claimed(folder, self.terms):
            try:
                content = cell.model_dump_json(indent=1) + "\n"
                write_if_changed(folder / CELL_FILE, content)
                if not self.has_record(cell):
                    scratch.mkdir(exist_ok=True)
            except OSError as error:
                raise temporary_error_of(error) from error
            yield scratch

    @cached_property
    def terms(self) -> LeaseTerms:
        """How long the lease of a cell of this folder lasts."""
        return terms_of(self.root)

    def lease(self, cell: Cell) -> Path:
        """The file that names the process that works on the cell."""
        return self.folder(cell) / LEASE_FILE

    def is_claimed(self, cell: Cell) -> bool:
        """Returns whether a process works on the cell at this moment; claims nothing."""
        return is_locked(self.lease(cell), self.terms)

    def holder(self, cell: Cell) -> Holder | None:
        """Returns the process that works on the cell, or that did when it was ended; None where there is none."""
        return holder_of(self.lease(cell))

    def put(
        self,
        record: RunRecord,
        predictions: Predictions | None,
        unlabelled: Predictions | None = None,
        attention: "NDArray[np.float64] | None" = None,
        embedding: "NDArray[np.float16] | None" = None,
        weights: bytes | None = None,
    ) -> RunRecord:
        """Writes a cell's result, predictions first and the record last; returns the record with the sizes and sha256 of
        these files.

        The scratch folder of a done cell is removed; that of a failed one stays, for its next attempt to continue from.
        """
        contents = encode_contents(record.cell, predictions, unlabelled, attention, embedding)
        if weights is not None:
            contents[WEIGHTS] = weights
        folder = self.folder(record.cell)
        for name, content in contents.items():
            write_atomically(folder / name, content)
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

    def rewrite(self, record: RunRecord) -> None:
        """Replaces a cell's record, as one file; what lies beside it stays."""
        write_record(self.folder(record.cell) / RECORD, record)

    def take(self, record: RunRecord, source: "Store") -> None:
        """Copies a cell's files from another results folder, byte for byte, the record last."""
        folder, origin = self.folder(record.cell), source.folder(record.cell)
        for name in (*record.files, RECORD):
            with atomic_file(folder / name) as partial:
                shutil.copyfile(origin / name, partial)
        self.remove_scratch(record.cell)

    def has_record(self, cell: Cell) -> bool:
        """Returns whether the cell has a record, readable or not."""
        return (self.folder(cell) / RECORD).exists()

    def is_begun(self, cell: Cell) -> bool:
        """Returns whether the cell has the state of an unfinished training."""
        return (self.folder(cell) / "scratch").is_dir()

    def remove_scratch(self, cell: Cell) -> None:
        """Removes the state of a training that is not to be continued."""
        shutil.rmtree(self.folder(cell) / "scratch", ignore_errors=True)

    def remove_leftovers(self, done: Iterable[Cell]) -> None:
        """Removes the states of done cells, which stay where a process was killed between a record and their removal."""
        for cell in done:
            if self.is_begun(cell) and not self.is_claimed(cell):
                self.remove_scratch(cell)

    def discard(self, cell: Cell) -> bool:
        """Removes everything of a cell that failed or was interrupted; returns whether it is gone. A cell stays that is done,
        that has a damaged record, or that another process works on.
        """
        folder = self.folder(cell)
        try:
            with self.claim(cell):
                record = self.get(cell)
                if self.has_record(cell) and (record is None or record.status == "done"):
                    return False
                (folder / RECORD).unlink(missing_ok=True)  # first: a record must never name files that are gone
                for path in list(folder.iterdir()):
                    if path.is_dir():
                        shutil.rmtree(path)
                    elif not path.name.startswith("."):  # the lease is released when the block ends
                        path.unlink()
        except ClaimedElsewhere:
            return False
        with suppress(OSError):  # another process may have begun it again
            folder.rmdir()
        return True

    def get(self, cell: Cell) -> RunRecord | None:
        """Returns the cell's record; None where it has none, or a damaged one (`damage` says why)."""
        try:
            return record_in(self.folder(cell))
        except BenchmarkError:
            return None

    def damage(self, cell: Cell) -> str:
        """Returns why the cell's record cannot be used, in one line; nothing where it can be, or there is none."""
        try:
            if self.has_record(cell):
                record_in(self.folder(cell))
        except BenchmarkError as fault:
            return str(fault)
        return ""

    def read_predictions(self, cell: Cell, name: str) -> Predictions | None:
        """Returns one of the PREDICTIONS of a done cell; None where it has none. Raises BenchmarkError where the file is not
        the one that the record names.
        """
        content = content_in(self.folder(cell), name)
        return None if content is None else Predictions.from_bytes(content, self.folder(cell) / name)

    def predictions(self, cell: Cell) -> Predictions:
        """Returns the predictions of a done cell. Raises BenchmarkError where there are none, or not those of the record."""
        if (found := self.read_predictions(cell, PREDICTIONS[0])) is None:
            raise BenchmarkError(f"{self.folder(cell)}: no predictions: the cell failed")
        found.validation = self.read_predictions(cell, PREDICTIONS[2])
        return found

    def unlabelled(self, cell: Cell) -> Predictions | None:
        """Returns the predictions on a challenge's images without labels; None where the task has none."""
        return self.read_predictions(cell, PREDICTIONS[1])

    def embedding(self, cell: Cell) -> "NDArray[np.float16] | None":
        """Returns the embedding of the test examples that a fusion made, examples x width in the order of the predictions;
        None where none was stored.
        """
        content = content_in(self.folder(cell), EMBEDDING)
        return None if content is None else decode_embedding(content)

    def attention(self, cell: Cell) -> "tuple[list[str], NDArray[np.float64]] | None":
        """Returns how much each encoder of a fusion attends to each, averaged over the test split (rows sum to 1): their
        names, and encoders x encoders; None where none was stored.
        """
        content = content_in(self.folder(cell), ATTENTION)
        return None if content is None else decode_attention(content)

    def has_weights(self, cell: Cell) -> bool:
        """Returns whether the cell is done and has kept the weights of its model."""
        record = self.get(cell)
        return record is not None and WEIGHTS in record.files

    def weights(self, cell: Cell) -> bytes | None:
        """Returns the file of weights that a done cell has kept; None where it kept none. Raises BenchmarkError for another
        file than the record's.
        """
        return content_in(self.folder(cell), WEIGHTS) if self.has_weights(cell) else None

    def records(self, *, hashed: bool = True) -> tuple[list[RunRecord], list[str]]:
        """Returns all records, in order of task and key, and one line for each that is damaged. `hashed`: the sha256 of the
        files that a record names are compared, not their sizes alone.
        """
        records, unread = [], []
        with collector_paused():
            for found in self.each(hashed=hashed):
                if isinstance(found, str):
                    unread.append(found)
                else:
                    records.append(found)
        return records, unread

    def each(self, *, hashed: bool = False) -> Iterator[RunRecord | str]:
        """Yields the same one by one, in order: a record, or the line about a damaged one."""
        for folder in self.folders():
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

    def folders(self) -> list[Path]:
        """Returns every cell's folder, in order of task and key."""
        return cell_folders(self.root)

    def unfinished(self) -> tuple[list[tuple[Cell, bool]], list[str]]:
        """Returns the cells that were begun and have no record, each with whether a process works on it now; and one line
        for each whose `cell.json` cannot be read.
        """
        begun, unread = [], []
        for folder in self.folders():
            path = folder / CELL_FILE
            if (folder / RECORD).exists() or not path.exists():
                continue
            try:
                cell = Cell.model_validate_json(path.read_bytes())
            except OSError as error:
                unread.append(f"{path}: {error.strerror or error}")
            except ValidationError:
                unread.append(f"{path}: damaged, or of another version: running its cell writes it again")
            else:
                begun.append((cell, is_locked(folder / LEASE_FILE, self.terms)))
        return begun, unread

    def encoder_scratch(self, key: str) -> Path:
        """Returns the folder where `pretrain` keeps the state of an unfinished training."""
        folder = self.root / "encoders" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def remove_encoder_scratch(self, key: str) -> None:
        """Removes that folder, when the encoder is in the zoo."""
        shutil.rmtree(self.root / "encoders" / key, ignore_errors=True)

    def put_report(self, name: str, files: dict[str, bytes]) -> Path:
        """Writes a report's files, each whole or not at all; returns their folder."""
        folder = self.root / "reports" / name
        for file, content in files.items():
            write_atomically(folder / file, content)
        return folder
