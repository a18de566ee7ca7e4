"""2D keypoints of a clip -> 3D poses: short gaps bridged, long ones left out, and a filter against jitter."""

from __future__ import annotations

import numpy as np

from common.errors import InputError
from common.geometry.camera import Camera
from common.inference.lifting import Lifter

LONGEST_GAP = 0.5
"""Seconds without the person that are bridged by interpolation."""
SLOWEST = 1.0
"""Pictures that come slower are lifted as if so many came a second: what happens between them cannot be seen."""


def bridge(keypoints: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray, list[slice]]:
    """Fill gaps of up to LONGEST_GAP seconds in keypoints (T, 17, 3), pixels and score, by straight lines.

    A frame is without the person where all its scores are 0. Returns the filled keypoints, in which a bridged frame has
    half the score of the frames around; found (T,) bool, the frames that had the person; and the runs of frames without
    a long gap.
    """
    found: np.ndarray = np.asarray((keypoints[..., 2] > 0).any(axis=1))  # (T,)
    at = np.flatnonzero(found)
    if not len(at):
        return keypoints.copy(), found, []
    breaks = np.flatnonzero(np.diff(at) - 1 > LONGEST_GAP * fps + 1e-9)
    runs = [slice(int(part[0]), int(part[-1]) + 1) for part in np.split(at, breaks + 1)]
    filled = keypoints.astype(np.float64)
    for run in runs:
        gaps = run.start + np.flatnonzero(~found[run])
        known = run.start + np.flatnonzero(found[run])
        right = np.searchsorted(known, gaps)
        before, after = known[right - 1], known[right]  # (G,) a run begins and ends with the person
        share = ((gaps - before) / (after - before))[:, None, None]
        filled[gaps] = (1 - share) * keypoints[before] + share * keypoints[after]
        # A joint that one end has not is put where the other has it.
        for end, other in ((before, after), (after, before)):
            lost = keypoints[end][..., 2] <= 0  # (G, 17)
            filled[gaps] = np.where(lost[..., None], keypoints[other], filled[gaps])
        filled[gaps, :, 2] /= 2
    return filled, found, runs


def one_euro(
    values: np.ndarray, fps: float, cutoff: float = 1.5, beta: float = 3.0, speed_cutoff: float = 1.0
) -> np.ndarray:
    """The 1-euro filter (Casiez et al., CHI 2012) over the first axis of (T, ...): still values are smoothed most.

    cutoff: Hz at rest; beta: how much faster it follows per unit per second of speed; speed_cutoff: Hz, of the speed
    itself.
    """

    def weight(frequency: np.ndarray | float) -> np.ndarray | float:
        return 1 / (1 + fps / (2 * np.pi * frequency))

    smooth, speed = values.astype(np.float64), np.zeros(values.shape[1:])
    for t in range(1, len(values)):
        speed = speed + weight(speed_cutoff) * ((values[t] - smooth[t - 1]) * fps - speed)
        smooth[t] = smooth[t - 1] + weight(cutoff + beta * np.abs(speed)) * (values[t] - smooth[t - 1])
    return smooth


def lift_people(
    keypoints: np.ndarray,
    size: tuple[int, int],
    fps: float,
    lifter: Lifter,
    *,
    smooth: bool = False,
    height: float | None = None,
    fov: float | Camera | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (P, T, 17, 3), pixels and score, of P people in a picture of `size` (width, height) -> poses and
    validity.

    poses: (P, T, 17, 3) float32 metres in camera axes, relative to the hip; NaN where the person was away for longer
    than can be bridged. valid: (P, T) bool, the frames in which the person was seen. smooth: both ways through the
    1-euro filter, so that nothing lags. height, fov: as the Lifter takes them. Raises InputError where nobody is seen
    in any frame.
    """
    poses = np.full(keypoints.shape, np.nan, np.float32)
    valid = np.zeros(keypoints.shape[:2], bool)
    for person, clip in enumerate(keypoints):
        filled, valid[person], runs = bridge(clip, fps)
        for run in runs:
            pose = lifter(filled[run], size, max(fps, SLOWEST), height, fov)
            if smooth:
                pose = (one_euro(pose, fps) + one_euro(pose[::-1], fps)[::-1]) / 2
            poses[person, run] = pose
    if not valid.any():
        raise InputError(
            "no person was found in any frame; use a video in which one person is large enough to see, or another "
            "--detector"
        )
    return poses, valid
