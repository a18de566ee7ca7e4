"""Human3.6M, as VideoPose3D's scripts write it: data_3d_h36m.npz and data_2d_h36m_KEYPOINTS.npz -> PoseSequence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.data.custom_2d import is_custom_2d, without_3d
from common.data.safe_pickle import checked_array, read_mapping
from common.data.schema import (
    MOST_METRES,
    MOST_PIXELS,
    SENTENCE,
    listed,
    shown,
    text_problem,
)
from common.data.sequences import PoseSequence, check_finite
from common.errors import InputError
from common.geometry.camera import h36m_cameras, world_to_camera
from common.geometry.skeleton import H36M, H36M_16, Skeleton

TRAIN_SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
TEST_SUBJECTS = ("S9", "S11")
ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting",
    "SittingDown", "Smoking",
    "Waiting", "WalkDog", "Walking", "WalkTogether",
)  # fmt: skip
FPS = 50.0

# The 17 of the 32 motion-capture joints that carry the skeleton.
KEPT = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
NECK = 9


def skeleton_of(keypoints: str) -> Skeleton:
    """The joints of a 2D file: stacked-hourglass ("sh...") and HRNet ("hr...") ones have 16, without Neck/Nose."""
    return H36M_16 if keypoints.startswith(("sh", "hr")) else H36M


def action_name(action: str) -> str:
    """The action of a recorded take: "Walking 1" is a Walking."""
    return action.split(" ")[0]


def read_h36m(
    root: str | Path, keypoints: str, subjects: Sequence[str], actions: Sequence[str] | None = None
) -> tuple[list[PoseSequence], str | None]:
    """Read the sequences of some subjects, four cameras each, and what the file says of its own `source` (None:
    nothing).

    root: the folder of both files. actions: None for all, else action names ("Sitting" does not take SittingDown
    along). 3D is in camera space, absolute. Raises InputError naming the file and the field for whatever cannot be
    used.
    """
    path_3d, path_2d = Path(root) / "data_3d_h36m.npz", Path(root) / f"data_2d_h36m_{keypoints}.npz"
    positions_3d = read_mapping(path_3d, "positions_3d")
    positions_2d = read_mapping(path_2d, "positions_2d")
    if is_custom_2d(positions_2d):
        raise without_3d(path_2d)
    metadata = read_mapping(path_2d, "metadata")
    skeleton = skeleton_of(keypoints)
    joints = metadata.get("num_joints", skeleton.joints)
    if not isinstance(joints, int | np.integer) or joints != skeleton.joints:
        raise InputError(
            f"{path_2d}: metadata num_joints is {shown(joints)}, but {keypoints!r} keypoints have {skeleton.joints}"
        )
    sequences: list[PoseSequence] = []
    for subject in subjects:
        for path, positions in ((path_3d, positions_3d), (path_2d, positions_2d)):
            if not isinstance(positions.get(subject), dict):
                raise InputError(
                    f"{path}: subject {subject} is missing (it has {listed(list(positions))}); make the file again"
                )
        for action, world in positions_3d[subject].items():
            if actions is None or action_name(action) in actions:
                views = positions_2d[subject].get(action)
                if views is None:
                    raise InputError(
                        f"{path_2d}: subject {subject} has no action {shown(action)}, which {path_3d.name} has; make "
                        "both files again"
                    )
                sequences += _views(path_3d, path_2d, subject, action, world, views, skeleton)
    found = {sequence.action for sequence in sequences}
    missing = [action for action in actions or () if action not in found]
    if missing or not sequences:
        have = sorted({action_name(action) for subject in subjects for action in positions_3d[subject]})
        raise InputError(
            f"{path_3d}: no action {', '.join(missing)} of {', '.join(subjects)}; --actions may name {listed(have)}"
        )
    source = metadata.get("source")
    if source is not None and (problem := text_problem(str(source), SENTENCE)):
        raise InputError(f"{path_2d}: metadata source is {problem}; make the file again")
    return sequences, None if source is None else str(source)


def _views(
    path_3d: Path, path_2d: Path, subject: str, action: str, world: object, views: object, skeleton: Skeleton
) -> list[PoseSequence]:
    """One PoseSequence for each camera."""
    where_3d, where_2d = (f"{path}: subject {subject}, action {action}" for path in (path_3d, path_2d))
    poses = checked_array(where_3d, world, "frames", (len(KEPT), 32), 3)
    try:
        cameras = h36m_cameras(subject)
    except KeyError:
        raise InputError(
            f"{where_3d}: the cameras of {subject} are not known; keep to S1, S5, S6, S7, S8, S9, S11"
        ) from None
    # Not made a list: an array may be of a billion rows of nothing.
    several = views if isinstance(views, list | tuple) or (isinstance(views, np.ndarray) and views.ndim) else None
    if several is None or len(several) != len(cameras):
        count = "no" if several is None else len(several)
        raise InputError(f"{where_2d} has {count} cameras, but the 3D is seen by {len(cameras)}; make the file again")
    poses = poses[:, list(KEPT)] if poses.shape[1] == 32 else poses  # (T, 17, 3)
    check_finite(where_3d, poses, MOST_METRES)
    if skeleton.joints == 16:
        poses = np.delete(poses, NECK, axis=1)  # (T, 16, 3)
    sequences = []
    for camera, view in zip(cameras, several, strict=True):
        where = f"{where_2d}, camera {camera.name}"
        keypoints = checked_array(where, view, "frames", skeleton.joints, (2, 3))
        if len(keypoints) < len(poses):
            raise InputError(f"{where} has {len(keypoints)} frames, but the 3D has {len(poses)}; make both files again")
        pose_2d = keypoints[: len(poses)]  # the 2D of some videos runs on past the motion capture
        check_finite(where, pose_2d, MOST_PIXELS)
        pose_2d = pose_2d.astype(np.float32)
        pose_3d = world_to_camera(poses, camera).astype(np.float32)
        sequences.append(PoseSequence(subject, action_name(action), camera.name, pose_2d, pose_3d, camera.size, FPS))
    return sequences
