"""Seconds of a bootstrap of the difference of two models, beside the same by scikit-learn in a loop.

By default the size of ChestX-ray14's test part: 25,596 images of 2,797 patients x 14 labels, 1,000 replicates, drawn by
patient. The scores are made up. The loop (roc_auc_score with `sample_weight`, per replicate, label and model) is timed
on a few replicates of the same draws and scaled; both sides in turns, medians over the rounds.

Nothing here is a test: figures are printed, never asserted.
"""

import argparse
import resource
import statistics
import time

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmark.stats.bootstrap import auc_statistic, bootstrap_difference, resampled


def main() -> None:
    """Draw, time in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"images": 25_596, "patients": 2_797, "labels": 14, "replicates": 1_000}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--looped", type=int, default=3, help="replicates that the loop is timed on (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--kind", choices=["percentile", "bca"], default="percentile", help="default: percentile")
    told = parser.parse_args()
    rng = np.random.default_rng(0)
    truth = (rng.random((told.images, told.labels)) < np.linspace(0.01, 0.24, told.labels)).astype(float)
    models = [(rng.normal(size=truth.shape) + truth).astype(np.float32) for _ in range(2)]
    patients = rng.integers(told.patients, size=told.images)
    before = _peak()
    ours, loops = [], []
    for _ in range(told.rounds):
        started = time.perf_counter()
        first, second = (auc_statistic(truth, score) for score in models)
        found = bootstrap_difference(first, second, patients, replicates=told.replicates, kind=told.kind)
        ours.append(time.perf_counter() - started)
        counts = next(resampled(patients, told.looped))
        started = time.perf_counter()
        looped = _in_a_loop(truth, models, counts)
        loops.append((time.perf_counter() - started) * told.replicates / len(counts))
        apart = np.abs(found.replicates[: len(counts)] - looped).max()
    seconds, loop = statistics.median(ours), statistics.median(loops)
    print(
        f"{told.images:,} images x {told.labels} labels x {told.replicates:,} replicates x 2 models, {told.kind}: "
        f"{seconds:.1f} s ({min(ours):.1f} to {max(ours):.1f}), memory + {_peak() - before:.0f} MB"
    )
    print(f"scikit-learn in a loop: {loop:.0f} s (from {len(counts)} replicates), {loop / seconds:.0f} times as long")
    print(f"largest difference between the two on the same replicates: {apart:.1e}")


def _in_a_loop(truth: np.ndarray, models: list[np.ndarray], counts: np.ndarray) -> np.ndarray:
    means = [
        [
            np.mean([roc_auc_score(t, s, sample_weight=row) for t, s in zip(truth.T, score.T, strict=True)])
            for row in counts
        ]
        for score in models
    ]
    return np.subtract(*means)


def _peak() -> float:
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
