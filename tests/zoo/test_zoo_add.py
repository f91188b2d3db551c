"""`zoo add`: what a file is, proposed by accounting for every tensor; asked for, and never taken silently."""

import hashlib
import os
import pickle
import shlex
import tarfile
from io import BytesIO, StringIO

import pytest
import safetensors.torch
import timm
import torch
from conftest import CHECKOUT
from forged import DEEPER_NET, FORGED, NET, VITS_ALONE, container_of, drawn, in_training, known_encoder, resnet18, write

from benchmark.errors import BenchmarkError
from benchmark.results.store import Store
from benchmark.zoo import proposal
from benchmark.zoo.catalog import ZooEntry, add_entry, read_zoo
from benchmark.zoo.forms import COUNTER
from benchmark.zoo.matching import read_encoder_tensors
from benchmark.zoo.naming import NAMINGS
from benchmark.zoo.proposal import FAMILIES, propose


@pytest.fixture
def saved(tmp_path):
    def save(content, name="net.pth"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def answers(monkeypatch):
    """A terminal, and what is typed there."""

    def typed(text):
        terminal = StringIO(text)
        terminal.isatty = lambda: True
        monkeypatch.setattr("sys.stdin", terminal)

    return typed


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO())


@pytest.fixture(autouse=True)
def narrow_nets_are_tried_too(monkeypatch):
    """After ResNets whose tensors have the same names and other sizes."""
    monkeypatch.setattr(proposal, "FAMILIES", (*FAMILIES, (NET, DEEPER_NET)))


def own_entries(workspace):
    return read_zoo(workspace.own_zoo) if workspace.own_zoo.is_file() else {}


def zeros(tensors):
    """Tensors of these shapes, all in the memory of the largest, so that their file is small."""
    memory = torch.zeros(max(tensor.numel() for tensor in tensors.values()))
    return {name: memory[: tensor.numel()].view(tensor.shape) for name, tensor in tensors.items()}


def mobilenet(classes=0):
    with torch.device("meta"):
        shapes = timm.create_model("mobilenetv2_100", num_classes=classes).state_dict()
    return drawn(shapes)


@pytest.mark.parametrize("naming", FORGED)
def test_a_forged_file_is_known_for_what_it_is(tmp_path, naming):
    """In each naming, as its authors write it: that naming is proposed, or said to give the same tensors."""
    path = tmp_path / "net.file"
    write(naming, next(iter(FORGED[naming].values()))(), path)

    (found,) = [each for each in propose(path, name="net") if naming in (each.naming, *each.same)]

    assert (found.architecture, found.container) == (NET, container_of(naming))
    assert found.report.loaded_fraction == 1.0
    entry = ZooEntry(
        name="net", family="own", architecture=found.architecture, container=found.container,
        naming=found.naming, licence="–", cite="–",
    )  # fmt: skip
    tensors, report = read_encoder_tensors(entry, path)
    assert all(torch.equal(tensors[n], t) for n, t in known_encoder().items() if not n.endswith(COUNTER))
    assert report == found.report


def test_of_namings_that_give_the_same_the_one_that_drops_least_is_proposed(saved):
    (bare,) = propose(saved(known_encoder()), name="net")
    (headed,) = propose(saved(resnet18().state_dict()), name="net")

    assert bare.naming == "plain"
    assert {"torchvision", "timm"} <= set(bare.same)
    assert headed.naming == "torchvision"
    assert headed.report.dropped == ["fc.weight", "fc.bias"]
    assert "timm" in headed.same
    assert "plain" not in headed.same


@pytest.mark.parametrize(
    "architecture", ["resnet18", "mobilenetv2_100", "vit_tiny_patch16_224", "convnext_tiny", "densenet121"]
)
def test_architectures_with_their_classifiers_are_known_by_their_tensors(saved, architecture):
    with torch.device("meta"):
        shapes = timm.create_model(architecture, num_classes=3).state_dict()

    (found,) = propose(saved(zeros(shapes)), name="net")

    assert found.architecture == architecture
    assert "timm" in (found.naming, *found.same)
    assert found.report.dropped


def test_the_architectures_tried_are_there_and_each_family_is_named_alike():
    """The smallest stands for its family: most of its names are in every other member."""
    for first, *others in FAMILIES:
        smallest, _ = proposal._encoder_sizes(first)
        for other in others:
            wanted, _ = proposal._encoder_sizes(other)
            assert len(smallest.keys() & wanted.keys()) >= proposal.MIN_SHARED_NAMES * len(smallest), other


def test_files_are_read_by_what_they_are_and_not_by_their_suffix(tmp_path):
    path = tmp_path / "net.pth"
    safetensors.torch.save_file(mobilenet(), path)

    (found,) = propose(path, name="net")

    assert (found.architecture, found.container) == ("mobilenetv2_100", "safetensors")


def test_what_is_given_is_not_tried_otherwise(saved, monkeypatch):
    tried = []
    original = proposal.build_encoder
    monkeypatch.setattr(proposal, "build_encoder", lambda *given: tried.append(given[0]) or original(*given))
    proposal._encoder_sizes.cache_clear()

    (found,) = propose(saved(resnet18().state_dict()), name="net", architecture=NET, naming="timm")

    assert (found.naming, found.same) == ("timm", ())
    assert tried == [NET]


def test_nothing_complete_shows_the_nearest_from_both_sides_and_what_to_do(saved):
    tensors = dict(resnet18().state_dict())
    del tensors["layer4.1.conv2.weight"]
    tensors["gate.weight"] = torch.zeros(3)

    with pytest.raises(BenchmarkError) as raised:
        propose(saved(tensors), name="net")

    lines = str(raised.value).splitlines()
    assert lines[0] == "net.pth: nothing that was tried accounts for every tensor; the nearest:"
    assert "exactly a narrow_resnet18 in naming 'torchvision': 1 missing, 1 stray" in lines[1]
    assert lines[2:4] == [
        " - layer4.1.conv2.weight (64, 64, 3, 3): the file lacks it",
        " + gate.weight (3,): narrow_resnet18 has no such tensor",
    ]
    assert lines[4].startswith("give --architecture (timm's name) and --naming")
    assert all(naming in lines[4] for naming in NAMINGS)


def test_tensors_of_no_known_net_are_told_so(saved):
    with pytest.raises(BenchmarkError, match="named as none of the architectures tried"):
        propose(saved({"encoder.rows": torch.zeros(3)}), name="net")


@pytest.mark.parametrize("container", [None, "torch"])
def test_a_file_that_would_run_code_is_refused_whatever_it_is_tried_as(tmp_path, cli, workspace, container):
    class UnsafePickle:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'ran'}",))

    path = tmp_path / "net.pth"
    path.write_bytes(pickle.dumps({"conv1.weight": UnsafePickle()}, protocol=2))

    ran = cli("zoo", "add", str(path), "--name", "net", "--yes", *(["--container", container] if container else []))

    assert ran.code == 2
    assert not (tmp_path / "ran").exists()
    assert own_entries(workspace) == {}


def test_without_a_terminal_a_proposal_is_not_taken_and_the_command_that_takes_it_is_told(cli, workspace, saved):
    path = saved(mobilenet(5))

    refused = cli("zoo", "add", str(path), "--name", "mine", "--pretrained-on", "ImageNet-1k")
    command = refused.err[refused.err.index("benchmark zoo add") :]
    assert own_entries(workspace) == {}
    assert not workspace.weights.exists()
    given = cli(*shlex.split(command)[1:], "--pretrained-on", "ImageNet-1k")

    assert (refused.code, given.code) == (2, 0)
    assert "100.0% of the parameters of mobilenetv2_100 from 312 tensors, container torch, naming timm" in refused.text
    assert "2 tensors dropped by name (classifier.weight, classifier.bias)" in refused.text
    entry = own_entries(workspace)["mine"]
    assert (entry.architecture, entry.naming, entry.container) == ("mobilenetv2_100", "timm", "torch")
    assert entry.pretrained_on == ("ImageNet-1k",)
    assert len(entry.sha256) == 64


def test_yes_takes_the_proposal_and_says_what_it_was(cli, workspace, saved):
    added = cli("zoo", "add", str(saved(mobilenet())), "--name", "mine", "--yes")

    assert added.code == 0
    assert "naming plain (" in added.text
    assert "would give the same" in added.text
    assert "--pretrained-on was not given" in added.text
    assert own_entries(workspace)["mine"].naming == "plain"


def test_on_a_terminal_the_user_sees_the_proposal_and_decides(cli, workspace, saved, answers):
    path = str(saved(mobilenet()))
    answers("n\n")
    declined = cli("zoo", "add", path, "--name", "mine")
    before = own_entries(workspace)
    answers("y\n")
    agreed = cli("zoo", "add", path, "--name", "mine")

    assert (declined.code, agreed.code) == (2, 0)
    assert "of the parameters of mobilenetv2_100" in declined.err
    assert "take this proposal?" in declined.out
    assert "nothing was added" in declined.err
    assert before == {}
    assert "mine" in own_entries(workspace)


def test_what_is_told_in_full_is_not_asked_for(cli, workspace, saved):
    options = ("--architecture", "mobilenetv2_100", "--naming", "timm")

    added = cli("zoo", "add", str(saved(mobilenet())), "--name", "mine", *options)

    assert added.code == 0
    assert own_entries(workspace)["mine"].container == "torch"


def test_two_things_that_a_file_is_alike_are_listed_and_none_is_preferred(cli, workspace, saved):
    """An EfficientNet of TensorFlow has the same tensors as one of PyTorch, and pads otherwise."""
    with torch.device("meta"):
        shapes = timm.create_model("efficientnet_b0", num_classes=0).state_dict()
    path = str(saved(zeros(shapes)))

    unsure = cli("zoo", "add", path, "--name", "mine", "--yes")
    sure = cli("zoo", "add", path, "--name", "mine", "--yes", "--architecture", "tf_efficientnet_b0")

    assert unsure.code == 2
    assert "is, to the last tensor, 2 things: say which:" in unsure.err
    assert "--architecture efficientnet_b0 --naming plain --container torch; " in unsure.err
    assert "--architecture tf_efficientnet_b0 --naming plain --container torch" in unsure.err
    assert sure.code == 0
    assert own_entries(workspace)["mine"].architecture == "tf_efficientnet_b0"


def test_two_networks_in_one_file_are_two_proposals(tmp_path):
    """DINO's full checkpoints hold a student and a teacher: other tensors, so the user must say which."""
    path = tmp_path / "net.pth"
    write("dino-teacher", next(iter(FORGED["dino-teacher"].values()))(), path)

    found = propose(path, name="net")

    assert {(p.architecture, p.naming) for p in found} == {(NET, "dino-teacher"), (NET, "dino-student")}


@pytest.mark.usefixtures("waits")
def test_a_download_that_breaks_off_is_brought_to_its_end_by_the_same_command(cli, workspace, shelf):
    buffer = BytesIO()
    torch.save(mobilenet(), buffer)
    shelf.body, shelf.cuts = buffer.getvalue(), [1000] * 4

    broken = cli("zoo", "add", f"{shelf.url}/files/net.pth", "--name", "far", "--yes")
    mended = cli("zoo", "add", f"{shelf.url}/files/net.pth", "--name", "far", "--yes")

    assert (broken.code, mended.code) == (2, 0)
    assert "get it by hand and give that file to `benchmark zoo add`" in broken.text
    assert broken.err.startswith(f"error: {shelf.url}/files/net.pth: cut after 4,000 bytes: 4,000 bytes are kept in ")
    assert list(own_entries(workspace)) == ["far"]


def test_a_url_is_fetched_first_and_once(cli, workspace, shelf):
    buffer = BytesIO()
    torch.save(in_training(mobilenet()), buffer)
    shelf.body = buffer.getvalue()
    url = f"{shelf.url}/files/net.pth"

    refused = cli("zoo", "add", url, "--name", "far")
    added = cli("zoo", "add", url, "--name", "far", "--yes")
    printed = cli("zoo", "show", "far")

    assert (refused.code, added.code) == (2, 0)
    assert f"benchmark zoo add {url} --name far" in refused.err
    assert len(shelf.requests) == 1, "what a refused command fetched serves the next"
    assert own_entries(workspace)["far"].source == url
    assert "file: not here" not in printed.text
    assert [path.name for path in workspace.weights.iterdir() if any(path.glob("*.pth"))] == ["far"]


def test_what_one_url_gave_is_never_taken_for_anothers(cli, workspace, shelf):
    for classes, url in ((0, "a/net.pth"), (3, "b/net.pth")):
        buffer = BytesIO()
        torch.save(mobilenet(classes), buffer)
        shelf.body = buffer.getvalue()
        cli("zoo", "add", f"{shelf.url}/{url}", "--name", "far")

    added = cli("zoo", "add", f"{shelf.url}/b/net.pth", "--name", "far", "--yes")

    assert (added.code, len(shelf.requests)) == (0, 2)
    assert own_entries(workspace)["far"].naming == "timm", "the second file has a classifier"


@pytest.mark.usefixtures("waits")
def test_a_source_that_cannot_be_had_is_one_line_without_a_made_up_entry(cli, workspace, shelf):
    shelf.statuses = [404] * 9
    dead = cli("zoo", "add", f"{shelf.url}/gone/net.pth", "--name", "far", "--yes")
    offline = cli("zoo", "add", f"{shelf.url}/files/net.pth", "--name", "far", "--yes", "--offline")
    hub = cli("zoo", "add", "hf:owner/repo/net.safetensors", "--name", "far", "--yes", "--offline")

    for ran in (dead, offline, hub):
        assert ran.code == 2
        assert ran.err.count("\n") == 1
        assert "arriving" not in ran.err
        assert "net." in ran.err
    assert "HTTP 404" in dead.err
    assert own_entries(workspace) == {}


def test_a_zoo_file_written_by_hand_is_not_written_over_without_asking(cli, workspace, saved, answers):
    add_entry(
        workspace.own_zoo,
        ZooEntry(
            name="old", family="own", architecture="resnet18", container="torch", naming="timm", licence="l", cite="c"
        ),
    )
    by_hand = "# mine, do not touch\n" + workspace.own_zoo.read_text()
    workspace.own_zoo.write_text(by_hand)
    command = (
        "zoo",
        "add",
        str(saved(mobilenet())),
        "--name",
        "new",
        "--architecture",
        "mobilenetv2_100",
        "--naming",
        "timm",
    )

    refused = cli(*command)
    answers("n\n")
    declined = cli(*command)
    untouched = workspace.own_zoo.read_text()
    answers("y\n")
    agreed = cli(*command)

    assert (refused.code, declined.code, agreed.code) == (2, 2, 0)
    assert "was written by hand, and comments in it would be lost: --yes" in refused.err
    assert untouched == by_hand
    assert list(own_entries(workspace)) == ["old", "new"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--naming", "mocco"), "no naming 'mocco': one of plain"),
        (("--container", "zip"), "no container 'zip': one of torch"),
        (("--architecture", "resnet51"), "did you mean resnet5"),
        (("--name", "no good"), "String should match pattern"),
        (("--name", "swav"), "the zoo has an entry 'swav' already"),
    ],
)
def test_a_wrong_request_is_told_before_anything_is_read(cli, saved, arguments, message):
    ran = cli("zoo", "add", str(saved({})), "--name", "mine", *arguments)

    assert ran.code == 2
    assert message in ran.text
    assert ran.err.count("\n") == 1


def test_a_vit_of_transformers_is_known_by_its_parts(tmp_path):
    """The proposal joins them, as the account does."""
    with torch.device("meta"):
        shapes = timm.create_model("vit_small_patch14_dinov2", num_classes=0).state_dict()
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(VITS_ALONE["dinov2-hf"](drawn(shapes)), path)

    (found,) = propose(path, name="net")

    assert (found.architecture, found.naming) == ("vit_small_patch14_dinov2", "dinov2-hf")
    assert found.report.loaded_fraction == 1.0


def test_a_file_of_an_archive_is_told_by_its_path(cli, workspace, tmp_path, saved):
    """The archive is what is kept and pinned; without --member it is refused with what to tell."""
    path = tmp_path / "zoo.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(saved(mobilenet()), "pt/net.pth")
        archive.add(saved(known_encoder(), "other.pth"), "pt/other.pth")

    unsaid = cli("zoo", "add", str(path), "--name", "mine", "--yes")
    refused = cli("zoo", "add", str(path), "--name", "mine", "--member", "pt/net.pth")
    command = refused.err[refused.err.index("benchmark zoo add") :]
    added = cli(*shlex.split(command)[1:])

    assert (unsaid.code, refused.code, added.code) == (2, 2, 0)
    assert "--member" in unsaid.text
    entry = own_entries(workspace)["mine"]
    assert (entry.member, entry.architecture) == ("pt/net.pth", "mobilenetv2_100")
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_input_statistics_are_told_in_three_numbers_each(cli, workspace, saved):
    path = str(saved(mobilenet()))
    options = ("--mean", "0.5307", "0.5307", "0.53", "--std", "0.25", "0.25", "1")

    refused = cli("zoo", "add", path, "--name", "mine", *options)
    command = refused.err[refused.err.index("benchmark zoo add") :]
    added = cli(*shlex.split(command)[1:])

    assert added.code == 0, added.text
    statistics = own_entries(workspace)["mine"].input
    assert (statistics.mean, statistics.std) == ((0.5307, 0.5307, 0.53), (0.25, 0.25, 1.0))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--mean", "0", "0", "0"), "--std is missing: give --mean and --std together, or neither"),
        (("--std", "1", "1", "1"), "--mean is missing"),
        (("--mean", "0", "0", "0", "--std", "1", "0", "1"), "wanted numbers, and deviations above 0"),
        (("--mean", "nan", "0", "0", "--std", "1", "1", "1"), "wanted numbers, and deviations above 0"),
    ],
)
def test_statistics_that_no_image_could_be_normalised_by_are_refused(cli, workspace, saved, arguments, said):
    ran = cli("zoo", "add", str(saved(mobilenet())), "--name", "mine", "--yes", *arguments)

    assert ran.code == 2
    assert said in ran.text
    assert own_entries(workspace) == {}


def test_a_folder_is_refused_with_how_a_tensorflow_checkpoint_is_given(cli, tmp_path):
    ran = cli("zoo", "add", str(tmp_path), "--name", "mine", "--yes")

    assert ran.code == 2
    assert "a folder, wanted a file; a TensorFlow checkpoint is given as one archive of its files: tar cf" in ran.text


def test_the_shipped_zoo_file_is_never_written(cli, saved):
    before = (CHECKOUT / "model_zoo.yaml").read_bytes()

    assert cli("zoo", "add", str(saved(mobilenet())), "--name", "mine", "--yes").code == 0

    assert (CHECKOUT / "model_zoo.yaml").read_bytes() == before


@pytest.mark.slow
def test_the_new_name_works_in_run_at_once(cli, workspace, saved):
    """Its architecture is told, being none of those that are tried; its naming is proposed."""
    with torch.device("meta"):
        shapes = timm.create_model("test_resnet", num_classes=7).state_dict()
    state = drawn(shapes)
    tiny = ("--set", "image_size=32", "--set", "train_resolution=64", "--set", "max_epochs=1", "--seeds", "1")

    added = cli("zoo", "add", str(saved(state)), "--name", "mine", "--architecture", "test_resnet", "--yes")
    ran = cli("run", "--models", "mine", "--tasks", "TXC", *tiny)

    assert (added.code, ran.code) == (0, 0), ran.text
    (record,) = Store(workspace.results).records()[0]
    assert record.cell.weights[0].naming == own_entries(workspace)["mine"].naming
    assert record.weights_account[0]["share"] == 1.0
