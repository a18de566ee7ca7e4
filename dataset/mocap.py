"""What the readers of motion capture files share: text into numbers, angles into rotations, one frame rate into
another."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from common.data.npz import one_line
from common.errors import InputError
from common.files import require_file

ADVICE = "give a file that is there"
LARGEST = 1e7
"""No length, in units of any file, and no angle is further from zero."""


def rotation(axis: str, degrees: np.ndarray) -> np.ndarray:
    """Rotations about "x", "y" or "z" by angles (...) in degrees -> matrices (..., 3, 3)."""
    angle = np.radians(np.asarray(degrees, dtype=np.float64))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., range(3), range(3)] = 1
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., second, first] = np.sin(angle)
    matrix[..., first, second] = -np.sin(angle)
    return matrix


def chain(axes: str, degrees: ArrayLike) -> np.ndarray:
    """The product R_axes[0] R_axes[1] ... of rotations by angles (..., len(axes)) in degrees -> (..., 3, 3).

    The last axis is applied to a point first: Euler angles about moving axes, as BVH lists its channels.
    """
    angles = np.asarray(degrees, dtype=np.float64)
    product = np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3))
    for i, axis in enumerate(axes):
        product = product @ rotation(axis, angles[..., i])
    return product


def resample(poses: np.ndarray, fps: float, target_fps: float) -> np.ndarray:
    """(T, ...) at `fps` -> (T', ...) at `target_fps`, first frame to last, by the not-a-knot cubic spline through
    the frames."""
    last = len(poses) - 1
    if last == 0 or fps == target_fps:
        return poses
    time = np.arange(int(last / fps * target_fps + 1e-6) + 1) * (fps / target_fps)  # (T',) in frames of the source
    left = np.minimum(time.astype(int), last - 1)
    b = (time - left).reshape(-1, *[1] * (poses.ndim - 1))  # (T', 1, ...), how far on the way to the frame after
    a = 1 - b
    bend = second_derivatives(poses)
    return a * poses[left] + b * poses[left + 1] + ((a**3 - a) * bend[left] + (b**3 - b) * bend[left + 1]) / 6


def second_derivatives(values: np.ndarray) -> np.ndarray:
    """The second derivatives, per frame squared, of the not-a-knot cubic spline at its frames: (T, ...) -> (T, ...)."""
    bend = np.zeros_like(values)
    last = len(values) - 1
    if last < 2:
        return bend
    # bend[i-1] + 4 bend[i] + bend[i+1] = right[i] within; not-a-knot, bend[0] = 2 bend[1] - bend[2], leaves 6
    # bend[1] = right[1].
    right = 6 * (values[2:] - 2 * values[1:-1] + values[:-2])
    bend[1], bend[-2] = right[0] / 6, right[-1] / 6
    pivot = np.zeros(last)  # Gauss: down from frame 2, then up again
    for i in range(2, last - 1):
        pivot[i] = 1 / (4 - pivot[i - 1])
        bend[i] = (right[i - 1] - bend[i - 1]) * pivot[i]
    for i in range(last - 2, 1, -1):
        bend[i] -= pivot[i] * bend[i + 1]
    bend[0] = 2 * bend[1] - bend[2]
    bend[-1] = 2 * bend[-2] - bend[-3]
    return bend


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
