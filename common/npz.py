"""Reading .npz files of plain arrays (no pickles): whatever is wrong with one becomes a sentence."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import InputError

# What numpy, zipfile and zlib raise on damaged files; RuntimeError: encrypted, or packed by a method that zipfile lacks.
_DAMAGE = (OSError, ValueError, EOFError, SyntaxError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class NpzFields:
    """The fields of an open .npz; `layout` tells the user where to see which fields there should be ("see ...")."""

    path: Path
    archive: np.lib.npyio.NpzFile
    layout: str

    @property
    def names(self) -> list[str]:
        """The fields that the file has."""
        return self.archive.files

    def __call__(self, name: str) -> np.ndarray:
        """Read one field; the others are not touched. Raises InputError where it is missing, damaged or holds objects."""
        if name not in self.names:
            raise InputError(f"{self.path}: field {name} is missing; {self.layout}")
        try:
            values = self.archive[name]
        except _DAMAGE as error:
            raise InputError(
                f"{self.path}: field {name} is not a readable array ({_one_line(error)}); make or copy the file again"
            ) from error
        if not isinstance(values, np.ndarray):  # numpy hands out the bytes of whatever else is in the zip file
            raise InputError(f"{self.path}: field {name} is not a readable array; make or copy the file again")
        return values

    def check_format(self, expected: str) -> None:
        """Raise InputError where field format is not the text `expected`."""
        found = str(self("format"))
        if found != expected:
            raise InputError(f"{self.path}: field format is {found!r}, not {expected!r}; {self.layout}")

    def above_zero(self, name: str) -> float:
        """Read a field that is one finite number above 0; raises InputError where it is not."""
        value = self(name)
        if value.ndim or value.dtype.kind not in "fiu" or not (np.isfinite(value) and value > 0):
            raise InputError(f"{self.path}: field {name} is no number above 0; make the file again")
        return float(value)


@contextlib.contextmanager
def open_npz(path: str | Path, *, make: str, layout: str) -> Iterator[NpzFields]:
    """Open an .npz to read fields from it, and close it when the block ends.

    make: what to do where there is no such file; layout: what to do where its fields are not as they should be; both end a
    sentence. Raises InputError where the file is missing or no .npz.
    """
    path = Path(path)
    try:
        archive = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {make}") from None
    except _DAMAGE as error:
        raise InputError(f"{path}: not a readable .npz file ({_one_line(error)}); make or copy it again") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError(f"{path}: holds one array, not the fields of an .npz file; {layout}")
    with archive:
        yield NpzFields(path, archive, layout)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
