"""How options name models, tasks, seeds, shares of the training data and values of recipe fields."""

import fnmatch
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.recipe import Recipe

Search = dict[str, tuple[int | float | str | None, ...]]  # recipe field -> the values that are tried
Portion = tuple[float, str | None]  # a share of the training patients, or a number (or a task's name) of its images
ALL_IMAGES: Portion = (1.0, None)


def select(
    text: str,
    known: Mapping[str, str],
    *,
    noun: str,
    everything: list[str] | None = None,
    coin: Callable[[str], str | None] = lambda _: None,
    hint: Callable[[str], str] = lambda _: "",
) -> list[str]:
    """Returns the names that `text` chooses, in the order in which they are named, each once.

    `known` maps names to families; `text` is a comma-separated list of names, `all` (`everything`, or all that is
    known), `family:NAME`, wildcards (`moco*`) and negations of any of these (`!moco-v1`). What is negated is left out,
    wherever in the list the negation stands; a negation alone means all but it. `coin` may accept a name that is not
    listed (`scratch:resnet18`); `hint` may say what an unknown name probably means. Raises one BenchmarkError for all terms
    that match nothing.
    """
    everything = list(known) if everything is None else everything
    terms = [t.strip() for t in text.split(",") if t.strip()]
    if not terms:
        raise BenchmarkError(f"no {noun} named: wanted a list such as {', '.join(everything[:2])}, or `all`")
    wanted: list[str] = []
    unwanted: set[str] = set()
    faults: list[str] = []
    for term in terms:
        name = term.removeprefix("!").strip()
        try:
            matched = _matches(name, known, everything, noun, coin)
        except BenchmarkError as fault:
            meant = hint(name) if name not in known else ""
            faults.append(f"no {noun} {name!r}: {meant}" if meant else str(fault))
            continue
        if term.startswith("!"):
            unwanted.update(matched)
        else:
            wanted += matched
    if faults:
        raise BenchmarkError("; ".join(dict.fromkeys(faults)))
    if all(term.startswith("!") for term in terms):
        wanted = everything
    chosen = [name for name in dict.fromkeys(wanted) if name not in unwanted]
    if not chosen:
        raise BenchmarkError(f"{text!r} leaves no {noun}")
    return chosen


def _matches(
    pattern: str, known: Mapping[str, str], everything: list[str], noun: str, coin: Callable[[str], str | None]
) -> list[str]:
    if pattern == "all":
        return everything
    if pattern.startswith("family:"):
        family = pattern.removeprefix("family:")
        members = [name for name, group in known.items() if group and group == family]
        if not members:
            raise BenchmarkError(
                f"no {noun} family {family!r}: {did_you_mean(family, {f for f in known.values() if f})}"
            )
        return members
    if any(sign in pattern for sign in "*?["):
        members = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
        if not members:
            raise BenchmarkError(f"no {noun} matches {pattern!r}: {did_you_mean(pattern, known)}")
        return members
    if pattern in known:
        return [pattern]
    coined = coin(pattern)
    if coined is not None:
        return [coined]
    raise BenchmarkError(f"no {noun} {pattern!r}: {did_you_mean(pattern, known)}")


def read_seeds(text: str) -> list[int]:
    """Returns the seeds that a text names: `10` is seeds 0 to 9; `3,7` is those two; `0-4` is a range, both ends included; `3,`
    is seed 3 alone. Raises BenchmarkError.
    """
    text = text.strip()
    if re.fullmatch(r"\d+", text):
        count = int(text)
        if count == 0:
            raise BenchmarkError("--seeds 0: wanted a count of at least 1, or a list such as 3,7")
        return list(range(count))
    seeds: list[int] = []
    for term in filter(None, (t.strip() for t in text.split(","))):
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", term)
        if not span:
            raise BenchmarkError(f"--seeds {text}: wanted a count (10), a list (3,7) or a range (0-4), found {term!r}")
        first, last = int(span[1]), int(span[2] or span[1])
        if last < first:
            raise BenchmarkError(f"--seeds {text}: {term} runs backwards, wanted {last}-{first}")
        seeds += range(first, last + 1)
    if not seeds:
        raise BenchmarkError(f"--seeds {text!r}: names no seed")
    return list(dict.fromkeys(seeds))


def read_portions(fractions: str | None, subsets: str | None) -> list[Portion]:
    """Returns the portions of the training split that `--fractions 0.01,0.1,1` or `--subsets S,500,F` name; all of it where
    neither is given.
    """
    if fractions is not None and subsets is not None:
        raise BenchmarkError("--fractions and --subsets: wanted one of them")
    if subsets is not None:
        named = [name.strip() for name in subsets.split(",") if name.strip()]
        if not named:
            raise BenchmarkError(
                "--subsets: names no size: wanted numbers of images, or names of the task, such as S,M,F"
            )
        return [(1.0, name) for name in dict.fromkeys(named)]
    shares: list[float] = []
    for text in filter(None, (t.strip() for t in (fractions or "1").split(","))):
        try:
            share = float(text)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise BenchmarkError(f"--fractions {fractions}: wanted shares above 0, up to 1, found {text!r}")
        shares.append(share)
    return [(share, None) for share in dict.fromkeys(shares)]


def read_sweep(sweep: Iterable[str]) -> list[tuple[str, ...]]:
    """Returns the settings that `NAME=A,B` of several options make, one tuple for each combination; one empty tuple where
    there is no option.
    """
    fields = []
    for text in sweep:
        name, equals, values = text.partition("=")
        listed = [value.strip() for value in values.split(",") if value.strip()]
        if not equals or len(listed) < 2:
            raise BenchmarkError(
                f"--sweep {text}: wanted NAME=A,B,… with two values or more, such as learning_rate=1e-4,1e-3"
            )
        fields.append([f"{name.strip()}={value}" for value in listed])
    return list(itertools.product(*fields))


def read_search(texts: Iterable[str]) -> Search | None:
    """Returns what `--search NAME=A,B,…` of several options asks for: each field with its values, fields in alphabetical
    order; None where there is no option. `log:LOW:HIGH:NUM` stands for NUM values from 10^LOW to 10^HIGH, evenly spaced
    in the exponent. Raises BenchmarkError.
    """
    fields: Search = {}
    for text in texts:
        # one option may name several fields: learning_rate=1e-4,1e-3,weight_decay=none,1e-4
        for part in re.split(r",(?=\s*[a-z_]+\s*=)", text):
            name, equals, listed = (piece.strip() for piece in part.partition("="))
            values = tuple(
                dict.fromkeys(value for term in listed.split(",") for value in _values_of(name, term.strip()))
            )
            if not equals or len(values) < 2:
                raise BenchmarkError(
                    f"--search {part}: wanted NAME=A,B,… with two different values or more, such as "
                    "learning_rate=1e-4,1e-3 or learning_rate=log:-4:-2:5"
                )
            if name in fields:
                raise BenchmarkError(f"--search {name}: named twice, wanted each field once")
            fields[name] = values
    return dict(sorted(fields.items())) or None


def _values_of(name: str, term: str) -> list[Any]:
    """Returns the values that one term of `--search` stands for, as a recipe has them."""
    if not term:
        return []
    if not term.startswith("log:"):
        return [getattr(Recipe.complete(settings=[f"{name}={term}"]), name)]
    try:
        low, high, num = term.removeprefix("log:").split(":")
        exponents = [float(low) + (float(high) - float(low)) * n / (int(num) - 1) for n in range(int(num))]
    except (ValueError, ZeroDivisionError) as error:
        raise BenchmarkError(
            f"--search {name}={term}: wanted log:LOW:HIGH:NUM, exponents of ten and two values or more"
        ) from error
    # six digits: what a reader of a table can type again
    return [getattr(Recipe.complete(settings=[f"{name}={10**exponent:.6g}"]), name) for exponent in exponents]
