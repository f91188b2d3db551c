"""An encoder's tensors are taken out of their upstream file once, and are what that file gives, every time after."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest
import timm
import torch
from conftest import in_new_process
from forged import DEEPER_NET, FORGED, NET, container_of, drawn, known_encoder, write

from benchmark.errors import BenchmarkError
from benchmark.files import DiskFullError
from benchmark.zoo import conversions as converted
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.conversions import load_converted
from benchmark.zoo.fetch import delete_weight_file, import_weight_file, verify_weight_file
from benchmark.zoo.matching import read_encoder_tensors

MOCO = next(iter(FORGED["moco"]))


def entry_of(naming="moco", **fields) -> ZooEntry:
    defaults = {"name": "net", "family": "ssl", "architecture": NET, "licence": "CC0", "cite": "nobody"}
    return ZooEntry(**{**defaults, "source": "file:net.pth", "container": "torch", "naming": naming, **fields})


@pytest.fixture
def admitted(weights, tmp_path):
    """A file of this content in the entry's place."""

    def admit(content, entry):
        write(entry.naming, content, tmp_path / "own.pth")
        return import_weight_file(entry, tmp_path / "own.pth", weights)

    return admit


@pytest.fixture
def moco(admitted):
    """A forged MoCo file, its heads and twins inside, and its entry."""
    return entry_of(), admitted(FORGED["moco"][MOCO](), entry_of())


@pytest.fixture
def unpacked(monkeypatch):
    """The files that were unpacked from now on, as the module itself does it."""
    files = []

    def recorded(entry, path):
        files.append(path.name)
        return read_encoder_tensors(entry, path)

    monkeypatch.setattr(converted, "read_encoder_tensors", recorded)
    return files


def assert_same(one, two) -> None:
    (tensors, report), (others, other_account) = one, two
    assert sorted(tensors) == sorted(others)
    assert all(torch.equal(tensors[n], others[n]) and tensors[n].dtype == others[n].dtype for n in tensors)
    assert report == other_account


def names(file) -> set[str]:
    return {p.name for p in file.path.parent.glob("[!.]*")}


@pytest.mark.parametrize("naming", FORGED)
def test_tensors_and_account_are_those_of_the_file_the_first_time_and_after(admitted, unpacked, naming):
    entry = entry_of(naming, container=container_of(naming))
    file = admitted(next(iter(FORGED[naming].values()))(), entry)
    wanted = read_encoder_tensors(entry, file.path)

    first = load_converted(entry, file)
    after = load_converted(entry, file)

    assert_same(wanted, first)
    assert_same(wanted, after)
    assert unpacked == ["net.pth"]


def test_the_conversion_lies_beside_the_file_with_a_note_of_where_it_is_from(moco):
    """The file itself, and with it the identity of the weights, is as it was."""
    entry, file = moco
    _, report = load_converted(entry, file)

    assert names(file) == {"net.pth", "net.pth.pin.json", "net.pth.encoder.safetensors", "net.pth.encoder.json"}
    note = json.loads((file.path.parent / "net.pth.encoder.json").read_text())
    assert note["made_from"].items() >= {"sha256": file.sha256, "naming": "moco", "architecture": NET}.items()
    assert note["report"] == asdict(report)
    assert any(name.startswith("module.encoder_k.") for name in note["report"]["dropped"])
    assert verify_weight_file(file) == file


def test_the_conversion_holds_the_encoder_alone(moco):
    """Neither twin nor queue nor optimiser: about a third of what MoCo publishes."""
    entry, file = moco
    load_converted(entry, file)

    size = (file.path.parent / "net.pth.encoder.safetensors").stat().st_size
    size_of_encoder = sum(t.numel() * t.element_size() for t in known_encoder().values())
    assert size_of_encoder < size < 1.02 * size_of_encoder


@pytest.mark.parametrize("changed", [{"fresh": ("layer4.",)}, {"naming": "torchvision"}, {"architecture": DEEPER_NET}])
def test_another_way_to_read_the_file_is_another_conversion(admitted, unpacked, changed):
    """Of a plain encoder, which several namings read. An architecture that it is not is refused as ever."""
    file = admitted(known_encoder(), entry_of("plain"))
    load_converted(entry_of("plain"), file)
    other = entry_of(**{"naming": "plain", **changed})

    if "architecture" in changed:
        with pytest.raises(BenchmarkError, match="does not hold exactly a narrow_resnet34"):
            load_converted(other, file)
    else:
        assert_same(load_converted(other, file), read_encoder_tensors(other, file.path))
    assert len(unpacked) == 2


def test_another_file_in_its_place_is_converted_anew(admitted, unpacked):
    entry = entry_of("plain")
    first = admitted(known_encoder(), entry)
    load_converted(entry, first)
    second = admitted(drawn(known_encoder(), seed=5), entry)

    tensors, _ = load_converted(entry, second)

    assert first.path == second.path
    assert torch.equal(tensors["conv1.weight"], drawn(known_encoder(), seed=5)["conv1.weight"])
    assert_same(load_converted(entry, second), read_encoder_tensors(entry, second.path))
    assert len(unpacked) == 2


def test_another_format_is_converted_anew(moco, unpacked, monkeypatch):
    load_converted(*moco)
    monkeypatch.setattr(converted, "FORMAT", converted.FORMAT + 1)

    assert_same(load_converted(*moco), read_encoder_tensors(*moco[:1], moco[1].path))
    assert len(unpacked) == 2


DAMAGES = {  # of which of the two, and what is then in it
    "no note": ("json", lambda _: None),
    "no tensors": ("safetensors", lambda _: None),
    "half a note": ("json", lambda content: content[:-40]),
    "another note": ("json", lambda _: b'{"made_from": {}, "content": "", "report": {"seen": 1}}'),
    "a changed report": ("json", lambda content: content.replace(b'"num_loaded": 1', b'"num_loaded": 2')),
    "a note that is a list": ("json", lambda _: b"[]"),
    "a note that is no text": ("json", lambda _: b"\xff\xfe"),
    "half the tensors": ("safetensors", lambda content: content[: len(content) // 2]),
    "another byte": ("safetensors", lambda content: content[:-1] + bytes([content[-1] ^ 1])),
    "nothing": ("safetensors", lambda _: b""),
}


@pytest.mark.parametrize(("end", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_conversion_that_is_not_whole_is_not_read_and_made_anew(moco, unpacked, end, damage):
    entry, file = moco
    load_converted(entry, file)
    path = file.path.parent / f"net.pth.encoder.{end}"
    content = damage(path.read_bytes())
    path.unlink() if content is None else path.write_bytes(content)

    again, after = load_converted(entry, file), load_converted(entry, file)

    assert_same(again, read_encoder_tensors(entry, file.path))
    assert_same(after, again)
    assert len(unpacked) == 2


def test_a_folder_that_cannot_be_written_is_read_from(moco, monkeypatch):
    entry, file = moco
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert_same(load_converted(entry, file), read_encoder_tensors(entry, file.path))
    assert names(file) == {"net.pth", "net.pth.pin.json"}


def test_a_full_disk_costs_the_conversion_alone(moco, monkeypatch):
    entry, file = moco

    def full(*_, **__):
        raise DiskFullError("disk full")

    monkeypatch.setattr(converted, "write_json", full)

    assert_same(load_converted(entry, file), read_encoder_tensors(entry, file.path))
    assert "net.pth.encoder.json" not in names(file)


def test_what_is_forgotten_is_forgotten_with_its_conversion(moco, weights):
    load_converted(*moco)

    delete_weight_file(moco[0], weights)

    assert names(moco[1]) == set()


def test_views_and_shared_memory_are_converted_as_the_tensors_that_they_are(admitted):
    """Safetensors holds neither; torch's files do."""
    tensors = known_encoder()
    memory = torch.cat([tensors["layer1.0.bn1.weight"], tensors["layer1.0.bn2.weight"]])
    tensors["layer1.0.bn1.weight"], tensors["layer1.0.bn2.weight"] = memory[:64], memory[64:]
    tensors["conv1.weight"] = tensors["conv1.weight"].to(memory_format=torch.channels_last)
    tensors["layer1.0.bn1.bias"] = tensors["layer1.0.bn2.bias"]
    entry = entry_of("plain")
    file = admitted(tensors, entry)

    assert_same(load_converted(entry, file), read_encoder_tensors(entry, file.path))
    assert_same(load_converted(entry, file), read_encoder_tensors(entry, file.path))


def test_threads_that_load_at_once_convert_once(moco, unpacked):
    together = threading.Barrier(4)

    def loaded(_):
        together.wait()
        return load_converted(*moco)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(loaded, range(4)))

    wanted = read_encoder_tensors(moco[0], moco[1].path)
    for one in found:
        assert_same(one, wanted)
    assert len(unpacked) == 1


LOADING = """
import os, sys
from pathlib import Path
from benchmark.zoo import conversions as converted
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.fetch import find_weight_file

entry = ZooEntry.model_validate_json(os.environ["ENTRY"])
file = find_weight_file(entry, Path(os.environ["WEIGHTS"]))
unpack, times = converted.read_encoder_tensors, []
converted.read_encoder_tensors = lambda *told: times.append(1) or unpack(*told)
here = Path(os.environ["WEIGHTS"]) / f"ready-{os.getpid()}"
here.touch()
while len(list(here.parent.glob("ready-*"))) < 2: pass
tensors, account = converted.load_converted(entry, file)
print(len(times), account.num_loaded, float(tensors["layer1.0.conv1.weight"].double().sum()))
"""


@pytest.mark.slow
def test_processes_that_load_at_once_convert_once(admitted, weights):
    entry = entry_of("plain", architecture="test_resnet")
    file = admitted(drawn(timm.create_model("test_resnet", num_classes=0).state_dict()), entry)
    tensors, report = read_encoder_tensors(entry, file.path)

    def loaded(_):
        return in_new_process(LOADING, ENTRY=entry.model_dump_json(), WEIGHTS=str(weights), OMP_NUM_THREADS="1")

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(loaded, range(2)))

    rows = [run.stdout.split() for run in runs]
    assert sorted(row[0] for row in rows) == ["0", "1"], runs[0].stderr + runs[1].stderr
    for row in rows:
        assert int(row[1]) == report.num_loaded
        assert float(row[2]) == pytest.approx(float(tensors["layer1.0.conv1.weight"].double().sum()), rel=1e-12)
