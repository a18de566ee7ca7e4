"""Reading numbers out of MATLAB files: version 5 with SciPy, version 7.3, which is HDF5, with h5py."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from common.data.npz import one_line
from common.errors import InputError
from common.files import require_file

Variable = np.ndarray | list[np.ndarray]

_HDF5 = b"\x89HDF\r\n\x1a\n", b"MATLAB 7.3"
"""What files of version 7.3 begin with, with and without MATLAB's own header."""
# What the two readers raise on files that are damaged or hold something else.
_DAMAGE = (
    OSError, ValueError, TypeError, KeyError, IndexError, EOFError, RuntimeError, AttributeError,
    OverflowError, MemoryError, MatReadError, struct.error, zlib.error,
)  # fmt: skip


def read_matlab(path: str | Path, names: Sequence[str]) -> dict[str, Variable]:
    """The variables `names` of a file, in MATLAB's order of axes; of a cell array the list of its cells.

    Raises InputError where the file or one of the variables is missing or damaged, or h5py is, where the file needs it.
    """
    path = Path(path)
    require_file(path, "copy it again")
    with path.open("rb") as file:
        newer = file.read(10).startswith(_HDF5)
    try:
        found = _read_hdf5(path, names) if newer else _read_version_5(path, names)
    except _DAMAGE as error:
        raise InputError(f"{path}: not a readable MATLAB file ({one_line(error)}); download it again") from error
    for name in names:
        if name not in found:
            raise InputError(f"{path}: variable {name} is missing; is it the right file?")
        several = found[name]
        for part in several if isinstance(several, list) else [several]:
            if not isinstance(part, np.ndarray) or part.dtype.kind not in "fiub":
                raise InputError(f"{path}: variable {name} does not hold numbers; is it the right file?")
    return found


def _read_version_5(path: Path, names: Sequence[str]) -> dict[str, Variable]:
    variables = loadmat(path, variable_names=list(names))
    return {
        name: list(value.ravel(order="F")) if value.dtype == object else value  # cells
        for name, value in variables.items()
        if name in names
    }


def _read_hdf5(path: Path, names: Sequence[str]) -> dict[str, Variable]:
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path}: is a MATLAB file of version 7.3, which h5py reads; pip install h5py") from error
    with h5py.File(path, "r") as file:
        return {name: _hdf5_variable(file, file[name]) for name in names if name in file}


def _hdf5_variable(file: Any, dataset: Any) -> Variable:
    """HDF5 has the axes the other way round; cells are references to data sets."""
    values = dataset[()]
    if values.dtype == object:
        return [file[reference][()].T for reference in values.T.ravel(order="F")]
    return values.T
