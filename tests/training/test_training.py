"""The loop: early stopping as the papers' code counts it, exact resume, micro-batches, divergence; losses; schedules."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.data.batches import Batch
from benchmark.files import DiskFullError
from benchmark.recipe import Recipe
from benchmark.training import losses
from benchmark.training import optimizers as optim
from benchmark.training.loop import Diverged, Fit, OutOfMemory, fit
from benchmark.training.state import StateFile


class Net(nn.Module):
    """Dropout, so that a resume which forgets the generator is found out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))

    def forward(self, values):
        return self.layers(values)


def batches(epoch):
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(4):
        images = torch.rand(8, 6, generator=generator)
        yield Batch(images=images, targets=(images[:, :1] > 0.5).float(), rows=torch.arange(8).numpy())


def train(
    folder, *, judge, recipe=None, max_epochs=12, early_stop=3, micro_batch=8, net=None, stop_after=None, loss=None
):
    net = net or Net()
    recipe = recipe or Recipe(learning_rate=0.05, schedule="plateau", plateau_patience=1, max_epochs=max_epochs)
    optimizer = optim.optimizer_of(net, recipe)

    def watch(line):
        if stop_after is not None and line["epoch"] == stop_after:
            raise KeyboardInterrupt

    with torch.random.fork_rng():
        torch.manual_seed(1)
        run = fit(
            module=net,
            optimizer=optimizer,
            schedule=optim.schedule_of(optimizer, recipe),
            batches=batches,
            step_loss=loss or (lambda batch: losses.bce(net(batch.images), batch.targets)),
            judge=judge(net),
            max_epochs=max_epochs,
            early_stop=early_stop,
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


@pytest.mark.parametrize("stop_after", [1, 2, 5, 8])
def test_an_interrupted_training_ends_bit_equal(tmp_path, stop_after):
    whole, run = train(tmp_path / "whole", judge=validation_loss, early_stop=None)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", judge=validation_loss, early_stop=None, stop_after=stop_after)
    resumed, again = train(tmp_path / "cut", judge=validation_loss, early_stop=None)

    assert again.history == run.history
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_a_finished_training_is_not_trained_again(tmp_path):
    _, run = train(tmp_path, judge=validation_loss)

    def no_batches(_):
        raise AssertionError

    net = Net()
    optimizer = optim.optimizer_of(net, Recipe())
    again = fit(
        module=net,
        optimizer=optimizer,
        schedule=optim.schedule_of(optimizer, Recipe()),
        batches=no_batches,
        step_loss=no_batches,
        judge=dict,
        max_epochs=12,
        early_stop=3,
        micro_batch=8,
        state=StateFile(folder=tmp_path),
    )

    assert (again.history, again.best_epoch, again.stopped) == (run.history, run.best_epoch, run.stopped)


def test_training_stops_once_the_patience_is_exceeded_and_keeps_the_best_epoch(tmp_path):
    """The first paper's code stops after patience + 1 epochs without gain."""
    _, run = train(tmp_path, judge=scripted([5, 4, 3, 3, 6, 6, 6, 1]), early_stop=3)

    assert (run.best_epoch, run.epochs_trained, run.stopped) == (3, 7, "early")


def test_the_best_epochs_weights_are_put_back(tmp_path):
    kept = {}
    values = [3.0, 1.0, 2.0, 2.0]

    def judge(net):
        def score():
            epoch = len(kept) + 1
            kept[epoch] = {name: tensor.clone() for name, tensor in net.state_dict().items()}
            return {"loss": values[epoch - 1]}

        return score

    net, run = train(tmp_path, judge=judge, max_epochs=4, early_stop=None)

    assert (run.best_epoch, run.stopped) == (2, "cap")
    assert all(torch.equal(tensor, kept[2][name]) for name, tensor in net.state_dict().items())


def test_best_weights_survive_an_interruption_after_a_worse_epoch(tmp_path):
    values = [3.0, 1.0, 2.0, 2.0]
    whole, _ = train(tmp_path / "whole", judge=scripted(values), max_epochs=4, early_stop=None)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", judge=scripted(values), max_epochs=4, early_stop=None, stop_after=3)
    resumed, run = train(tmp_path / "cut", judge=scripted(values[3:]), max_epochs=4, early_stop=None)

    assert run.best_epoch == 2
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


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

    ends = []
    for micro_batch in (8, 3):
        own = net()
        recipe = Recipe(learning_rate=0.01)
        loss = lambda batch, own=own: losses.bce(own(batch.images), batch.targets)  # noqa: E731
        train(
            tmp_path / str(micro_batch),
            judge=validation_loss,
            net=own,
            recipe=recipe,
            micro_batch=micro_batch,
            loss=loss,
        )
        ends.append(own.weight.detach())

    # summed in another order: equal to rounding, after the some fifty Adam steps that may amplify it
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_is_told_with_the_size_that_was_tried(tmp_path, error):
    def loss(_):
        raise error

    with pytest.raises(OutOfMemory) as told:
        train(tmp_path, judge=validation_loss, loss=loss, micro_batch=4)

    assert told.value.micro_batch == 4


def test_another_runtime_error_passes_through(tmp_path):
    def loss(_):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(tmp_path, judge=validation_loss, loss=loss)


def test_bce_ignores_what_is_not_labelled():
    logits, targets = torch.tensor([[0.3, -1.0], [2.0, 0.5]]), torch.tensor([[1.0, math.nan], [0.0, 1.0]])

    known = torch.tensor([0.3, 2.0, 0.5]), torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(losses.bce(logits, targets), nn.functional.binary_cross_entropy_with_logits(*known))


def test_dice_loss_by_hand():
    """Logits so large that probabilities are 0 or 1: one of two marked pixels found, one found beside them."""
    logits = torch.tensor([[[[50.0, -50.0], [50.0, -50.0]]]])
    targets = torch.tensor([[[[1, 1], [0, 0]]]], dtype=torch.uint8)

    assert float(losses.dice(logits, targets)) == pytest.approx(1 - (2 * 1 + 1) / (2 + 2 + 1))


def test_dice_loss_of_an_empty_batch_punishes_what_is_found():
    found, nothing = torch.full((1, 1, 4, 4), 50.0), torch.full((1, 1, 4, 4), -50.0)
    empty = torch.zeros(1, 1, 4, 4)

    assert float(losses.dice(found, empty)) == pytest.approx(1 - 1 / 17)
    assert float(losses.dice(nothing, empty)) == pytest.approx(0)


def test_cross_entropy_over_classes_is_torchs_own_and_leaves_out_what_is_not_labelled():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 3, 1, 1, 2, 0])
    targets = nn.functional.one_hot(classes, 4).float()
    whole = losses.ce(logits, targets)
    targets[2] = torch.nan
    known = torch.tensor([0, 1, 3, 4, 5])

    torch.testing.assert_close(whole, nn.functional.cross_entropy(logits, classes))
    torch.testing.assert_close(losses.ce(logits, targets), nn.functional.cross_entropy(logits[known], classes[known]))
    assert float(losses.ce(logits[2:3], targets[2:3])) == 0


@pytest.mark.parametrize(
    ("setting", "theirs"),
    [
        ({"optimizer": "sgd"}, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        (
            {"optimizer": "sgd", "weight_decay": 0.01},
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        ),
        ({"weight_decay": 0.01}, lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.01)),
    ],
)
def test_optimisers_step_as_torchs_own_do(setting, theirs):
    nets = [nn.Linear(3, 1) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    recipe = Recipe(learning_rate=0.1, **setting)
    steppers = [optim.optimizer_of(nets[0], recipe), theirs(nets[1].parameters())]
    for _ in range(3):
        for net, stepper in zip(nets, steppers, strict=True):
            stepper.zero_grad()
            net(torch.ones(2, 3)).square().sum().backward()
            stepper.step()

    torch.testing.assert_close(nets[0].weight, nets[1].weight)


def test_cross_entropy_is_torchs_own():
    logits, targets = torch.randn(5, 2), torch.tensor([[1.0], [0.0], [1.0], [1.0], [0.0]])

    torch.testing.assert_close(losses.ce(logits, targets), nn.functional.cross_entropy(logits, targets[:, 0].long()))


def rates(recipe, validation_losses):
    net = nn.Linear(1, 1)
    optimizer = optim.optimizer_of(net, recipe)
    schedule = optim.schedule_of(optimizer, recipe)
    seen = []
    for value in validation_losses:
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.after_epoch(value)
    return seen


def test_cosine_falls_as_the_first_papers_code_computes_it():
    recipe = Recipe(schedule="cosine", learning_rate=1e-3, max_epochs=10)

    expected = [1e-3 / 2 * (math.cos(math.pi * epoch / 10) + 1) for epoch in range(10)]
    assert rates(recipe, range(10)) == pytest.approx(expected)


def test_plateau_halves_after_the_patience():
    recipe = Recipe(schedule="plateau", learning_rate=1.0, plateau_patience=2, plateau_factor=0.5)

    assert rates(recipe, [3, 3, 3, 3, 3]) == [1, 1, 1, 1, 0.5]


def test_constant_stays():
    assert rates(Recipe(schedule="constant", learning_rate=0.3), [1, 2, 3]) == [0.3] * 3


def test_every_schedule_optimizer_and_loss_of_the_recipe_exists():
    def allowed(name):
        return set(Recipe.model_fields[name].annotation.__args__)

    assert allowed("schedule") == set(optim.SCHEDULES)
    assert allowed("optimizer") == set(optim.OPTIMIZERS)
    assert allowed("loss") == set(losses.LOSSES)


def test_epochs_trained_counts_the_patience():
    assert Fit(history=[{}] * 7, best_epoch=3).epochs_trained == 7


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_disk_that_is_full_while_the_state_is_written_says_so_and_keeps_the_old_state(tmp_path, monkeypatch):
    state = StateFile(folder=tmp_path)
    kept = {"best_epoch": None, "module": {"weight": torch.ones(3)}}
    state.save(kept)

    with monkeypatch.context() as patched, pytest.raises(DiskFullError, match=r"disk full while writing .*state\.pt"):
        patched.setattr(Path, "open", lambda *_: open("/dev/full", "wb"))  # noqa: SIM115, PTH123 - closed by the writer
        state.save({"best_epoch": None, "module": {"weight": torch.zeros(100_000)}})

    assert torch.equal(state.load()["module"]["weight"], kept["module"]["weight"])
