"""Skin lesions: PAD-UFES-20 and ISIC 2019 by the table reader, the phantoms of both, the real images that are here."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

from benchmark.data.phantoms.drawing.lesion import skin
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.registry import read_index, write_phantom
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError

DERM = ("Derm27", "Derm27-ISIC")


@pytest.fixture(scope="module")
def written(tasks, tmp_path_factory):
    """A data folder with phantoms of both layouts."""
    folder = tmp_path_factory.mktemp("derm")
    for name in DERM:
        write_phantom(tasks[name], folder, PhantomSpec(num=60, size=32))
    return folder


PAD_TABLE = ["lesion_id", "patient_id", "gender", "age", "fitspatrick", "region", "diagnostic", "img_id"]
TABLES = {
    "Derm27": {"metadata.csv": PAD_TABLE},
    "Derm27-ISIC": {
        "ISIC_2019_Training_GroundTruth.csv": ["image", "MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"],
        "ISIC_2019_Training_Metadata.csv": ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"],
    },
}


@pytest.mark.parametrize("name", DERM)
def test_a_phantom_has_the_columns_of_its_official_tables(tasks, written, name):
    index = read_index(tasks[name], written)
    tables = {path.name: sorted(pd.read_csv(path)) for path in sorted(index.root.glob("*.csv"))}

    assert tables == {file: sorted(columns) for file, columns in TABLES[name].items()}
    assert (len(index.table), index.notes) == (60, ())
    assert {"train", "validation", "test"} == set(assign_splits(index, tasks[name].split))


def test_a_case_is_a_lesion_of_one_patient_and_one_class(tasks, written):
    index = read_index(tasks["Derm27"], written)
    numbers = pd.read_csv(index.root / "metadata.csv", dtype=str)
    by_case = index.table.groupby("case")

    assert by_case["patient"].nunique().max() == 1
    assert by_case[list(index.labels)].nunique().to_numpy().max() == 1
    assert by_case.size().between(1, 3).all()
    assert numbers.groupby("lesion_id")["patient_id"].nunique().max() > 1  # counted anew for each patient, as theirs
    assert index.table.groupby("patient")["case"].nunique().max() == 2
    assert index.labels == tuple(f"class-{number}" for number in range(1, 7))


def test_isic_classes_are_the_ground_truths_columns_and_groups_the_metadatas(tasks, written):
    index = read_index(tasks["Derm27-ISIC"], written)
    truth = pd.read_csv(index.root / "ISIC_2019_Training_GroundTruth.csv").set_index("image").loc[index.table["id"]]
    about = pd.read_csv(index.root / "ISIC_2019_Training_Metadata.csv", dtype=str).set_index("image")

    assert (index.table[list(index.labels)].to_numpy() == truth[list(index.labels)].to_numpy()).all()
    assert index.table["age"].tolist() == about.loc[index.table["id"], "age_approx"].tolist()
    assert (index.table["patient"] == index.table["case"]).all()


def test_an_isic_image_without_a_lesion_is_a_case_of_its_own(tasks, tmp_path):
    path = (
        write_phantom(tasks["Derm27-ISIC"], tmp_path, PhantomSpec(num=8, size=32)) / "ISIC_2019_Training_Metadata.csv"
    )
    table = pd.read_csv(path, dtype=str)
    path.write_text(table.assign(lesion_id="").to_csv(index=False))
    index = read_index(tasks["Derm27-ISIC"], tmp_path)

    assert (index.table["case"] == index.table["id"]).all()
    assert (index.table["patient"] == index.table["id"]).all()


def test_an_isic_image_of_no_listed_class_names_its_row(tasks, tmp_path):
    """UNK is a column of the official table; a 1 there would leave the eight classes at 0."""
    path = (
        write_phantom(tasks["Derm27-ISIC"], tmp_path, PhantomSpec(num=8, size=32))
        / "ISIC_2019_Training_GroundTruth.csv"
    )
    table = pd.read_csv(path).assign(UNK=0)
    path.write_text(table.to_csv(index=False))
    assert len(read_index(tasks["Derm27-ISIC"], tmp_path).table) == 8

    table.loc[2, list(tasks["Derm27-ISIC"].labels)] = 0
    path.write_text(table.assign(UNK=[0, 0, 1, 0, 0, 0, 0, 0]).to_csv(index=False))
    with pytest.raises(
        BenchmarkError, match=r"GroundTruth\.csv: row 4: no class is 1: wanted one of the classes to be"
    ):
        read_index(tasks["Derm27-ISIC"], tmp_path)


def test_a_table_that_was_cut_off_names_its_last_row(tasks, tmp_path):
    path = write_phantom(tasks["Derm27"], tmp_path, PhantomSpec(num=8, size=32)) / "metadata.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:6])[:-30])

    with pytest.raises(BenchmarkError, match=r"metadata\.csv: row 6 has \d cells where the first has 8"):
        read_index(tasks["Derm27"], tmp_path)


def test_recipes_are_azizis_as_far_as_a_recipe_says_them(tasks):
    """Section 4.3: SGD, batches of 256, 448 pixels; a learning rate of the seven from 10^-3.5 to 10^-0.5."""
    for name in DERM:
        recipe = tasks[name].complete_recipe()

        assert (recipe.optimizer, recipe.batch_size, recipe.image_size, recipe.loss) == ("sgd", 256, 448, "ce")
        assert np.isclose(np.log10(recipe.learning_rate), np.linspace(-3.5, -0.5, 7)).any()
        assert tasks[name].case == "case"


@pytest.mark.parametrize("size", [32, 64])
def test_the_kind_of_a_phantom_lesion_can_be_learnt_on_any_skin(size):
    """By a forest on colours against the rim's: far above the chance of one in six."""
    rng = np.random.default_rng(0)
    kinds = np.arange(180) % 6
    images = np.stack([skin(rng, size, int(kind), float(rng.random())) for kind in kinds]).astype(float)
    rim = np.median(images[:, :3].reshape(len(images), -1, 3), axis=1)[:, None, None]
    middle = np.sort(
        (images / rim)[:, size // 5 : -size // 5, size // 5 : -size // 5].reshape(len(images), -1, 3), axis=1
    )
    features = middle[:, :: middle.shape[1] // 20].reshape(len(images), -1)
    scores = cross_val_score(RandomForestClassifier(100, random_state=0), features, kinds, cv=3)

    assert scores.mean() > 0.8


def test_phantom_skin_follows_its_tone_and_its_seed():
    pale, dark = (skin(np.random.default_rng(1), 48, 0, tone) for tone in (0.0, 1.0))
    again, other = (skin(np.random.default_rng(seed), 48, 0, 0.0) for seed in (1, 2))

    assert (pale.shape, pale.dtype) == ((48, 48, 3), np.uint8)
    assert pale.mean() > dark.mean() + 60
    assert (pale == again).all()
    assert (pale != other).any()


def test_several_lesions_lie_side_by_side_and_none_is_bare_skin():
    bare, two = (skin(np.random.default_rng(1), 64, kinds, 0.2).astype(float) for kinds in ([], [2, 7]))
    darker = (two < 0.6 * np.median(bare, axis=(0, 1))).all(axis=2)

    assert bare.std(axis=(0, 1)).max() < 15
    assert darker[:32, :32].mean() > 0.1
    assert darker[:32, 32:].mean() > 0.1
    assert darker[32:].mean() < 0.1


@pytest.mark.real
def test_pad_ufes_20_has_the_images_patients_and_lesions_of_its_table(tasks, real_data):
    """Counted in metadata.csv: lesion ids are repeated between patients, so 579 of them are 609 lesions."""
    if not (real_data / "PAD-UFES-20").is_dir():
        pytest.skip("no PAD-UFES-20 among the real images")
    task = tasks["Derm27"]
    index = read_index(task, real_data)
    diagnoses = {"BCC": 194, "NEV": 182, "SEK": 131, "ACK": 114, "MEL": 43, "SCC": 22}

    assert (len(index.table), index.table["patient"].nunique(), index.table["case"].nunique()) == (686, 537, 609)
    assert index.table[list(index.labels)].sum().to_dict() == diagnoses
    assert index.table["skin_type"].value_counts().to_dict() == {
        "": 254, "2": 235, "3": 122, "1": 44, "4": 27, "5": 3, "6": 1,
    }  # fmt: skip
    assert index.notes == ("686 of the published 2,298 images are here",)
    assert not index.phantom
    parts = assign_splits(index, task.split)
    assert pd.DataFrame({"patient": index.table["patient"], "part": parts}).drop_duplicates()["patient"].is_unique
