"""How long a cell may take, from the records of like cells. Torch-free."""

from statistics import mean, median

from benchmark.cell import Cell
from benchmark.protocols.registry import find_protocol
from benchmark.results.record import RunRecord

_SAME_PACE = ("image_size", "precision", "loss", "pixels")
_SAME_LENGTH = ("max_epochs", "max_steps", "early_stop", "schedule", "learning_rate")


def seconds_of(cell: Cell, images: tuple[int, int, int], records: list[RunRecord]) -> float | None:
    """An estimate of a cell's wall time from the records of like cells: their seconds per image, and their epochs.

    `images`: in the parts (train, validation, test). The pace is that of cells of the same architecture and image
    size; the epochs those of cells that stop by the same rules, of the same task where there are any, else the cap.
    None where no pace was measured.
    """
    like = [record for record in records if record.status == "done" and _alike(record.cell, cell, _SAME_PACE)]
    like = [record for record in like if record.timings["train"] > 0]
    if not like:
        return None
    stopping_alike = [record for record in like if _alike(record.cell, cell, _SAME_LENGTH)]
    of_task = [record for record in stopping_alike if record.cell.task == cell.task] or stopping_alike
    own = [record for record in of_task if record.cell.model == cell.model] or of_task
    epochs = mean(record.epochs_trained or 0 for record in own) if own else cell.recipe.most_epochs

    def per_image(timing: str, part: str) -> float:
        seen = []
        for record in like:
            num = (
                record.num_examples[part]
                if part != "train"
                else record.cell.recipe.images_of_epoch(record.num_examples[part])
            )
            seen.append(num * (1 if part == "test" else record.epochs_trained or 1))
        return median(record.timings[timing] / count for record, count in zip(like, seen, strict=True))

    train, validation, test = images
    of_epoch = cell.recipe.images_of_epoch(train * cell.fraction)
    epoch = per_image("train", "train") * of_epoch + per_image("validation", "validation") * validation
    # heads of all candidates are trained as one product; other trainings follow each other
    trainings = len(cell.candidates()) if find_protocol(cell.protocol).train_together is None else 1
    return trainings * epochs * epoch + per_image("test", "test") * test


def test_seconds_of(cell: Cell, num_images: int, records: list[RunRecord]) -> float | None:
    """Returns an estimate of the seconds that a trained model needs for so many test images, from the records of cells of
    the same architecture and image size; None where none was measured.
    """
    paces = [
        record.timings["test"] / record.num_examples["test"]
        for record in records
        if record.status == "done" and _alike(record.cell, cell, _SAME_PACE) and record.num_examples.get("test")
    ]
    return median(paces) * num_images if paces else None


def _alike(one: Cell, other: Cell, fields: tuple[str, ...]) -> bool:
    same_net = one.weights[0].architecture == other.weights[0].architecture and one.protocol == other.protocol
    return same_net and all(getattr(one.recipe, name) == getattr(other.recipe, name) for name in fields)
