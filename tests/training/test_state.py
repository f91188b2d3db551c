"""A training's state on disk: a damaged one is never continued from with other numbers, and a warning names it."""

import random

import pytest
import torch

from benchmark.training.state import StateFile

WEIGHTS = {
    "layer.weight": torch.randn(64, 64, generator=torch.Generator().manual_seed(0)),
    "layer.bias": torch.ones(64),
}


@pytest.fixture
def saved(tmp_path):
    """A state and its best weights, of some 17 kB each, and the list of warnings."""
    warnings = []
    state = StateFile(folder=tmp_path, warn=warnings.append)
    state.save({"module": WEIGHTS, "best_epoch": 3, "run": {"history": [{"epoch": 3, "loss": 0.5}]}}, WEIGHTS)
    return state, warnings


def same(state) -> bool:
    run = {"history": [{"epoch": 3, "loss": 0.5}]}
    return state["run"] == run and all(
        torch.equal(state[part][name], WEIGHTS[name]) for part in ("module", "best_weights") for name in WEIGHTS
    )


def flipped(content: bytes, chance: random.Random) -> bytes:
    position = chance.randrange(len(content))
    return content[:position] + bytes([content[position] ^ 1 << chance.randrange(8)]) + content[position + 1 :]


def zeroed(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(0, len(content), 4096)
    return content[:start] + bytes(len(content[start : start + 4096])) + content[start + 4096 :]


def truncated(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


@pytest.mark.parametrize("damage", [flipped, zeroed, truncated])
@pytest.mark.parametrize("name", ["state.pt", "best-00003.pt"])
def test_no_damaged_state_is_continued_from_as_other_numbers(saved, name, damage):
    """A bit that no number depends on (the padding between members of the archive) may be another one."""
    state, warnings = saved
    path = state.folder / name
    written, chance = path.read_bytes(), random.Random(name)
    refused = 0

    for _ in range(60):
        path.write_bytes(damage(written, chance))
        loaded = state.load()
        refused += loaded is None
        assert loaded is None or same(loaded)

    assert refused > 40
    assert len(warnings) == refused
    assert set(warnings) == {f"{path} was damaged: the training was started anew"}


def test_an_intact_state_is_continued_from_without_a_warning(saved):
    state, warnings = saved

    assert same(state.load())
    assert warnings == []


@pytest.mark.parametrize("name", ["state.pt", "best-00003.pt"])
def test_a_state_that_is_not_there_starts_a_training_and_lost_best_weights_are_warned_of(saved, name):
    state, warnings = saved
    (state.folder / name).unlink()

    assert state.load() is None
    damaged = f"{state.folder / name} was damaged: the training was started anew"
    assert warnings == ([] if name == "state.pt" else [damaged])
