"""Encoders that are trained without labels on a user's images: from the command to the entry, and what may go wrong."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from benchmark.cell import THREADS
from benchmark.contrastive_recipe import ContrastiveRecipe
from benchmark.data.registry import read_index
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.experiment.overlap import contamination, patients_seen_by
from benchmark.pretrain.contrastive import ContrastiveTraining, Watching
from benchmark.pretrain.images import images_of_folder, images_of_task
from benchmark.training import loop
from benchmark.zoo.backbone import load_encoder
from benchmark.zoo.catalog import read_zoo, scratch
from benchmark.zoo.fetch import find_weight_file

TINY = {"steps": 4, "batch_size": 4, "image_size": 32, "train_resolution": 48}
SETTINGS = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]


def training(workspace, images, method="simclr", bags=None, **changed):
    recipe = ContrastiveRecipe.complete(method, TINY, changed.pop("recipe", {}))
    facts = {"start": scratch("test_resnet"), "name": "mine", "device": torch.device("cpu"), "recipe": recipe}
    return ContrastiveTraining(method=method, images=images, bags=bags, workspace=workspace, **{**facts, **changed})


def weights_of(entry, workspace):
    file = find_weight_file(entry, workspace.weights)
    with safe_open(file.path, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture
def folder(tmp_path):
    """Eight photographs, two in each of four folders."""
    rng = np.random.default_rng(0)
    for number in range(8):
        path = tmp_path / "photos" / f"case{number // 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def test_encoders_are_made_from_a_task_then_from_its_cases_and_are_models_like_any_other(cli, workspace):
    one = cli("pretrain", "simclr", "--from", "scratch:test_resnet", "--task", "Derm27", "--name", "derm", *SETTINGS)
    two = cli(
        "pretrain", "micle", "--from", "derm", "--task", "Derm27", "--bags", "case", "--name", "derm-micle", *SETTINGS
    )
    again = cli("pretrain", "simclr", "--from", "scratch:test_resnet", "--task", "Derm27", "--name", "derm", *SETTINGS)
    tiny = ("--set", "image_size=32", "--set", "train_resolution=48", "--set", "max_epochs=1", "--seeds", "1")
    ran = cli("run", "--models", "derm-micle", "--tasks", "Derm27", *tiny)

    assert (one.code, two.code, again.code, ran.code) == (0, 0, 0, 0), one.text + two.text + ran.text
    assert "4 steps of 4 pairs" in one.text
    assert "images are few for contrastive training" in one.text
    assert "GB of memory are needed" in one.text
    assert "bags of" in two.text
    entry = read_zoo(workspace.own_zoo)["derm-micle"]
    assert (entry.method, entry.family, entry.input.mean, entry.input.std) == ("MICLe", "in-domain", (0,) * 3, (1,) * 3)
    assert entry.pretrained_on == ("PAD-UFES-20 (phantom)",)
    assert {"from": "derm", "task": "Derm27", "bags": "case", "seed": 0}.items() <= entry.made_by.items()
    assert {"spread", "linear", "knn"} == set(entry.made_by["scores"])
    assert [line["step"] for line in entry.made_by["history"]] == [1, 2, 3, 4]
    assert entry.licence == "Derm27's images: CC BY 4.0"
    record = json.loads(next(workspace.results.glob("**/record.json")).read_text())
    assert "derm-micle was trained on training images of this task, of none of its test patients" in record["notes"]
    assert not list(workspace.results.glob("**/state.pt"))


def test_what_saw_a_tested_patient_overlaps_and_what_did_not_does_not(workspace, tasks):
    """DXC5's training images are those that CheXpert5 splits again: the third paper's own protocol."""
    indexes = {name: read_index(tasks[name], workspace.data) for name in ("DXC5", "CheXpert5")}

    official, split_again = (
        training(workspace, images_of_task(indexes[name], tasks[name]), name=name).run() for name in indexes
    )

    task, index = tasks["CheXpert5"], indexes["CheXpert5"]
    seen = patients_seen_by(find_weight_file(official, workspace.weights).path)
    tested = set(index.table.loc[assign_splits(index, task.split) == "test", "patient"])
    assert tested & set(next(iter(seen.values())))
    assert contamination(official, task, index, workspace.weights) == official.pretrained_on
    assert contamination(split_again, task, index, workspace.weights) == ()
    assert contamination(split_again, task, replace(index, phantom=False), workspace.weights) == ()
    assert contamination(split_again, tasks["TXC"], read_index(tasks["TXC"], workspace.data), workspace.weights) == ()


def _killed(workspace, folder, ready):
    torch.set_num_threads(THREADS)
    loop.SHORTEST_SECONDS = loop.LONGEST_SECONDS = 0.0
    watching = Watching(epoch=lambda line: ready.put(line["step"]))
    training(workspace, images_of_folder(folder), recipe={"steps": 24}, watching=watching).run()
    ready.put("done")


@pytest.fixture(autouse=True)
def threads():
    """As `benchmark pretrain` sets them: another number of threads rounds otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_a_training_that_is_killed_five_times_ends_bit_equal(workspace, folder, tmp_path):
    whole = replace(workspace, results=tmp_path / "whole", home=tmp_path / "whole-home")
    expected = training(whole, images_of_folder(folder), recipe={"steps": 24}).run()
    context = multiprocessing.get_context("spawn")
    reached = []

    for number in range(6):
        ready = context.Queue()
        process = context.Process(target=_killed, args=(workspace, folder, ready))
        process.start()
        if number < 5:
            reached += [ready.get(timeout=120) for _ in range(2)]
            time.sleep(0.01 * number)
            os.kill(process.pid, signal.SIGKILL)
        process.join(120)

    entry = read_zoo(workspace.own_zoo)["mine"]
    assert reached[-1] > reached[0] + 6, "it goes on from where it was"
    assert entry.made_by["history"] == expected.made_by["history"]
    assert_same(weights_of(entry, workspace), weights_of(expected, whole))


def test_bags_of_one_image_are_simclr(workspace, folder):
    images = images_of_folder(folder)
    recipe = {"learning_rate": 0.3, "batch_size": 4}

    simclr = training(workspace, images, recipe=recipe).run()
    micle = training(workspace, images, "micle", "id", recipe=recipe, name="bags").run()

    assert_same(weights_of(simclr, workspace), weights_of(micle, workspace))


@pytest.mark.slow
def test_micle_beats_its_own_start_where_bags_tell_what_images_alone_do_not(workspace, tmp_path):
    """Two images of a bag share a pattern, which is the class, in colors and places of their own. Judged by neighbors on
    the encoder's features, on bags that it has not seen.
    """
    rng = np.random.default_rng(1)

    def image_of(kind):
        pixels = np.full((32, 32, 3), rng.integers(0, 256, 3), np.uint8)
        phase, period = rng.integers(0, 8), 8
        wave = (np.arange(32) + phase) % period < period // 2
        marked = [wave[:, None] & np.ones(32, bool), wave[None] & np.ones((32, 1), bool), wave[:, None] ^ wave[None]][
            kind
        ]
        pixels[marked] = rng.integers(0, 256, 3)
        return pixels

    for number in range(96):
        for view in range(2):
            path = tmp_path / "bags" / f"{number:03d}" / f"{view}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image_of(number % 3)).save(path)
    held = [(image_of(number % 3), number % 3) for number in range(600)]

    def knn(encoder):
        encoder.eval()
        with torch.no_grad():
            batch = torch.from_numpy(np.stack([pixels for pixels, _ in held])).permute(0, 3, 1, 2) / 255
            features = torch.nn.functional.normalize(encoder(batch))
        classes = np.array([kind for _, kind in held])
        similar = (features[300:] @ features[:300].T).argmax(1).numpy()
        return float((classes[:300][similar] == classes[300:]).mean())

    job = training(
        workspace,
        images_of_folder(tmp_path / "bags"),
        "micle",
        "folder",
        recipe={"steps": 300, "batch_size": 32, "views": "crops", "optimizer": "adam", "learning_rate": 0.008},
    )
    before = knn(job._encoder())
    entry = job.run()
    after, _ = load_encoder(entry, find_weight_file(entry, workspace.weights).path, "pooled", 0, 32, "torchvision")

    assert knn(after) - before > 0.03, "0.72 before, 0.79 after: the numbers are the same each time"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("simclr",), "--task or --images: wanted one of them"),
        (("simclr", "--task", "Derm27", "--images", "."), "--task or --images: wanted one of them"),
        (("simclr", "--images", "nowhere"), "--images nowhere: no such folder"),
        (("micle", "--task", "Derm27", "--bags", "visit"), "--bags visit: Derm27 has no such column: wanted one of"),
        (("simclr", "--task", "Derm27", "--set", "batch_size=4000"), "batch_size=4000 is larger than the data"),
        (
            ("simclr", "--task", "Derm27", "--set", "stepz=4"),
            "a simclr recipe has no field 'stepz': did you mean steps",
        ),
        (("simclr", "--task", "Derm27", "--set", "temperature=0"), "recipe field temperature: found '0'"),
        (("simclr", "--task", "Nothing"), "no task 'Nothing'"),
    ],
)
def test_bad_input_is_one_line(cli, workspace, arguments, said):
    method, *rest = arguments
    ran = cli("pretrain", method, "--from", "scratch:test_resnet", "--name", "x", *SETTINGS, *rest)

    assert ran.code == 2
    (line,) = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert said in line
    assert not workspace.own_zoo.exists()


def test_a_loss_that_is_no_number_is_one_line_and_the_next_try_starts_anew(workspace, folder):
    images = images_of_folder(folder)

    with pytest.raises(
        BenchmarkError, match=r"mine: the training loss became nan in epoch \d: wanted a lower learning_rate"
    ):
        training(workspace, images, recipe={"learning_rate": 1e30, "optimizer": "sgd"}).run()
    assert not list(workspace.results.glob("**/state.pt"))


def test_recipes_follow_simclrs_code():
    simclr, micle = ContrastiveRecipe.complete("simclr"), ContrastiveRecipe.complete("micle")

    derm = simclr.model_copy(update={"batch_size": 512, "steps": 150_000}).training_recipe(454_295)
    assert (derm.learning_rate, derm.warmup, derm.weight_decay) == (0.6, 8870, 1e-6)
    assert micle.training_recipe(15_340).learning_rate == 0.05
    rooted = ContrastiveRecipe.complete("simclr", settings=["scaling=sqrt", "learning_rate=0.075", "batch_size=4096"])
    assert rooted.training_recipe(10**6).learning_rate == pytest.approx(4.8)
    assert ContrastiveRecipe.complete("simclr", settings=["weight_decay=0"]).weight_decay is None
    assert simclr.training_recipe(5_000).warmup == 190, "10 passes of 19 steps"
