"""The people of a film as the motion files have them: in space, right-handed, x as in the picture to the right, y up, z
towards the camera, metres, the ground at y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from common.geometry.rigid import RigidMotion, fit_rig
from common.geometry.skeleton import H36M
from demo.poses import Poses

UP = np.array([1.0, -1.0, -1.0])
"""From the camera's axes (x right, y down, z forward): half a turn about x, so that left stays left."""
LEAST_SECONDS = 1.0
"""Whoever has poses for less time than this has no motion files."""
LABELS = tuple(name.replace("Neck/Nose", "Nose") for name in H36M.names)
"""The 17 joints as the files call them."""


@dataclass(frozen=True)
class Person:
    """A person in space. number: as in poses.csv. joints (T, 17, 3): as lifted; NaN in frames that have no pose.

    posed (K,): the frames that have one. rigid: the motion with constant bones in those frames.
    """

    number: int
    joints: np.ndarray
    posed: np.ndarray
    rigid: RigidMotion
    fps: float

    @property
    def name(self) -> str:
        """What the person's files begin with."""
        return f"person{self.number}"

    @property
    def deviation(self) -> float:
        """How far the joints of `rigid` are from the lifted ones: metres, mean over joints and frames."""
        return float(self.rigid.deviation(self.joints[self.posed]).mean())

    def in_every_frame(self) -> RigidMotion:
        """`rigid` in all T frames: interpolated where there is no pose, still before the first and after the last."""
        frames = np.clip(np.arange(len(self.joints)), self.posed[0], self.posed[-1])
        root = np.stack([np.interp(frames, self.posed, axis) for axis in self.rigid.root.T], axis=-1)  # (T, 3)
        turns = np.stack(
            [self._interpolated(frames, joint) for joint in range(self.rigid.turns.shape[1])], axis=1
        )  # (T, N, 3, 3)
        return RigidMotion(self.rigid.offsets, root, turns)

    def _interpolated(self, frames: np.ndarray, joint: int) -> np.ndarray:
        """How a joint is turned (T, 3, 3) in frames (T,)."""
        turns = Rotation.from_matrix(self.rigid.turns[:, joint])
        if len(self.posed) == 1:
            return np.tile(turns.as_matrix(), (len(frames), 1, 1))
        return Slerp(self.posed, turns)(frames).as_matrix()


def people_in_space(poses: Poses, offsets: np.ndarray) -> tuple[list[Person], list[int]]:
    """The people with at least LEAST_SECONDS of poses, and the numbers of the others.

    offsets (P, T, 3): what puts the root-relative poses in their place, metres, camera axes: those of placing.py, or a
    path through space.
    """
    people, short = [], []
    for number, has_pose in enumerate(poses.posed):
        posed = np.flatnonzero(has_pose)
        if len(posed) < max(LEAST_SECONDS * poses.fps, 1):
            short.append(number)
            continue
        joints = np.full(poses.poses_3d.shape[1:], np.nan)
        joints[posed] = (poses.poses_3d[number, posed].astype(np.float64) + offsets[number, posed, None]) * UP
        people.append(Person(number, joints, posed, fit_rig(joints[posed], poses.fps), poses.fps))
    return people, short


def quaternions(turns: np.ndarray) -> np.ndarray:
    """Matrices (T, N, 3, 3) as quaternions (T, N, 4), x y z w, each on the side of the one before it."""
    quaternion = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_quat().reshape(*turns.shape[:2], 4)  # (T, N, 4)
    same = (quaternion[1:] * quaternion[:-1]).sum(axis=-1) >= 0
    quaternion[1:] *= np.cumprod(np.where(same, 1, -1), axis=0)[..., None]
    return quaternion


def end_offsets(offsets: np.ndarray) -> dict[int, np.ndarray]:
    """Where the last bones end, (3,) from their joints in the T pose, for joints with offsets (N, 3). Made up, since
    nobody knows: 0.3 of the bone before, forward for the feet and straight on for hands and head.
    """
    forward = {joint: np.array([0.0, 0.0, np.linalg.norm(offsets[joint])]) for joint in (3, 6)}
    return {joint: 0.3 * forward.get(joint, offsets[joint]) for joint in (3, 6, 12, 15, 18)}
