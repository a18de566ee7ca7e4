"""Changes to a clip that leave it a possible clip. Pure; its own inverse."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def flip(pose: Tensor, mirrored: Sequence[int]) -> Tensor:
    """Mirror poses (..., J, axes) left to right: x is negated and the person's sides are swapped (`Skeleton.mirrored`).

    Works on normalised 2D and on 3D in camera space alike; further axes (y, z, score) stay.
    """
    pose = pose[..., list(mirrored), :]  # (..., J, axes), a copy
    pose[..., 0] = -pose[..., 0]
    return pose


# (flipped, reversed) versions of every window that one epoch shows, by (--data_augmentation, --reverse_augmentation).
VERSIONS = {
    (False, False): ((False, False),),
    (True, False): ((False, False), (True, False)),
    (False, True): ((False, False), (False, True)),
    (True, True): ((False, False), (False, True), (True, True)),
}
