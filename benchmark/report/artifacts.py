"""What cells keep beside their predictions, as figures take it: features of test examples, attention between encoders."""

from pathlib import Path

from benchmark.data.feature_cache import cache_of
from benchmark.errors import BenchmarkError
from benchmark.protocols.registry import PROTOCOLS
from benchmark.report.figures.material import Attention, Features
from benchmark.results.record import RunRecord
from benchmark.results.store import Store


def features_of(record: RunRecord, store: Store, folder: Path) -> Features:
    """The test examples' features: a fusion's own embedding, or what a frozen encoder gave (`folder`: of these caches).

    Raises BenchmarkError where the cell's protocol has none, or they were deleted.
    """
    cell = record.cell
    ids = store.predictions(cell).ids
    values = store.embedding(cell)
    frozen = cell.protocol in PROTOCOLS and PROTOCOLS[cell.protocol].frozen
    if values is None and frozen and len(cell.weights) == 1:
        values = cache_of(folder, cell, cell.weights[0]).of(ids)
    if values is None:
        raise BenchmarkError(
            f"{cell.title}: no features are kept: wanted a cell of a frozen encoder (--protocol linear) or a fusion, and "
            "the home's features/ as its run left it"
        )
    return Features(values=values, ids=ids)


def attention_of(record: RunRecord, store: Store) -> Attention:
    """Attention between a fusion's encoders. Raises BenchmarkError where the cell is of no fusion with attention."""
    kept = store.attention(record.cell)
    if kept is None:
        raise BenchmarkError(f"{record.cell.title}: no attention is kept: wanted a cell of --protocol dvme")
    names, weights = kept
    return Attention(weights=weights, encoders=tuple(names))
