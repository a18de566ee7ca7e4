"""Pure geometry between world, camera and picture. Points are (..., 3) metres; every transform has its inverse beside
it.

Camera space: x right, y down, z forward. Picture space: pixels, x right, y down, origin in the upper left corner.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.errors import InputError

FIELD_OF_VIEW = (10.0, 150.0)
"""Degrees over the larger side of the picture: no camera that people are filmed with sees less or, without bent lines,
more.
"""
SAME_SHAPE = 0.01
"""Pictures whose sides differ by no more than this share, after scaling, are of one shape."""
SQUARE = 0.05
"""Focal lengths along x and y that differ by more than this share are of no camera with square pixels."""


@dataclass(frozen=True)
class Camera:
    """A camera: intrinsics in pixels, lens distortion, and where it stands in the world (quaternion w x y z,
    metres).
    """

    name: str
    size: tuple[float, float]
    focal: tuple[float, float]
    center: tuple[float, float]
    radial: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tangential: tuple[float, float] = (0.0, 0.0)
    orientation: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)


def camera_of_view(fov: float, size: tuple[float, float]) -> Camera:
    """A camera without distortion that sees `fov` degrees over the larger side of pictures of `size` (width, height)
    pixels.

    Its axis meets the middle of the picture. Raises InputError where `fov` is no number within FIELD_OF_VIEW.
    """
    low, high = FIELD_OF_VIEW
    if not (
        isinstance(fov, int | float | np.integer | np.floating) and not isinstance(fov, bool) and low <= fov <= high
    ):
        raise InputError(
            f"the field of view is {fov!r}; it must be degrees over the picture's larger side, {low:g} to {high:g}"
        )
    focal = max(size) / 2 / math.tan(math.radians(fov) / 2)
    return Camera("", size, (focal, focal), (size[0] / 2, size[1] / 2))


def view_of_camera(camera: Camera) -> float:
    """How many degrees a camera sees over the larger side of its picture: the inverse of `camera_of_view`."""
    return math.degrees(2 * math.atan(max(camera.size) / 2 / camera.focal[int(camera.size[1] > camera.size[0])]))


def camera_for(camera: Camera, size: tuple[float, float]) -> Camera:
    """The same camera with pictures of another `size` (width, height) in pixels.

    Raises InputError where that is no picture of this camera made larger or smaller, or the camera cannot be one: its
    field of view is not within FIELD_OF_VIEW, its pixels are not square, or its axis does not meet the picture.
    """
    scale = size[0] / camera.size[0], size[1] / camera.size[1]
    name = f"camera {camera.name}" if camera.name else "the camera"
    if abs(scale[0] / scale[1] - 1) > SAME_SHAPE:
        have, want = (" x ".join(f"{side:g}" for side in sides) for sides in (camera.size, size))
        raise InputError(
            f"{name} has pictures of {have} pixels, these are of {want}, of another shape; give the camera that they "
            "are of"
        )
    if not (min(camera.focal) > 0 and max(camera.focal) <= (1 + SQUARE) * min(camera.focal)):
        raise InputError(
            f"{name} has focal lengths of {camera.focal[0]:g} and {camera.focal[1]:g} pixels; they must be about the "
            "same"
        )
    if not all(0 <= middle <= side for middle, side in zip(camera.center, camera.size, strict=True)):
        raise InputError(
            f"{name} has its centre at {camera.center[0]:g}, {camera.center[1]:g}, outside its picture; correct the "
            "file"
        )
    low, high = FIELD_OF_VIEW
    if not low <= view_of_camera(camera) <= high:
        raise InputError(
            f"{name} sees {view_of_camera(camera):.3g} degrees; its field of view must be {low:g} to {high:g} degrees"
        )
    focal, center = ((pair[0] * scale[0], pair[1] * scale[1]) for pair in (camera.focal, camera.center))
    return replace(camera, size=(size[0], size[1]), focal=focal, center=center)


@functools.cache
def h36m_cameras(subject: str) -> tuple[Camera, ...]:
    """The four real Human3.6M cameras as they stood for `subject` ("S1", "S5" ... "S11"); KeyError for any other."""
    data = json.loads((Path(__file__).parent / "h36m_cameras.json").read_text())
    return tuple(
        Camera(
            name=lens["id"],
            size=(lens["res_w"], lens["res_h"]),
            focal=tuple(lens["focal_length"]),
            center=tuple(lens["center"]),
            radial=tuple(lens["radial_distortion"]),
            tangential=tuple(lens["tangential_distortion"]),
            orientation=tuple(view["orientation"]),
            translation=tuple(value / 1000 for value in view["translation"]),  # the file holds millimetres
        )
        for lens, view in zip(data["intrinsics"], data["extrinsics"][subject], strict=True)
    )


def rotate(orientation: np.ndarray | tuple[float, ...], points: np.ndarray) -> np.ndarray:
    """Rotate points (..., 3) by the unit quaternion (w, x, y, z)."""
    w, axis = orientation[0], np.asarray(orientation[1:], dtype=np.float64)
    cross = np.cross(axis, points)
    return points + 2 * (w * cross + np.cross(axis, cross))


def conjugate(orientation: np.ndarray | tuple[float, ...]) -> tuple[float, ...]:
    """The inverse rotation of a unit quaternion (w, x, y, z)."""
    w, x, y, z = orientation
    return (w, -x, -y, -z)


def world_to_camera(points: np.ndarray, camera: Camera) -> np.ndarray:
    """World (..., 3) -> camera space (..., 3), metres, float64."""
    return rotate(conjugate(camera.orientation), np.asarray(points, dtype=np.float64) - camera.translation)


def camera_to_world(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Camera space (..., 3) -> world (..., 3), metres, float64: the inverse of `world_to_camera`."""
    return rotate(camera.orientation, np.asarray(points, dtype=np.float64)) + camera.translation


def project(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Camera space (..., 3) metres -> pixels (..., 2), with radial and tangential distortion.

    The polynomial of the lens holds within 45 degrees of the axis only: rays further out are held at that border, as
    the Human3.6M tools of the field do.
    """
    ray = np.clip(points[..., :2] / points[..., 2:], -1, 1)  # (..., 2)
    squared = (ray**2).sum(-1, keepdims=True)  # (..., 1)
    radial = 1 + sum(k * squared ** (power + 1) for power, k in enumerate(camera.radial))
    tangential = (ray * camera.tangential).sum(-1, keepdims=True)
    bent = ray * (radial + tangential) + np.asarray(camera.tangential) * squared
    return bent * camera.focal + camera.center


def unproject(pixels: np.ndarray, depth: np.ndarray, camera: Camera, iterations: int = 100) -> np.ndarray:
    """Pixels (..., 2) and depth (...) metres -> camera space (..., 3): the inverse of `project` within its 45 degrees.

    The distortion is undone by fixed-point iteration.
    """
    bent = (np.asarray(pixels, dtype=np.float64) - camera.center) / camera.focal
    ray = bent
    for _ in range(iterations):
        squared = (ray**2).sum(-1, keepdims=True)
        radial = 1 + sum(k * squared ** (power + 1) for power, k in enumerate(camera.radial))
        tangential = (ray * camera.tangential).sum(-1, keepdims=True)
        ray = (bent - np.asarray(camera.tangential) * squared) / (radial + tangential)
    depth = np.asarray(depth, dtype=np.float64)[..., None]  # (..., 1)
    return np.concatenate([ray * depth, depth], axis=-1)


def normalise_picture(pixels: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    """Pixels (..., 2) -> x in -1..1 over the width w, y by the same scale: (x/w*2 - 1, y/w*2 - h/w)."""
    width, height = size
    return pixels / width * 2 - np.array([1, height / width])


def denormalise_picture(normalised: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    """The inverse of `normalise_picture`: (..., 2) -> pixels."""
    width, height = size
    return (normalised + np.array([1, height / width])) * width / 2
