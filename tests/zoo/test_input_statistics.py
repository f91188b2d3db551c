"""Whose input statistics reach the encoder: ImageNet's, the papers' control, or those that its entry declares."""

import pytest
import torch
from torchvision.transforms.functional import normalize

from benchmark.cell import IMAGENET_MEAN, IMAGENET_STD, Cell
from benchmark.experiment.preparation import read_indexes
from benchmark.experiment.request import RunRequest
from benchmark.models.networks import Classifier, Segmenter
from benchmark.models.normalization import Normalization
from benchmark.results.store import Store
from benchmark.runner.encoders import Encoders
from benchmark.runner.runner import Runner
from benchmark.zoo import forms
from benchmark.zoo.catalog import InputStatistics, ZooEntry, add_entry
from benchmark.zoo.fetch import import_weight_file

TINY = ["image_size=32", "train_resolution=64", "max_epochs=1", "batch_size=8"]


@pytest.fixture
def simclr(workspace, tmp_path):
    """A net trained on images in [0, 1], as SimCLR's were, in the user's zoo: mean 0, standard deviation 1."""
    torch.save(forms.build_encoder("test_resnet", "pooled", 3).state_dict(), tmp_path / "simclr.pth")
    entry = ZooEntry(
        name="simclr",
        family="ssl",
        architecture="test_resnet",
        source="file:simclr.pth",
        container="torch",
        naming="timm",
        licence="CC0",
        cite="nobody",
        input=InputStatistics(mean=(0, 0, 0), std=(1, 1, 1)),
    )
    file = import_weight_file(entry, tmp_path / "simclr.pth", workspace.weights)
    add_entry(workspace.own_zoo, entry.model_copy(update={"sha256": file.sha256}))
    return entry


@pytest.fixture
def seen(monkeypatch):
    """What every encoder that a runner loads is given in training, in order."""
    given = []
    load_converted = Encoders._load

    def watched(*arguments):
        encoder, report = load_converted(*arguments)
        encoder.register_forward_pre_hook(
            lambda module, inputs: given.append(inputs[0].detach().clone()) if module.training else None
        )
        return encoder, report

    monkeypatch.setattr(Encoders, "_load", watched)
    return given


def cell_of(workspace, task, *settings):
    """As the command line makes it."""
    grid = RunRequest.of(workspace, "simclr", task, seeds="1", settings=[*TINY, *settings]).grid()
    (cell,) = grid.cells(read_indexes(grid))
    return cell


@pytest.mark.parametrize(("form", "network"), [("pooled", Classifier), ("pyramid", Segmenter)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_encoder_gets_images_in_0_to_1_where_these_are_its_statistics(form, network, channels):
    """The reference is torchvision's own normalisation of the same bytes."""
    images = torch.arange(2 * channels * 64 * 64).remainder(256).to(torch.uint8).view(2, channels, 64, 64)
    colour = images.expand(2, 3, 64, 64).float() / 255
    for mean, std in (((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), (IMAGENET_MEAN, IMAGENET_STD)):
        encoder, given = forms.build_encoder("test_resnet", form, 0), []
        encoder.register_forward_pre_hook(lambda _, inputs, given=given: given.append(inputs[0]))
        outputs = (2, 0) if network is Classifier else (0,)
        with torch.no_grad():
            network(encoder, Normalization(mean, std), *outputs).eval()(images)

        (reached,) = given
        torch.testing.assert_close(reached, normalize(colour, mean, std))
        if mean == (0, 0, 0):
            assert torch.equal(reached, colour)
            assert (reached.min(), reached.max()) == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["TXC", "PXS"])
def test_a_run_feeds_what_the_recipe_asks_for_and_its_record_says_so(workspace, simclr, seen, task):
    """Classification and segmentation, one seed: the same crops, told apart by the normalisation alone."""
    records, first = {}, {}
    for source in ("native", "imagenet"):
        settings = [f"input={source}"] if source == "native" else []  # the papers' control is the default
        seen.clear()
        runner = Runner(workspace=workspace, device=torch.device("cpu"))
        records[source] = runner.run(cell_of(workspace, task, *settings))
        first[source] = seen[0]
        assert records[source].status == "done", records[source].error
        if source == "native":
            assert min(batch.min() for batch in seen) >= 0
            assert max(batch.max() for batch in seen) <= 1
            assert max(batch.max() for batch in seen) > 0.5, "bytes of 0..255, not of 0..1, were scaled"

    torch.testing.assert_close(first["imagenet"], normalize(first["native"], IMAGENET_MEAN, IMAGENET_STD))
    assert first["imagenet"].min() < -1
    assert records["native"].key != records["imagenet"].key
    stored = {record.key: record.cell for record in Store(workspace.results).records()[0]}
    native, imagenet = (stored[records[source].key] for source in ("native", "imagenet"))
    assert (native.weights[0].mean, native.weights[0].std) == (simclr.input.mean, simclr.input.std)
    assert (imagenet.weights[0].mean, imagenet.weights[0].std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert (native.recipe.input, imagenet.recipe.input) == ("native", "imagenet")


@pytest.mark.usefixtures("simclr")
def test_the_statistics_are_in_the_key_even_where_the_recipe_is_one(workspace):
    """An entry whose declared statistics were corrected asks another question."""
    cell = cell_of(workspace, "TXC", "input=native")
    other = cell.weights[0].model_copy(update={"std": (0.5, 0.5, 0.5)})

    assert cell.key != cell_of(workspace, "TXC").key
    assert cell.key != Cell.model_validate({**cell.model_dump(), "weights": (other,)}).key
