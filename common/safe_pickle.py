"""Reading pickled object arrays from npz files of others, without letting them run code.

The files of VideoPose3D's scripts hold dictionaries of arrays as pickles. A pickle can name any importable function and have it
called, so this reader knows a handful of names and none of numpy's own constructors: arrays, scalars and dtypes are first read
into plain records, checked, and only then built from bytes or lists.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from common.errors import InputError

_PLAIN_KINDS = "biufcSU"

# A small file can name one list very many times; data files hold a few thousand objects.
_MOST = 100_000


class _Refused(Exception):
    """The pickle asks for something that data files have no business with."""


class _Dtype:
    """A dtype as a pickle describes it: a plain kind and width, or "O"; no fields, no subarrays, no metadata."""

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
            dtype = np.dtype(self.code)
        except TypeError as error:
            raise _Refused(f"the dtype {self.code!r}") from error
        if dtype.names or dtype.subdtype or dtype.kind not in _PLAIN_KINDS + "O":
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
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
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


class _Unpickler(pickle._Unpickler):
    """Python's own, not the one in C: that one sets aside memory for whatever length or memo number a file names."""

    def load_build(self) -> None:
        if not isinstance(self.stack[-2], _Array | _Dtype):  # it would set attributes of the reader's own functions
            raise _Refused("a state for something that has none")
        super().load_build()

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        data = self.read(size)
        if len(data) != size:
            raise pickle.UnpicklingError("its bytes end early")
        self.append(bytearray(data))

    dispatch = pickle._Unpickler.dispatch | {pickle.BUILD[0]: load_build, pickle.BYTEARRAY8[0]: load_bytearray8}

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
        return _unwrap(_Unpickler(io.BytesIO(data), encoding="latin1").load(), [_MOST])
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


def read_npz_object(path: str | Path, field: str) -> object:
    """The object that `np.savez(path, field=object)` wrote. Raises InputError where it is missing, damaged or unsafe."""
    try:
        with zipfile.ZipFile(path) as archive:
            try:
                data = archive.read(f"{field}.npy")
            except KeyError:
                have = ", ".join(name.removesuffix(".npy") for name in archive.namelist())
                raise InputError(f"{path}: field {field} is missing (it holds {have or 'nothing'}); is it the right file?") from None
        file = io.BytesIO(data)
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in header:
            raise ValueError(f"npy version {version}")
        shape, _, dtype = header[version](file)
        if dtype.hasobject:
            value = load_objects(file.read())
        else:
            value = np.load(io.BytesIO(data), allow_pickle=False)
            shape = value.shape
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; see dataset/README.md for how to get or make it") from None
    except (OSError, EOFError, ValueError, SyntaxError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise InputError(f"{path}: field {field} cannot be read: {error}; make or copy the file again") from error
    return value[()] if isinstance(value, np.ndarray) and shape == () else value
