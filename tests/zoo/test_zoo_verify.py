"""`zoo verify` tells a net that loaded from one that did not, and says of each entry what it saw."""

import json

import numpy as np
import pytest
import timm
import torch
from conftest import in_new_process

from benchmark.models.seeded import seeded
from benchmark.zoo import inspection
from benchmark.zoo.catalog import InputStatistics, ZooEntry, write_own
from benchmark.zoo.fetch import import_weight_file
from benchmark.zoo.inspection import (
    Statistics,
    compute_fingerprint,
    find_warnings,
    input_size,
    inspect,
    measure_features,
    synthetic_image,
)

SMALL = "test_resnet"  # timm's own for tests: half a million parameters, images of 160 or of any size
SIZE = 64


@pytest.fixture(autouse=True)
def small_images(monkeypatch):
    monkeypatch.setattr(inspection, "DEFAULT_IMAGE_SIZE", SIZE)


def entry_of(name="net", architecture=SMALL, **fields) -> ZooEntry:
    defaults = {"family": "own", "source": f"file:{name}.pth", "container": "torch", "naming": "timm",
            "licence": "CC BY-NC 4.0", "cite": "nobody"}  # fmt: skip
    return ZooEntry(**{**defaults, "name": name, "architecture": architecture, **fields})


def fresh(seed, architecture=SMALL):
    with seeded(seed):
        return timm.create_model(architecture, num_classes=7)


@pytest.fixture(scope="module")
def trained():
    """A net that has learned something: which of the phantom images' scales prevails, from images of other seeds."""
    net = fresh(0)
    images = torch.stack([torch.from_numpy(synthetic_image(seed, SIZE)).float() for seed in range(100, 180)]) * 4 - 2
    labels = torch.tensor([seed % 5 for seed in range(100, 180)])
    rule = torch.optim.Adam(net.parameters(), 3e-3)
    with seeded(0):
        for _ in range(40):
            loss = torch.nn.functional.cross_entropy(net(images), labels)
            rule.zero_grad()
            loss.backward()
            rule.step()
    assert loss < 0.3
    return net


@pytest.fixture
def admitted(weights, tmp_path):
    """The net's file in the entry's place."""

    def admit(net, entry):
        torch.save(net.state_dict(), tmp_path / "own.pth")
        return import_weight_file(entry, tmp_path / "own.pth", weights)

    return admit


def test_a_trained_net_passes_with_all_that_was_seen(trained, admitted, weights):
    entry = entry_of()
    file = admitted(trained, entry)

    inspection_result = inspect(entry, weights)

    assert (inspection_result.verdict, inspection_result.reasons) == ("PASS", [])
    assert (inspection_result.name, inspection_result.licence, inspection_result.file) == (
        "net",
        "CC BY-NC 4.0",
        "net.pth",
    )
    assert (inspection_result.sha256, inspection_result.digest) == (file.sha256, "pinned on first use")
    assert inspection_result.report.loaded_fraction == 1.0
    assert inspection_result.report.dropped == ["fc.weight", "fc.bias"]
    assert inspection_result.statistics.finite
    assert (
        inspection_result.statistics.distance > inspection.DISTANCE_MARGIN * inspection_result.statistics.fresh_distance
    )


@pytest.mark.parametrize("architecture", [SMALL, "test_vit", "test_efficientnet", "test_convnext"])
@pytest.mark.parametrize("seed", [1, 77])
def test_a_file_of_fresh_weights_is_doubted_whatever_their_seed(admitted, weights, architecture, seed):
    """Seed 1 is one that it is compared with; the account of such a file is without fault."""
    entry = entry_of(architecture=architecture)
    admitted(fresh(seed, architecture), entry)

    inspection_result = inspect(entry, weights)

    assert inspection_result.verdict == "WARN"
    assert "its features are as a fresh net's" in inspection_result.reasons[0]
    assert "the file may hold untrained weights" in inspection_result.reasons[0]
    assert inspection_result.report.loaded_fraction == 1.0


def test_features_that_are_the_same_for_every_image_are_doubted(trained, admitted, weights):
    blind = fresh(0)
    blind.load_state_dict(trained.state_dict())
    with torch.no_grad():
        blind.bn1.weight.zero_()
    admitted(blind, entry_of())

    inspection_result = inspect(entry_of(), weights)

    assert (inspection_result.verdict, inspection_result.reasons) == (
        "WARN",
        ["100% of its features are the same for every image"],
    )
    assert inspection_result.statistics.constant == 1.0
    assert inspection_result.statistics.distance is None


def test_features_that_are_not_finite_are_doubted(trained, admitted, weights):
    broken = fresh(0)
    broken.load_state_dict(trained.state_dict())
    with torch.no_grad():
        broken.bn1.running_var[0] = -1.0
    admitted(broken, entry_of())

    inspection_result = inspect(entry_of(), weights)

    assert (inspection_result.verdict, inspection_result.reasons) == ("WARN", ["its features are not finite"])
    assert inspection_result.fingerprint is None
    json.dumps(inspection_result.as_json(), allow_nan=False)


def test_a_file_that_is_another_net_fails_with_the_account(admitted, weights):
    admitted(fresh(0, "test_efficientnet"), entry_of())

    inspection_result = inspect(entry_of(), weights)

    assert inspection_result.verdict == "FAIL"
    assert "does not hold exactly a test_resnet" in inspection_result.reasons[0]
    assert inspection_result.sha256
    assert inspection_result.report is inspection_result.fingerprint is None


def test_a_file_that_was_changed_fails(trained, admitted, weights):
    file = admitted(trained, entry_of())
    content = bytearray(file.path.read_bytes())
    content[-3000] ^= 1
    file.path.write_bytes(content)

    inspection_result = inspect(entry_of(), weights)

    assert inspection_result.verdict == "FAIL"
    assert "the file was changed" in inspection_result.reasons[0]


def test_what_is_not_here_is_no_failure(weights):
    inspection_result = inspect(entry_of(), weights)

    assert (inspection_result.verdict, inspection_result.reasons, inspection_result.sha256) == ("not here", [], None)


@pytest.mark.parametrize(
    ("known", "source", "said"),
    [
        ("", "https://example.org/net.pth", "pinned on first use"),
        ("8", "https://example.org/net.pth", "first 8 digits as published"),
        ("64", "https://example.org/net.pth", "as published"),
        ("64", "file:net.pth", "pinned on first use"),
    ],
)
def test_the_digest_is_told_for_what_it_is(trained, admitted, weights, known, source, said):
    file = admitted(trained, entry_of(source=source))
    entry = entry_of(source=source, sha256=file.sha256[: int(known or 0)])

    assert inspect(entry, weights).digest == said


def test_the_verdict_is_one_of_the_net_not_of_its_seed_or_the_order(trained, admitted, weights):
    """Nothing that was inspected before, and no generator of the process, changes what is said."""
    admitted(trained, entry_of())
    admitted(fresh(5), entry_of("other"))
    first = inspect(entry_of(), weights)
    inspect(entry_of("other"), weights)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 - the process's own generator is the point
    inspection._fresh_profiles.cache_clear()

    assert inspect(entry_of(), weights) == first


RAW = [5166489603836389754, 8506655336168082078]
PIXEL = [0.4610426733199167, 0.5978022083970419, 0.5952951007096852]


def test_the_fixed_image_is_the_same_in_every_process():
    """From NumPy's raw words of PCG64, which never change; these values were computed once and written down."""
    image = synthetic_image(inspection.FIXED_IMAGE_SEED, 8)

    assert image.shape == (3, 8, 8)
    assert (image.min(), image.max()) == (0, 1)
    raw = np.random.PCG64(inspection.FIXED_IMAGE_SEED).random_raw(2)
    assert raw.tolist() == RAW
    assert image[:, 3, 4] == pytest.approx(PIXEL, abs=1e-9)
    ran = in_new_process(
        "from benchmark.zoo.inspection import synthetic_image; print(repr(float(synthetic_image(20, 8)[0, 3, 4])))",
        OMP_NUM_THREADS="1",
    )
    assert float(ran.stdout) == pytest.approx(PIXEL[0], abs=1e-9), ran.stderr


def test_phantom_images_differ_and_none_is_flat():
    images = [synthetic_image(seed, SIZE) for seed in range(inspection.NUM_PHANTOMS)]

    assert all(image.std() > 0.05 for image in images)
    assert all(np.abs(a - b).mean() > 0.05 for n, a in enumerate(images) for b in images[:n])


def test_a_fingerprint_tells_the_numbers_of_the_features():
    features = np.linspace(-1, 3, 160)

    found = compute_fingerprint(features, SIZE)

    assert (found.image_size, found.num_features) == (SIZE, 160)
    assert found.mean == pytest.approx(features.mean(), abs=1e-3)
    assert found.sd == pytest.approx(features.std(), rel=1e-3)
    assert found.first == pytest.approx(features[:3], abs=1e-3)
    assert len(found.hash) == 8


def test_a_fingerprint_withstands_another_machines_rounding_and_not_other_features():
    """Float32 sums in another order differ by about a part in a million."""
    stream = np.random.default_rng(0)
    features = np.abs(stream.normal(size=512))
    own = compute_fingerprint(features, SIZE).hash
    noisy = (features * (1 + 1e-6 * stream.normal(size=512)) for _ in range(50))

    same = sum(compute_fingerprint(copy, SIZE).hash == own for copy in noisy)

    assert same >= 49
    assert compute_fingerprint(stream.permutation(features), SIZE).hash != own
    assert compute_fingerprint(features * 1.1, SIZE).hash != own


def test_a_mean_of_nothing_but_noise_is_told_as_nothing():
    """Features after a layer norm: their mean is 0 but for rounding, which is no number to compare."""
    features = np.tile([-1.0, 1.0], 100) + 3e-9

    assert compute_fingerprint(features, SIZE).mean == 0
    assert compute_fingerprint(np.zeros(30), SIZE).sd == 0


@pytest.mark.parametrize(
    ("architecture", "size"), [(SMALL, SIZE), ("test_vit", 160), ("vit_small_patch14_dinov2", 518)]
)
def test_images_have_the_nets_own_size_where_it_fixes_one(architecture, size):
    assert input_size(architecture) == size


def test_images_are_normalised_as_the_entry_declares(trained):
    """Two entries of one file that differ in their statistics alone have two fingerprints."""
    net = timm.create_model(SMALL, num_classes=0)
    net.load_state_dict({n: t for n, t in trained.state_dict().items() if not n.startswith("fc.")})
    zero_one = InputStatistics(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    found, _ = measure_features(net, SMALL, zero_one, SIZE)
    other, _ = measure_features(net, SMALL, InputStatistics(), SIZE)

    with torch.no_grad():
        features = net.eval()(torch.from_numpy(synthetic_image(inspection.FIXED_IMAGE_SEED, SIZE)).float()[None])[0]
    assert found.mean == pytest.approx(float(features.mean()), rel=1e-3)
    assert found.sd == pytest.approx(float(features.std(correction=0)), rel=1e-3)
    assert found != other


@pytest.mark.parametrize(
    ("near", "usual", "doubted"), [(0.1, 0.2, True), (0.39, 0.2, True), (0.41, 0.2, False), (None, None, False)]
)
def test_doubt_is_where_a_net_is_as_near_to_fresh_ones_as_they_are_to_one_another(near, usual, doubted):
    assert bool(find_warnings(Statistics(finite=True, constant=0.1, distance=near, fresh_distance=usual))) == doubted


@pytest.fixture
def own_zoo(workspace, trained, tmp_path):
    """A trained, a fresh, a damaged and a lacking entry of the user's own, in a project whose zoo is else empty."""
    entries = [entry_of(name) for name in ("good", "raw", "broken", "lacking")]
    workspace.own_zoo.parent.mkdir(parents=True, exist_ok=True)
    write_own(workspace.own_zoo, entries)
    for entry, net in zip(entries, [trained, fresh(8), trained], strict=False):
        torch.save(net.state_dict(), tmp_path / "own.pth")
        file = import_weight_file(entry, tmp_path / "own.pth", workspace.weights)
    file.path.write_bytes(b"")


KEYS = {"name", "verdict", "reasons", "licence", "source", "architecture", "naming", "file", "sha256", "digest",
        "report", "fingerprint", "statistics"}  # fmt: skip


@pytest.mark.usefixtures("own_zoo")
def test_the_verb_prints_a_table_and_writes_json_with_the_same_keys_for_all(cli, tmp_path):
    ran = cli("zoo", "verify", "family:own", "--json", str(tmp_path / "seen.json"))

    written = json.loads((tmp_path / "seen.json").read_text())
    verdicts = {row["name"]: row["verdict"] for row in written["entries"]}
    assert verdicts == {"good": "PASS", "raw": "WARN", "broken": "FAIL", "lacking": "not here"}
    assert {frozenset(row) for row in written["entries"]} == {frozenset(KEYS)}
    assert written["format"] == 2
    assert ran.code == 1, "a failure"
    for word in ("good", "PASS", "WARN", "FAIL", "not here", "100.0%", "CC BY-NC 4.0", "fingerprints are to 4 digits"):
        assert word in ran.text
    good = next(row for row in written["entries"] if row["name"] == "good")
    assert good["fingerprint"]["hash"] in ran.text
    assert good["report"]["dropped"] == ["fc.weight", "fc.bias"]


@pytest.mark.usefixtures("own_zoo")
def test_a_verdict_is_told_as_soon_as_it_is_reached(cli, monkeypatch):
    """What is cut off in the middle has told what it saw."""

    def interrupted(entry, weights):
        if entry.name == "raw":
            raise KeyboardInterrupt
        return inspect(entry, weights)

    monkeypatch.setattr(inspection, "inspect", interrupted)
    ran = cli("zoo", "verify", "good,raw,broken,lacking")

    assert ran.code != 0
    assert "[1/4] good: PASS\n" in ran.err


@pytest.mark.usefixtures("own_zoo")
def test_what_is_not_here_takes_no_time_and_no_line(cli):
    assert cli("zoo", "verify", "broken,lacking").err == "[1/2] broken: FAIL\n"


@pytest.mark.usefixtures("own_zoo")
def test_a_doubt_is_no_failure(cli):
    """The file is what it was: whether to use it is the user's to say."""
    assert cli("zoo", "verify", "good,raw,lacking").code == 0


def test_nothing_here_is_no_failure_and_scratch_is_no_file(cli):
    ran = cli("zoo", "verify")

    assert ran.code == 0, ran.err
    assert "not here" in ran.text
    assert "scratch" not in ran.text
