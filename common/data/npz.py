"""Reading .npz files: sizes are checked before anything is read, and whatever is wrong becomes a sentence.

The zip directory says how large each field is, and the header of the field says of what type and shape it is. Both
are compared with each other and with what the field may be (common/data/schema.py) before memory is set aside.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as with_default
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from common.data.schema import Axes, Field, check_header, check_values, shown
from common.errors import InputError
from common.files import require_file

# What zipfile and the decompressors raise on damaged files; RuntimeError: encrypted, or packed by a method that
# zipfile lacks.
DAMAGE = (OSError, ValueError, EOFError, RuntimeError, OverflowError, struct.error, zipfile.BadZipFile, zlib.error)

SMALL = 64 * 2**20
"""A field of up to so many bytes may be packed as tightly as can be."""
TIGHTEST = 100
"""Larger ones are not packed to less than one part in so many: real motion is not, and what is would fill the
memory."""
LONGEST_HEADER = 10_000
LONGEST_NUMBER, MOST_AXES = 18, 32
MAGIC = b"\x93NUMPY"
_CODE = r"[<>|=]?[a-zA-Z]\d{0,9}(?:\[\d{0,4}[a-zA-Z]{1,2}\])?"
_ENTRY = re.compile(
    r"""\s*(["'])(?P<key>descr|fortran_order|shape)\1\s*:\s*"""
    rf"""(?:(["'])(?P<descr>{_CODE})\3|(?P<order>True|False)|\((?P<shape>[\d\sL,]*)\))\s*(?:,|(?=\}}))""",
    re.ASCII,
)


class Header(NamedTuple):
    """What an .npy says of its array, and how many bytes come before the numbers."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran_order: bool
    start: int

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: io.BufferedIOBase) -> Header:
    """Read the header of an .npy: of any one plain type, or of pickled objects. Raises ValueError for any other.

    numpy's own reader hands the header to Python's parser, which can be made to fail in many ways.
    """
    begin = file.read(8)
    if len(begin) < 8 or not begin.startswith(MAGIC):
        raise ValueError("it is no .npy array")
    version = tuple(begin[6:])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its .npy version {version[0]}.{version[1]} is not known")
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(file.read(width), "little")
    text = file.read(min(length, LONGEST_HEADER)).decode("latin-1")
    if len(text) != length:
        raise ValueError("its header is too long or cut short")
    dtype, shape, order = _parse_header(text)
    return Header(dtype, shape, order, 8 + width + length)


def _parse_header(text: str) -> tuple[np.dtype, tuple[int, ...], bool]:
    entries: dict[str, re.Match] = {}
    place = len(text) - len(text.lstrip())
    inside = text.startswith("{", place)
    place += 1
    while inside and (entry := _ENTRY.match(text, place)):
        entries[entry["key"]] = entry
        place = entry.end()
    values = {"descr": "descr", "fortran_order": "order", "shape": "shape"}
    if text[place:].strip() != "}" or any(
        key not in entries or entries[key][group] is None for key, group in values.items()
    ):
        raise ValueError("its header is not that of a plain array")
    return (
        plain_dtype(entries["descr"]["descr"]),
        _parse_shape(entries["shape"]["shape"]),
        entries["fortran_order"]["order"] == "True",
    )


def _parse_shape(text: str) -> tuple[int, ...]:
    sizes = [size.strip().removesuffix("L") for size in text.split(",")]
    if sizes[-1] == "":
        sizes.pop()
    elif len(sizes) == 1:
        raise ValueError("its shape is a number")
    if len(sizes) > MOST_AXES or not all(size.isdigit() and len(size) <= LONGEST_NUMBER for size in sizes):
        raise ValueError("its shape is none that an array can have")
    return tuple(map(int, sizes))


def plain_dtype(code: str) -> np.dtype:
    """The dtype of one plain kind that numpy knows by this code: no fields, no subarrays. Raises ValueError for any
    other."""
    if not re.fullmatch(_CODE, code, re.ASCII):
        raise ValueError(f"the type {code[:30]!r} is no plain one")
    try:
        dtype = np.dtype(code)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the type {code!r} is not known") from error
    if not dtype.itemsize:
        raise ValueError(f"the type {code!r} has no size")
    return dtype


@dataclass(frozen=True)
class NpzFields:
    """The fields of an open .npz, read as `schema` says.

    layout: what to do where a field is not as it should be, the end of a sentence. axes: sizes of named axes so far.
    """

    path: Path
    archive: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]
    schema: Mapping[str, Field]
    layout: str
    axes: Axes = with_default(default_factory=Axes)

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def __call__(self, name: str) -> np.ndarray:
        """Read one field; the others are not touched. Raises InputError where it is missing, damaged or not as
        declared."""
        where, field = f"{self.path}: field {name}", self.schema[name]
        with self.open(name) as (file, header):
            check_header(where, header.dtype, header.shape, field, self.axes, self.layout)
            values = read_array(file, header)
        check_values(where, values, field, self.axes, self.layout)
        return values

    def fix_axis(self, axis: str, size: int, reason: str) -> None:
        """Say how large a named axis is, and in a few words why."""
        self.axes[axis] = (size, reason)

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[tuple[io.BufferedIOBase, Header]]:
        """The bytes of a field behind its header, whose size is that of the member, unless it is of pickled objects.

        Raises InputError where it is missing, or where reading it in the block fails.
        """
        if name not in self.members:
            raise InputError(f"{self.path}: field {name} is missing; {self.layout}")
        member = self.members[name]
        try:
            self._check_packing(member)
            with cast(io.BufferedIOBase, self.archive.open(member)) as file:
                header = read_header(file)
                if header.dtype.kind != "O" and header.start + header.size != member.file_size:
                    raise ValueError(
                        f"it has {member.file_size} bytes, but its header speaks of {header.start + header.size}"
                    )
                yield file, header
                if file.read(1):  # the checksum is compared at the end
                    raise ValueError("there is more in it than an array")
        except MemoryError as error:
            size = f"{member.file_size / 1e9:.1f} GB"
            raise InputError(
                f"{self.path}: field {name} has {size}, more than there is memory; {self.layout}"
            ) from error
        except DAMAGE as error:
            raise InputError(
                f"{self.path}: field {name} cannot be read: {one_line(error)}; make or copy the file again"
            ) from error

    def _check_packing(self, member: zipfile.ZipInfo) -> None:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("it is packed in a way that numpy does not write")
        if member.file_size > max(SMALL, TIGHTEST * min(member.compress_size, self.path.stat().st_size)):
            raise ValueError(f"it would unpack to {member.file_size / 1e9:.1f} GB, far more than the file can hold")


def read_array(file: io.BufferedIOBase, header: Header) -> np.ndarray:
    """The array behind a header. Raises ValueError where the file ends early."""
    values = np.empty(header.shape, header.dtype, order="F" if header.fortran_order else "C")
    rest = values.reshape(-1, order="A").view(np.uint8).data if values.nbytes else memoryview(b"")
    while rest:
        count = file.readinto(rest[: 2**20])
        if not count:
            raise ValueError("it ends early")
        rest = rest[count:]
    return values


@contextlib.contextmanager
def open_npz(path: str | Path, schema: Mapping[str, Field], *, make: str, layout: str) -> Iterator[NpzFields]:
    """Open an .npz to read fields from it, and close it when the block ends.

    make: what to do where there is no such file; layout: what to do where its fields are not as they should be; both
    end a sentence. Raises InputError where the file is missing or no .npz.
    """
    path = require_file(path, make)
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise InputError(f"{path}: not a readable .npz file ({_what_else(path) or one_line(error)}); {make}") from error
    with archive:
        yield NpzFields(path, archive, _members(path, archive), schema, layout)


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by the names of their fields; each stands in the file as the directory says."""
    members: dict[str, zipfile.ZipInfo] = {}
    try:
        for member in archive.infolist():
            if member.filename in archive.NameToInfo and archive.NameToInfo[member.filename] is not member:
                raise ValueError(f"it has two members of the name {shown(member.filename)}")
            if member.flag_bits & 1:
                raise ValueError(f"its member {shown(member.filename)} is encrypted")
            archive.open(member).close()  # reads the name that stands before the content
            if member.filename.endswith(".npy"):
                members[member.filename.removesuffix(".npy")] = member
    except DAMAGE as error:
        raise InputError(f"{path}: not a readable .npz file ({one_line(error)}); make or copy it again") from error
    return members


def _what_else(path: Path) -> str:
    """What a file is that is no zip file, in words; "" where that is not plain to see."""
    with open(path, "rb") as file:
        begin = file.read(200).lstrip()
    if begin.startswith(MAGIC):
        return "it holds one array, not the fields of an .npz"
    if begin.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file itself"
    if begin[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page"
    return "" if begin else "it is empty"


def one_line(error: BaseException) -> str:
    """The text of an error as a part of a sentence."""
    return shown(" ".join(str(error).split()) or type(error).__name__, 200)[1:-1]
