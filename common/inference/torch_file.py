"""Reading what torch.save wrote: a file can give plain values, and dense tensors whose numbers are all in it.

This is not left to torch.load. With weights_only it runs no code either, but it sets aside whatever memory a file asks
for, builds sparse, quantised and expanded tensors, checks no checksum, knows no numpy numbers, and advises to switch
the protection off.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import io
import math
import pickle
import pickletools
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from common.data import safe_pickle
from common.data.schema import shown
from common.errors import InputError
from common.files import require_file

_OPERATIONS = 500_000
"""The most steps that a pickle may have. A run of ours with its optimizer has about a hundred for every tensor."""
_SHARED = 4
"""How many times over, on average, tensors may share the numbers of a file; ours do not at all."""
_LEGACY = 0x1950A86A20F9469CFC6C
"""How files begin that torch.save wrote before it wrote zip files."""
_DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
_SYNTAX = (
    pickle.UnpicklingError, AttributeError, EOFError, IndexError, KeyError, MemoryError, OverflowError, RecursionError,
    TypeError, ValueError, struct.error,
)  # fmt: skip
"""What the unpickler raises where a pickle is not one."""
_UNZIP = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError, struct.error)
"""What zipfile raises where a zip file is damaged, encrypted, or packed by a method that it does not know."""


class _UnreadableError(Exception):
    """What is wrong with a file, to be put into the sentence of its kind."""

    sentence: str


class _DamagedError(_UnreadableError):
    sentence = "cannot be read as a checkpoint, it is damaged or truncated ({}); copy it again"


class _ForeignError(_UnreadableError):
    sentence = (
        "refused, it is damaged or holds more than weights, which could run code ({}); get it anew from its source"
    )


class _UnusualError(_UnreadableError):
    sentence = "refused, it holds {}, which is not read; save plain tensors by torch.save(model.state_dict(), FILE)"


def read_torch_file(path: str | Path) -> object:
    """What torch.save wrote to `path`: dictionaries, lists, tuples, texts, numbers and dense tensors on the CPU.

    The checksums of the file's zip members are checked; where it has none, a line on stderr says so. Parameters come as
    plain tensors, numpy's numbers as Python's. Raises InputError for anything else, in words that say what the file is.
    """
    path = require_file(path, "give a checkpoint file or the folder that holds it")
    try:
        with path.open("rb") as file:
            start = file.read(1024)
            if what := _something_else(start):
                raise InputError(f"{path}: is {what}")
            file.seek(0)
            if start.startswith(b"PK"):
                content, checked = _read_zip(file)
            else:
                content, checked = _read_legacy(io.BytesIO(file.read())), False
    except _UnreadableError as error:
        raise InputError(f"{path}: {error.sentence.format(error)}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); copy it again") from error
    if not checked:
        _remark(path)
    return content


@functools.cache
def _remark(path: Path) -> None:
    print(f"remark: {path}: has no checksum, so that damage to it would go unnoticed", file=sys.stderr)


def _something_else(start: bytes) -> str:
    """What a file that begins with `start` is, and what to do, where it is plainly no checkpoint; otherwise nothing."""
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, which only stands for the checkpoint; fetch the file itself with `git lfs pull`"
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|!--)", start, re.IGNORECASE):
        return "a web page, as a download that failed leaves it; download the checkpoint again"
    with contextlib.suppress(UnicodeDecodeError):
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # the last character may be cut
        if text and all(character.isprintable() or character in "\t\r\n\f" for character in text):
            return "a text file, not a checkpoint; give a file that torch.save wrote"
    return ""


def _read_zip(file: io.BufferedReader) -> tuple[object, bool]:
    """The content, and whether there were checksums to check."""
    size = file.seek(0, io.SEEK_END)
    try:
        archive = zipfile.ZipFile(file)
    except _UNZIP as error:
        raise _DamagedError("its end is missing or broken") from error
    with archive:
        members = {member.filename: member for member in archive.infolist()}
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise _DamagedError("its parts are packed, which torch.save never does")
        if sum(max(member.file_size, member.compress_size) for member in archive.infolist()) > size:
            raise _DamagedError("its parts are said to be larger than the file")
        roots = [name.removesuffix("data.pkl") for name in members if re.fullmatch(r"[^/]*/data\.pkl", name)]
        if len(roots) != 1:
            raise _DamagedError("it is a zip file that torch.save did not write")
        checked = any(member.CRC for member in members.values())
        if not checked:  # torch.save can be told to leave them out
            for member in members.values():
                member.CRC = None  # type: ignore[assignment]  # not checked then, which the stub does not know

        def read(name: str) -> bytes:
            if roots[0] + name not in members:
                raise _DamagedError(f"its part {shown(name)} is missing")
            try:
                return archive.read(members[roots[0] + name])
            except _UNZIP as error:
                raise _DamagedError(f"its part {shown(name)} is not what was written") from error

        def fill(storage: _Storage) -> None:
            data = read(f"data/{storage.key}")
            if len(data) < len(storage.data):
                raise _DamagedError(f"its part {shown(storage.key)} is too short")
            memoryview(storage.data)[:] = data[: len(storage.data)]

        if roots[0] + "byteorder" in members and read("byteorder") != b"little":
            raise _UnusualError("numbers in big-endian order")
        parts = _Parts(size)
        content = _Unpickler(io.BytesIO(read("data.pkl")), parts).load()
        parts.fill(parts.storages, fill)
        return content, checked


def _read_legacy(file: io.BytesIO) -> object:
    """A file of before torch 1.6: five pickles (mark, version, machine, content, keys), then the storages."""
    if not file.getbuffer():
        raise _DamagedError("it is empty")
    parts = _Parts(len(file.getbuffer()))
    mark = _Unpickler(file, parts).load()
    if not isinstance(mark, int) or mark != _LEGACY:
        raise _ForeignError("a pickle that torch.save did not write")
    _, machine, content, keys = (_Unpickler(file, parts).load() for _ in range(4))
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _UnusualError("numbers in big-endian order")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise _DamagedError("the list of its parts makes no sense")
    if sorted(keys) != sorted(parts.storages):
        raise _DamagedError("the list of its parts is not that of its tensors")

    def fill(storage: _Storage) -> None:
        count = int.from_bytes(file.read(8), "little")
        if count * storage.dtype.itemsize != len(storage.data) or file.readinto(storage.data) != len(storage.data):
            raise _DamagedError(f"its part {shown(storage.key)} is too short")

    parts.fill(keys, fill)
    return content


@dataclass(frozen=True, eq=False)
class _Storage:
    """The numbers that tensors are views of; `data` is filled when all are known."""

    key: str
    dtype: torch.dtype
    data: bytearray

    @functools.cached_property
    def numbers(self) -> Tensor:
        """All of them: (N,)."""
        return torch.frombuffer(self.data, dtype=self.dtype) if self.data else torch.empty(0, dtype=self.dtype)


@dataclass
class _Parts:
    """The storages of a file and the tensors over them. limit: the most bytes of all storages, the file's size."""

    limit: int
    storages: dict[str, _Storage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size, self.shared = self.limit, _SHARED * self.limit

    def storage(self, dtype: object, key: object, count: object) -> _Storage:
        """The storage `key` of `count` numbers, zeros so far."""
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or type(count) is not int or count < 0:
            raise _UnusualError("tensors of another kind")
        if key not in self.storages:
            self.limit -= count * dtype.itemsize
            if self.limit < 0:
                raise _DamagedError("its tensors are said to be larger than the file")
            self.storages[key] = _Storage(key, dtype, bytearray(count * dtype.itemsize))
        found = self.storages[key]
        if found.dtype != dtype or len(found.data) != count * dtype.itemsize:
            raise _UnusualError("tensors of two kinds over the same numbers")
        return found

    def tensor(
        self,
        storage: object,
        offset: object,
        size: object,
        stride: object,
        requires_grad: object = False,
        hooks: object = None,
        metadata: object = None,
    ) -> Tensor:
        """What torch._utils._rebuild_tensor_v2 makes of the same arguments, where all the numbers are in the file."""
        if not (isinstance(storage, _Storage) and isinstance(size, tuple) and isinstance(stride, tuple)) or metadata:
            raise _UnusualError("tensors of another kind")
        alike = len(size) == len(stride) <= 16
        if (
            not alike
            or not isinstance(offset, int)
            or not all(type(n) is int and n >= 0 for n in (offset, *size, *stride))
        ):
            raise _DamagedError("it has a tensor of an impossible shape")
        if math.prod(filter(None, size)) > self.size:
            raise _DamagedError("it has a tensor of an impossible shape")
        count = math.prod(size)
        self.shared -= count * storage.dtype.itemsize
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if (count and last >= len(storage.numbers)) or self.shared < 0:
            raise _DamagedError("it has a tensor of more numbers than are in the file")
        return storage.numbers.as_strided(size, stride, offset) if count else torch.empty(size, dtype=storage.dtype)

    def fill(self, keys: Iterable[str], fill: Callable[[_Storage], None]) -> None:
        """Have the storages filled, in the order of the keys."""
        for key in keys:
            fill(self.storages[key])


_FOLLOWED = {*safe_pickle._FOLLOWED, "EMPTY_SET", "ADDITEMS", "BINPERSID"} - {"BYTEARRAY8"}
"""The instructions that torch.save writes, by protocols 2 to 5."""


class _Unpickler(safe_pickle.PythonUnpickler):
    """Knows what state dicts, and the plain values beside them, are made of.

    Python's own, not the one in C: that one sets aside memory for whatever length or memo number a file names.
    """

    def __init__(self, file: io.BytesIO, parts: _Parts) -> None:
        super().__init__(file, encoding="latin1")
        self.file, self.parts, self.pairs = file, parts, _OPERATIONS

    def load(self) -> object:
        start = self.file.tell()
        try:
            # Counted before anything is built.
            if any(number > _OPERATIONS for number, _ in enumerate(pickletools.genops(self.file))):
                raise _UnusualError(f"a pickle of more than {_OPERATIONS} steps")
            self.file.seek(start)
            return super().load()
        except safe_pickle._Refused as error:
            raise _ForeignError(str(error)) from error
        except _SYNTAX as error:
            raise _DamagedError("its list of contents makes no sense") from error

    def find_class(self, module: str, name: str) -> object:
        module = {"__builtin__": "builtins"}.get(module, module)
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module == "torch" and isinstance(vars(torch).get(name), torch.dtype):
            return f"torch.{name}"
        known = {
            ("collections", "OrderedDict"): self._ordered,
            ("collections", "Counter"): _itself,
            ("builtins", "set"): _itself,
            ("torch", "Size"): _itself,
            ("torch", "device"): _device,
            ("torch._utils", "_rebuild_tensor"): self.parts.tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self.parts.tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("numpy", "dtype"): safe_pickle._Dtype,
            ("numpy.core.multiarray", "scalar"): _number,
            ("numpy._core.multiarray", "scalar"): _number,
            ("_codecs", "encode"): _encode,
        }
        if (module, name) not in known:
            of_torch = module.split(".")[0] == "torch"
            of_tensors = of_torch and (module in ("torch._utils", "torch._tensor") or name.endswith("Storage"))
            raise (_UnusualError if of_tensors else _ForeignError)(shown(f"{module}.{name}"))
        return known[module, name]

    def persistent_load(self, pid: object) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage" or pid[5:] not in ((), (None,)):
            raise _UnusualError("parts that are no tensors")
        return self.parts.storage(pid[1], pid[2], pid[4])

    def _ordered(self, pairs: object = ()) -> dict:
        if not isinstance(pairs, list | tuple):
            raise _DamagedError("it has a dictionary that is none")
        self.pairs -= len(pairs)  # one list can be named many times
        if self.pairs < 0:
            raise _UnusualError("a pickle that grows without end")
        return {_key(key): value for key, value in pairs}

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, safe_pickle._Dtype):
            target.__setstate__(state)
        elif not isinstance(target, dict):  # attributes of a state dict, such as its _metadata, are let go
            raise _ForeignError("a state for something that has none")

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        self._set(self.pop_mark())

    def _set(self, items: list) -> None:
        if not isinstance(self.stack[-1], dict):
            raise _DamagedError("it has items of something that is no dictionary")
        self.stack[-1].update((_key(key), value) for key, value in zip(items[::2], items[1::2], strict=True))

    def load_additems(self) -> None:
        items = self.pop_mark()
        if not isinstance(self.stack[-1], set):
            raise _DamagedError("it has members of something that is no set")
        self.stack[-1].update(map(_key, items))

    dispatch = {
        code: safe_pickle.PythonUnpickler.dispatch[code] for code in (getattr(pickle, name)[0] for name in _FOLLOWED)
    } | {
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.ADDITEMS[0]: load_additems,
    }


def _key(value: object) -> object:
    """A key of a dictionary. Thousands of others can be made to have one hash, and take for ever to tell apart."""
    if not isinstance(value, str | bytes | int | None) or (isinstance(value, int) and abs(value) >= 2**63):
        raise _UnusualError("a dictionary whose keys are neither texts nor numbers")
    return value


def _itself(value: object = ()) -> object:
    """Sets, counters and sizes stay the lists and dictionaries that they were made of."""
    if not isinstance(value, list | tuple | dict):
        raise _DamagedError("it has a set that is none")
    return value


def _device(*words: object) -> str:
    return ":".join(str(word)[:16] for word in words[:2] if isinstance(word, str | int))


def _parameter(data: object, *_: object) -> Tensor:
    if not isinstance(data, Tensor):
        raise _DamagedError("it has a parameter that is none")
    return data


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or len(text) > 16 or encoding not in ("latin1", "latin-1"):
        raise _UnusualError("bytes")
    return text.encode("latin1")


def _number(dtype: object, data: object) -> int | float | bool:
    """A numpy number, made from its bytes."""
    if isinstance(data, str):
        data = _encode(data)
    value = safe_pickle._build(data, dtype, (), "C")
    if value.dtype.kind not in "biuf" or value.itemsize > 8:
        raise _UnusualError("numpy values other than numbers")
    return value.item()


def described(value: object) -> str:
    """A value out of a file in a few words; of a container only its type, since the text of one can take for ever."""
    if isinstance(value, str | float | None) or (isinstance(value, int) and value.bit_length() <= 64):
        return shown(value)
    return f"of type {type(value).__name__}"
