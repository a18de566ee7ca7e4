"""Where people stand: the ground under them, and their places beside each other. Video and page use the same."""

from __future__ import annotations

import numpy as np

APART = 1.4
"""Metres between neighbours: how far they really are from each other is not estimated."""
GROUND_WINDOW = 0.25
"""Seconds over which the ground under a person is smoothed: less than a step, in which the hip rises and falls."""


def place_people(
    poses_3d: np.ndarray,
    valid: np.ndarray,
    fps: float,
    keypoints_2d: np.ndarray | None = None,
    fix_z: bool = False,
) -> np.ndarray:
    """Offsets (P, T, 3) float32 in metres that put root-relative people (P, T, 17, 3) in a row on the ground y = 0.

    valid (P, T): the frames in which a person is there. keypoints_2d (P, T, 17, 2 or 3): people stand in the order in
    which they are in the picture, from left to right; None: in the order given. Neighbours are APART metres from each
    other. People who are never there together, as those of two scenes, may have the same place. fix_z: see
    `ground_height`.
    """
    people, frames = poses_3d.shape[:2]
    valid = np.asarray(valid, bool)
    order = np.arange(people) if keypoints_2d is None else _order_in_picture(keypoints_2d, valid)
    places = _places_in_row(order, valid)
    offsets = np.zeros((people, frames, 3), np.float32)
    for person in range(people):
        offsets[person, :, 0] = (places[person] - places.max() / 2) * APART
        offsets[person, :, 1] = -ground_height(poses_3d[person], valid[person], fps, fix_z)
    return offsets


def ground_height(pose: np.ndarray, valid: np.ndarray, fps: float, fix_z: bool = False) -> np.ndarray:
    """The y of the ground under a person, in metres (T,), of poses (T, 17, 3); subtracted, it puts the ground at 0.

    fix_z: the lowest joint of every frame is on the ground, as in the published demo. Otherwise the ground is the
    lowest joint of a moving window, smoothed: no joint ever goes below it, and it neither shakes with the noise nor
    follows short jumps. Frames that are not valid (T,) take the ground of the frames around them.
    """
    valid = np.asarray(valid, bool)
    if not valid.any():
        return np.zeros(len(pose))
    frames = np.arange(len(pose))
    lowest = np.interp(frames, frames[valid], np.asarray(pose, np.float64)[valid, :, 1].max(axis=-1))
    reach = round(GROUND_WINDOW / 4 * fps)
    if fix_z or reach < 1:
        return lowest
    # Every window of the first pass that the second one averages holds this frame: no mean is less than its value.
    padded = np.pad(lowest, 2 * reach, mode="edge")
    largest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=-1)
    return np.lib.stride_tricks.sliding_window_view(largest, 2 * reach + 1).mean(axis=-1)


def _order_in_picture(keypoints_2d: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The numbers of the people (P,) from left to right, by the median x of the hip; whoever is never there is last."""
    across = np.full(len(valid), np.inf)
    for person, frames in enumerate(valid):
        if frames.any():
            across[person] = np.median(keypoints_2d[person, frames, 0, 0])
    return np.argsort(across, kind="stable")


def _places_in_row(order: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The place (P,) of each person, counted from the left, for people in this order: right of all those before who are
    there in one of the same frames.
    """
    places = np.zeros(len(valid), int)
    for number, person in enumerate(order):
        before = [other for other in order[:number] if (valid[other] & valid[person]).any()]
        places[person] = max((places[other] + 1 for other in before), default=0)
    return places
