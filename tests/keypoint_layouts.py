"""A hand-made person, and the joints of 2D layouts in the order that their own tools write them."""

from __future__ import annotations

import numpy as np


def names(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


_COCO = names(
    "Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle RAnkle"
)
_OPENPOSE = names("Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist")
_FEET = names("LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel")
LAYOUTS = {
    "coco-17": _COCO,
    "coco-18": [*_OPENPOSE, *names("RHip RKnee RAnkle LHip LKnee LAnkle REye LEye REar LEar")],
    "coco-133": [*_COCO, *["LHeel"] * 116],
    "body-25": [*_OPENPOSE, *names("MidHip RHip RKnee RAnkle LHip LKnee LAnkle REye LEye REar LEar"), *_FEET],
    "halpe-26": [*_COCO, *names("Head Neck MidHip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel")],
    "halpe-136": [
        *_COCO, *names("Head Neck MidHip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel"), *["Nose"] * 110
    ],
    "blazepose-33": [
        *names("Nose LEye LEye LEye REye REye REye LEar REar Nose Nose LShoulder RShoulder LElbow RElbow LWrist"),
        *names("RWrist LWrist RWrist LWrist RWrist LWrist RWrist LHip RHip LKnee RKnee LAnkle RAnkle LHeel RHeel"),
        *names("LBigToe RBigToe"),
    ],
    "mpii-16": names("RAnkle RKnee RHip LHip LKnee LAnkle MidHip Thorax Neck Head RWrist RElbow RShoulder LShoulder "
        "LElbow LWrist"),
    "h36m-17": names("MidHip RHip RKnee RAnkle LHip LKnee LAnkle Spine Thorax Nose Head LShoulder LElbow LWrist "
        "RShoulder RElbow RWrist"),
}  # fmt: skip
"""By the names that --layout takes."""
_MIDDLE = {"MidHip": 820, "Spine": 1080, "Thorax": 1340, "Neck": 1340, "Nose": 1530, "Head": 1700}
_SIDES = {
    "Eye": (32, 1570), "Ear": (75, 1550), "Shoulder": (175, 1340), "Elbow": (230, 1060), "Wrist": (260, 800),
    "Hip": (105, 820), "Knee": (100, 410), "Ankle": (90, 0), "Heel": (85, -30), "BigToe": (95, -60),
    "SmallToe": (130, -55),
}  # fmt: skip


def person(layout: list[str], x: float = 500, scale: float = 0.25) -> np.ndarray:
    """Somebody who stands upright and faces the camera, so that left is to the right in the picture, with the feet at
    y 600 -> (J, 3) pixels and score 0.9.
    """
    rows = []
    for joint in layout:
        if joint in _MIDDLE:
            across, up = 0, _MIDDLE[joint]
        else:
            across, up = _SIDES[joint[1:]]
            across *= {"L": 1, "R": -1}[joint[0]]
        rows.append((x + scale * across, 600 - scale * up, 0.9))
    return np.array(rows)
