"""Joint angles of one person over time, from the motion with constant bones, as .csv: columns frame, time_s, and one
per angle, in degrees; empty in frames that have no pose.

The thigh is seen in the axes of the hip, the upper arm in those of the thorax: x to the person's left, y up, z forward.

flexion     of hip and shoulder: how far the bone is lifted forward from hanging down, seen from the side
            (backward: negative). Of knee and elbow: 0 where the limb is straight.
abduction   how far it is lifted outward from that plane (inward: negative), -90 to 90. Near 90 the flexion means
            little.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.files import replacing
from common.geometry.rigid import RIG, RigidMotion
from demo.motion.person import Person

LIMBS = {
    "hip": ("knee", "Hip", "Hip", "Knee", "Foot"),
    "shoulder": ("elbow", "Thorax", "Shoulder", "Elbow", "Wrist"),
}
"""The joint at the root of a limb: the joint in its middle; in RIG, the joint whose axes count, and the limb's own."""


def joint_angles(motion: RigidMotion) -> dict[str, np.ndarray]:
    """The angles (T,) in degrees by their names, such as right_hip_flexion."""
    places, turned = motion.world()
    angles = {}
    for side, letter, outward in (("right", "R", -1), ("left", "L", 1)):
        for root, (middle, axes, *names) in LIMBS.items():
            joints = places[:, [RIG.names.index(letter + name) for name in names]]  # (T, 3, 3)
            upper, lower = joints[:, 1] - joints[:, 0], joints[:, 2] - joints[:, 1]
            frame = turned[:, RIG.names.index(axes)]
            x, y, z = (upper[:, None] @ frame)[:, 0].T  # in the frame's axes
            bend = np.arctan2(np.linalg.norm(np.cross(upper, lower), axis=-1), (upper * lower).sum(axis=-1))
            angles[f"{side}_{root}_flexion"] = np.degrees(np.arctan2(z, -y))
            angles[f"{side}_{root}_abduction"] = np.degrees(np.arctan2(outward * x, np.hypot(y, z)))
            angles[f"{side}_{middle}_flexion"] = np.degrees(bend)
    return angles


def write_angles(path: str | Path, person: Person) -> None:
    """Write the .csv. Raises InputError where `path` cannot be written."""
    angles = joint_angles(person.rigid)
    row_of_frame = {frame: row for row, frame in enumerate(person.posed.tolist())}
    values = np.stack(list(angles.values()), axis=-1)  # (K, angles)
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii", newline="") as file:
        file.write(",".join(["frame", "time_s", *(f"{name}_deg" for name in angles)]) + "\n")
        for frame in range(len(person.joints)):
            row = row_of_frame.get(frame)
            fields = [""] * len(angles) if row is None else [f"{value:.3f}" for value in values[row]]
            file.write(",".join([str(frame), f"{frame / person.fps:.6f}", *fields]) + "\n")
