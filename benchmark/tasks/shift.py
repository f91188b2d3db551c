"""Which labels of two tasks mean the same, and the task that judging a model across two tasks is."""

from collections.abc import Iterable, Mapping

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.tasks.kinds import KINDS
from benchmark.tasks.spec import TaskSpec

LabelPairs = tuple[tuple[str, str], ...]  # label of the source, label of the target


def shared_labels(source: TaskSpec, target: TaskSpec, labels: tuple[str, ...], others: tuple[str, ...]) -> LabelPairs:
    """Returns the pairs of labels that mean the same, in the order of the target's: those with one word in one vocabulary of
    the two fact sheets. `labels` and `others` are the labels that the data of source and target have.

    Raises BenchmarkError, with the labels of both, where none are shared, or only one of classes that exclude each other.
    """
    pairs: dict[str, str] = {}
    for vocabulary, words in target.shared_labels.items():
        label_of = {word: label for label, word in source.shared_labels.get(vocabulary, {}).items()}
        for other, word in words.items():
            if other in others and label_of.get(word) in labels:
                pairs.setdefault(other, label_of[word])
    wanted = 2 if are_exclusive(source, target) else 1
    if len(pairs) < wanted:
        found = f"share one class ({next(iter(pairs))}), wanted two" if pairs else "share no label"
        raise BenchmarkError(
            f"--evaluate-on {target.name}: {source.name} and {target.name} {found}: {source.name} has {_listed(labels)}; "
            f"{target.name} has {_listed(others)} (`shared_labels` of their fact sheets say which mean the same)"
        )
    return tuple((pairs[other], other) for other in others if other in pairs)


def are_exclusive(source: TaskSpec, target: TaskSpec) -> bool:
    """Returns whether each image has one class alone in both tasks, so that the classes shared are judged together."""
    return source.is_exclusive and target.is_exclusive


def metric_across(source: TaskSpec, target: TaskSpec) -> str:
    """Returns the primary metric across two tasks: the target's where classes exclude each other, else the mean AUC."""
    if not are_exclusive(source, target):
        return "mean_auc"
    of_classes = KINDS["multiclass"].metrics
    return target.metric if target.metric in of_classes else of_classes[0]


def shifted_task(name: str, source: TaskSpec, target: TaskSpec, pairs: LabelPairs) -> TaskSpec:
    """Returns the task that reports show for models of the source on the target's test split: trained as the source is,
    scored on the shared labels, by case where the target is.
    """
    changes = {
        "name": name,
        "title": f"trained on {source.name}, tested on {target.name}",
        "about": "",
        "labels": tuple(other for _, other in pairs),
        "commonest": None,
        "scored": None,
        "unscored": None,
        "case": target.case,
        "exam": None,
        "metric": metric_across(source, target),
        "groups": target.groups,
        "counts": target.counts,
        "images_of": (*source.images_of, target.root, *target.images_of),
        "licence": "; ".join(dict.fromkeys(filter(None, [source.licence, target.licence]))),
        "cite": "; ".join(dict.fromkeys(filter(None, [source.cite, target.cite]))),
    }
    return source.model_copy(update=changes)


def with_shifts(tasks: Mapping[str, TaskSpec], cells: Iterable[Cell]) -> dict[str, TaskSpec]:
    """Returns the tasks and, of the cells that judge a model across two of them, those that `shifted_task` makes."""
    shifts = {cell.task: cell.shift for cell in cells if cell.shift is not None}
    return dict(tasks) | {
        name: shifted_task(name, tasks[shift.source], tasks[shift.task], shift.labels)
        for name, shift in shifts.items()
        if shift.source in tasks and shift.task in tasks
    }


def _listed(labels: tuple[str, ...]) -> str:
    return ", ".join(labels)
