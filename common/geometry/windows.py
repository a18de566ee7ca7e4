"""Which frames make a window, and cutting it out with the edge frame repeated. Pure functions."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_Values = TypeVar("_Values", np.ndarray, "Tensor")


def window_bounds(length: int, frames: int, stride: int) -> np.ndarray:
    """First and last + 1 frame of every window over a sequence of `length` frames -> (N, 2) int64; may be outside
    0..length.

    Stride 1: one window around each frame. Any other stride: the fewest windows whose starts are `stride` apart and
    which, centred on the sequence, cover it.
    """
    if stride == 1:
        start = np.arange(length) - (frames - 1) // 2
    else:
        count = max(1, -(-(length - frames + stride) // stride))  # ceil((length - frames) / stride + 1)
        start = -(((count - 1) * stride + frames - length) // 2) + stride * np.arange(count)
    return np.stack([start, start + frames], axis=1)  # (N, 2)


def subsample(length: int, subset: float, downsample: int) -> slice:
    """The frames that `--subset` and `--downsample` take from a sequence: a run, of which every downsample-th stays.

    Where the run starts is drawn from a hash of the length, so that it is the same in every run and in VideoPose3D's
    tools.
    """
    count = round(length // downsample * subset) * downsample
    draw = int.from_bytes(hashlib.sha256(str(length).encode()).digest()[:4], "little") / (2**32 - 1)  # 0..1
    start = min(int(draw * (length - count + 1)), length - count)
    return slice(start, start + count, downsample)


def catmull_rom(t: _Values) -> tuple[_Values, _Values, _Values, _Values]:
    """The weights of four frames in a row at the share `t` (0..1) of the way from the second to the third, each of t's
    shape.

    A cubic that goes through every frame without a kink.
    """
    return (-t + 2 * t**2 - t**3) / 2, 1 - 2.5 * t**2 + 1.5 * t**3, (t + 4 * t**2 - 3 * t**3) / 2, (t**3 - t**2) / 2
