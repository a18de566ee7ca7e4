"""How pixels become what a model reads. A value that travels with the weights, not a habit."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from common.geometry import box
from common.geometry.camera import denormalise_picture, normalise_picture

FOCAL = 1.0
"""The focal length that is assumed of a camera, in larger sides of its picture: a field of view of 53 degrees."""


@dataclass(frozen=True)
class Normaliser:
    """How 2D goes into a model, and what its output stands for.

    kind: "picture" (x in -1..1 over the width, aspect kept; the published weights), "box" (the person's box in the
    window, so that place and size in the picture carry no information; the in-the-wild weights) or "pixels" (left as
    they are). in_channels: 2, or 3 with the detector's score as third channel (1 where the data has none). fps: the
    frame rate that the model was trained on. height: poses come out in metres of a person this tall
    (`skeleton.body_height`), since no picture tells how tall a person is; None: true metres, of people like those of
    the training data.
    """

    kind: str = "picture"
    in_channels: int = 2
    fps: float = 50.0
    height: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or not isinstance(self.in_channels, int) or not isinstance(self.fps, Real):
            raise TypeError("a normaliser has a text for its kind, a whole number of channels, and frames per second")
        if self.kind not in ("picture", "box", "pixels") or self.in_channels not in (2, 3):
            raise ValueError(f"no normaliser of kind {self.kind!r} with {self.in_channels} channels")
        if not 0.01 <= self.fps <= 1000:
            raise ValueError(f"no normaliser for {self.fps} frames per second")
        if self.height is not None and not (isinstance(self.height, Real) and 0.1 <= self.height <= 10):
            raise ValueError("no normaliser for people whose height is not between 0.1 and 10 metres")

    @property
    def per_window(self) -> bool:
        """Whether `apply` depends on the window as a whole, so that windows must be cut first."""
        return self.kind == "box"

    def apply(self, pose_2d: np.ndarray, size: tuple[float, float]) -> np.ndarray:
        """Pixels, with or without score (..., F, J, 2 or 3), in a picture of `size` (width, height) -> (..., F, J,
        in_channels).

        float32. Of kind "box" (..., F, J) is one window each, see `box_of`: its centre becomes 0, its larger side 1,
        and joints that are not there (score 0) are put at 0.
        """
        score = pose_2d[..., 2:] if pose_2d.shape[-1] == 3 else np.ones_like(pose_2d[..., :1])  # (..., F, J, 1)
        xy = pose_2d[..., :2]
        if self.kind == "picture":
            xy = normalise_picture(xy, size)
        elif self.kind == "box":
            xy = box.in_box(_float64(np.concatenate([xy, score], axis=-1))).numpy()
        return (xy if self.in_channels == 2 else np.concatenate([xy, score], axis=-1)).astype(np.float32)

    def turn(
        self,
        pose_2d: np.ndarray,
        size: np.ndarray | tuple[float, float],
        focal: np.ndarray | float = FOCAL,
        center: np.ndarray | tuple[float, float] | None = None,
    ) -> np.ndarray:
        """The rotation from the axes of the model's poses to the camera's axes -> (..., 3, 3), for windows as `apply`
        takes them.

        Of kind "box" the model sees the person as if in the middle of the picture: its z axis is the line of sight to
        the box's centre. How far that is from the camera's axis, the focal length tells (in larger sides of the
        picture); most videos do not say theirs, and FOCAL is assumed. center: where the camera's axis meets the
        picture, pixels; None: in its middle. Other kinds, and windows without a person: no rotation.
        """
        if self.kind != "box":
            return np.broadcast_to(np.eye(3), (*pose_2d.shape[:-3], 3, 3))
        size = np.asarray(size, dtype=np.float64)  # (2,) or (..., 2)
        middle = size / 2 if center is None else center  # (2,) or (..., 2)
        pixels = size.max(axis=-1) * np.asarray(focal)  # () or (...)
        return box.turn_to_box(_float64(pose_2d), _float64(middle), _float64(pixels)).numpy()

    def invert(
        self, normalised: np.ndarray, size: tuple[int, int], person: tuple[np.ndarray, np.ndarray] | None = None
    ) -> np.ndarray:
        """The inverse of `apply`: (..., F, J, in_channels) -> pixels, and score where there is one, of the same shape.

        person: what `box_of` gave, for kind "box". Joints that were not there come back at the box's centre.
        """
        xy = normalised[..., :2]
        if self.kind == "picture":
            xy = denormalise_picture(xy, size)
        elif self.kind == "box":
            assert person is not None, "kind box is inverted with what box_of gave"
            centre, side = person
            xy = xy * np.where(side > 0, side, 1)[..., None, None, None] + centre[..., None, None, :]
        return np.concatenate([xy, normalised[..., 2:]], axis=-1).astype(np.float32)


def box_of(pose_2d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`common.geometry.box.box_of` of arrays, in float64."""
    centre, side = box.box_of(_float64(pose_2d))
    return centre.numpy(), side.numpy()


def _float64(values: ArrayLike) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float64))
