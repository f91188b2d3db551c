"""The entries of the zoo: the shipped model_zoo.yaml, and the user's own file. Torch-free."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from benchmark.cell import IMAGENET_MEAN, IMAGENET_STD, Positions
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import from_yaml, write_atomically
from benchmark.locks import locked
from benchmark.strict import Name, StrictModel, explain
from benchmark.text import shortened
from benchmark.zoo.naming import NAMINGS

SCRATCH_ARCHITECTURE = "resnet50"
Channels = tuple[float, float, float]


class InputStatistics(StrictModel):
    """The normalization that a network was trained with: images in 0..1, minus `mean`, divided by `std`, per RGB channel."""

    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD


class ZooEntry(StrictModel):
    """One set of weights, described well enough to be loaded exactly and cited.

    `architecture` is a name that `zoo.architectures` knows; `source` a URL, `hf:OWNER/REPO/FILE[@REVISION]`,
    `timm:NAME` for timm's own published file, `file:` for a file that the user added, empty for random weights;
    `alternative` a URL or a sentence: where else to get the file, should the source be gone; `container` and `naming`
    say how the file is read (`zoo.unpack`, `zoo.naming`), `member` where in an archive it lies; `sha256` is the file's
    digest, or its first digits where only those are known, or empty until the first fetch pins it; `features` what
    frozen evaluation takes in place of the pooled output: `class-tokens-4`, a ViT's last four class tokens joined;
    `positions` how a ViT's positions are interpolated to images of another size (`zoo.positions`), where not as timm
    does it; `fresh` names the tensor prefixes that the file is known to lack and that start at random; `made_by` is
    how `pretrain` made the weights; `cite` is the citation in the form that `zoo.citations` reads, `bibtex` the
    citation as a BibTeX entry where it was given as one.
    """

    name: Annotated[Name, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")]
    title: str = ""
    family: str
    method: str = ""
    architecture: str
    pretrained_on: tuple[str, ...] = ()
    source: str = ""
    alternative: str = ""
    container: Literal["none", "torch", "safetensors", "pickle", "tensorflow"]
    member: str = ""
    naming: str
    input: InputStatistics = InputStatistics()
    features: Literal["class-tokens-4"] | None = None
    positions: Positions | None = None
    licence: str
    cite: str
    bibtex: str = ""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{0,64}$")] = ""
    fresh: tuple[str, ...] = ()
    made_by: dict[str, Any] | None = None

    @field_validator("naming")
    @classmethod
    def _is_known(cls, naming: str, info: ValidationInfo) -> str:
        known = ("none",) if info.data.get("container") == "none" else tuple(NAMINGS)
        if naming not in known:
            raise ValueError(f"no such naming, {did_you_mean(naming, known)}")
        return naming

    @property
    def is_scratch(self) -> bool:
        """Whether there is no file: training starts from random weights."""
        return self.container == "none"


def scratch(architecture: str = SCRATCH_ARCHITECTURE) -> ZooEntry:
    """Returns an entry of random weights for an architecture."""
    plain = architecture == SCRATCH_ARCHITECTURE
    return ZooEntry(
        name="scratch" if plain else f"scratch:{architecture}",
        title=f"random initialization of {architecture}",
        family="scratch",
        architecture=architecture,
        container="none",
        naming="none",
        licence="–",
        cite="–",
    )


def check_entry_name(name: str) -> None:
    """Raises BenchmarkError for a name that no entry of the user's can have: it becomes a folder's, and stands in
    `--models`.
    """
    if name == "all" or name.startswith(("scratch", "family:")):
        raise BenchmarkError(f"name: {name!r} is a word of --models: choose another name")
    try:
        ZooEntry.model_validate({**scratch().model_dump(), "name": name})
    except ValidationError as error:
        raise BenchmarkError(explain(error, ZooEntry)) from error


def read_zoo(path: Path) -> dict[str, ZooEntry]:
    """Reads one zoo file (a YAML list under `entries`) and returns its entries by name.

    Raises BenchmarkError with file, entry, key and value.
    """
    content = from_yaml(path)
    listed = content.get("entries") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise BenchmarkError(f"{path}: wanted a list under the key `entries`")
    entries: dict[str, ZooEntry] = {}
    for number, fields in enumerate(listed, 1):
        position = f"{path}: entry {number}"
        if isinstance(fields, dict) and isinstance(fields.get("name"), str):
            position += f" ({shortened(fields['name'])})"
        try:
            entry = ZooEntry.model_validate(fields)
        except ValidationError as error:
            raise BenchmarkError(f"{position}: {explain(error, ZooEntry)}") from error
        if entry.name in entries:
            raise BenchmarkError(f"{position}: the name is taken by an earlier entry of this file")
        entries[entry.name] = entry
    return entries


def default_models(shipped: Path) -> list[str] | None:
    """Returns what `--models all` stands for: the names under `all` in the shipped file; None (every entry) where it has none.

    Raises BenchmarkError for a name that is no entry.
    """
    content = from_yaml(shipped)
    listed = content.get("all") if isinstance(content, dict) else None
    if listed is None:
        return None
    entries = read_zoo(shipped)
    if unknown := [name for name in listed if name not in entries]:
        raise BenchmarkError(f"{shipped}: all: {unknown[0]!r} is no entry: {did_you_mean(str(unknown[0]), entries)}")
    return list(listed)


def read_catalog(shipped: Path, own: Path) -> dict[str, ZooEntry]:
    """Returns the shipped entries and the user's own (whose file may not exist).

    Raises BenchmarkError where a name is in both.
    """
    entries = read_zoo(shipped)
    if own.is_file():
        added = read_zoo(own)
        if twice := sorted(entries.keys() & added.keys()):
            raise BenchmarkError(
                f"{own}: {', '.join(twice)} is an entry of {shipped.name} too: give yours another name"
            )
        entries |= added
    return entries


def add_entry(own: Path, entry: ZooEntry) -> None:
    """Appends an entry to the user's own zoo file, completely or not at all. Raises BenchmarkError where the name is taken."""
    own.parent.mkdir(parents=True, exist_ok=True)
    with locked(own.with_name(f".{own.name}.lock")):  # of two processes that end at once, neither loses its entry
        entries = read_zoo(own) if own.is_file() else {}
        if entry.name in entries:
            raise BenchmarkError(f"{own}: has an entry {entry.name!r} already: give this one another name")
        write_own(own, [*entries.values(), entry])


def write_own(own: Path, entries: list[ZooEntry]) -> None:
    """Writes the user's own zoo file."""
    listed = [e.model_dump(mode="json", exclude_defaults=True) for e in entries]
    head = "# Entries added by `benchmark zoo add` and `benchmark pretrain`; the shipped ones are in model_zoo.yaml.\n"
    write_atomically(own, head + yaml.safe_dump({"entries": listed}, sort_keys=False, allow_unicode=True))


def find_entry(name: str, entries: dict[str, ZooEntry]) -> ZooEntry:
    """Returns the entry of that name, or one of random weights for `scratch:ARCHITECTURE`.

    Raises BenchmarkError with "did you mean", and for code that no entry names.
    """
    if name in entries:
        return entries[name]
    if name.startswith("scratch:"):
        architecture = name.removeprefix("scratch:")
        if ":" in architecture and architecture not in {entry.architecture for entry in entries.values()}:
            # a suite or a record of others must not be able to name code that is then run
            raise BenchmarkError(
                f"{name}: no entry of the zoo has this architecture, and code of a package runs only where one names it: "
                f"add one first (benchmark zoo add FILE --architecture {architecture})"
            )
        return scratch(architecture)
    raise BenchmarkError(f"no model {name!r}: {did_you_mean(name, entries)}, or scratch:ARCHITECTURE")
