"""Several calibrated cameras that see one person: who is who, where the joints are, and how far poses of single views
disagree.

Views (V), frames (F) and 17 joints (J); pixels x right, y down, with a score; metres. Pure functions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from common.errors import InputError
from common.evaluation.metrics import n_mpjpe, p_mpjpe
from common.geometry.camera import Camera, project, rotate, unproject, world_to_camera
from common.geometry.skeleton import body_height

SUBPIXELS = 64
"""Qualisys writes pixels in parts of 64."""
AGREE = 0.03
"""Lines of sight that pass a point by much more than this, metres, count little for it."""
ROUNDS = 20
"""Of the weighting by AGREE; the points move by less than a millimetre long before."""


# ---- calibration ----


def read_qualisys(path: str | Path) -> list[Camera]:
    """The active cameras of a calibration file of Qualisys (.qca.txt, XML), in metres, world with z up.

    Raises InputError where the file is missing or is no such calibration.
    """
    advice = "give a Qualisys calibration file"
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {advice}") from error
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: is no XML ({error}); {advice}") from error
    try:
        cameras = [
            _qualisys_camera(element) for element in root.iterfind("./cameras/camera") if element.get("active") == "1"
        ]
    except (AttributeError, KeyError, ValueError) as error:
        raise InputError(f"{path}: a camera lacks a number that it must have ({error}); {advice}") from error
    if not cameras:
        raise InputError(f"{path}: holds no active camera; {advice}")
    return cameras


def _qualisys_camera(element: ElementTree.Element) -> Camera:
    lens, place, video = (element.find(name).attrib for name in ("intrinsic", "transform", "fov_video"))

    def pixels(name: str) -> tuple[float, float]:
        return float(lens[f"{name}U"]) / SUBPIXELS, float(lens[f"{name}V"]) / SUBPIXELS

    rows = np.array([[float(place[f"r{row}{column}"]) for column in (1, 2, 3)] for row in (1, 2, 3)])
    # The rows are the camera's axes in the world: right, up and back; here they are right, down and forward.
    x, y, z, w = Rotation.from_matrix((rows * [[1], [-1], [-1]]).T).as_quat()
    return Camera(
        name=element.attrib["serial"],
        size=(int(video["right"]) - int(video["left"]) + 1, int(video["bottom"]) - int(video["top"]) + 1),
        focal=pixels("focalLength"),
        center=pixels("centerPoint"),
        radial=tuple(float(lens[f"radialDistortion{power}"]) for power in (1, 2, 3)),
        orientation=(w, x, y, z),
        translation=tuple(float(place[axis]) / 1000 for axis in "xyz"),
    )


# ---- points in space ----


def lines_of_sight(pixels: np.ndarray, cameras: Sequence[Camera]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (V, ..., 2) of each camera -> where the lines begin (V, 3) and their unit directions (V, ..., 3),
    world.
    """
    start = np.array([camera.translation for camera in cameras])
    rays = [unproject(seen, np.ones(seen.shape[:-1]), camera) for seen, camera in zip(pixels, cameras, strict=True)]
    along = np.stack([rotate(camera.orientation, ray) for camera, ray in zip(cameras, rays, strict=True)])
    return start, along / np.linalg.norm(along, axis=-1, keepdims=True)


def triangulate(pose_2d: np.ndarray, cameras: Sequence[Camera], robust: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The points nearest to the lines of sight: (V, ..., 3) pixels and score -> points (..., 3) metres, world, and
    misses (V, ...).

    The squares of the misses, how far a line passes by the point (metres), are weighted by the score; robust: and less
    where a line misses by more than AGREE, so that one view that is wrong does not count (Cauchy). NaN where fewer than
    two views have a score.
    """
    start, along = lines_of_sight(pose_2d[..., :2], cameras)
    score = np.maximum(pose_2d[..., 2], 0).astype(np.float64)  # (V, ...)
    across = np.eye(3) - along[..., :, None] * along[..., None, :]  # (V, ..., 3, 3): takes out what is along the line
    begin = start.reshape(len(start), *[1] * (along.ndim - 2), 3)  # (V, 1 ..., 3)
    offset = (across @ np.broadcast_to(begin, along.shape)[..., None])[..., 0]  # (V, ..., 3)
    known = (score > 0).sum(axis=0) >= 2  # (...)
    weight = score
    for _ in range(ROUNDS if robust else 1):
        normal = (weight[..., None, None] * across).sum(axis=0)  # (..., 3, 3)
        normal = np.where(known[..., None, None], normal, np.eye(3))
        point = np.linalg.solve(normal, (weight[..., None] * offset).sum(axis=0)[..., None])[..., 0]  # (..., 3)
        miss = np.linalg.norm((across @ (point - begin)[..., None])[..., 0], axis=-1)  # (V, ...)
        weight = score / (1 + (miss / AGREE) ** 2)
    return np.where(known[..., None], point, np.nan), np.where(known, miss, np.nan)


def reprojection_error(points: np.ndarray, pose_2d: np.ndarray, cameras: Sequence[Camera]) -> np.ndarray:
    """How far the 2D (V, ..., 3) is from where the cameras see the points (..., 3), world -> (V, ...) pixels."""
    seen = np.stack([project(world_to_camera(points, camera), camera) for camera in cameras])
    return np.linalg.norm(seen - pose_2d[..., :2], axis=-1)


def find_person(people: Sequence[np.ndarray], cameras: Sequence[Camera], least: int) -> tuple[int, ...]:
    """Who is the same person in all views: people of each view (P, F, 17, 3), pixels and score -> a number for each
    view.

    Of all choices that are in all views at once in `least` frames or more, the one whose lines of sight pass each other
    most nearly, in the worst of the views. Raises InputError where there is none.
    """
    best, nearest = None, math.inf
    for choice in itertools.product(*(range(len(view)) for view in people)):
        clip = np.stack([view[number] for view, number in zip(people, choice, strict=True)])  # (V, F, 17, 3)
        together = (clip[..., 2] > 0).any(axis=-1).all(axis=0)  # (F,)
        if together.sum() < least:
            continue
        miss = np.nanmedian(triangulate(clip[:, together], cameras, robust=False)[1], axis=(1, 2)).max()
        if miss < nearest:
            best, nearest = choice, miss
    if best is None:
        raise InputError(
            f"no person is in all {len(people)} views at once in {least} frames; use other films or another detector"
        )
    return best


# ---- poses ----


def of_height(pose: np.ndarray, height: float) -> np.ndarray:
    """Poses (F, 17, 3) scaled together, so that the person is `height` tall in the mean (`skeleton.body_height`); NaN
    is left out.
    """
    return pose * (height / np.nanmean(body_height(pose)))


def aligned_distance(pose: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean distance of the joints after the best similarity (rotation, translation, scale) of each moment: (..., J, 3)
    -> (...).

    The mean of moving the one onto the other and the other way, so that none of two poses of one size counts as the
    truth.
    """
    first, second = torch.from_numpy(np.asarray(pose, np.float64)), torch.from_numpy(np.asarray(other, np.float64))
    return ((p_mpjpe(first, second) + p_mpjpe(second, first)) / 2).numpy()


def scaled_distance(pose: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`aligned_distance` without a rotation: for poses in the same axes, the best translation and scale only."""
    first, second = (
        torch.from_numpy(np.asarray(part - part.mean(axis=-2, keepdims=True), np.float64)) for part in (pose, other)
    )
    return ((n_mpjpe(first, second) + n_mpjpe(second, first)) / 2).numpy()


def disagreement(poses: np.ndarray, measure: Callable = aligned_distance) -> dict[tuple[int, int], np.ndarray]:
    """The distances, by `measure`, between every pair of views: poses (V, F, 17, 3) metres -> (F',) by pair of views.

    F': the frames in which both views have a pose; NaN stands for none. A pair without such a frame is left out.
    """
    posed = np.isfinite(poses).all(axis=(2, 3))  # (V, F)
    pairs = itertools.combinations(range(len(poses)), 2)
    return {(a, b): measure(poses[a, both], poses[b, both]) for a, b in pairs if (both := posed[a] & posed[b]).any()}
