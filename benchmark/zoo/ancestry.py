"""Which weights an entry was made from, back to the first: ImageNet -> SimCLR -> MICLe. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.files import digest_of
from benchmark.zoo.catalog import ZooEntry


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """One set of weights of a family tree.

    `data` are the data sets of this step alone, `data_digest` and `recipe_digest` of a training that was made here, empty
    for weights from elsewhere. `known` is False where the catalog has no such entry (any more).
    """

    name: str
    method: str = ""
    data: tuple[str, ...] = ()
    data_digest: str = ""
    recipe_digest: str = ""
    licence: str = ""
    known: bool = True


def ancestry(entry: ZooEntry, entries: Mapping[str, ZooEntry]) -> list[Ancestor]:
    """Returns the entry and all that it was made from, the oldest first."""
    line = [entry]
    missing: list[Ancestor] = []
    while made_by := line[-1].made_by:
        parent = str(made_by["from"])
        if parent not in entries or entries[parent] in line:
            missing = [Ancestor(name=parent, known=parent.startswith("scratch"))]
            break
        line.append(entries[parent])
    steps = [_step(one, entries) for one in line]
    return [*missing, *reversed(steps)]


def describe(ancestors: list[Ancestor]) -> list[str]:
    """Returns a line for each, the next one indented below the one that it was made from."""
    lines = []
    for depth, one in enumerate(ancestors):
        facts = [one.method, f"data: {', '.join(one.data)}" if one.data else ""]
        facts += [f"data digest {one.data_digest[:16]}" if one.data_digest else ""]
        facts += [f"recipe {one.recipe_digest[:16]}" if one.recipe_digest else ""]
        facts += [f"license: {one.licence}" if one.licence.strip("–") else ""]
        facts += ["" if one.known else "no entry of the zoo any more"]
        description = "; ".join(filter(None, facts))
        lines.append(
            "   " * (depth - 1) + ("└─ " if depth else "") + one.name + (f": {description}" if description else "")
        )
    return lines


def _step(entry: ZooEntry, entries: Mapping[str, ZooEntry]) -> Ancestor:
    made_by = entry.made_by or {}
    parent = entries.get(str(made_by.get("from", "")))
    before = parent.pretrained_on if parent else ()
    return Ancestor(
        name=entry.name,
        method=entry.method,
        data=entry.pretrained_on[len(before) :]
        if entry.pretrained_on[: len(before)] == before
        else entry.pretrained_on,
        data_digest=str(made_by.get("data_digest", "")),
        recipe_digest=digest_of(made_by["recipe"]) if "recipe" in made_by else "",
        licence=entry.licence,
    )
