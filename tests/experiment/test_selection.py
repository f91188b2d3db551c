"""What `--models`, `--tasks` and `--seeds` name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import BenchmarkError
from benchmark.experiment.selection import read_seeds, select

KNOWN = {
    "scratch": "scratch",
    "imagenet": "supervised",
    "moco-v1": "ssl",
    "moco-v2": "ssl",
    "swav": "ssl",
    "mine": "",
}
NAMES = list(KNOWN)
TERMS = [*NAMES, "all", "family:ssl", "family:supervised", "moco*", "*v?", "[si]*"]


def chosen(text, **more):
    return select(text, KNOWN, noun="model", **more)


def refusal(text, **more) -> str:
    with pytest.raises(BenchmarkError) as raised:
        chosen(text, **more)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", NAMES),
        ("swav", ["swav"]),
        ("swav,imagenet", ["swav", "imagenet"]),
        (" swav , imagenet ,", ["swav", "imagenet"]),
        ("swav,swav,moco*,moco-v1", ["swav", "moco-v1", "moco-v2"]),
        ("family:ssl", ["moco-v1", "moco-v2", "swav"]),
        ("family:ssl,imagenet", ["moco-v1", "moco-v2", "swav", "imagenet"]),
        ("moco*", ["moco-v1", "moco-v2"]),
        ("moco-v?", ["moco-v1", "moco-v2"]),
        ("moco-v[2-9]", ["moco-v2"]),
        ("m*,all", ["moco-v1", "moco-v2", "mine", "scratch", "imagenet", "swav"]),
        ("!moco-v1", ["scratch", "imagenet", "moco-v2", "swav", "mine"]),
        ("!moco*,!scratch", ["imagenet", "swav", "mine"]),
        ("!family:ssl", ["scratch", "imagenet", "mine"]),
        ("! moco-v1", ["scratch", "imagenet", "moco-v2", "swav", "mine"]),
        ("family:ssl,!moco-v1", ["moco-v2", "swav"]),
        ("!moco-v1,family:ssl", ["moco-v2", "swav"]),
        ("all,!moco*,!m*", ["scratch", "imagenet", "swav"]),
        ("swav,!imagenet", ["swav"]),
    ],
)
def test_names_are_chosen_in_the_order_in_which_they_are_named(text, expected):
    assert expected == chosen(text)


def test_all_may_mean_less_than_is_known_and_a_name_still_finds_the_rest():
    everything = ["imagenet", "swav"]

    assert chosen("all", everything=everything) == ["imagenet", "swav"]
    assert chosen("!imagenet", everything=everything) == ["swav"]
    assert chosen("mine,all", everything=everything) == ["mine", "imagenet", "swav"]
    assert everything == ["imagenet", "swav"]


def test_a_coined_name_is_taken_where_the_coin_accepts_it():
    def coin(name):
        return name if name.startswith("scratch:") else None

    assert chosen("scratch:vgg16,swav", coin=coin) == ["scratch:vgg16", "swav"]
    assert chosen("scratch:vgg16,swav,!scratch:vgg16", coin=coin) == ["swav"]
    assert "no model 'fresh:vgg16'" in refusal("fresh:vgg16", coin=coin)
    assert "no model 'scratch:vgg16'" in refusal("scratch:vgg16")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mocov1", "no model 'mocov1': did you mean moco-v1 or moco-v2?"),
        ("SWAV", "no model 'SWAV': did you mean swav?"),
        ("ImageNet", "no model 'ImageNet': did you mean imagenet?"),
        ("all,!Swav", "no model 'Swav': did you mean swav?"),
        ("xyz", "no model 'xyz': known: imagenet, mine, moco-v1, moco-v2, scratch, swav"),
        ("family:sll", "no model family 'sll': did you mean ssl?"),
        ("family:xyz", "no model family 'xyz': known: scratch, ssl, supervised"),
        ("family:", "no model family ''"),
        ("Moco*", "no model matches 'Moco*': did you mean moco-v2 or moco-v1?"),
        ("", "no model named: wanted a list such as scratch, imagenet, or `all`"),
        (" , ", "no model named"),
        ("!", "no model ''"),
        ("swav,!swav", "'swav,!swav' leaves no model"),
        ("!all", "'!all' leaves no model"),
    ],
)
def test_what_names_nothing_is_refused_in_words(text, said):
    assert said in refusal(text)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(TERMS)), min_size=1, max_size=6))
def test_what_is_chosen_is_the_union_of_what_is_wanted_without_the_union_of_what_is_not(terms):
    """Each name once; negations hold wherever they stand; only negations start from all."""
    wanted = {name for negated, term in terms if not negated for name in chosen(term)}
    unwanted = {name for negated, term in terms if negated for name in chosen(term)}
    expected = (wanted if not all(negated for negated, _ in terms) else set(NAMES)) - unwanted
    text = ",".join("!" * negated + term for negated, term in terms)

    if not expected:
        assert "leaves no model" in refusal(text)
    else:
        found = chosen(text)
        assert expected == set(found)
        assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", [0]),
        ("10", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (" 2 ", [0, 1]),
        ("3,7", [3, 7]),
        ("7,3", [7, 3]),
        ("3,", [3]),
        ("0,", [0]),
        ("0-4", [0, 1, 2, 3, 4]),
        ("5-5", [5]),
        ("2-4, 9 ,3", [2, 3, 4, 9]),
    ],
)
def test_seeds_are_a_count_a_list_or_a_range(text, expected):
    assert expected == read_seeds(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", "--seeds 0: wanted a count of at least 1"),
        ("", "names no seed"),
        (",", "names no seed"),
        ("ten", "wanted a count (10), a list (3,7) or a range (0-4), found 'ten'"),
        ("3,x", "found 'x'"),
        ("-1", "found '-1'"),
        ("1.5", "found '1.5'"),
        ("1-2-3", "found '1-2-3'"),
        ("3;7", "found '3;7'"),
        ("4-0", "4-0 runs backwards, wanted 0-4"),
        ("3,9-7", "9-7 runs backwards, wanted 7-9"),
    ],
)
def test_what_names_no_seeds_is_refused_in_words(text, said):
    with pytest.raises(BenchmarkError) as raised:
        read_seeds(text)

    assert said in str(raised.value)


@given(st.lists(st.integers(0, 999), min_size=1))
def test_a_list_of_seeds_is_those_seeds_each_once(seeds):
    assert list(dict.fromkeys(seeds)) == read_seeds(",".join(map(str, seeds)) + ",")


@given(st.integers(0, 9999), st.integers(0, 99))
def test_a_range_of_seeds_has_both_its_ends(first, more):
    seeds = read_seeds(f"{first}-{first + more}")

    assert list(range(first, first + more + 1)) == seeds
