"""A weight file's container -> its arrays, by name. Files are untrusted: nothing in them ever runs."""

import pickle
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
    return CONTAINERS[container](path)


def _torch(path: Path) -> Arrays:
    """A `torch.save` file: tensors by name, or such a dict under `state_dict` beside other things."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = str(error)
        if "Unsupported" in found or "GLOBAL" in found:
            named = next((line for line in found.splitlines() if "GLOBAL" in line), found.splitlines()[0])
            raise Fault(
                f"{path.name}: refused, it names code that loading it would run ({' '.join(named.split())[:160]}): "
                f"ask its authors for plain tensors or safetensors"
            ) from error
        raise Fault(f"{path.name}: not a torch weight file, or damaged: {' '.join(found.split())[:160]}") from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        size = path.stat().st_size
        raise Fault(
            f"{path.name}: not a torch weight file, or cut off ({size:,} bytes): fetch it again "
            f"({' '.join(str(error).split())[:120]})"
        ) from error
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
    if not tensors:
        raise Fault(f"{path.name}: holds no tensors by name, only {first_few(beside)}")
    return Arrays(tensors=tensors, beside=beside)


def _safetensors(path: Path) -> Arrays:
    try:
        return Arrays(tensors=load_file(path))
    except (SafetensorError, ValueError) as error:
        raise Fault(
            f"{path.name}: not a safetensors file, or cut off ({path.stat().st_size:,} bytes): fetch it again "
            f"({' '.join(str(error).split())[:120]})"
        ) from error


CONTAINERS: dict[str, Callable[[Path], Arrays]] = {"torch": _torch, "safetensors": _safetensors}
