"""What the readers of motion capture files share: text into numbers, angles into rotations, one frame rate into
another."""

from __future__ import annotations

import codecs
import functools
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from common.data.npz import one_line
from common.errors import InputError
from common.files import require_file

ADVICE = "give a file that is there"
LARGEST = 1e7
"""No length, in units of any file, and no angle is further from zero."""
UNIT = dict(zip("xyz", np.eye(3), strict=True))


def chain(axes: str, degrees: ArrayLike) -> np.ndarray:
    """The product R_axes[0] R_axes[1] ... of rotations about "x", "y" and "z" by angles (n,) or (T, n) in degrees, n =
    len(axes) -> (3, 3) or (T, 3, 3).

    The last axis is applied to a point first: Euler angles about moving axes, as BVH lists its channels.
    """
    angles = np.asarray(degrees, dtype=np.float64)
    # One by one: files may name an axis twice in a row, or more than three, which SciPy's from_euler does not take.
    turns = [Rotation.from_rotvec(angles[..., i, None] * UNIT[axis], degrees=True) for i, axis in enumerate(axes)]
    return functools.reduce(np.matmul, [turn.as_matrix() for turn in turns])


def resample(poses: np.ndarray, fps: float, target_fps: float) -> np.ndarray:
    """(T, ...) at `fps` -> (T', ...) at `target_fps`, first frame to last, by the cubic spline through the frames."""
    last = len(poses) - 1
    if last == 0 or fps == target_fps:
        return poses
    frames = np.arange(int(last / fps * target_fps + 1e-6) + 1) * (fps / target_fps)  # (T',) in frames of the source
    return CubicSpline(np.arange(last + 1), poses)(frames)


def read_text(path: Path) -> str:
    """The text of a motion capture file, in whichever of the usual encodings. Raises InputError where it cannot be
    read."""
    require_file(path, ADVICE)
    try:
        data = path.read_bytes()
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = data.decode("utf-16")
        else:
            text = _utf8_or_latin1(data.removeprefix(codecs.BOM_UTF8))
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror if isinstance(error, OSError) else error}); {ADVICE}"
        ) from error
    return text.rstrip("\x00\x1a")  # how DOS ended files


def _utf8_or_latin1(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeError:
        return data.decode("latin-1")


def read_numbers(path: Path, field: str, words: object, count: int | None = None) -> np.ndarray:
    """Words, in a list or a table, as float64. Raises InputError where they are not all finite numbers, or not
    `count` of them."""
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{path}: {field} is not all numbers ({one_line(error)}); download the file again") from None
    if count is not None and values.shape != (count,):
        raise InputError(f"{path}: {field} is not {count} numbers; download the file again")
    if not (np.abs(values) <= LARGEST).all():  # NaN is not
        raise InputError(
            f"{path}: {field} holds a value that is not finite, or beyond {LARGEST:g}; repair or leave out this file"
        )
    return values
