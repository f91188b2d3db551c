"""`load_results` and `summary`: the finished cells as a table, and the table's means and tests."""

from typing import TYPE_CHECKING, Literal

from benchmark.api.options import Names, PathLike, find_places, join_names
from benchmark.errors import BenchmarkError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

TestName = Literal["student", "welch", "paired", "wilcoxon"]


def load_results(
    results: PathLike | None = None,
    *,
    tasks: Names | None = None,
    models: Names | None = None,
    long: bool = False,
    project: PathLike | None = None,
) -> "pd.DataFrame":
    """Returns the finished cells of a results folder, one row each, in the columns that `benchmark export` writes.

    `benchmark export --schema` says what each column means; scores are in 0..1, what is not known is missing. `long`: one
    row for each score of each label and subgroup. `frame.attrs["unread"]` lists the records that could not be read.
    Raises BenchmarkError where no cell is finished, or none of the named tasks and models.

    >>> bm.load_results("results", tasks="TXC")[["model", "seed", "score"]]  # doctest: +SKIP
    """
    from benchmark.experiment.selection import select
    from benchmark.reporting.export import cells_frame, scores_frame
    from benchmark.results.store import Store
    from benchmark.tasks.registry import known_tasks
    from benchmark.tasks.shift import with_shifts
    from benchmark.zoo.catalog import read_catalog

    workspace = find_places(results, None, project)
    known = known_tasks(workspace)
    catalog = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo)
    families = {entry.name: entry.family for entry in catalog.values()}
    records, unread = Store(workspace.results).records()
    known = with_shifts(known, (record.cell for record in records))
    frame = (scores_frame if long else cells_frame)(records, known, families)
    if frame.empty:
        raise BenchmarkError(f"no finished cell in {workspace.results}: benchmark run … first")
    kinds = {task: known[task].kind if task in known else "" for task in dict.fromkeys([*known, *frame["task"]])}
    frame = frame[frame["task"].isin(select(join_names(tasks) or "all", kinds, noun="task"))]
    if models and len(frame):
        names = {name: families.get(name, "") for name in dict.fromkeys(frame["model"])}
        frame = frame[frame["model"].isin(select(join_names(models) or "", names, noun="model with results"))]
    if frame.empty:
        raise BenchmarkError(f"no finished cell of {join_names(tasks)} in {workspace.results}")
    frame = frame.reset_index(drop=True)
    frame.attrs["unread"] = unread
    return frame


def summary(frame: "pd.DataFrame", *, baseline: str | None = None, test: TestName = "welch") -> "pd.DataFrame":
    """Returns one row for each model of each block (one task, data, protocol, recipe and share) of `load_results`.

    `mean`, `sd` (n - 1) and `n` of the score (0..1); `difference` from the baseline's mean, its 95 % interval `low` to
    `high`, the `p` of the test, and `p_holm` and `p_bh`, corrected for the tests of the block; `hedges_g`; the means of
    `validation`, `best_epoch` and `epochs_trained` with their sd. `baseline` is a model of the frame; without it,
    `imagenet` where it was run, else fresh weights. The unit is the run. Raises BenchmarkError for a baseline that was not
    run.

    >>> bm.summary(bm.load_results("results"), baseline="imagenet")[
    ...     ["task", "model", "mean", "p_holm"]
    ... ]  # doctest: +SKIP
    """
    import pandas as pd

    from benchmark.reporting.tables import TESTS, default_baseline
    from benchmark.reporting.tables import summary as summarize

    if test not in TESTS:
        raise BenchmarkError(f"test {test!r}: {did_you_mean(test, TESTS)}")
    if missing := [name for name in ("block", "model_id", "score") if name not in frame]:
        raise BenchmarkError(f"the frame has no column {missing[0]}: wanted the frame of load_results(…, long=False)")
    if baseline is not None and baseline not in set(frame["model"]):
        raise BenchmarkError(
            f"baseline {baseline!r}: no finished cell of it here: {did_you_mean(baseline, frame['model'])}"
        )
    runs = pd.DataFrame(frame).astype(
        {name: "float64" for name in frame if isinstance(frame[name].dtype, pd.Float64Dtype | pd.Int64Dtype)}
    )
    # what the report's own frame has beside, and no number here depends on
    runs = runs.assign(members=[(model,) for model in runs["model"]], is_deterministic=False)
    rows = summarize(runs, baseline or default_baseline(runs), test)
    return rows.drop(columns=["members", "is_deterministic"])
