"""The 17 joints of Human3.6M, as every model here uses them. Frozen: data sets choose a skeleton, they never edit
one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Skeleton:
    """Joint names, the parent of each joint (-1: the root) and which joints are the person's left and right."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def joints(self) -> int:
        """How many joints there are."""
        return len(self.names)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(joint, parent) of every joint that has a parent."""
        return tuple((joint, parent) for joint, parent in enumerate(self.parents) if parent >= 0)

    @property
    def sides(self) -> tuple[str, ...]:
        """On which side of the person each joint is: "left", "right" or "middle"."""
        return tuple(
            "left" if joint in self.left else "right" if joint in self.right else "middle"
            for joint in range(self.joints)
        )

    @property
    def mirrored(self) -> tuple[int, ...]:
        """The joint that takes the place of each joint when left and right are swapped: its own inverse."""
        order = list(range(self.joints))
        for left, right in zip(self.left, self.right, strict=True):
            order[left], order[right] = right, left
        return tuple(order)

    def without(self, joint: int) -> Skeleton:
        """The skeleton with `joint` taken out and its children given to its parent."""
        kept = [j for j in range(self.joints) if j != joint]
        number = {old: new for new, old in enumerate(kept)} | {-1: -1}
        lifted = [self.parents[joint] if parent == joint else parent for parent in self.parents]
        return Skeleton(
            names=tuple(self.names[j] for j in kept),
            parents=tuple(number[lifted[j]] for j in kept),
            left=tuple(number[j] for j in self.left if j != joint),
            right=tuple(number[j] for j in self.right if j != joint),
        )


H36M = Skeleton(
    names=(
        "Hip",
        "RHip",
        "RKnee",
        "RFoot",
        "LHip",
        "LKnee",
        "LFoot",
        "Spine",
        "Thorax",
        "Neck/Nose",
        "Head",
        "LShoulder",
        "LElbow",
        "LWrist",
        "RShoulder",
        "RElbow",
        "RWrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
)

# Stacked-hourglass and HRNet 2D files have no Neck/Nose joint.
H36M_16 = H36M.without(9)


def body_height(pose: np.ndarray) -> np.ndarray:
    """How tall the person of H36M poses (..., 17, 3) is along the bones, ankle to crown, in the poses' unit ->
    (...).
    """
    length = {
        joint: np.linalg.norm(pose[..., joint, :] - pose[..., parent, :], axis=-1) for joint, parent in H36M.bones
    }
    return (length[2] + length[3] + length[5] + length[6]) / 2 + length[7] + length[8] + length[9] + length[10]
