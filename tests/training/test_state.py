"""A training's state on disk: whatever is damaged in it, no other numbers are continued from, and it is told."""

import random

import pytest
import torch

from benchmark.training.state import StateFile

WEIGHTS = {
    "layer.weight": torch.randn(64, 64, generator=torch.Generator().manual_seed(0)),
    "layer.bias": torch.ones(64),
}


@pytest.fixture
def kept(tmp_path):
    """A state and its best weights, of some 17 kB each; and what was told since."""
    told = []
    state = StateFile(folder=tmp_path, warn=told.append)
    state.save({"module": WEIGHTS, "best_epoch": 3, "run": {"history": [{"epoch": 3, "loss": 0.5}]}}, WEIGHTS)
    return state, told


def same(state) -> bool:
    run = {"history": [{"epoch": 3, "loss": 0.5}]}
    return state["run"] == run and all(
        torch.equal(state[part][name], WEIGHTS[name]) for part in ("module", "best_weights") for name in WEIGHTS
    )


def flipped(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def zeroed(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(0, len(content), 4096)
    return content[:start] + bytes(len(content[start : start + 4096])) + content[start + 4096 :]


def truncated(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


@pytest.mark.parametrize("damage", [flipped, zeroed, truncated])
@pytest.mark.parametrize("name", ["state.pt", "best-00003.pt"])
def test_no_damaged_state_is_continued_from_as_other_numbers(kept, name, damage):
    """A bit that no number depends on (the padding between members of the archive) may be another one."""
    state, told = kept
    path = state.folder / name
    written, chance = path.read_bytes(), random.Random(name)
    refused = 0

    for _ in range(60):
        path.write_bytes(damage(written, chance))
        found = state.load()
        refused += found is None
        assert found is None or same(found)

    assert refused > 40
    assert len(told) == refused
    assert set(told) == {f"{path} was damaged: the training was started anew"}


def test_a_whole_state_is_continued_from_and_nothing_is_told(kept):
    state, told = kept

    assert same(state.load())
    assert told == []


@pytest.mark.parametrize("name", ["state.pt", "best-00003.pt"])
def test_a_state_that_is_not_there_starts_a_training_and_lost_best_weights_are_told(kept, name):
    state, told = kept
    (state.folder / name).unlink()

    assert state.load() is None
    assert told == [f"{state.folder / name} was damaged: the training was started anew"] * (name != "state.pt")
