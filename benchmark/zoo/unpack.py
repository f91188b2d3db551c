"""A weight file's container -> its arrays, by name. Files are untrusted: nothing in them ever runs."""

import pickle
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from benchmark.fault import Fault, first_few


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Tensors by their names in the file, and the names of what else the file held (optimiser, epoch, …)."""

    tensors: dict[str, torch.Tensor]
    beside: list[str] = field(default_factory=list)


def unpack(path: Path, container: str) -> Arrays:
    """Read a file by its declared container. Raises Fault for what is no such file, truncated, or would run code."""
    if container not in CONTAINERS:
        raise Fault(f"{path.name}: container {container!r} is not one of {', '.join(CONTAINERS)}")
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise Fault(f"{path.name}: a web page, not a weight file: the download met an error or login page")
    arrays = CONTAINERS[container](path)
    if not arrays.tensors:
        raise Fault(f"{path.name}: holds no tensors by name, only {first_few(arrays.beside) or 'nothing'}")
    return arrays


def _torch(path: Path) -> Arrays:
    """A `torch.save` file: tensors by name, or such a dict under `state_dict` beside other things."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")  # the pickle's protocol, for one: it matters only where loading fails
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a walk over untrusted bytes meets every error that there is
            raise Fault(f"{path.name}: {_refused(path, error, told)}") from error
    if not isinstance(content, dict):
        raise Fault(f"{path.name}: holds a {type(content).__name__}, wanted tensors by name")
    inner = content.get("state_dict")
    beside: list[str] = []
    if isinstance(inner, dict):
        if tensors := [str(k) for k, v in content.items() if isinstance(v, torch.Tensor)]:
            raise Fault(f"{path.name}: tensors both under `state_dict` and beside it ({first_few(tensors)})")
        beside = [str(k) for k in content if k != "state_dict"]
        content = inner
    tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    beside += [str(k) for k, v in content.items() if not isinstance(v, torch.Tensor)]
    return Arrays(tensors=tensors, beside=beside)


def _refused(path: Path, error: Exception, told: list[warnings.WarningMessage]) -> str:
    """Torch's own words are not passed on where they advise to load the file unsafely."""
    found = " ".join([str(error), *(str(warning.message) for warning in told)])
    if named := re.search(r"GLOBAL ([\w.]+)", found):
        why = f"it names code that loading it would run ({named[1]})"
    elif kind := re.search(r"TorchScript archive|legacy \.tar format|pickle protocol \d", found):
        why = f"what is written so ({kind[0]}) can be read only by running it"
    else:
        # wrapped in that advice, an unpickler's own words are the inner error
        inner = error.__context__ if isinstance(error, pickle.UnpicklingError) and error.__context__ else error
        reason = " ".join(str(inner).split())[:120] or type(inner).__name__
        size = path.stat().st_size
        return f"not a torch weight file, cut off or damaged ({size:,} bytes): fetch it again ({reason})"
    return f"refused, {why}: ask its authors for plain tensors or safetensors"


def _safetensors(path: Path) -> Arrays:
    try:
        return Arrays(tensors=load_file(path))
    except (SafetensorError, ValueError) as error:
        raise Fault(
            f"{path.name}: not a safetensors file, cut off or damaged ({path.stat().st_size:,} bytes): fetch it again "
            f"({' '.join(str(error).split())[:120]})"
        ) from error


CONTAINERS: dict[str, Callable[[Path], Arrays]] = {"torch": _torch, "safetensors": _safetensors}
