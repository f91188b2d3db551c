"""From damage to record: numbers are those of a run that met none, what was damaged is told, and whose failure it was."""

import errno
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from mounts import mounted, remount
from workers import begin, cell_of, finish

from benchmark.errors import BenchmarkError
from benchmark.files import TemporaryError
from benchmark.results.store import Store
from benchmark.runner.failures import DeviceLost, temporary
from benchmark.runner.runner import Runner
from benchmark.training.loop import Diverged


@pytest.fixture(autouse=True)
def _one_thread():
    """Nets this small are slower on two, much slower where another process has one of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recorded(workspace, cell, results):
    """The cell's record in a results folder of its own, on the home that the test shares; and what was told."""
    told: list[str] = []

    def watch(event):
        if event["event"] == "note":
            told.append(event["text"])

    record = Runner(workspace=replace(workspace, results=results), device=torch.device("cpu"), watch=watch).run(cell)
    assert record.status == "done", record.traceback
    return record, told


def same_numbers(one, other) -> bool:
    return (one.scores, one.history, one.validation) == (other.scores, other.history, other.validation)


def zero_a_third(path):
    content = path.read_bytes()
    start = len(content) // 3
    path.write_bytes(content[:start] + bytes(start) + content[2 * start :])


def test_a_damaged_pixel_cache_changes_no_number_and_is_in_the_record(workspace, tasks, tmp_path):
    cell = cell_of(workspace, tasks["TXC"], max_epochs=1)
    whole, nothing = recorded(workspace, cell, tmp_path / "whole")
    for path in workspace.pixels.glob("TXC-*/pixels.bin"):
        zero_a_third(path)

    record, told = recorded(workspace, cell, tmp_path / "damaged")

    assert same_numbers(record, whole)
    assert nothing == []
    assert told
    assert all("were damaged and decoded again" in line and str(workspace.pixels) in line for line in told)
    assert set(told) <= set(record.notes)
    assert recorded(workspace, cell, tmp_path / "after")[1] == []


def test_damaged_features_change_no_number_and_are_in_the_record(workspace, tasks, tmp_path):
    cell = cell_of(workspace, tasks["TXC"], max_epochs=2, augmentation="none", test_crops=1)
    cell = cell.model_copy(update={"protocol": "linear"})
    whole, _ = recorded(workspace, cell, tmp_path / "whole")
    (folder,) = workspace.features.glob("TXC/*")
    zero_a_third(folder / "features.bin")
    (folder / "account.json").write_text("{}")

    record, told = recorded(workspace, cell, tmp_path / "damaged")

    assert same_numbers(record, whole)
    assert record.weights_account == whole.weights_account
    assert len(told) == 1
    assert f"of the features in {folder} were damaged and computed again" in told[0]
    assert told[0] in record.notes


def test_a_changed_image_leaves_the_cell_pending_until_it_is_as_it_was(workspace, tasks, tmp_path, damaged):
    """One that the data set's digest does not sample."""
    damaged("TXC")
    workspace = replace(workspace, data=tmp_path / "data")
    cell = cell_of(workspace, tasks["TXC"], max_epochs=1)
    recorded(workspace, cell, tmp_path / "whole")
    images = sorted((workspace.data / tasks["TXC"].root).rglob("*.png"))
    image = images[3]
    content = image.read_bytes()
    image.write_bytes(images[1].read_bytes())
    assert cell_of(workspace, tasks["TXC"], max_epochs=1).key == cell.key

    for _ in range(2):
        with pytest.raises(TemporaryError, match=rf"1 file changed since .*{image.name}"):
            recorded(workspace, cell, tmp_path / "changed")
        shutil.rmtree(workspace.pixels, ignore_errors=True)  # and not only beside the decoded images
    image.write_bytes(content)

    assert Store(tmp_path / "changed").get(cell) is None
    recorded(workspace, cell, tmp_path / "changed")


@pytest.mark.slow
def test_a_training_whose_state_was_damaged_starts_anew_and_says_so(workspace, tasks, tmp_path):
    """Killed in its third epoch; then 4 KiB of zeros in the state."""
    cell = cell_of(workspace, tasks["TXC"], max_epochs=4)
    elsewhere = replace(workspace, results=tmp_path / "whole")
    finish(*begin(elsewhere, cell))
    process, link = begin(workspace, cell)
    while link.recv().get("epoch") != 2:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    state = Store(workspace.results).folder(cell) / "scratch" / "state.pt"
    content = state.read_bytes()
    state.write_bytes(content[:8192] + bytes(4096) + content[12288:])

    finish(*begin(workspace, cell))

    record = Store(workspace.results).get(cell)
    assert same_numbers(record, Store(elsewhere.results).get(cell))
    assert f"{state} was damaged: the training was started anew" in record.notes


@pytest.mark.parametrize("name", ["unreadable.json", "micro_batch"])
def test_damaged_notes_in_scratch_are_no_failure(workspace, tasks, name):
    cell = cell_of(workspace, tasks["TXC"], max_epochs=1)
    with Store(workspace.results).claim(cell) as scratch:
        (scratch / name).write_bytes(b"\xff{")

    assert Runner(workspace=workspace, device=torch.device("cpu")).run(cell).status == "done"


@pytest.mark.slow
def test_a_complete_home_that_cannot_be_written_serves_as_well(workspace, tasks, tmp_path):
    """What is not there is one line, and no failed record."""
    home = tmp_path / "mounted"
    with mounted(home, "64m"):
        workspace = replace(workspace, home=home)
        fine_tuned = cell_of(workspace, tasks["TXC"], max_epochs=1)
        frozen = cell_of(workspace, tasks["TXC"], max_epochs=1, augmentation="none", test_crops=1)
        frozen = frozen.model_copy(update={"protocol": "linear"})
        larger = cell_of(workspace, tasks["TXC"], max_epochs=1, image_size=48)
        before = [recorded(workspace, cell, tmp_path / "before")[0] for cell in (fine_tuned, frozen)]
        remount(home, "ro")

        after = [recorded(workspace, cell, tmp_path / "after")[0] for cell in (fine_tuned, frozen)]
        with pytest.raises(TemporaryError, match="Read-only file system"):
            recorded(workspace, larger, tmp_path / "after")

    assert all(same_numbers(one, other) for one, other in zip(before, after, strict=True))
    assert Store(tmp_path / "after").get(larger) is None


def unreadable_image(number):
    """How a reader of images tells what the operating system refused."""
    fault = BenchmarkError("0001.png: unreadable image")
    fault.__cause__ = OSError(number, os.strerror(number)) if number else OSError("image file is truncated")
    return fault


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error", "state.pt"),
        OSError(errno.EROFS, "Read-only file system", "state.pt"),
        PermissionError(errno.EACCES, "Permission denied", "state.pt"),
        unreadable_image(errno.EIO),
        unreadable_image(errno.EMFILE),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be"),
        RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"),
        RuntimeError("No CUDA GPUs are available"),
        TemporaryError("the images changed"),
    ],
)
def test_what_the_machine_is_to_blame_for_is_told_in_one_line(error):
    fault = temporary(error)

    assert isinstance(fault, TemporaryError)
    assert str(fault)
    assert "\n" not in str(fault)
    assert isinstance(fault, DeviceLost) == (
        "CUDA error" in str(error) or "NVIDIA" in str(error) or "GPUs" in str(error)
    )


@pytest.mark.parametrize(
    "error",
    [
        Diverged("the training loss became nan in epoch 3"),
        BenchmarkError("0001.png is a phantom in a folder that is not marked as one"),
        unreadable_image(0),
        unreadable_image(errno.ENOENT),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ZeroDivisionError("division by zero"),
    ],
)
def test_a_cells_own_failure_is_not_the_machines(error):
    assert temporary(error) is None


def test_a_cell_that_diverges_is_a_failed_record_without_a_state(workspace, tasks):
    cell = cell_of(workspace, tasks["TXC"], max_epochs=3, learning_rate=1e30, optimizer="sgd")

    record = Runner(workspace=workspace, device=torch.device("cpu")).run(cell)

    assert record.status == "failed"
    assert "the training loss became nan" in record.error or "loss became inf" in record.error
    assert not Store(workspace.results).is_begun(cell)


@pytest.mark.slow
def test_run_and_plan_go_on_beside_a_damaged_record_and_run_makes_it_again(cli, workspace):
    grid = ("--protocol", "knn", "--models", "scratch:test_resnet", "--tasks", "TXC", "--seeds", "2")
    tiny = ("--set", "image_size=32", "--set", "max_epochs=1")
    assert cli("run", *grid, *tiny).code == 0
    store = Store(workspace.results)
    (one, two), _ = store.records()
    path = store.folder(one.cell) / "record.json"
    path.write_text(path.read_text().replace('"status": "done"', '"status": "failed"'))
    leftover = store.folder(two.cell) / "scratch"
    leftover.mkdir()

    planned, told = cli("plan", *grid, *tiny), cli("status")
    ran = cli("run", *grid, *tiny)

    assert (planned.code, told.code, ran.code) == (0, 0, 0)
    assert "1 pending" in planned.text
    assert f"to be run again: {path}" in planned.text
    assert f"left out: {path}" in told.out
    assert f"run again: {path}" in ran.err
    assert "2 of 2 cells done" in ran.text
    assert np.isclose(store.get(one.cell).scores["auc"], one.scores["auc"])
    assert not leftover.exists()


@pytest.mark.slow
def test_after_a_full_or_broken_disk_run_says_that_the_same_command_goes_on(cli, workspace):
    """And does not point at records that there are none of."""
    workspace.pixels.parent.mkdir(parents=True)
    workspace.pixels.write_bytes(b"")

    ran = cli("run", "--models", "scratch:test_resnet", "--tasks", "TXC", "--seeds", "2", "--set", "image_size=32")

    assert ran.code == 1
    assert f"2 cells left pending, the same command takes them again: {workspace.pixels}: File exists" in ran.text
    assert "--retry-failed" not in ran.text
    assert ran.text.count("left pending:") == 1


def test_status_and_plan_need_no_permission_to_write(cli, workspace, monkeypatch):
    """A colleague's results folder with an unfinished cell."""
    from made_up import made_up_cell

    store, cell = Store(workspace.results), made_up_cell()
    with store.claim(cell):
        pass
    opened = os.open

    def read_only(path, flags, *more, **named):
        if str(path).startswith(str(workspace.results)) and flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", read_only)
    told = cli("status")
    planned = cli("plan", "--models", "scratch:resnet18", "--tasks", "TXC", "--seeds", "1")

    assert (told.code, planned.code) == (0, 0), told.err + planned.err
    assert "TXC" in told.out
