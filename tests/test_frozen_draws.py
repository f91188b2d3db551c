"""Draws are frozen as keys are: a cell of one key sees the same parts, order, crops and first weights in every version.

Do not edit what is pinned here: add a version. Where a draw must change, `benchmark.cell.KEY_FORMAT` is raised first.
"""

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from indexes import an_index
from made_up import IMAGENET, SCRATCH, made_up_cell
from PIL import Image

from benchmark.cell import KEY_FORMAT
from benchmark.data.assignment import TrainingShare, assign_examples
from benchmark.data.augmentation import Elastic, draw
from benchmark.data.cache import open_cache
from benchmark.data.decoding import ImageFiles, StoredSize
from benchmark.data.feature_cache import cache_of
from benchmark.data.feature_dataset import FeatureSplit
from benchmark.data.index import Index
from benchmark.data.labels import training_labels
from benchmark.data.splitting import assign_splits, fraction_of, subset_of
from benchmark.models.networks import linear_head
from benchmark.random_streams import Purpose, stream
from benchmark.tasks.spec import SplitRule
from benchmark.zoo.forms import build_encoder

# do not edit: add a version
STREAMS = {  # of seed 7, epoch 3, example 41
    Purpose.AUGMENTATION: 3197822241823170171,
    Purpose.BAG: 7086166281074514530,
    Purpose.DROPOUT: 2619813684017713340,
    Purpose.ENCODER: 4636832438041058680,
    Purpose.HEAD: 3463866321800191770,
    Purpose.ORDER: 8660834069148968435,
    Purpose.SUBSET: 3156136124858907667,
    Purpose.UNCERTAIN: 3478027252010691432,
    Purpose.VIEW: 9059297788360567771,
}

RANDOM = {"method": "random", "test": 0.2, "validation": 0.1}
NUMBERS = {"method": "random", "test": 9, "validation": 6, "seed": 4}
SPLITS = [
    ("grades", RANDOM, None, "8f4e32a6f4d4"),
    ("grades", RANDOM, (1, 3), "a3056bf9d962"),
    ("findings", RANDOM, None, "7af147387bfe"),
    ("findings", NUMBERS, None, "96165510836b"),
    ("findings", RANDOM, (0, 5), "b65443f53bc5"),
    ("masks", RANDOM, None, "f566a14c40e8"),
    ("masks", RANDOM, (3, 4), "f0f58bd7912a"),
]
SUBSETS = ["60c1a481883d", "ba9254925f49", "22be075cec9d"]  # balanced, in proportion, a fraction
ORDER = [0, 7, 5, 2, 4, 3, 6, 1]
OVERSAMPLED = [0, 7, 6, 7, 7, 6, 7, 7, 6, 1, 5, 2, 4, 3, 5]
UNCERTAIN = [0.618317, 1.0, 0.562971]
CROP, ANGLE = (30, 63, 269, 297, False), 0.41617
DEFORMED = [15.929, 16.063]
HEADS = {"torchvision": [-0.012151, 0.0118, 0.011909], "timm": [-0.294412, 0.329953, 0.360863]}
ENCODER = [0.010513, -0.022235, -0.035603]
PIXELS = ["T-16-1e0b60cfdd62e461", "T-16-e9d208bb75f3713c", "T-native-07298846800cfce8"]
FEATURES = ["3562c2db126c73ad", "1c52fe3ad0cc9c02"]


def test_the_draws_below_are_those_of_this_key_format():
    assert KEY_FORMAT == 2


def test_named_streams_are_frozen():
    assert {purpose: stream(7, purpose, 3, 41) for purpose in Purpose} == STREAMS
    assert stream(0, Purpose.HEAD) == 6551998802971462994


def grades() -> Index:
    """60 images of 40 patients, each of one of five classes, rarer and rarer."""
    patients = [f"p{n % 40}" for n in range(60)]
    classes = np.array([min(4, (n % 40) % 7) for n in range(60)])
    return an_index(["a", "b", "c", "d", "e"], patients, np.eye(5)[classes])


def findings() -> Index:
    """90 images of 30 patients with two labels that do not exclude each other."""
    patients = [f"p{n // 3}" for n in range(90)]
    return an_index(["A", "B"], patients, [[n % 9 == 0, n % 4 == 1] for n in range(90)])


def masks() -> Index:
    """24 images of as many patients, a third of them with a mask."""
    index = an_index(["m"], [f"p{n}" for n in range(24)], np.zeros((24, 1)))
    table = index.table.drop(columns="m").assign(mask=["rle:1 2" if n % 3 == 0 else "rle:" for n in range(24)])
    return replace(index, table=table)


def digest(values) -> str:
    """The first twelve hex digits over values in their order."""
    return hashlib.sha256("/".join(map(str, values)).encode()).hexdigest()[:12]


TABLES = {"grades": grades, "findings": findings, "masks": masks}


@pytest.mark.parametrize(("table", "split", "fold", "pinned"), SPLITS)
def test_splits_are_frozen(table, split, fold, pinned):
    assert digest(assign_splits(TABLES[table](), SplitRule(**split), fold)) == pinned


def test_subsets_and_fractions_are_frozen():
    index, several = grades(), findings()
    rows = index.table.index
    seed = stream(3, Purpose.SUBSET)

    found = [
        digest(index.table.loc[subset_of(index, rows, 20, seed, balanced=True), "id"]),
        digest(several.table.loc[subset_of(several, several.table.index, 20, seed, balanced=False), "id"]),
        digest(index.table.loc[fraction_of(index, rows, 0.3, seed), "id"]),
    ]

    assert found == SUBSETS


def test_the_order_of_an_epoch_is_frozen():
    part = FeatureSplit(
        ids=np.array(list("abcdefgh")),
        groups={},
        features=(np.zeros((8, 1), np.float16),),
        rows=np.arange(8),
        targets=np.zeros((8, 1), np.float32),
        seed=5,
        device=torch.device("cpu"),
    )
    oversampling = replace(part, classes=np.array([0, 0, 0, 0, 0, 1, 1, 2]))

    assert np.concatenate(part.order(2, 3)).tolist() == ORDER
    assert np.concatenate(oversampling.order(2, 3)).tolist() == OVERSAMPLED


def test_draws_of_uncertain_labels_are_frozen():
    table = pd.DataFrame({"a": [-1.0, 1.0, -1.0]})

    drawn = training_labels(table, ("a",), "lsr-ones", stream(5, Purpose.UNCERTAIN))

    assert drawn[:, 0].tolist() == pytest.approx(UNCERTAIN, abs=1e-6)


def test_a_cells_rows_and_labels_are_drawn_from_their_own_streams(tasks):
    index = replace(findings(), labels=("A", "B"))
    index.table.loc[::5, "A"] = -1.0
    task = tasks["DXC5"].model_copy(update={"split": SplitRule(**RANDOM)})

    assignment = assign_examples(index, task, task.complete_recipe(), TrainingShare(fraction=0.5), seed=5)

    wanted = training_labels(index.table, ("A", "B"), "lsr-ones", stream(5, Purpose.UNCERTAIN))
    rows = index.table.index[assignment.splits == "train"]
    assert np.array_equal(assignment.training_labels, wanted)
    assert assignment.training.equals(fraction_of(index, rows, 0.5, stream(5, Purpose.SUBSET)))
    few = assign_examples(index, task, task.complete_recipe(), TrainingShare(subset=12), seed=5)
    assert few.training.equals(subset_of(index, rows, 12, stream(5, Purpose.SUBSET), balanced=False))


def test_crops_flips_and_rotations_are_frozen():
    generator = torch.Generator().manual_seed(stream(5, Purpose.AUGMENTATION, 2, 7))

    drawn = draw(300, 400, generator)

    assert (drawn.top, drawn.left, drawn.height, drawn.width, drawn.mirrored) == CROP
    assert drawn.angle == pytest.approx(ANGLE, abs=1e-5)


def test_elastic_deformations_are_frozen():
    elastic = Elastic(32)
    seed = stream(5, Purpose.AUGMENTATION, 2, 7)
    elastic.set_random_state(np.random.default_rng(seed), random.Random(seed))

    maps = elastic.get_params_dependent_on_data({"shape": (32, 32, 1)}, {})

    assert [float(maps[name][16, 16]) for name in ("map_x", "map_y")] == pytest.approx(DEFORMED, abs=1e-3)


@pytest.mark.parametrize("rule", ["torchvision", "timm"])
def test_first_weights_are_frozen(rule):
    head = linear_head(6, 2, stream(5, Purpose.HEAD), rule)
    encoder = build_encoder("resnet18", "pooled", stream(5, Purpose.ENCODER), initialization=rule)

    assert head.weight[0, :3].tolist() == pytest.approx(HEADS[rule], abs=1e-6)
    assert encoder.conv1.weight[0, 0, 0, :3].tolist() == pytest.approx(ENCODER, abs=1e-6)


def test_names_of_pixel_caches_are_frozen(tmp_path):
    """A cache of another name is decoded anew: hours, for a large set."""
    Image.new("L", (20, 20)).save(tmp_path / "a.png")
    source = ImageFiles(root=tmp_path, images=["a.png"], data_digest="0" * 16, phantom=True)
    sizes = [
        StoredSize(shape="square", size=16),
        StoredSize(shape="short_side", size=16),
        StoredSize(shape="native", size=16),
    ]

    caches = [open_cache(source, size, tmp_path, name="T", progress=lambda *_: None) for size in sizes]

    assert [cache.folder.name for cache in caches] == PIXELS


def test_names_of_feature_caches_are_frozen():
    names = [cache_of(Path(), made_up_cell(weights, seed=3), weights).folder.name for weights in (IMAGENET, SCRATCH)]

    assert names == FEATURES
