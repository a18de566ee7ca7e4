"""From the joints of 2D detectors to the 17 of Human3.6M that the models read: one table per kind of detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.geometry.skeleton import H36M

# Where the 17 joints are among the points that detectors know. Those of Human3.6M, and of the motion that the models
# were trained on
# (`common.wild.BONES`), are no marks on the skin: their hips are higher and further apart and their shoulders nearer
# together than
# what detectors call so, and from the shoulders to the crown it is 25 cm where people have over 30. A model that is
# given other
# proportions explains them by limbs that point towards the camera. So the numbers below bring people who stand or walk
# upright,
# seen by a detector, to the proportions of BONES; neck and head become shorter than they look, and Head is at the
# hairline.
HIPS_UP = 0.1
"""The hips lie so far up the way from the detector's hips to its shoulders."""
HIPS_APART, SHOULDERS_APART = 1.1, 0.9
"""How far apart they are, in the detector's distances."""
SPINE = 0.24 / (0.24 + 0.253)
"""The share of the way from Hip to Thorax: the lengths of the two bones."""
THORAX_UP = 0.05
"""Over the middle of the shoulders, in lengths of the trunk."""
NECK, FACE = 0.62, 0.3
"""Neck/Nose is this share of the way from the middle of the shoulders to a point in the head, which is so far from
between the ears to the tip of the nose.
"""
HEAD_ON_NECK, HEAD_ON_FACE = 0.4, 0.8
"""Head is up from Neck/Nose: along the neck (shoulders to ears) and along the face (nose to eyes), so that it nods."""

_COCO = (
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
    "right elbow",
    "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
)  # fmt: skip
_BLAZEPOSE = {
    "nose": 0, "left eye": 2, "right eye": 5, "left ear": 7, "right ear": 8, "left shoulder": 11, "right shoulder": 12,
    "left elbow": 13, "right elbow": 14, "left wrist": 15, "right wrist": 16, "left hip": 23, "right hip": 24,
    "left knee": 25,
    "right knee": 26, "left ankle": 27, "right ankle": 28,
}  # fmt: skip


@dataclass(frozen=True)
class Conversion:
    """A table from the `sources` joints of one kind of detector to the 17: each is a weighted sum of source joints.

    parts: per joint, (source joint, weight) pairs; the weights of a joint sum to 1, and those of extrapolated joints
    may be below 0.

    The score of a joint is the mean of its sources' scores, weighted by how much each weighs in the sum: so an error of
    a source passes on, and the models take the score for a measure of the error. The minimum would mark the hip and
    head of everybody who is seen from the side, for the ear and hip that are hidden, though both are well known from
    the others. But where one of the sources was not found (score 0) its pixels mean nothing, and the joint is not found
    either.
    """

    name: str
    sources: int
    parts: tuple[tuple[tuple[int, float], ...], ...]

    @property
    def matrix(self) -> np.ndarray:
        """The weights as (17, sources)."""
        matrix = np.zeros((len(self.parts), self.sources))
        for joint, parts in enumerate(self.parts):
            for source, weight in parts:
                matrix[joint, source] += weight
        return matrix


def convert(points: np.ndarray, table: Conversion) -> np.ndarray:
    """Pixels and score of a detector's joints (..., table.sources, 3) -> of the 17 (..., 17, 3), float32.

    Raises ValueError where the points are not those of the table.
    """
    if points.shape[-2:] != (table.sources, 3):
        raise ValueError(f"points of shape {points.shape} are not (..., {table.sources}, 3), as {table.name} has them")
    matrix = table.matrix  # (17, J)
    share = np.abs(matrix) / np.abs(matrix).sum(axis=1, keepdims=True)
    score = np.maximum(points[..., 2], 0)  # (..., J)
    lost = (score == 0) @ (matrix != 0).T  # (..., 17)
    combined = np.where(lost, 0, score @ share.T)
    return np.concatenate([matrix @ points[..., :2], combined[..., None]], axis=-1).astype(np.float32)


def _table(name: str, sources: int, index: Mapping[str, int]) -> Conversion:
    """The table of a detector that has the points named in _COCO, each at its `index` among all its `sources`
    joints.
    """
    point = {part: np.eye(sources)[number] for part, number in index.items()}  # (J,) weights each

    def middle(part: str) -> np.ndarray:
        return (point[f"left {part}"] + point[f"right {part}"]) / 2

    trunk = middle("shoulder") - middle("hip")
    neck, face = middle("ear") - middle("shoulder"), point["nose"] - middle("ear")
    hip, thorax = middle("hip") + HIPS_UP * trunk, middle("shoulder") + THORAX_UP * trunk
    nose = middle("shoulder") + NECK * (neck + FACE * face)
    rows = {
        "Hip": hip,
        "Spine": hip + SPINE * (thorax - hip),
        "Thorax": thorax,
        "Neck/Nose": nose,
        "Head": nose + HEAD_ON_NECK * neck + HEAD_ON_FACE * (middle("eye") - point["nose"]),
    }
    for letter, side in (("L", "left"), ("R", "right")):
        rows[f"{letter}Hip"] = hip + HIPS_APART * (point[f"{side} hip"] - middle("hip"))
        rows[f"{letter}Shoulder"] = middle("shoulder") + SHOULDERS_APART * (
            point[f"{side} shoulder"] - middle("shoulder")
        )
        for joint, part in (("Knee", "knee"), ("Foot", "ankle"), ("Elbow", "elbow"), ("Wrist", "wrist")):
            rows[letter + joint] = point[f"{side} {part}"]
    parts = [
        tuple((int(source), float(rows[joint][source])) for source in np.flatnonzero(rows[joint]))
        for joint in H36M.names
    ]
    return Conversion(name, sources, tuple(parts))


COCO_17 = _table("COCO_17", 17, {part: number for number, part in enumerate(_COCO)})
"""The 17 keypoints of COCO, as YOLO, HRNet, RTMPose, ViTPose and others give them."""
BLAZEPOSE_33 = _table("BLAZEPOSE_33", 33, _BLAZEPOSE)
"""The 33 points of MediaPipe's pose landmark models."""
