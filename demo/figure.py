"""How a person is drawn: the same in the demo's video, on its page, and on the contact sheet of benchmark/look.py.

A limb goes from a joint to its parent and has the colour of the joint's side; bones and sides are those of
common/geometry/skeleton.py. 3D is in metres and camera axes: x right, y down, z forward. Up is taken to be -y: a camera
that is held askew tilts the person.
"""

from __future__ import annotations

import numpy as np

SIDE_COLOURS = {"right": "#d9482b", "left": "#1f6fb4", "middle": "#4d4d4d"}
"""The colours of the person's own right and left, and of the trunk."""
TRUNK_COLOURS = (SIDE_COLOURS["middle"], "#2f9e5b", "#8e4ec6", "#c9930a", "#0fa3a3", "#d6518f")
"""The trunk of the first person, the second, ...; limbs keep the colours of right and left."""
LOW_SCORE = 0.3
"""Limbs of a keypoint with a lower score are drawn thin."""
JOINT_RADIUS = np.array([55, 52, 40, 30, 52, 40, 30, 58, 52, 42, 62, 42, 33, 25, 42, 33, 25]) / 1000
"""Half the thickness of the limbs at each joint, metres: a slim figure, so that crossing limbs can be told apart."""
SOLE = 0.03
"""Metres from the ankle joint down to where the drawn foot ends, and the ground is drawn."""
CELL = 0.5
"""Metres between the lines of the ground grid."""
VIEW_ANGLE = 36.0
"""Degrees that the virtual camera sees over the smaller side of the picture."""
NEAR = 0.05
"""Metres in front of the virtual camera from which on it sees things."""
LIGHT_TONES = ("#ffffff", "#f1f3f5", "#c3c9d0")
"""The colours of the air, the ground and the lines of the grid."""
DARK_TONES = ("#1b1e24", "#2b3038", "#4c5460")
"""The same on a dark background."""


def figure_colours(person: int = 0) -> dict[str, str]:
    """The colour "#rrggbb" of each side of a person, who is counted from 0."""
    return SIDE_COLOURS | {"middle": TRUNK_COLOURS[person % len(TRUNK_COLOURS)]}


def flat_view(points: np.ndarray, across: int) -> np.ndarray:
    """Points (..., 3) in camera axes -> (..., 2): axis `across` to the right, and the height upwards.

    across: 0 as the camera sees the person; 2 from the side, with the camera on the left.
    """
    return np.stack([points[..., across], -points[..., 1]], axis=-1)
