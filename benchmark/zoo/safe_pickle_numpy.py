"""Rebuilds the NumPy arrays of a pickle that `zoo.safe_pickle` read, from their bytes and with NumPy's own types.

Source: numpy/_core/src/multiarray/methods.c (array_reduce, array_setstate), under both of NumPy's names for its core;
jax/_src/array.py for the wrapper around one. Torch-free.
"""

import re
from typing import Any

import numpy as np

from benchmark.zoo.safe_pickle import GlobalName, InertObject

BYTES = ("bytes", "bytearray")
MAX_AXES = 8
MAX_AXIS_SIZE = 1 << 40  # elements along an axis


def array_of(value: Any) -> np.ndarray | None:
    """Returns the NumPy array that an inert object describes; None for every other value, arrays of objects too.

    Raises ValueError where its bytes are not as many as its shape and type want.
    """
    if not isinstance(value, InertObject):
        return None
    if value.kind in ("jax._src.array._reconstruct_array", "jax._src.device_array.reconstruct_device_array"):
        made, args, state = value.args[:3]
        value = InertObject(made.path, args, state=state) if isinstance(made, GlobalName) else value
    kind = value.kind.replace("numpy._core.", "numpy.core.")
    if kind == "numpy.core.multiarray._reconstruct" and isinstance(value.state, tuple):
        _, shape, described_type, by_column, data = value.state
    elif kind == "numpy.core.numeric._frombuffer":
        data, described_type, shape, order = value.args
        by_column = order == "F"
    else:
        return None
    dtype = _dtype(described_type)
    content = None if dtype is None else _bytes(data)
    if dtype is None or content is None:
        return None
    array = np.frombuffer(content, dtype).reshape(checked_sizes(shape), order="F" if by_column is True else "C")
    return array.astype(dtype.newbyteorder("="))


def checked_sizes(sizes: Any) -> tuple[int, ...]:
    """Returns a shape, or strides. Raises ValueError for what no array has: endless, negative, or no whole numbers."""
    if not isinstance(sizes, tuple) or len(sizes) > MAX_AXES:
        raise ValueError("a shape of too many axes, or none")
    if not all(isinstance(size, int) and 0 <= size < MAX_AXIS_SIZE for size in sizes):
        raise ValueError("a shape that is none")
    return sizes


def _dtype(value: Any) -> "np.dtype[Any] | None":
    if not isinstance(value, InertObject) or value.kind != "numpy.dtype" or not isinstance(value.args[0], str):
        return None
    code, order = value.args[0], value.state[1] if isinstance(value.state, tuple) else "="
    if order not in ("<", ">", "=", "|") or not re.fullmatch(r"[biufc]\d{1,2}", code):
        return None
    return np.dtype(f"{order}{code}")


def _bytes(value: Any) -> bytes | bytearray | None:
    """Returns an array's bytes: protocols up to 2 hold them as a text, and protocols up to 4 a bytearray as a call."""
    if isinstance(value, InertObject) and value.kind.removeprefix("__builtin__.").removeprefix("builtins.") in BYTES:
        if not value.args:
            return b""
        value = value.args[0]
    if isinstance(value, InertObject) and value.kind == "_codecs.encode" and isinstance(value.args[0], str):
        return value.args[0].encode("latin1")
    return value if isinstance(value, bytes | bytearray) else None
