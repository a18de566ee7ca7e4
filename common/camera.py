"""Pure geometry between world, camera and picture. Points are (..., 3) metres; every transform has its inverse beside it.

Camera space: x right, y down, z forward. Picture space: pixels, x right, y down, origin in the upper left corner.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A camera: intrinsics in pixels, lens distortion, and where it stands in the world (quaternion w x y z, metres)."""

    name: str
    size: tuple[int, int]
    focal: tuple[float, float]
    center: tuple[float, float]
    radial: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tangential: tuple[float, float] = (0.0, 0.0)
    orientation: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)


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

    The polynomial of the lens holds within 45 degrees of the axis only: rays further out are held at that border, as the
    Human3.6M tools of the field do.
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


def normalise_picture(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels (..., 2) -> x in -1..1 over the width w, y by the same scale: (x/w*2 - 1, y/w*2 - h/w)."""
    width, height = size
    return pixels / width * 2 - np.array([1, height / width])


def denormalise_picture(normalised: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The inverse of `normalise_picture`: (..., 2) -> pixels."""
    width, height = size
    return (normalised + np.array([1, height / width])) * width / 2
