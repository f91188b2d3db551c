"""Identity: what is in a cell's key, that keys are frozen, and what random streams depend on."""

import pytest

from benchmark.cell import Cell, Shift, Weights
from benchmark.errors import BenchmarkError
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe


def cell(**changed) -> Cell:
    facts = {
        "weights": (Weights(name="imagenet", architecture="resnet50", sha256="ab" * 32, naming="torchvision"),),
        "task": "DXC14",
        "task_digest": "0123456789abcdef",
        "data": "official",
        "data_digest": "fedcba9876543210",
        "recipe": Recipe(),
        "seed": 0,
    }
    return Cell(**{**facts, **changed})


def test_keys_are_frozen():
    """Do not edit: add a version. A key that changes orphans every result made so far; a new field is optional."""
    scratch = Weights(name="scratch", architecture="resnet50", naming="none")

    assert cell().key == "1d54dd714373aa52"
    assert cell(weights=(scratch,), seed=7, fraction=0.1, fold=3, data="phantom").key == "3dfcb447e922bf17"
    assert cell(recipe=Recipe(image_size=96, precision="bf16", early_stop=None)).key == "0f80b7fb0e41f43c"


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"task": "DXC5"},
        {"task_digest": "1" * 16},
        {"data": "phantom"},
        {"data_digest": "2" * 16},
        {"protocol": "linear"},
        {"recipe": Recipe(learning_rate=1e-3)},
        {"fraction": 0.5},
        {"fold": 0},
        {"weights": (Weights(name="imagenet", architecture="resnet50", sha256="cd" * 32, naming="torchvision"),)},
        {"weights": (Weights(name="imagenet", architecture="resnet50", sha256="ab" * 32, naming="plain"),)},
        {
            "weights": (
                Weights(
                    name="imagenet", architecture="resnet50", sha256="ab" * 32, naming="torchvision", mean=(0, 0, 0)
                ),
            )
        },
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_all_that_changes_the_numbers_changes_the_key(changed):
    assert cell(**changed).key != cell().key


def test_every_recipe_field_is_in_the_key():
    """A flag that nothing in the identity knows would mix two settings in one mean."""
    others = {
        "optimizer": "sgd",
        "weight_decay": 1e-4,
        "sampling": "oversample",
        "framing": "whole",
        "learning_rate": 1.0,
        "batch_size": 1,
        "min_epochs": 1,
        "max_epochs": 1,
        "max_steps": 1,
        "warmup": 1,
        "schedule": "cosine",
        "plateau_patience": 1,
        "plateau_factor": 0.1,
        "early_stop": None,
        "loss": "ce",
        "initialization": "timm",
        "uncertain": "ones",
        "image_size": 32,
        "train_resolution": "native",
        "pixels": "exact",
        "augmentation": "none",
        "resize": "nearest",
        "test_crops": 1,
        "precision": "bf16",
        "input": "native",
    }

    assert set(others) == set(Recipe.model_fields)
    for name, value in others.items():
        if value is not None or name == "early_stop":
            assert cell(recipe=Recipe(**{name: value})).key != cell().key, name


def test_a_shift_has_a_key_of_its_own_and_leads_back_to_its_source():
    facts = {
        "source": "DXC14",
        "task": "CheXpert5",
        "task_digest": "3" * 16,
        "data": "official",
        "data_digest": "4" * 16,
    }
    shift = Shift(**facts, labels=(("Effusion", "Pleural Effusion"),))

    shifted = cell().shifted(shift)

    assert (shifted.task, shifted.key) == ("DXC14-to-CheXpert5", "a264ad431de3618b")
    assert shifted.source == cell()
    assert shifted.source.key == cell().key
    others = {"task_digest": "5" * 16, "data_digest": "5" * 16, "data": "phantom", "labels": (("Edema", "Edema"),)}
    for name, value in others.items():
        assert cell().shifted(shift.model_copy(update={name: value})).key != shifted.key
    assert Cell.model_validate_json(shifted.model_dump_json()).key == shifted.key


def test_key_survives_a_round_trip_through_json():
    asked = cell(recipe=Recipe(learning_rate=3e-4, early_stop=None), fraction=0.1)

    assert Cell.model_validate_json(asked.model_dump_json()) == asked
    assert Cell.model_validate_json(asked.model_dump_json()).key == asked.key


def test_settings_are_read_from_text():
    recipe = Recipe.complete({"loss": "dice"}, settings=["image_size=96", "early_stop=none", "train_resolution=native"])

    assert (recipe.loss, recipe.image_size, recipe.early_stop, recipe.train_resolution) == ("dice", 96, None, "native")


def test_evaluation_size_keeps_the_papers_proportion():
    assert [Recipe(image_size=size).evaluation_size for size in (224, 96, 512)] == [256, 110, 585]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("imagesize=96", "did you mean image_size"),
        ("image_size", "wanted NAME=VALUE"),
        ("image_size=big", "image_size"),
        ("precision=fp16", "'fp32' or 'bf16'"),
        ("learning_rate=-1", "greater than 0"),
    ],
)
def test_wrong_settings_are_told_in_one_line(setting, told):
    with pytest.raises(BenchmarkError, match=told) as fault:
        Recipe.complete(settings=[setting])

    assert "\n" not in str(fault.value)


def test_streams_are_named_and_reproducible():
    assert stream(3, Purpose.ORDER, 5) == stream(3, Purpose.ORDER, 5)
    assert (
        len(
            {
                stream(3, Purpose.ORDER, 5),
                stream(4, Purpose.ORDER, 5),
                stream(3, Purpose.HEAD, 5),
                stream(3, Purpose.ORDER, 6),
            }
        )
        == 4
    )
    assert 0 <= stream(0, Purpose.HEAD) < 2**63


def test_a_misspelt_purpose_is_an_error_not_another_stream():
    with pytest.raises(ValueError, match="ordre"):
        stream(0, "ordre")


def test_a_changed_copy_has_a_key_of_its_own():
    """Whether or not the first one's was asked for before."""
    asked = cell(seed=0)
    before = asked.key

    assert asked.model_copy(update={"seed": 1}).key == cell(seed=1).key != before
    assert asked.model_copy().key == before
