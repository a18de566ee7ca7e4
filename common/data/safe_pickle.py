"""Reading pickled object arrays from npz files of others, without letting them run code.

The files of VideoPose3D's scripts hold dictionaries of arrays as pickles. A pickle can name any importable function and
have it called, so this reader knows a handful of names and none of numpy's own constructors: arrays, scalars and dtypes
are first read into plain records, checked, and only then built from bytes or lists. It knows the instructions that
numpy's files are made of and no others, and counts them before it follows them.
"""

from __future__ import annotations

import io
import itertools
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from common.data.npz import open_npz, plain_dtype, read_array
from common.data.schema import NUMBER, Axes, Axis, Field, check_header, listed, text_problem
from common.errors import InputError

_PLAIN_KINDS = "biufcSU"

# A small file can name one list very many times; data files hold a few thousand objects.
_MOST = 100_000
_MOST_INSTRUCTIONS = 10 * _MOST

_MAKE = "see dataset/README.md for how to get or make it"


class _Refused(Exception):
    """The pickle asks for something that data files have no business with."""


class _Dtype:
    """A dtype as a pickle describes it: a plain kind and width, or "O"; no fields, no subarrays, no metadata."""

    order: Literal["<", ">", "|", "="]

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str):
            raise _Refused("a dtype that is not named")
        self.order, self.code = "=", code
        self.checked()

    def __setstate__(self, state: tuple) -> None:
        order, subdtype, names, fields = state[1:5]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in (subdtype, names, fields)):
            raise _Refused("a structured dtype")
        self.order = order

    def checked(self) -> np.dtype:
        try:
            dtype = plain_dtype(self.code)
        except ValueError as error:
            raise _Refused(f"the dtype {self.code[:30]!r}") from error
        if dtype.kind not in _PLAIN_KINDS + "O":
            raise _Refused(f"the dtype {self.code!r}")
        return dtype.newbyteorder(self.order)


class _Array:
    """An array as a pickle describes it."""

    def __init__(self, *_: object) -> None:
        self.value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _build(data, dtype, shape, "F" if fortran else "C")


def _build(data: object, dtype: object, shape: object, order: object) -> np.ndarray:
    if (
        not isinstance(dtype, _Dtype)
        or not isinstance(shape, tuple)
        or not all(isinstance(n, int) and n >= 0 for n in shape)
    ):
        raise _Refused("an array without a plain dtype and shape")
    real = dtype.checked()
    if real.kind == "O":
        if not isinstance(data, list) or len(data) != int(np.prod(shape)):
            raise _Refused("an object array whose content is not a list")
        value = np.empty(len(data), dtype=object)
        for i, item in enumerate(data):
            value[i] = item
    else:
        if not isinstance(data, bytes | bytearray) or len(data) != int(np.prod(shape)) * real.itemsize:
            raise _Refused("an array whose bytes do not fill its shape")
        value = np.frombuffer(data, dtype=real)
    return value.reshape(shape, order="F" if order == "F" else "C")


def _frombuffer(data: object, dtype: object, shape: object, order: object, *_: object) -> _Array:
    array = _Array()
    array.value = _build(bytes(data) if isinstance(data, bytearray) else data, dtype, shape, order)
    return array


def _scalar(dtype: object, data: object) -> object:
    return _build(data.encode("latin1") if isinstance(data, str) else data, dtype, (), "C")[()]


def _encode(text: object, encoding: object) -> bytes:
    if encoding != "latin1" or not isinstance(text, str):
        raise _Refused("an encoding other than latin1")
    return text.encode("latin1")


_ADMITTED = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype, ("_codecs", "encode"): _encode}
for _core in ("numpy.core", "numpy._core"):
    _ADMITTED |= {
        (f"{_core}.multiarray", "_reconstruct"): _Array,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _frombuffer,  # contiguous arrays under protocol 5
    }


def _only_text(keys: list) -> None:
    """Raise _Refused where a key is no text: numbers can be chosen so that a dictionary of them takes for ever to
    fill.
    """
    for key in keys:
        if not isinstance(key, str):
            raise _Refused(f"a dictionary key of type {type(key).__name__}")


# What numpy's files are made of, protocols 2 to 5. Not there: what looks up more than a data file needs, and the
# instructions of older protocols, whose numbers and texts are lines of any length.
_FOLLOWED = (
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING",
    "BYTEARRAY8",
    "EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM",
    "SETITEMS",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "MEMOIZE",
)  # fmt: skip
_CODES = {getattr(pickle, name)[0] for name in _FOLLOWED}


if TYPE_CHECKING:

    class PythonUnpickler:
        """pickle._Unpickler with what the type stubs leave out of it."""

        dispatch: dict[int, Callable]
        stack: list[Any]

        def __init__(self, file: io.BytesIO, *, encoding: str) -> None: ...
        def load(self) -> Any: ...
        def read(self, size: int) -> bytes: ...
        def append(self, value: object) -> None: ...
        def pop_mark(self) -> list[Any]: ...
        def load_build(self) -> None: ...
        def load_setitem(self) -> None: ...
        def load_setitems(self) -> None: ...
        def find_class(self, module: str, name: str) -> object: ...
        def persistent_load(self, pid: object) -> object: ...

else:
    PythonUnpickler = pickle._Unpickler


class _Instructions(dict[int, Callable]):
    """How to follow each instruction; gives out so many of them and no more."""

    left = _MOST_INSTRUCTIONS

    def __getitem__(self, code: int) -> Callable:
        self.left -= 1
        if self.left < 0:
            raise _Refused(f"more than {_MOST_INSTRUCTIONS} instructions")
        if code not in _CODES:
            raise _Refused(f"instruction {code}")
        return super().__getitem__(code)


class _Unpickler(PythonUnpickler):
    """Python's own, not the one in C: that one sets aside memory for whatever length or memo number a file names."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.dispatch = _Instructions(type(self).dispatch)

    def load_build(self) -> None:
        if not isinstance(self.stack[-2], _Array | _Dtype):  # it would set attributes of the reader's own functions
            raise _Refused("a state for something that has none")
        super().load_build()

    def load_setitem(self) -> None:
        _only_text(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        _only_text(self.stack[::2])  # since the mark, keys and values
        super().load_setitems()

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        data = self.read(size)
        if len(data) != size:
            raise pickle.UnpicklingError("its bytes end early")
        self.append(bytearray(data))

    dispatch = PythonUnpickler.dispatch | {
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ADMITTED:
            raise _Refused(f"{module}.{name}")
        return _ADMITTED[module, name]

    def persistent_load(self, _: object) -> object:
        raise _Refused("a persistent object")


def _unwrap(value: object, budget: list[int], depth: int = 0) -> object:
    """Records -> arrays, inside dictionaries, lists, tuples and object arrays; nothing else may be there."""
    budget[0] -= 1
    if budget[0] < 0:
        raise _Refused(f"more than {_MOST} objects")
    if depth > 20:
        raise _Refused("a nesting of more than 20 levels")
    if isinstance(value, _Array):
        return _unwrap(value.value, budget, depth + 1)
    if isinstance(value, dict):
        return {_unwrap(key, budget, depth + 1): _unwrap(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_unwrap(item, budget, depth + 1) for item in value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        flat = np.empty(value.size, dtype=object)
        for i, item in enumerate(value.ravel()):
            flat[i] = _unwrap(item, budget, depth + 1)
        return flat.reshape(value.shape)
    if value is None or isinstance(value, str | bytes | bool | int | float | complex | np.ndarray | np.generic):
        return value
    raise _Refused(f"an object of type {type(value).__name__}")


def load_objects(data: bytes) -> object:
    """Unpickle `data` (protocols 2 to 5) into dictionaries, lists, numbers, strings and numpy arrays only.

    Raises ValueError for anything else; no name that the pickle gives is imported or called.
    """
    try:
        return _unwrap(_Unpickler(data).load(), [_MOST])
    except _Refused as refused:
        raise ValueError(f"it asks for {refused}, which a data file does not need") from refused
    except (
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        TypeError,
        IndexError,
        KeyError,
        MemoryError,
        RecursionError,
        OverflowError,
        struct.error,
        UnicodeError,
    ) as error:
        raise ValueError(f"its pickle is damaged ({error})") from error


def npz_fields(path: str | Path) -> list[str]:
    """The names of the fields of an npz, unread. Raises InputError where there is no such file or it is damaged."""
    with open_npz(path, {}, make=_MAKE, layout=_MAKE) as fields:
        return list(fields.members)


def read_npz_object(path: str | Path, field: str) -> object:
    """The object that `np.savez(path, field=object)` wrote. Raises InputError where it is missing, damaged or
    unsafe.
    """
    with open_npz(path, {}, make=_MAKE, layout=_MAKE) as fields:
        if field not in fields:
            raise InputError(
                f"{path}: field {field} is missing (it holds {listed(list(fields.members))}); is it the right file?"
            )
        with fields.open(field) as (file, header):
            value = (
                read_array(file, header) if header.dtype.kind != "O" else load_objects(file.read())
            )  # the checksum first
    return value[()] if isinstance(value, np.ndarray) and header.shape == () else value


def read_mapping(path: str | Path, field: str) -> dict:
    """A dictionary in an .npz, whose names, and those of dictionaries in it, may stand in a line of output.

    Raises InputError where it is missing, damaged, unsafe or something else.
    """
    value = read_npz_object(path, field)
    if not isinstance(value, dict):
        raise InputError(f"{path}: field {field} is not a dictionary; make the file again, see dataset/README.md")
    for name in itertools.chain(value, *(inner for inner in value.values() if isinstance(inner, dict))):
        if problem := text_problem(name):
            raise InputError(f"{path}: field {field} has the name {problem}; make the file again")
    return value


def checked_array(where: str, value: object, *shape: Axis) -> np.ndarray:
    """`value` itself. Raises InputError, which names it by `where`, unless it is an array of numbers of this shape."""
    if not isinstance(value, np.ndarray):
        raise InputError(f"{where} is no array; make the file again")
    check_header(where, value.dtype, value.shape, Field(NUMBER, shape), Axes(), "make the file again")
    return value
