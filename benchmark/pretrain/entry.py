"""What every encoder that is made here becomes: an entry of the user's zoo, with its parents and the patients it saw."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.experiment.overlap import PATIENTS, patients_seen_by
from benchmark.files import write_atomically
from benchmark.workspace import Workspace
from benchmark.zoo import fetch, forms, matching
from benchmark.zoo.catalog import ZooEntry, add_entry, read_catalog

NO_LICENCE = "not told"


def entry_made_before(name: str, key: str, workspace: Workspace) -> ZooEntry | None:
    """Returns the entry of that name where the training of this key made it and its file is here; None where the name is
    free. Raises BenchmarkError where it is taken.
    """
    taken = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo).get(name)
    if taken is None:
        return None
    if taken.made_by and taken.made_by["key"] == key and fetch.find_weight_file(taken, workspace.weights):
        return taken
    raise BenchmarkError(
        f"the zoo has an entry {name!r} already, made otherwise: choose another name, or `benchmark zoo remove {name}`"
    )


def family_of(start: ZooEntry) -> str:
    """Returns `in-domain` for an encoder that saw medical images alone, else `domain-adapted`."""
    return "in-domain" if start.is_scratch or start.family == "in-domain" else "domain-adapted"


def licence_of(start: ZooEntry, images: str, licence: str) -> str:
    """Returns the terms of both parents: the start's weights, and the images, which are called `images`."""
    terms = f"{images}'s images: {licence or NO_LICENCE}"
    if start.is_scratch:
        return terms
    return start.licence if terms in start.licence else f"{start.licence or NO_LICENCE}; {terms}"


def data_sets_of(start: ZooEntry, data_set: str) -> tuple[str, ...]:
    """Returns what an encoder has seen that was trained from `start` on a data set, that one last."""
    return (*(name for name in start.pretrained_on if name != data_set), data_set)


def register(
    entry: ZooEntry,
    start: ZooEntry,
    encoder: nn.Module,
    patients: list[str] | None,
    scratch: Path,
    workspace: Workspace,
) -> ZooEntry:
    """Writes the encoder, adds it to the user's zoo and returns its entry. `patients`: those of the last data set of
    `pretrained_on` whose images were used; None where any may have been.

    The patients of all data sets lie in the file's header, so that they travel with the weights.
    """
    tensors, fresh = encoder_in_full(encoder, entry.architecture)
    earlier: dict[str, Any] = {}
    if not start.is_scratch and (parent := fetch.find_weight_file(start, workspace.weights)):
        earlier = {name: sorted(seen) for name, seen in patients_seen_by(parent.path).items()}
    data_set = entry.pretrained_on[-1]
    known = data_set in earlier or data_set not in start.pretrained_on
    if patients is None or not known:
        earlier.pop(data_set, None)
    else:
        earlier[data_set] = sorted({*earlier.get(data_set, ()), *patients})
    file = scratch / "encoder.safetensors"
    # one entry of metadata: safetensors writes several in an order of its own, and the file's digest is in every key
    write_atomically(file, save(tensors, metadata={PATIENTS: json.dumps(earlier)}))
    entry = entry.model_copy(update={"fresh": tuple(fresh)})
    imported = fetch.import_weight_file(entry, file, workspace.weights)
    entry = entry.model_copy(update={"sha256": imported.sha256})
    matching.read_encoder_tensors(entry, imported.path)  # what was written loads, to the last tensor
    add_entry(workspace.own_zoo, entry)
    return entry


def encoder_in_full(encoder: nn.Module, architecture: str) -> tuple[dict[str, torch.Tensor], list[str]]:
    """A trained encoder, of either form, under timm's names for the whole model; and the tensors that a pyramid has
    not (the final convolution of a MobileNet), which stay untrained.
    """
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    with torch.device("meta"):
        whole = list(forms.build_encoder(architecture, "pooled", 0).state_dict())
    if set(own) == set(whole):
        return own, []
    pyramid = forms.pyramid_names(own, whole)
    untrained = [name for name in whole if name not in pyramid and not name.endswith(forms.COUNTER)]
    return {name: own[place] for name, place in pyramid.items()}, untrained
