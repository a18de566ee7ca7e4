"""A person's motion as a rig: bones of constant length that turn, in place of free joints.

Axes of the rig, when nothing is turned (T pose): x to the person's left, y up, z forward. Poses and rig share the
world's axes, which are right-handed with y up. Turns are in closed form: where a bone points says how its joint swings;
where the next bone bends to says how it is twisted. T frames, N joints of RIG.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from common.geometry.skeleton import H36M, Skeleton

RIG = Skeleton(
    names=(
        "Hip", "RHip", "RKnee", "RFoot", "LHip", "LKnee", "LFoot", "LowerBack", "Spine", "Thorax", "Neck", "Nose",
        "Head", "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 10, 11, 9, 13, 14, 9, 16, 17),
    left=(4, 5, 6, 13, 14, 15),
    right=(1, 2, 3, 16, 17, 18),
)  # fmt: skip
"""The joints of H36M, and two more: LowerBack lies on Hip and Neck on Thorax, so that the back and the head turn by
themselves, not with the hips and the shoulders."""
JOINTS = np.array([joint for joint, name in enumerate(RIG.names) if name not in ("LowerBack", "Neck")])
"""Where the joints of H36M are in RIG (17,)."""

X, Y, Z = np.eye(3)
WINDOW = 0.1
"""Seconds: standard deviation of the window in which a twist looks for its neighbours."""
STEADY, REST = 0.15, 0.05
"""How much the twist of the frames around, and no twist, count against what a frame itself shows (1: a right angle)."""
STIFF = ((4, 1), (11, 14))
"""Joints of H36M that keep their distance without a bone: both hips, and both shoulders."""
ROUNDS = 20
"""How often all bones are put to their lengths."""


@dataclass(frozen=True)
class Limb:
    """Two bones with a hinge between them. root, middle, end: joints of RIG; the upper bone turns with `root`.

    rest: where both bones point in the T pose. hinge: the axis about which the lower one bends, by 0 to `bend` degrees.
    twist: how far the upper bone turns about itself at most, in degrees to both sides.
    """

    root: int
    middle: int
    end: int
    rest: np.ndarray
    hinge: np.ndarray
    twist: float
    bend: float


LIMBS = (
    Limb(1, 2, 3, -Y, X, 60, 160),
    Limb(4, 5, 6, -Y, X, 60, 160),
    Limb(13, 14, 15, X, -Y, 150, 160),
    Limb(16, 17, 18, -X, Y, 150, 160),
    Limb(10, 11, 12, Y, -X, 90, 120),  # the nose is before the line from the neck to the crown
)


@dataclass(frozen=True)
class RigidMotion:
    """A person's motion with constant bones, in metres and the world's axes.

    offsets (N, 3): from a joint's parent to the joint in the T pose; zero for the root. root (T, 3): places of the hip.
    turns (T, N, 3, 3): how each joint is turned against its parent, the root against the world.
    """

    offsets: np.ndarray
    root: np.ndarray
    turns: np.ndarray

    def world(self) -> tuple[np.ndarray, np.ndarray]:
        """Forward kinematics: places (T, N, 3) of the joints, and how they are turned, (T, N, 3, 3), in the world."""
        places, turned = np.zeros((len(self.root), RIG.joints, 3)), np.zeros((len(self.root), RIG.joints, 3, 3))
        places[:, 0], turned[:, 0] = self.root, self.turns[:, 0]
        for joint, parent in RIG.bones:
            places[:, joint] = places[:, parent] + turned[:, parent] @ self.offsets[joint]
            turned[:, joint] = turned[:, parent] @ self.turns[:, joint]
        return places, turned

    def deviation(self, poses: np.ndarray) -> np.ndarray:
        """How far the joints are from those of `poses` (T, 17, 3), in metres (T, 17)."""
        return np.linalg.norm(self.world()[0][:, JOINTS] - poses, axis=-1)


def fit_rig(poses: np.ndarray, fps: float) -> RigidMotion:
    """The motion with constant bones that is nearest to H36M poses (T, 17, 3): finite, metres, world with y up.

    Bones have the median of their lengths, left and right alike. Knees and elbows are hinges, see LIMBS. The hip stays
    where it is.
    """
    poses = _with_lengths(poses)
    places = np.zeros((len(poses), RIG.joints, 3))
    places[:, JOINTS] = poses
    places[:, [7, 10]] = places[:, [0, 9]]
    turned = np.tile(np.eye(3), (len(poses), RIG.joints, 1, 1))  # (T, N, 3, 3) in the world
    sigma = WINDOW * fps

    hips, shoulders = places[:, 4] - places[:, 1], places[:, 13] - places[:, 16]  # (T, 3) towards the left
    back, chest = places[:, 8] - places[:, 7], places[:, 9] - places[:, 8]
    turned[:, 0] = _twist(_swing(turned[:, 0], X, hips, Y), X, Y, _unit(back), sigma)
    turned[:, 7] = _swing(turned[:, 0], Y, back, X)
    turned[:, 8] = _twist(_swing(turned[:, 7], Y, chest, X), Y, X, _unit(shoulders), sigma)
    turned[:, 9] = _swing(turned[:, 8], X, shoulders, Y)
    shrug = (places[:, 13] + places[:, 16]) / 2 - places[:, 9]  # (T, 3)
    hang = _left_of(turned[:, 9], shrug, shrug) * (0, 1, 1)
    turned[:, 9] = _twist(turned[:, 9], X, _unit(hang, -Y), shrug / max(float(np.linalg.norm(hang)), 1e-9), sigma, 40)
    for limb in LIMBS:
        upper, lower = places[:, limb.middle] - places[:, limb.root], places[:, limb.end] - places[:, limb.middle]
        swung = _swing(turned[:, RIG.parents[limb.root]], limb.rest, upper, limb.hinge)
        bent = np.cross(_unit(upper), _unit(lower))
        turned[:, limb.root] = _twist(swung, limb.rest, limb.hinge, bent, sigma, limb.twist)
        turned[:, limb.middle] = _bend(turned[:, limb.root], limb, lower)
        turned[:, limb.end] = turned[:, limb.middle]

    turns = turned.copy()
    for joint, parent in RIG.bones:
        turns[:, joint] = np.swapaxes(turned[:, parent], -1, -2) @ turned[:, joint]
    return RigidMotion(_offsets(poses, turned), poses[:, 0], turns)


def _offsets(poses: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Offsets (N, 3) of the T pose. turned (T, N, 3, 3): hips and shoulders lie where the hip and the thorax, turned
    so, mostly have them.
    """
    directions = np.zeros((RIG.joints, 3))
    directions[[8, 9]] = Y
    for limb in LIMBS:
        directions[[limb.middle, limb.end]] = limb.rest
    for middle, left, right in ((0, 4, 1), (9, 13, 16)):
        centre, *sides = (poses[:, np.searchsorted(JOINTS, joint)] for joint in (middle, left, right))
        outward = _left_of(turned[:, middle], sides[0] - centre, sides[1] - centre)
        directions[left] = _unit(outward, X)
        directions[right] = directions[left] * (-1, 1, 1)

    lengths = np.zeros(RIG.joints)
    for joint, parent in H36M.bones:
        lengths[JOINTS[joint]] = _length(poses, joint, parent)
    return directions * lengths[:, None]


def _left_of(frames: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The median (3,) of `left` and the mirrored `right` (T, 3) in the axes of frames (T, 3, 3)."""
    inverse = np.swapaxes(frames, -1, -2)
    both = [(inverse @ side[..., None])[..., 0] * mirror for side, mirror in ((left, (1, 1, 1)), (right, (-1, 1, 1)))]
    return np.median(np.concatenate(both), axis=0)


def _length(poses: np.ndarray, first: int, second: int) -> float:
    """The median distance of two joints in poses (T, 17, 3), left and right alike."""
    one, other = [first, H36M.mirrored[first]], [second, H36M.mirrored[second]]
    return float(np.median(np.linalg.norm(poses[:, one] - poses[:, other], axis=-1)))


def _with_lengths(poses: np.ndarray) -> np.ndarray:
    """Poses (T, 17, 3) whose bones have all but the same length in every frame. A bone that is too long or too short
    moves both of its ends, but never the hip, so that no error adds up along a limb.
    """
    rigid = [(joint, parent, _length(poses, joint, parent)) for joint, parent in (*H36M.bones, *STIFF)]
    poses = poses.copy()
    for _ in range(ROUNDS):
        for joint, parent, length in rigid:
            bone = poses[:, joint] - poses[:, parent]  # (T, 3)
            excess = bone - length * _unit(bone)
            share = 1.0 if parent in (0, 1, 4) else 0.5
            poses[:, joint] -= share * excess
            poses[:, parent] += (1 - share) * excess
    return poses


def _unit(vectors: np.ndarray, fallback: np.ndarray | None = None) -> np.ndarray:
    """Vectors (..., 3) of length 1; those without a direction become the fallback, or zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    known = length > 1e-9
    return np.where(known, vectors / np.where(known, length, 1), 0 if fallback is None else fallback)


def _swing(frames: np.ndarray, rest: np.ndarray, towards: np.ndarray, about: np.ndarray) -> np.ndarray:
    """Frames (T, 3, 3) turned by the smallest angle that makes their axis `rest` point towards (T, 3); about `about`
    where that is the opposite.
    """
    old = frames @ rest  # (T, 3)
    new = _unit(towards, old)
    across = np.cross(old, new)
    axis = _unit(across, frames @ about)
    angle = np.arctan2(np.linalg.norm(across, axis=-1), (old * new).sum(axis=-1))
    return Rotation.from_rotvec(axis * angle[:, None]).as_matrix() @ frames


def _twist(
    frames: np.ndarray, rest: np.ndarray, axis: np.ndarray, seen: np.ndarray, sigma: float, limit: float = 180
) -> np.ndarray:
    """Frames (T, 3, 3) turned about their axis `rest`, by at most `limit` degrees, so that `axis` points where `seen`
    (T, 3) does. The longer it is, the more it counts; where it is short, the frames around decide.
    """
    straight = (seen * (frames @ axis)).sum(axis=-1)
    side = (seen * (frames @ np.cross(rest, axis))).sum(axis=-1)
    shown = straight + 1j * side  # (T,) the angle, and how much it counts
    around = gaussian_filter1d(shown.real, sigma) + 1j * gaussian_filter1d(shown.imag, sigma) + REST
    angle = np.angle(shown + STEADY * around / np.maximum(np.abs(around), 1e-9))
    angle = np.clip(angle, -np.radians(limit), np.radians(limit))
    return frames @ Rotation.from_rotvec(angle[:, None] * rest).as_matrix()


def _bend(upper: np.ndarray, limb: Limb, lower: np.ndarray) -> np.ndarray:
    """How the lower bone is turned in the world (T, 3, 3): from the upper one (T, 3, 3), about the hinge, towards
    `lower` (T, 3) as far as the joint bends.
    """
    side = (lower * (upper @ np.cross(limb.hinge, limb.rest))).sum(axis=-1)
    angle = np.arctan2(side, (lower * (upper @ limb.rest)).sum(axis=-1))
    # Beyond both ends, the nearer one.
    middle = np.radians(limb.bend) / 2
    angle = np.clip((angle - middle + np.pi) % (2 * np.pi) - np.pi, -middle, middle) + middle
    return upper @ Rotation.from_rotvec(angle[:, None] * limb.hinge).as_matrix()
