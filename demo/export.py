"""The demo's files for other programs: poses.csv and poses.json. poses.py says what the numbers mean.

.csv: one row per person and frame, columns person, frame, time_s, valid (0 or 1), then per joint NAME_x_m, NAME_y_m,
NAME_z_m (empty in frames that have no pose), then per joint NAME_x_px, NAME_y_px, NAME_score.

.json: {"format": "hot-poses-json 1", "fps", "size": [width, height], "frames", "joints", "parents", "axes", "units",
"model", "checkpoint", "people": [{"valid": [0 or 1, T times], "poses_3d": [T times 17 x [x, y, z], or null],
"keypoints_2d": [T times 17 x [x, y, score]]}]}.

Both have metres to 0.001 mm, pixels to 0.01 and scores to 0.001.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from common.files import replacing, write_text
from common.geometry.skeleton import H36M
from demo.poses import AXES, UNITS, Poses

JSON_FORMAT = "hot-poses-json 1"
METRES, PIXELS, SCORE = 6, 2, 3
"""Digits after the point."""


def csv_columns() -> list[str]:
    """The header of the .csv."""
    metres = [f"{name}_{axis}_m" for name in H36M.names for axis in "xyz"]
    pixels = [f"{name}_{column}" for name in H36M.names for column in ("x_px", "y_px", "score")]
    return ["person", "frame", "time_s", "valid", *metres, *pixels]


def write_csv(path: str | Path, poses: Poses) -> None:
    """Write the .csv described above. Raises InputError where `path` cannot be written."""
    posed, keypoints = poses.posed, poses.known_keypoints
    metres = ",".join([f"%.{METRES}f"] * 3 * H36M.joints)
    pixels = ",".join([f"%.{PIXELS}f", f"%.{PIXELS}f", f"%.{SCORE}f"] * H36M.joints)
    no_pose = "," * (3 * H36M.joints - 1)
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(",".join(csv_columns()) + "\n")
        for person, frame in np.ndindex(posed.shape):
            pose = metres % tuple(poses.poses_3d[person, frame].ravel().tolist()) if posed[person, frame] else no_pose
            seen = pixels % tuple(keypoints[person, frame].ravel().tolist())
            file.write(f"{person},{frame},{frame / poses.fps:.6f},{int(poses.valid[person, frame])},{pose},{seen}\n")


def write_json(path: str | Path, poses: Poses) -> None:
    """Write the .json described above. Raises InputError where `path` cannot be written."""
    content = {
        "format": JSON_FORMAT,
        "fps": float(poses.fps),
        "size": [int(side) for side in poses.size],
        "frames": poses.valid.shape[1],
        "joints": H36M.names,
        "parents": H36M.parents,
        "axes": AXES,
        "units": UNITS,
        "model": poses.model,
        "checkpoint": poses.checkpoint,
        "people": _people(poses),
    }
    write_text(path, json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")


def _people(poses: Poses) -> list[dict[str, list]]:
    """The entry of each person in the .json."""
    posed = poses.posed
    metres = np.round(np.where(posed[..., None, None], poses.poses_3d, 0).astype(np.float64), METRES)
    keypoints = poses.known_keypoints.astype(np.float64)
    pixels, score = np.round(keypoints[..., :2], PIXELS), np.round(keypoints[..., 2:], SCORE)
    keypoints = np.concatenate([pixels, score], axis=-1)
    return [
        {
            "valid": np.asarray(poses.valid[person], int).tolist(),
            "poses_3d": [
                pose if has_pose else None
                for pose, has_pose in zip(metres[person].tolist(), posed[person], strict=True)
            ],
            "keypoints_2d": keypoints[person].tolist(),
        }
        for person in range(len(posed))
    ]
