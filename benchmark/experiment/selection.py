"""How `--models` and `--tasks` name things: lists, `all`, families, wildcards, negations."""

import fnmatch
import re
from collections.abc import Callable, Mapping

from benchmark.errors import BenchmarkError, did_you_mean


def select(
    text: str,
    known: Mapping[str, str],
    *,
    noun: str,
    everything: list[str] | None = None,
    coin: Callable[[str], str | None] = lambda _: None,
) -> list[str]:
    """Names chosen by `text`, in the order in which they are named, each once.

    `known` maps names to families; `text` is a comma-separated list of names, `all` (`everything`, or all that is
    known), `family:NAME`, wildcards (`moco*`) and negations of any of these (`!moco-v1`). What is negated is left out,
    wherever in the list the negation stands; a negation alone means all but it. `coin` may accept a name that is not
    listed (`scratch:resnet18`). Raises BenchmarkError for what matches nothing.
    """
    everything = list(known) if everything is None else everything
    terms = [t.strip() for t in text.split(",") if t.strip()]
    if not terms:
        raise BenchmarkError(f"no {noun} named: wanted a list such as {', '.join(everything[:2])}, or `all`")
    wanted: list[str] = []
    unwanted: set[str] = set()
    for term in terms:
        matched = _matches(term.removeprefix("!").strip(), known, everything, noun, coin)
        if term.startswith("!"):
            unwanted.update(matched)
        else:
            wanted += matched
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
        members = [name for name, its in known.items() if its and its == family]
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


def seeds_from(text: str) -> list[int]:
    """`10` is seeds 0 to 9; a list (`3,7`) is those seeds; `0-4` is a range, ends included; `3,` is seed 3 alone."""
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
