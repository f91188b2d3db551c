"""All protocols: those of this package's modules, and those of other installed packages.

Another package brings one by an entry point of the group `benchmark.protocols` that names a Protocol.
"""

import importlib
import pkgutil
from importlib.metadata import entry_points

from benchmark import protocols
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.protocols.interface import Protocol
from benchmark.recipe import Recipe
from benchmark.tasks.kinds import KINDS

ENTRY_POINTS = "benchmark.protocols"


def _protocols() -> dict[str, Protocol]:
    """Returns all protocols by name, in the order of their ranks."""
    modules = [
        importlib.import_module(f"{protocols.__name__}.{m.name}")
        for m in pkgutil.iter_modules(protocols.__path__)
        if m.name != "registry"
    ]
    listed = [protocol for module in modules for protocol in getattr(module, "PROTOCOLS", ())]
    listed += [point.load() for point in entry_points(group=ENTRY_POINTS)]
    return {protocol.name: protocol for protocol in sorted(listed, key=lambda protocol: protocol.rank)}


PROTOCOLS: dict[str, Protocol] = _protocols()


def find_protocol(name: str) -> Protocol:
    """Returns the protocol of that name. Raises BenchmarkError with "did you mean"."""
    if name not in PROTOCOLS:
        raise BenchmarkError(f"no protocol {name!r}: {did_you_mean(name, PROTOCOLS)}")
    return PROTOCOLS[name]


def unused_fields(name: str, kind: str, recipe: Recipe) -> set[str]:
    """Returns the recipe fields whose value changes no number of a task of that kind under that protocol."""
    protocol = find_protocol(name)
    unused = set(protocol.unused)
    if KINDS[kind].masks:
        unused |= {"train_resolution", "pixels", "test_crops", "framing"}
    elif protocol.uses_features(kind):  # features are computed once, from the image without augmentation
        unused |= {"train_resolution", "pixels", "resize"}
    else:
        unused.add("resize")
        if recipe.augmentation in ("none", "flips"):  # training draws from the images that are kept for evaluation
            unused |= {"train_resolution", "pixels"}
    if recipe.schedule != "plateau":
        unused |= {"plateau_patience", "plateau_factor"}
    if recipe.early_stop is None:
        unused.add("min_epochs")
    if recipe.max_steps is not None:
        unused.add("max_epochs")
    return unused


def incompatibility(name: str, kind: str, model: str) -> str:
    """Returns why this protocol cannot use a model (encoders joined by +) on a task of that kind; empty where it can."""
    protocol, fused = find_protocol(name), "+" in model
    if protocol.fuses and not fused:
        return f"--protocol {name} fuses encoders: wanted two or more joined by +, such as --models {model}+OTHER"
    if fused and not protocol.fuses:
        fusing = ", ".join(other.name for other in PROTOCOLS.values() if other.fuses)
        return f"--protocol {name} takes one encoder, not {model}: wanted one of {fusing} for several"
    if KINDS[kind].masks and protocol.train_segmentation is None:
        return f"--protocol {name} gives vectors, a segmentation needs maps: wanted finetune or linear"
    return ""
