"""From the joints of 2D detectors to the 17 of Human3.6M that the models read: one table per layout, made from the
names of its joints.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import InputError
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

EARS_UP = 0.61
"""Between the ears lies this share of the way from the middle of the shoulders to the crown."""
EYES_UP = 0.18
"""The eyes are over the nose by this share of the way from the middle of the shoulders to the ears."""
GUESSED = 0.5
"""The score of a point that was not found and is guessed from others, in shares of theirs."""

_COCO = (
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
    "right elbow",
    "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
)  # fmt: skip
"""The points that the 17 are made of. Joints of other names may be among those of a layout, and are not used, but for
the head, which is the crown.
"""
_FEET = ("left big toe", "left small toe", "left heel", "right big toe", "right small toe", "right heel")
_RIGHT_ARM, _LEFT_ARM = (
    tuple(f"{side} {part}" for part in ("shoulder", "elbow", "wrist")) for side in ("right", "left")
)
_RIGHT_LEG, _LEFT_LEG = (tuple(f"{side} {part}" for part in ("hip", "knee", "ankle")) for side in ("right", "left"))
_FACE_OF_OPENPOSE = ("right eye", "left eye", "right ear", "left ear")
_HALPE = (
    *_COCO, "head", "neck", "pelvis", "left big toe", "right big toe", "left small toe", "right small toe",
    "left heel", "right heel",
)  # fmt: skip
_BLAZEPOSE = (
    "nose", "left inner eye", "left eye", "left outer eye", "right inner eye", "right eye", "right outer eye",
    "left ear", "right ear", "left mouth", "right mouth", "left shoulder", "right shoulder", "left elbow",
    "right elbow", "left wrist", "right wrist", "left pinky", "right pinky", "left index", "right index", "left thumb",
    "right thumb", "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle", "left heel",
    "right heel", "left toe", "right toe",
)  # fmt: skip

Parts = tuple[tuple[int, float], ...]
"""A weighted sum: (source joint, weight) pairs."""


@dataclass(frozen=True)
class Conversion:
    """A table from the `sources` joints of one kind of detector to the 17: each is a weighted sum of source joints.

    parts: per joint, (source joint, weight) pairs; the weights of a joint sum to 1, and those of extrapolated joints
    may be below 0. guesses: in this order, source joints that are guessed from others where they were not found, with
    such pairs; sources from `sources` on are points that the layout does not have.

    The score of a joint is the mean of its sources' scores, weighted by how much each weighs in the sum: so an error of
    a source passes on, and the models take the score for a measure of the error. The minimum would mark the hip and
    head of everybody who is seen from the side, for the ear and hip that are hidden, though both are well known from
    the others. But where one of the sources was not found (score 0) and cannot be guessed, its pixels mean nothing, and
    the joint is not found either.
    """

    name: str
    sources: int
    parts: tuple[Parts, ...]
    guesses: tuple[tuple[int, Parts], ...] = ()

    @property
    def points(self) -> int:
        """How many points the weights are of: the sources, and those that the layout does not have."""
        joints = [joint for joint, _ in self.guesses] + [joint for parts in self.parts for joint, _ in parts]
        return max(self.sources, *(joint + 1 for joint in joints))

    @property
    def matrix(self) -> np.ndarray:
        """The weights as (17, points)."""
        matrix = np.zeros((len(self.parts), self.points))
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
    points = _guessed(points, table)  # (..., K, 3)
    matrix = table.matrix  # (17, K)
    share = np.abs(matrix) / np.abs(matrix).sum(axis=1, keepdims=True)
    score = np.maximum(points[..., 2], 0)  # (..., K)
    lost = (score == 0) @ (matrix != 0).T  # (..., 17)
    combined = np.where(lost, 0, score @ share.T)
    return np.concatenate([matrix @ points[..., :2], combined[..., None]], axis=-1).astype(np.float32)


def _guessed(points: np.ndarray, table: Conversion) -> np.ndarray:
    """Points (..., table.sources, 3) -> (..., table.points, 3), with those that were not found where others say."""
    missing = np.zeros((*points.shape[:-2], table.points - table.sources, 3))
    points = np.concatenate([points, missing], axis=-2, dtype=np.float64)  # (..., K, 3)
    for joint, parts in table.guesses:
        sources = points[..., [source for source, _ in parts], :]  # (..., S, 3)
        weights = np.array([weight for _, weight in parts])  # (S,)
        use = (points[..., joint, 2] <= 0) & (sources[..., 2] > 0).all(axis=-1)  # (...)
        guess = np.concatenate([weights @ sources[..., :2], GUESSED * sources[..., 2].min(-1, keepdims=True)], axis=-1)
        points[..., joint, :] = np.where(use[..., None], guess, points[..., joint, :])
    return points


def _table(name: str, joints: Sequence[str]) -> Conversion:
    """The table of a layout whose joints have these names, in order; of those in _COCO that it has not, only points of
    the head are guessed, and what is made of others is not found.
    """
    names = list(dict.fromkeys([*joints, *_COCO, "head"]))
    number = {part: names.index(part) for part in (*_COCO, "head")}
    point = {part: np.eye(len(names))[index] for part, index in number.items()}  # (K,) weights each

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
    # Of the head, detectors see but one side, or the back. What is guessed is the same for both sides.
    both = [(side, other) for side, other in (("left", "right"), ("right", "left"))]
    guesses = [(f"{side} {part}", point[f"{other} {part}"]) for part in ("ear", "eye") for side, other in both]
    crown = [middle("shoulder") + EARS_UP * (point["head"] - middle("shoulder"))] if "head" in joints else []
    for ear in (*crown, middle("eye"), point["nose"]):
        guesses += [(f"{side} ear", ear) for side, _ in both]
    guesses.append(("nose", middle("ear")))
    guesses += [(f"{side} eye", point["nose"] + EYES_UP * neck) for side, _ in both]
    return Conversion(
        name,
        len(joints),
        tuple(_parts(rows[joint]) for joint in H36M.names),
        tuple((number[part], _parts(weights)) for part, weights in guesses),
    )


def _parts(weights: np.ndarray) -> Parts:
    return tuple((int(source), float(weights[source])) for source in np.flatnonzero(weights))


COCO_17 = _table("COCO_17", _COCO)
"""The 17 keypoints of COCO, as YOLO, HRNet, RTMPose, ViTPose and others give them."""
BLAZEPOSE_33 = _table("BLAZEPOSE_33", _BLAZEPOSE)
"""The 33 points of MediaPipe's pose landmark models."""
LAYOUTS = {
    "coco-17": COCO_17,
    "coco-18": _table(
        "COCO_18", ("nose", "neck", *_RIGHT_ARM, *_LEFT_ARM, *_RIGHT_LEG, *_LEFT_LEG, *_FACE_OF_OPENPOSE)
    ),
    "coco-133": _table("COCO_133", (*_COCO, *(f"point {number}" for number in range(17, 133)))),
    "body-25": _table(
        "BODY_25",
        ("nose", "neck", *_RIGHT_ARM, *_LEFT_ARM, "pelvis", *_RIGHT_LEG, *_LEFT_LEG, *_FACE_OF_OPENPOSE, *_FEET),
    ),
    "halpe-26": _table("HALPE_26", _HALPE),
    "halpe-136": _table("HALPE_136", (*_HALPE, *(f"point {number}" for number in range(26, 136)))),
    "blazepose-33": BLAZEPOSE_33,
    "mpii-16": _table(
        "MPII_16",
        (*_RIGHT_LEG[::-1], *_LEFT_LEG, "pelvis", "thorax", "neck", "head", *_RIGHT_ARM[::-1], *_LEFT_ARM),
    ),
    "h36m-17": Conversion("H36M_17", H36M.joints, tuple(((joint, 1.0),) for joint in range(H36M.joints))),
}
"""The layouts of files of keypoints, by the names that --layout takes. The first of each number of joints is the one
that a file of so many has, if it does not say so itself.
"""

_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
_MEANINGS = {"foot": "ankle", "hand": "wrist", "headtop": "head", "tophead": "head", "crown": "head", "vertex": "head"}


def layout_of(joints: int) -> Conversion | None:
    """The first layout of so many joints; None: there is none."""
    return next((table for table in LAYOUTS.values() if table.sources == joints), None)


def layout_of_names(names: Sequence[str], where: str) -> Conversion:
    """The table for joints that somebody named: LHip, left_hip, "hip L" and such are one.

    Joints that are not known are not used, and those that are not there are not found. Raises InputError, whose
    sentence begins with `where`, where hips or shoulders are missing, or two names are of one joint.
    """
    joints = [_meaning(name) for name in names]
    known = [joint for joint in joints if joint in (*_COCO, "head")]
    advice = "call the joints left_hip, right_knee and so on"
    for joint in known:
        if known.count(joint) > 1:
            raise InputError(f"{where}: names {joint} twice; {advice}")
    missing = [joint for joint in _COCO if joint.endswith(("hip", "shoulder")) and joint not in known]
    if missing:
        raise InputError(f"{where}: names no {' and no '.join(missing)}; {advice}")
    return _table("names of its own", [joint or f"unknown {number}" for number, joint in enumerate(joints)])


def _meaning(name: str) -> str:
    """The joint that is meant by a name, in the words of _COCO; "" where that is not known."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)]
    side = [_SIDES[word] for word in words if word in _SIDES]
    part = "".join(word for word in words if word not in _SIDES)
    paired = {joint.split()[-1] for joint in _COCO} - {"nose"}
    if not side and part[:1] in _SIDES and _MEANINGS.get(part[1:], part[1:]) in paired:  # rhip
        side, part = [_SIDES[part[0]]], part[1:]
    part = _MEANINGS.get(part, part)
    if len(side) == 1 and part in paired:
        return f"{side[0]} {part}"
    return part if not side and part in ("nose", "head") else ""
