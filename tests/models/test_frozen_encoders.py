"""Protocols over frozen encoders, from images to records: features once, encoders untouched, cells resumable."""

import hashlib

import numpy as np
import pytest
import timm
import torch

from benchmark.data.registry import read_index
from benchmark.experiment.groups import group_cells
from benchmark.experiment.preparation import read_indexes
from benchmark.experiment.request import RunRequest
from benchmark.models.networks import Segmenter
from benchmark.models.normalization import Normalization
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe
from benchmark.results.store import Store
from benchmark.runner.runner import Runner
from benchmark.zoo.forms import build_encoder

NET = "scratch:test_resnet"
TINY = ["image_size=32", "max_epochs=4", "min_epochs=1"]


def run_cells(workspace, tasks="TXC", models=NET, watch=lambda _: None, settings=(), **options):
    """A grid's cells, run in this process, bundle by bundle; the records by key, and the runner."""
    request = RunRequest.of(
        workspace, models, tasks, settings=[*TINY, *settings], **{"protocol": "linear", "seeds": "1", **options}
    )
    grid = request.grid()
    cells = grid.cells(read_indexes(grid))
    runner = Runner(workspace=workspace, device=torch.device("cpu"), watch=watch)
    done = {}
    for bundle in group_cells(cells, {task.name: task for task in grid.tasks}):
        for cell, record in runner.run_together(bundle):
            assert record.status == "done", record.traceback
            done[cell.key] = record
    return done


@pytest.mark.parametrize("task", ["TXC", "APTOS", "DXC14", "NIHCXR4", "DXC5", "Derm27", "ECC", "PatchCam"])
def test_every_kind_of_classification_is_judged_on_frozen_features(workspace, tasks, task):
    records = run_cells(workspace, task, protocol="linear,logistic,knn").values()

    index = read_index(tasks[task], workspace.data)
    assert {record.cell.protocol for record in records} == {"linear", "logistic", "knn"}
    for record in records:
        assert record.scores[tasks[task].metric] is not None
        assert Store(workspace.results).predictions(record.cell).ids.shape[0] == record.num_examples["test"]
        assert record.cell.recipe.augmentation == "none"
        assert sum(record.num_examples.values()) <= len(index.table)


def test_a_feature_is_the_evaluated_encoders_of_the_images_centre(workspace, tasks):
    """Timm's own net on the decoded image, resized and cropped by torchvision, is the reference."""
    from PIL import Image
    from torchvision.transforms import v2

    (record,) = run_cells(workspace).values()

    features = np.fromfile(next(workspace.features.glob("TXC/*/features.bin")), dtype=np.float16).reshape(40, -1)
    index = read_index(tasks["TXC"], workspace.data)
    seed = stream(0, Purpose.ENCODER)
    net = build_encoder("test_resnet", "pooled", seed, 32).eval()
    preprocess = v2.Compose([v2.Resize((37, 37)), v2.CenterCrop(32), v2.PILToTensor()])
    images = torch.stack([preprocess(Image.open(index.root / name)) for name in index.table["image"]])
    with torch.inference_mode():
        wanted = net(Normalization(record.cell.weights[0].mean, record.cell.weights[0].std)(images))
    np.testing.assert_allclose(features, wanted, rtol=5e-3, atol=5e-3)


def test_features_are_computed_once_for_all_protocols_folds_sizes_and_seeds(workspace):
    computed = []

    def watch(event):
        if event["event"] == "features":
            computed.append(event["done"])

    file = made_encoder(workspace)
    run_cells(workspace, models=file, watch=watch, folds=2, subsets="8,F", seeds="2")
    assert sum(computed[-1:]) == 40
    assert len(run_cells(workspace, models=file, protocol="knn,logistic", watch=computed.append, seeds="2")) == 2

    assert not [event for event in computed if isinstance(event, dict) and event["event"] == "features"]
    assert len(list(workspace.features.glob("*/*"))) == 1


def made_encoder(workspace, name="own"):
    """An entry with a file, of the user's own zoo."""
    from safetensors.torch import save_file

    from benchmark.zoo.catalog import ZooEntry, add_entry
    from benchmark.zoo.fetch import import_weight_file

    file = workspace.home / f"{name}.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), file)
    fields = {"family": "own", "architecture": "test_resnet", "container": "safetensors", "naming": "timm"}
    entry = ZooEntry(name=name, source=f"file:{name}.safetensors", licence="own", cite="own", **fields)
    file_here = import_weight_file(entry, file, workspace.weights)
    add_entry(workspace.own_zoo, entry.model_copy(update={"sha256": file_here.sha256}))
    return name


def test_fresh_weights_have_features_of_their_own_seed(workspace):
    records = list(run_cells(workspace, seeds="2").values())

    assert len(list(workspace.features.glob("TXC/*"))) == 2
    assert records[0].scores != records[1].scores or records[0].history != records[1].history


def test_a_grid_in_pieces_is_the_grid_to_the_bit(workspace, tmp_path):
    from dataclasses import replace

    file = made_encoder(workspace)
    complete = run_cells(workspace, models=file, seeds="3", subsets="8,F", sweep=["learning_rate=0.001,0.1"])
    elsewhere = replace(workspace, results=tmp_path / "pieces")
    pieces = run_cells(elsewhere, models=file, seeds="2,", subsets="F", settings=["learning_rate=0.1"])
    pieces |= run_cells(elsewhere, models=file, seeds="3", subsets="8,F", sweep=["learning_rate=0.001,0.1"])

    assert pieces.keys() == complete.keys()
    assert len(complete) == 3 * 2 * 2
    for record in complete.values():
        one, other = (Store(p.results).predictions(record.cell) for p in (workspace, elsewhere))
        assert np.array_equal(one.score, other.score)


def test_a_killed_pass_over_the_images_goes_on_where_it_was(workspace):
    """The second run computes what is missing, and ends with the same features."""
    counts = []

    def cut(event):
        if event["event"] == "features":
            counts.append(event["done"])
            if event["done"] >= 32 and len(counts) == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cells(workspace, watch=cut)
    folder = next(workspace.features.glob("TXC/*"))
    before = np.fromfile(folder / "features.bin", dtype=np.float16).reshape(40, -1)
    assert np.count_nonzero(np.fromfile(folder / "checksums.bin", dtype=np.uint32)) == 32

    run_cells(workspace, watch=cut)

    assert counts == [32, 8]
    after = np.fromfile(folder / "features.bin", dtype=np.float16).reshape(40, -1)
    assert np.array_equal(after[before.any(1)], before[before.any(1)])
    assert after.any(1).all()


def test_an_images_feature_does_not_depend_on_its_batch(workspace):
    """To the bit, so that subsets and interruptions change nothing."""
    file = made_encoder(workspace)
    run_cells(workspace, models=file, subsets="8")
    folder = next(workspace.features.glob("TXC/*"))
    some = np.fromfile(folder / "features.bin", dtype=np.float16).reshape(40, -1)
    run_cells(workspace, models=file)

    every = np.fromfile(folder / "features.bin", dtype=np.float16).reshape(40, -1)
    there = some.any(1)
    assert 8 < there.sum() < 40
    assert np.array_equal(every[there], some[there])


@pytest.mark.parametrize("protocol", ["linear", "dvme", "knn"])
def test_the_weights_file_is_as_it_was(workspace, protocol):
    one, other = made_encoder(workspace, "a"), made_encoder(workspace, "b")
    files = [path for path in sorted(workspace.weights.rglob("*")) if path.is_file()]
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]

    run_cells(workspace, models=f"{one}+{other}" if protocol == "dvme" else one, protocol=protocol)

    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == before


def test_a_frozen_encoder_under_a_decoder_stays_to_the_last_byte(workspace):
    """Weights, and the running statistics of its batch norms: as before, after training a U-Net over it."""
    encoder = build_encoder("test_resnet", "pyramid", 0, 32)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    model = Segmenter(encoder, Normalization((0.0,) * 3, (1.0,) * 3), seed=0, frozen=True)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)

    model.train()
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)).sum().backward()
        optimizer.step()

    assert not any(module.training for module in encoder.modules())
    assert any(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    (record,) = run_cells(workspace, "PXS", settings=["max_epochs=1"]).values()
    assert record.trainable_parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_a_fusion_keeps_its_attention_and_a_cells_encoders_are_in_order(workspace):
    one, other = made_encoder(workspace, "b"), made_encoder(workspace, "a")

    first = run_cells(workspace, "APTOS", models=f"{one}+{other}", protocol="dvme", settings=["max_epochs=1"])
    second = run_cells(workspace, "APTOS", models=f"{other} + {one}", protocol="dvme", settings=["max_epochs=1"])

    ((key, record),) = first.items()
    assert second.keys() == {key}
    names, attention = Store(workspace.results).attention(record.cell)
    assert names == ["a", "b"]
    assert attention.shape == (2, 2)
    np.testing.assert_allclose(attention.sum(1), 1, rtol=1e-6)


def test_the_end_to_end_fusion_trains_all_encoders(workspace):
    (record,) = run_cells(
        workspace, models=f"{NET}+scratch:test_efficientnet", protocol="dvme-finetune", settings=["max_epochs=1"]
    ).values()

    nets = [timm.create_model(name, num_classes=0) for name in ("test_resnet", "test_efficientnet")]
    assert record.trainable_parameters > sum(p.numel() for net in nets for p in net.parameters())
    assert record.cell.recipe.learning_rate == 1e-4


def test_a_protocol_that_came_later_leaves_older_keys_as_they_were():
    """New fields of a recipe and of weights are left out of the key where they say nothing."""
    assert "min_epochs" not in Recipe().model_dump(exclude_none=True)
