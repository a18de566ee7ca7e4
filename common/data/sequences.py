"""What every reader returns: one person, one clip, one camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.errors import InputError


@dataclass(frozen=True)
class PoseSequence:
    """A clip of L frames as one camera saw it.

    pose_2d: (L, J, 2) pixels, or (L, J, 3) pixels and detector score 0..1. pose_3d: (L, J, 3) metres, camera space (x
    right, y down, z forward), float32. size: the picture's (width, height) in pixels. fps: frames per second. valid:
    (L,) bool, which frames a test scores; None: all.
    """

    subject: str
    action: str
    camera: str
    pose_2d: np.ndarray
    pose_3d: np.ndarray
    size: tuple[float, float]
    fps: float = 50.0
    valid: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pose_3d)


def check_finite(name: str, values: np.ndarray, most: float) -> None:
    """Raise InputError, naming the first bad frame and joint, where `values` (L, J, axes) holds NaN, infinity or more
    than `most`.
    """
    if not (-most <= float(values.min()) and float(values.max()) <= most):  # NaN is neither
        frame, joint, axis = np.argwhere(~(np.abs(values.astype(np.float64)) <= most))[0]
        value = values[frame, joint, axis]
        what = f"{value:g}, further from zero than {most:g}" if np.isfinite(value) else "not a finite number"
        raise InputError(f"{name}: frame {frame}, joint {joint} is {what}; repair or leave out this sequence")
