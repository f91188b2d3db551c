"""The loop: early stopping as the papers' code counts it, exact resume, micro-batches, divergence; losses."""

import math
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.data.batches import Batch
from benchmark.files import DiskFullError
from benchmark.recipe import Recipe
from benchmark.training import loop, losses
from benchmark.training import optimizers as optim
from benchmark.training.loop import Diverged, Fit, Length, OutOfMemory, fit
from benchmark.training.state import StateFile


class Net(nn.Module):
    """A network with dropout, so that a resume that does not restore the generator gives other weights."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))

    def forward(self, values):
        return self.layers(values)


def batches(epoch, first):
    generator = torch.Generator().manual_seed(epoch)
    for number in range(4):
        images = torch.rand(8, 6, generator=generator)
        if number < first:
            continue
        yield Batch(images=images, targets=(images[:, :1] > 0.5).float(), rows=torch.arange(8).numpy())


def train(folder, *, judge, net=None, micro_batch=8, stop_after=None, loss=None, batches=batches, **recipe):
    net = net or Net()
    recipe = Recipe(**{"learning_rate": 0.05, "plateau_patience": 1, "max_epochs": 12, "early_stop": 3, **recipe})
    optimizer = optim.optimizer_of(net, recipe)

    def watch(line):
        if stop_after is not None and line["epoch"] == stop_after:
            raise KeyboardInterrupt

    with torch.random.fork_rng():
        torch.manual_seed(1)
        run = fit(
            module=net,
            optimizer=optimizer,
            schedule=optim.schedule_of(recipe),
            batches=batches,
            step_loss=loss or (lambda batch: losses.bce(net(batch.images), batch.targets)),
            judge=judge(net),
            length=Length.of(recipe),
            micro_batch=micro_batch,
            state=StateFile(folder=folder),
            watch=watch,
        )
    return net, run


def validation_loss(net):
    images = torch.rand(64, 6, generator=torch.Generator().manual_seed(99))

    def judge():
        net.eval()
        with torch.no_grad():
            return {"loss": float(losses.bce(net(images), (images[:, :1] > 0.5).float()))}

    return judge


def scripted(values):
    values = iter(values)
    return lambda _: lambda: {"loss": next(values)}


def assert_same_weights(one, other):
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("stop_after", [1, 2, 5, 8])
def test_an_interrupted_training_ends_bit_equal(tmp_path, stop_after):
    uninterrupted, run = train(tmp_path / "uninterrupted", judge=validation_loss, early_stop=None)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", judge=validation_loss, early_stop=None, stop_after=stop_after)
    resumed, again = train(tmp_path / "cut", judge=validation_loss, early_stop=None)

    assert again.history == run.history
    assert_same_weights(uninterrupted, resumed)


@pytest.mark.parametrize(("stop_after", "schedule"), [(4, "cosine"), (6, "plateau"), (29, "cosine"), (29, "plateau")])
def test_a_training_of_so_many_steps_is_interrupted_in_the_middle_of_an_epoch_and_ends_bit_equal(
    tmp_path, monkeypatch, stop_after, schedule
):
    """Passes over the data have 4 steps, epochs of 250 steps have 3: what is saved lies in the middle of either."""
    recipe = {"max_steps": 250, "warmup": 5, "early_stop": None, "schedule": schedule}
    monkeypatch.setattr(loop, "SHORTEST_SECONDS", 1e9)  # writing a state after each of 84 epochs takes most of the time
    uninterrupted, run = train(tmp_path / "uninterrupted", judge=validation_loss, **recipe)
    num_saved = 0

    def cut(epoch, first):
        nonlocal num_saved
        for batch in batches(epoch, first):
            if num_saved == stop_after:
                raise KeyboardInterrupt
            num_saved += 1
            yield batch

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "SHORTEST_SECONDS", 0.0)
        patched.setattr(loop, "LONGEST_SECONDS", 0.0)
        train(tmp_path / "cut", judge=validation_loss, batches=cut, **recipe)
    assert StateFile(folder=tmp_path / "cut").load()["position"]["num_steps"] == stop_after
    resumed, again = train(tmp_path / "cut", judge=validation_loss, **recipe)

    assert again.history == run.history
    assert [line["step"] for line in run.history] == [*range(3, 250, 3), 250]
    assert (again.num_images, again.best_epoch) == (run.num_images, run.best_epoch) == (250 * 8, run.best_epoch)
    assert_same_weights(uninterrupted, resumed)


def test_a_signal_that_ends_the_process_is_passed_on_once_the_state_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SHORTEST_SECONDS", 1e9)
    uninterrupted, run = train(tmp_path / "uninterrupted", judge=validation_loss, early_stop=None)
    num_steps = 0

    def signalled(epoch, first):
        nonlocal num_steps
        for batch in batches(epoch, first):
            num_steps += 1
            if num_steps == 6:
                signal.raise_signal(signal.SIGINT)
            yield batch

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", judge=validation_loss, early_stop=None, batches=signalled)
    saved = StateFile(folder=tmp_path / "cut").load()
    resumed, again = train(tmp_path / "cut", judge=validation_loss, early_stop=None)

    assert (saved["position"]["data_pass"], saved["position"]["batch"]) == (2, 2)
    assert again.history == run.history
    assert_same_weights(uninterrupted, resumed)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_last_weights_are_kept_where_nothing_says_which_are_best(tmp_path):
    weights_of = {}

    def judge(net):
        def score():
            weights_of["last"] = {name: tensor.clone() for name, tensor in net.state_dict().items()}
            return {"knn": 0.5}

        return score

    net = Net()
    recipe = Recipe(optimizer="lars", learning_rate=0.1, schedule="cosine", max_steps=7, warmup=2)
    steps = []
    optimizer = optim.optimizer_of(net, recipe)
    run = fit(
        module=net,
        optimizer=optimizer,
        schedule=optim.schedule_of(recipe),
        batches=batches,
        step_loss=lambda batch: losses.bce(net(batch.images), batch.targets),
        judge=judge(net),
        length=Length.of(recipe),
        keep="last",
        micro_batch=8,
        state=StateFile(folder=tmp_path),
        watch_step=steps.append,
    )

    assert (run.best_epoch, run.stopped, run.history[-1]["step"]) == (None, "cap", 7)
    assert all(torch.equal(tensor, weights_of["last"][name]) for name, tensor in net.state_dict().items())


def test_a_training_part_without_a_batch_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no batches"):
        train(tmp_path, judge=validation_loss, batches=lambda *_: iter(()))


def test_a_finished_training_is_not_trained_again(tmp_path):
    _, run = train(tmp_path, judge=validation_loss)

    def no_batches(*_):
        raise AssertionError

    net = Net()
    optimizer = optim.optimizer_of(net, Recipe())
    again = fit(
        module=net,
        optimizer=optimizer,
        schedule=optim.schedule_of(Recipe()),
        batches=no_batches,
        step_loss=no_batches,
        judge=dict,
        length=Length(max_epochs=12, early_stop=3),
        micro_batch=8,
        state=StateFile(folder=tmp_path),
    )

    assert (again.history, again.best_epoch, again.stopped) == (run.history, run.best_epoch, run.stopped)


def test_training_stops_once_the_patience_is_exceeded_and_keeps_the_best_epoch(tmp_path):
    """The first paper's code stops after patience + 1 epochs without gain."""
    _, run = train(tmp_path, judge=scripted([5, 4, 3, 3, 6, 6, 6, 1]), early_stop=3)

    assert (run.best_epoch, run.epochs_trained, run.stopped) == (3, 7, "early")


def test_the_best_epochs_weights_are_put_back(tmp_path):
    weights_of = {}
    values = [3.0, 1.0, 2.0, 2.0]

    def judge(net):
        def score():
            epoch = len(weights_of) + 1
            weights_of[epoch] = {name: tensor.clone() for name, tensor in net.state_dict().items()}
            return {"loss": values[epoch - 1]}

        return score

    net, run = train(tmp_path, judge=judge, max_epochs=4, early_stop=None)

    assert (run.best_epoch, run.stopped) == (2, "cap")
    assert all(torch.equal(tensor, weights_of[2][name]) for name, tensor in net.state_dict().items())


def test_best_weights_survive_an_interruption_after_a_worse_epoch(tmp_path):
    values = [3.0, 1.0, 2.0, 2.0]
    uninterrupted, _ = train(tmp_path / "uninterrupted", judge=scripted(values), max_epochs=4, early_stop=None)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", judge=scripted(values), max_epochs=4, early_stop=None, stop_after=3)
    resumed, run = train(tmp_path / "cut", judge=scripted(values[3:]), max_epochs=4, early_stop=None)

    assert run.best_epoch == 2
    assert_same_weights(uninterrupted, resumed)


def test_a_damaged_state_starts_anew(tmp_path):
    _, run = train(tmp_path, judge=validation_loss)
    (tmp_path / "state.pt").write_bytes(b"half a stat")

    _, again = train(tmp_path, judge=validation_loss)

    assert again.history == run.history


def test_a_loss_that_is_no_number_ends_with_its_reason(tmp_path):
    net = Net()

    with pytest.raises(Diverged, match="training loss became nan in epoch 1"):
        train(tmp_path, judge=validation_loss, net=net, loss=lambda batch: net(batch.images).sum() * math.nan)
    with pytest.raises(Diverged, match="validation loss became inf in epoch 1"):
        train(tmp_path / "other", judge=scripted([math.inf]))


def test_pieces_of_a_batch_give_the_whole_batchs_step(tmp_path):
    """No batch norm or dropout here, so that a step depends on the mean gradient alone."""

    def net():
        torch.manual_seed(3)
        return nn.Linear(6, 1)

    ends, train_losses = [], []
    for micro_batch in (8, 3):
        own = net()
        loss = lambda batch, own=own: losses.bce(own(batch.images), batch.targets)  # noqa: E731
        _, run = train(
            tmp_path / str(micro_batch),
            judge=validation_loss,
            net=own,
            learning_rate=0.01,
            plateau_patience=5,
            max_epochs=12,
            micro_batch=micro_batch,
            loss=loss,
        )
        ends.append(own.weight.detach())
        train_losses.append([line["train_loss"] for line in run.history])

    assert train_losses[0] == pytest.approx(train_losses[1], rel=1e-3)
    # summed in another order: equal to rounding, after the some fifty Adam steps that may amplify it
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_an_out_of_memory_error_carries_the_size_that_was_tried(tmp_path, error):
    def loss(_):
        raise error

    with pytest.raises(OutOfMemory) as raised:
        train(tmp_path, judge=validation_loss, loss=loss, micro_batch=4)

    assert raised.value.micro_batch == 4


def test_another_runtime_error_passes_through(tmp_path):
    def loss(_):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(tmp_path, judge=validation_loss, loss=loss)


def test_bce_ignores_unknown_labels():
    logits, targets = torch.tensor([[0.3, -1.0], [2.0, 0.5]]), torch.tensor([[1.0, math.nan], [0.0, 1.0]])

    known = torch.tensor([0.3, 2.0, 0.5]), torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(losses.bce(logits, targets), nn.functional.binary_cross_entropy_with_logits(*known))


def test_dice_loss_by_hand():
    """Logits are so large that probabilities are 0 or 1: one of two marked pixels is predicted, and one unmarked pixel."""
    logits = torch.tensor([[[[50.0, -50.0], [50.0, -50.0]]]])
    targets = torch.tensor([[[[1, 1], [0, 0]]]], dtype=torch.uint8)

    assert float(losses.dice(logits, targets)) == pytest.approx(1 - (2 * 1 + 1) / (2 + 2 + 1))


def test_dice_loss_of_an_empty_batch_punishes_predicted_pixels():
    everything, nothing = torch.full((1, 1, 4, 4), 50.0), torch.full((1, 1, 4, 4), -50.0)
    empty = torch.zeros(1, 1, 4, 4)

    assert float(losses.dice(everything, empty)) == pytest.approx(1 - 1 / 17)
    assert float(losses.dice(nothing, empty)) == pytest.approx(0)


def test_cross_entropy_over_classes_is_torchs_own_and_leaves_out_unknown_labels():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 3, 1, 1, 2, 0])
    targets = nn.functional.one_hot(classes, 4).float()
    loss = losses.ce(logits, targets)
    targets[2] = torch.nan
    known = torch.tensor([0, 1, 3, 4, 5])

    torch.testing.assert_close(loss, nn.functional.cross_entropy(logits, classes))
    torch.testing.assert_close(losses.ce(logits, targets), nn.functional.cross_entropy(logits[known], classes[known]))
    assert float(losses.ce(logits[2:3], targets[2:3])) == 0


def test_cross_entropy_is_torchs_own():
    logits, targets = torch.randn(5, 2), torch.tensor([[1.0], [0.0], [1.0], [1.0], [0.0]])

    torch.testing.assert_close(losses.ce(logits, targets), nn.functional.cross_entropy(logits, targets[:, 0].long()))


def test_epochs_trained_counts_the_patience():
    assert Fit(history=[{}] * 7, best_epoch=3).epochs_trained == 7


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_disk_that_is_full_while_the_state_is_written_says_so_and_keeps_the_old_state(tmp_path, monkeypatch):
    state = StateFile(folder=tmp_path)
    first = {"best_epoch": None, "module": {"weight": torch.ones(3)}}
    state.save(first)

    with monkeypatch.context() as patched, pytest.raises(DiskFullError, match=r"disk full while writing .*state\.pt"):
        patched.setattr(Path, "open", lambda *_: open("/dev/full", "wb"))  # noqa: SIM115, PTH123 - closed by the writer
        state.save({"best_epoch": None, "module": {"weight": torch.zeros(100_000)}})

    assert torch.equal(state.load()["module"]["weight"], first["module"]["weight"])
