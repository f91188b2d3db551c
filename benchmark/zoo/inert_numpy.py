"""The NumPy arrays in a pickle that `zoo.inert` read: rebuilt from their bytes, by name, with NumPy's types alone.

Source: numpy/_core/src/multiarray/methods.c (array_reduce, array_setstate), under both of NumPy's names for its core;
jax/_src/array.py for the wrapper around one. Torch-free.
"""

import re
from typing import Any

import numpy as np

from benchmark.zoo.inert import Named, Record

BYTES = ("bytes", "bytearray")


def array_of(value: Any) -> np.ndarray | None:
    """The NumPy array that a record would have become; None for every other value, arrays of objects too.

    Raises ValueError where its bytes are not as many as its shape and type want.
    """
    if not isinstance(value, Record):
        return None
    kind = value.kind.replace("numpy._core.", "numpy.core.")
    if kind in ("jax._src.array._reconstruct_array", "jax._src.device_array.reconstruct_device_array"):
        made, args, state = value.args[:3]
        return array_of(Record(made.path, args, state=state)) if isinstance(made, Named) else None
    if kind == "numpy.core.multiarray._reconstruct" and isinstance(value.state, tuple):
        _, shape, kept, by_column, data = value.state
    elif kind == "numpy.core.numeric._frombuffer":
        data, kept, shape, order = value.args
        by_column = order == "F"
    else:
        return None
    dtype, held = _dtype(kept), _bytes(data)
    if dtype is None or held is None:
        return None
    return np.frombuffer(held, dtype).reshape(shape, order="F" if by_column else "C").astype(dtype.newbyteorder("="))


def _dtype(value: Any) -> "np.dtype[Any] | None":
    if not isinstance(value, Record) or value.kind != "numpy.dtype":
        return None
    code, order = str(value.args[0]), value.state[1] if isinstance(value.state, tuple) else "="
    if order not in ("<", ">", "=", "|") or not re.fullmatch(r"[biufc]\d{1,2}", code):
        return None
    return np.dtype(f"{order}{code}")


def _bytes(value: Any) -> bytes | bytearray | None:
    """Protocols up to 2 hold bytes as a text, and protocols up to 4 a bytearray as a call."""
    if isinstance(value, Record) and value.kind == "_codecs.encode" and value.args[1] == "latin1":
        return str(value.args[0]).encode("latin1")
    if isinstance(value, Record) and value.kind.removeprefix("__builtin__.").removeprefix("builtins.") in BYTES:
        return _bytes(value.args[0]) if value.args else b""
    return value if isinstance(value, bytes | bytearray) else None
