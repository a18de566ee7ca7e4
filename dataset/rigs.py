"""The joints of common rigs in BVH files, by their names -> the 17 joints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import InputError
from dataset.bvh import BvhJoint, bvh_forward_kinematics, read_bvh_file
from dataset.mocap import chain

BVH_UNIT = 0.01
# From the head joint, in the axes of the skull (x left, y up, z forward), metres.
NOSE, CROWN = np.array([0.0, 0.04, 0.035]), np.array([0.0, 0.155, 0.01])
PREFIX = re.compile(r"^(.*:|mixamorig\d*_?|character\d+_)", re.IGNORECASE)
"""What some programs write before the names of joints."""


@dataclass(frozen=True)
class Rig:
    """Names of joints. limbs: right hip, knee, ankle, shoulder, elbow, wrist; the left ones have `left` for `right` in
    their names.

    spine: our joint 7 is the mean of these; none: half-way from the hips to the thorax along the joints between. skull:
    the axes of the skull against the head joint's, angles about z, x, y in degrees; None: as the rest pose has them.
    t_pose: the first frame is one, and no motion.
    """

    title: str
    limbs: tuple[str, str, str, str, str, str]
    neck: str
    head: str
    right: str = "Right"
    left: str = "Left"
    spine: tuple[str, ...] = ()
    skull: tuple[float, float, float] | None = None
    t_pose: bool = False

    @property
    def joints(self) -> dict[int, str]:
        """Our limb joints and their names."""
        left = (name.replace(self.right, self.left, 1) for name in self.limbs)
        return dict(zip((1, 2, 3, 14, 15, 16, 4, 5, 6, 11, 12, 13), (*self.limbs, *left), strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that a file of this rig has."""
        return (*self.joints.values(), *self.spine, self.neck, self.head)


ARM = ("RightArm", "RightForeArm", "RightHand")
RIGS = (
    Rig(
        "Daz", ("rThigh", "rShin", "rFoot", "rShldr", "rForeArm", "rHand"), "neck", "head", "r", "l",
        ("abdomen", "chest"),
        (-9.77, 34.18, 14.08), t_pose=True,  # fitted to CMU clips on these 17 joints
    ),
    Rig("Mixamo", ("RightUpLeg", "RightLeg", "RightFoot", *ARM), "Neck", "Head"),
    Rig("Rokoko", ("RightThigh", "RightShin", "RightFoot", *ARM), "Neck", "Head"),
    Rig("Xsens", ("RightHip", "RightKnee", "RightAnkle", "RightShoulder", "RightElbow", "RightWrist"), "Neck", "Head"),
    Rig("CMU", ("rfemur", "rtibia", "rfoot", "rhumerus", "rradius", "rwrist"), "upperneck", "head", "r", "l"),
)  # fmt: skip


def read_bvh(path: str | Path, unit: float = BVH_UNIT) -> tuple[np.ndarray, float]:
    """A BVH file of one of RIGS -> its 17 joints (T, 17, 3), metres, world with y up, and its frames per second.

    unit: metres in the file's unit of length. Raises InputError where the file is missing, damaged, or of no rig that
    is known.
    """
    path = Path(path)
    joints, values, fps = read_bvh_file(path)
    number = {PREFIX.sub("", joint.name).lower(): i for i, joint in enumerate(joints)}
    rig = _rig(path, number)
    values = values[1:] if rig.t_pose else values
    if len(values) == 0:
        raise InputError(f"{path}: holds no frame after the T-pose; leave it out")
    place, turn = bvh_forward_kinematics(joints, values)
    poses = np.empty((len(values), 17, 3))
    for joint, name in rig.joints.items():
        poses[:, joint] = place[number[name.lower()]] * unit
    neck, head = (place[number[name.lower()]] * unit for name in (rig.neck, rig.head))  # (T, 3)
    poses[:, 0] = (poses[:, 1] + poses[:, 4]) / 2
    poses[:, 8] = (neck + (poses[:, 11] + poses[:, 14]) / 2) / 2
    if rig.spine:
        poses[:, 7] = np.mean([place[number[name.lower()]] for name in rig.spine], axis=0) * unit
    else:
        trunk = _between(joints, number[rig.neck.lower()])
        poses[:, 7] = _half_way(np.stack([poses[:, 0], *(place[joint] * unit for joint in trunk), poses[:, 8]]))
    rest = _rest_axes(joints, rig, number)  # (3, 3)
    skull = turn[number[rig.head.lower()]] @ (rest if rig.skull is None else chain("zxy", rig.skull))  # (T, 3, 3)
    poses[:, 9] = head + skull @ NOSE
    poses[:, 10] = head + skull @ CROWN
    if abs(rest[2, 1]) > abs(rest[1, 1]):  # the rest pose stands along z
        poses = np.stack([poses[..., 0], poses[..., 2], -poses[..., 1]], axis=-1)  # (T, 17, 3)
    return poses, fps


def _rig(path: Path, names: dict[str, int]) -> Rig:
    """The rig whose joints a file has. Raises InputError, with the names that are missing, where there is none."""
    missing = {rig: [name for name in rig.names if name.lower() not in names] for rig in RIGS}
    rig = min(RIGS, key=lambda rig: len(missing[rig]))
    if missing[rig]:
        raise InputError(
            f"{path}: has not the joint names of {', '.join(known.title for known in RIGS)}; of {rig.title}'s, the "
            f"nearest, it lacks {', '.join(missing[rig])}; rename its joints to those of one of them"
        )
    return rig


def _between(joints: list[BvhJoint], neck: int) -> list[int]:
    """The joints between the root and the neck, from below."""
    found = []
    joint = joints[neck].parent
    while joint >= 0 and joints[joint].parent >= 0:
        found.append(joint)
        joint = joints[joint].parent
    return found[::-1]


def _half_way(points: np.ndarray) -> np.ndarray:
    """The point in the middle of a line through points (n, T, 3) -> (T, 3), as long as the line is on average."""
    length = np.linalg.norm(np.diff(points, axis=0), axis=-1).mean(axis=1)  # (n - 1,)
    way = np.concatenate([[0], np.cumsum(length)])  # (n,)
    after = int(np.searchsorted(way, way[-1] / 2))
    share = (way[-1] / 2 - way[after - 1]) / length[after - 1]
    return points[after - 1] + share * (points[after] - points[after - 1])


def _rest_axes(joints: list[BvhJoint], rig: Rig, number: dict[str, int]) -> np.ndarray:
    """The axes of the body in the rest pose, as a rotation (3, 3): columns to the left, up and forward."""
    place: list[np.ndarray] = []
    for joint in joints:
        place.append(joint.offset + (place[joint.parent] if joint.parent >= 0 else 0))
    right, left, neck = (place[number[name.lower()]] for name in (rig.joints[1], rig.joints[4], rig.neck))
    across, up = left - right, neck - (left + right) / 2
    ahead = np.cross(across, up)
    axes = np.stack([across, np.cross(ahead, across), ahead], axis=-1)  # (3, 3)
    return axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-9)
