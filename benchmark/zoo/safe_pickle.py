"""Reads a pickle into plain values and inert objects: nothing that it names is ever imported, called or even looked up.

Python's unpickler calls what a pickle names. This reader walks the opcodes that pickletools parses, and builds only dicts,
lists, tuples, texts and numbers; a class stays a name (`GlobalName`), an object its arguments (`InertObject`), of which
`zoo.safe_pickle_numpy` and `zoo.safe_pickle_torch` make arrays and tensors.

A pickle of a few bytes can describe a structure of any size, since it may name one object many times. So lengths are
checked against what is left of the file; steps, nesting, names and their lengths are bounded; nothing that a pickle made
is printed, copied or compared as a whole; and a walk over a structure counts what it visits.
Source: Python's pickletools; PEP 307, 3154, 574. Torch-free.
"""

import os
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

MAX_STEPS = 2_000_000  # a step makes at most a record of a tuple: 120 bytes
MAX_NAMES = 100_000  # that a walk visits; a ResNet-152 with its optimizer has 2,000 tensors
MAX_NAME_LENGTH = 1_000  # characters of a path to a tensor, or of a class
MAX_FIELDS = 32  # of a named tuple
MAX_KEY = 1 << 64  # of whole numbers
MAX_DEPTH = 40

# No weight file has a reason to name these. They would be inert here too, but the user should know what the file tried
UNSAFE_MODULES = {
    "os", "posix", "nt", "subprocess", "sys", "socket", "shutil", "pty", "runpy", "importlib", "ctypes", "code", "pdb",
    "webbrowser", "commands",
}  # fmt: skip
UNSAFE_NAMES = {
    f"{module}.{name}"
    for module in ("builtins", "__builtin__", "io", "_io")
    for name in ("eval", "exec", "execfile", "compile", "open", "__import__", "input", "breakpoint")
}
# Named tuples that pickles hold by their class's name alone, which does not tell the fields: DeepMind's byol_experiment.py
FIELDS = {
    "byol.byol_experiment._ByolExperimentState":
        ("online_params", "target_params", "online_state", "target_state", "opt_state")
}  # fmt: skip


class UnsafePickle(ValueError):
    """A pickle names code that has no place in a weight file; the text is that name."""


@dataclass(frozen=True, slots=True)
class GlobalName:
    """A class or function by its name, `module.name`, never looked up. `fields` are those of a named tuple, where known."""

    path: str
    fields: tuple[str, ...] = ()


@dataclass(slots=True, eq=False, repr=False)
class InertObject:
    """A call that was not made: what would be called, with what, and what would be put into the result afterwards."""

    kind: str
    args: tuple[Any, ...] = ()
    fields: tuple[str, ...] = ()
    state: Any = None
    items: dict[Any, Any] | None = None
    members: list[Any] | None = None


class VisitCounter:
    """Counts what a walk over untrusted content visits."""

    def __init__(self) -> None:
        self.left = MAX_NAMES

    def visit(self, count: int) -> None:
        """Raises ValueError where these are more than are left."""
        self.left -= count
        if self.left < 0:
            raise ValueError(f"more than {MAX_NAMES:,} names")


class _Bounded:
    """Reads no more of a file than there is: pickletools asks for as many bytes as the pickle claims."""

    def __init__(self, file: IO[bytes]) -> None:
        here = file.tell()
        self.left = file.seek(0, os.SEEK_END) - here
        file.seek(here)
        self.file = file

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise ValueError(f"it claims {count:,} bytes where {self.left:,} are left")
        self.left -= count
        return self.file.read(count)

    def readline(self) -> bytes:
        self.left -= len(line := self.file.readline())
        return line


def read_pickle(file: IO[bytes], outside: list[tuple[Any, ...]] | None = None) -> Any:
    """Reads the pickle that begins at the file's position; afterwards the position is behind it.

    A reference to something outside (torch's storages) becomes an inert object `persistent` and is added to `outside`.
    Raises UnsafePickle for a pickle that names code of UNSAFE_*, and ValueError, TypeError, LookupError or another error
    of a step over damaged bytes for an incomplete one.
    """
    stack: list[Any] = []
    marks: list[list[Any]] = []
    memo: dict[Any, Any] = {}
    for step, (opcode, arg, _) in enumerate(pickletools.genops(_Bounded(file))):  # type: ignore[arg-type]
        if step > MAX_STEPS:
            raise ValueError(f"more than {MAX_STEPS:,} steps")
        given: list[Any] = []  # what lies above the last mark, for the opcodes that take it
        if pickletools.markobject in opcode.stack_before:
            given, stack = stack, marks.pop()
        match opcode.name:
            case "PROTO" | "FRAME" | "POP_MARK":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(stack)
                stack = []
            case "POP":
                if stack:
                    stack.pop()
                else:
                    stack = marks.pop()
            case "DUP":
                stack.append(stack[-1])
            case "PUT" | "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                memo[len(memo) if opcode.name == "MEMOIZE" else arg] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[arg])
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(opcode.name[-1])
                stack[-length:] = [tuple(stack[-length:])]
            case "TUPLE" | "EMPTY_TUPLE":
                stack.append(tuple(given))
            case "LIST" | "EMPTY_LIST" | "FROZENSET" | "EMPTY_SET":
                stack.append(given)
            case "DICT" | "EMPTY_DICT":
                stack.append({})
                _put(stack[-1], given)
            case "APPEND":
                _extend(stack[-2], [stack.pop()])
            case "APPENDS" | "ADDITEMS":
                _extend(stack[-1], given)
            case "SETITEM":
                _put(stack[-3], [stack.pop(-2), stack.pop()])
            case "SETITEMS":
                _put(stack[-1], given)
            case "GLOBAL":
                stack.append(_named(*str(arg).split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_named(module, name))
            case "REDUCE" | "NEWOBJ":
                args = stack.pop()
                stack.append(_called(stack.pop(), args))
            case "NEWOBJ_EX":
                named, args, _options = stack[-3:]
                stack[-3:] = [_called(named, args)]
            case "INST":
                stack.append(_called(_named(*str(arg).split(" ", 1)), tuple(given)))
            case "OBJ":
                stack.append(_called(given[0], tuple(given[1:])))
            case "BUILD":
                state = stack.pop()
                if not isinstance(stack[-1], InertObject):
                    raise TypeError(f"it puts a state into a {type(stack[-1]).__name__}")
                stack[-1].state = state
            case "PERSID" | "BINPERSID":
                key = stack.pop() if opcode.name == "BINPERSID" else arg
                key = key if isinstance(key, tuple) else (key,)
                stack.append(InertObject("persistent", key))
                if outside is not None:
                    outside.append(key)
            case "EXT1" | "EXT2" | "EXT4" | "NEXT_BUFFER" | "READONLY_BUFFER":
                raise ValueError(f"it needs data from outside ({opcode.name})")
            case _:
                stack.append(arg)  # texts, bytes, numbers and None
    raise ValueError("it has no end")


def _named(module: Any, name: Any) -> GlobalName:
    path = _dotted(module, name)
    if path.split(".", 1)[0] in UNSAFE_MODULES or path in UNSAFE_NAMES:
        raise UnsafePickle(path)
    return GlobalName(path, FIELDS.get(path, ()))


def _dotted(*names: Any) -> str:
    """Returns the names, joined by dots. Raises ValueError for what is no name: a list would be spelled out."""
    if not all(isinstance(name, str) for name in names) or sum(map(len, names)) > MAX_NAME_LENGTH:
        raise ValueError("it calls something by what is no name")
    return ".".join(names)


def _called(what: Any, args: Any) -> Any:
    if not isinstance(args, tuple):
        raise TypeError(f"it calls with a {type(args).__name__}")
    if not isinstance(what, GlobalName):
        return InertObject("unnamed", args)
    if what.path in ("dill._dill._create_namedtuple", "dill.dill._create_namedtuple"):  # dill writes such classes out
        name, fields, module = args[:3]
        if len(fields) > MAX_FIELDS:
            raise ValueError(f"a named tuple of {len(fields):,} fields")
        return GlobalName(_dotted(module, name), tuple(_dotted(one) for one in fields))
    return InertObject(what.path, args, what.fields)


def _extend(target: Any, given: list[Any]) -> None:
    if isinstance(target, InertObject):
        target.members = target.members or []
        target = target.members
    if not isinstance(target, list):
        raise TypeError(f"it appends to a {type(target).__name__}")
    target.extend(given)


def _put(target: Any, given: list[Any]) -> None:
    if isinstance(target, InertObject):
        target.items = target.items or {}
        target = target.items
    if not isinstance(target, dict) or len(given) % 2:
        raise ValueError(f"it sets {len(given)} items of a {type(target).__name__}")
    for key, value in zip(given[::2], given[1::2], strict=True):
        target[key if _is_plain(key) else f"{type(key).__name__} {len(target)}"] = value


def _is_plain(key: Any) -> bool:
    """Returns whether a key may be hashed and spelled out: tuples may be nested without end, numbers endless."""
    if isinstance(key, str | bytes):
        return len(key) <= MAX_NAME_LENGTH
    return isinstance(key, float | None) or (isinstance(key, int) and abs(key) < MAX_KEY)


def as_mapping(value: Any, walk: VisitCounter | None = None) -> dict[str, Any] | None:
    """Returns what a mapping or an object holds, by name; None for what is neither.

    Records open where it is plain what they hold: mappings that were made of one mapping (OrderedDict, Haiku's
    FlatMapping), named tuples whose fields are known, objects with named attributes. Raises ValueError for more names
    than the walk, or else one walk of its own, may visit.
    """
    walk = walk or VisitCounter()
    for _ in range(MAX_DEPTH):
        if not isinstance(value, InertObject):
            break
        if value.items or value.kind in ("collections.OrderedDict", "collections.defaultdict"):
            pairs = value.args[0] if value.args and isinstance(value.args[0], list) else []
            walk.visit(len(pairs))
            named = [pair for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2]
            value = {**{key: item for key, item in named if isinstance(key, str)}, **(value.items or {})}
        elif isinstance(value.state, dict):
            value = value.state
        elif value.fields and len(value.fields) == len(value.args):
            value = dict(zip(value.fields, value.args, strict=True))
        elif len(value.args) == 1 and isinstance(value.args[0], dict | InertObject):
            value = value.args[0]
        else:
            return None
    if isinstance(value, InertObject):
        raise ValueError(f"nested more than {MAX_DEPTH} deep")  # noqa: TRY004 - the file is wrong, not its type
    if not isinstance(value, dict):
        return None
    walk.visit(len(value))
    return {str(key): item for key, item in value.items()}


def flatten(value: Any, leaf: Callable[[Any], Any | None]) -> tuple[dict[str, Any], list[str]]:
    """Returns all that `leaf` makes something of, by dotted path, and the paths of what is neither that nor a container.

    Raises ValueError where these are too many, too deep, or too long.
    """
    leaves: dict[str, Any] = {}
    others: list[str] = []
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    walk = VisitCounter()
    while waiting:
        path, item, depth = waiting.pop()
        made = leaf(item)
        if isinstance(item, list | tuple):
            walk.visit(len(item))
            inner: dict[str, Any] | None = {str(number): element for number, element in enumerate(item)}
        else:
            inner = as_mapping(item, walk)
        if made is not None:
            leaves[path] = made
        elif inner is None:
            others.append(path)
        elif depth == MAX_DEPTH or len(path) > MAX_NAME_LENGTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep, or in names of more than {MAX_NAME_LENGTH:,} letters")
        else:
            waiting += [(f"{path}.{k}" if path else k, v, depth + 1) for k, v in reversed(inner.items())]
    return leaves, others
