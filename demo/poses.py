"""What the demo found in a video, in memory and as poses.npz.

Everywhere: P people, T frames, 17 joints as in common/geometry/skeleton.py. 3D is in metres and camera axes (x right, y
down, z forward), relative to joint 0 (Hip); 2D is in pixels (x right, y down) with a score, <= 0 where a joint was not
found.

poses.npz holds plain arrays:

| array | shape | what |
|---|---|---|
| format | () | "hot-poses 1" |
| poses_3d | (P, T, 17, 3) | float32, metres; NaN in frames that have no pose |
| keypoints_2d | (P, T, 17, 3) | float32, x and y in pixels, score |
| valid | (P, T) | bool: the person was seen in this frame; a pose without it was bridged from the frames around |
| fps | () | frames per second |
| size | (2,) | width and height of the picture in pixels |
| joints, parents | (17,) | names of the joints, and the number of each joint's parent, -1 for the root |
| model, checkpoint | () | name of the model and sha256 of its weights in hex digits; "" where not known |
| axes, units | () | the sentences above |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.npz import open_npz
from common.data.schema import FLOAT, FPS, MOST_METRES, MOST_PIXELS, TEXT, TRUTH, WHOLE, Field
from common.errors import InputError
from common.files import replacing
from common.geometry.skeleton import H36M

FORMAT = "hot-poses 1"
AXES = (
    "3D: camera axes, x right, y down, z forward, relative to joint 0 (Hip); "
    "2D: x right, y down from the upper left corner"
)
UNITS = "3D: metres; 2D: pixels, and a score that is 0 or less where a joint was not found"
SCHEMA = {
    "format": Field(TEXT, choices=(FORMAT,)),
    "poses_3d": Field(FLOAT, ("people", "frames", H36M.joints, 3), finite=False),
    "keypoints_2d": Field(FLOAT, ("people", "frames", H36M.joints, 3), finite=False),
    "valid": Field(TRUTH, ("people", "frames")),
    "fps": FPS,
    "size": Field(WHOLE, (2,), 1, 1e6),
    "joints": Field(TEXT, (H36M.joints,)),
    "model": Field(TEXT),
    "checkpoint": Field(TEXT),
}


@dataclass(frozen=True)
class Poses:
    """What the demo found in a video, as in poses.npz (see above).

    poses_3d (P, T, 17, 3) metres, NaN in frames without a pose; keypoints_2d (P, T, 17, 3) pixels and score; valid (P,
    T) bool; size: (width, height) in pixels. model, checkpoint: name, and sha256 of the weights; "" where not known.
    """

    poses_3d: np.ndarray
    keypoints_2d: np.ndarray
    valid: np.ndarray
    fps: float
    size: tuple[int, int]
    model: str = ""
    checkpoint: str = ""

    @property
    def posed(self) -> np.ndarray:
        """(P, T) bool: the frames that have a pose, whether the person was seen or the pose was bridged."""
        return np.isfinite(self.poses_3d).all(axis=(-2, -1))

    @property
    def known_keypoints(self) -> np.ndarray:
        """keypoints_2d (P, T, 17, 3) float32, in which those that are not finite are 0, with score 0."""
        finite = np.isfinite(self.keypoints_2d).all(axis=-1, keepdims=True)
        return np.where(finite, self.keypoints_2d, 0).astype(np.float32)


def write_poses(path: str | Path, poses: Poses) -> None:
    """Write poses.npz; the same poses give the same bytes. Raises InputError where `path` cannot be written."""
    posed = poses.posed[..., None, None]
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            format=FORMAT,
            poses_3d=np.where(posed, poses.poses_3d, np.nan).astype(np.float32),
            keypoints_2d=poses.known_keypoints,
            valid=np.asarray(poses.valid, bool),
            fps=float(poses.fps),
            size=np.array(poses.size, np.int64),
            joints=np.array(H36M.names),
            parents=np.array(H36M.parents, np.int64),
            model=poses.model,
            checkpoint=poses.checkpoint,
            axes=AXES,
            units=UNITS,
        )


def read_poses(path: str | Path) -> Poses:
    """Read what `write_poses` wrote. Raises InputError where the file is missing, damaged, or not as the table above
    says.
    """
    path = Path(path)
    layout = "see demo/poses.py for the layout"
    with open_npz(path, SCHEMA, make="give a poses.npz that the demo wrote", layout=layout) as field:
        field("format")
        poses_3d, keypoints_2d, valid, size, joints = map(
            field, ("poses_3d", "keypoints_2d", "valid", "size", "joints")
        )
        fps, model, checkpoint = float(field("fps")), str(field("model")), str(field("checkpoint"))
    if tuple(joints.tolist()) != H36M.names:
        raise InputError(f"{path}: field joints names other joints than the {H36M.joints} of Human3.6M; {layout}")
    _check_finite(path, "keypoints_2d", keypoints_2d, MOST_PIXELS, np.ones(valid.shape, bool))
    _check_finite(path, "poses_3d", poses_3d, MOST_METRES, valid | ~np.isnan(poses_3d).all(axis=(2, 3)))
    width, height = map(int, size)
    return Poses(
        poses_3d.astype(np.float32), keypoints_2d.astype(np.float32), valid, fps, (width, height), model, checkpoint
    )


def _check_finite(path: Path, name: str, values: np.ndarray, most: float, where: np.ndarray) -> None:
    """Raise InputError, naming the first place, where `values` (P, T, 17, 3) are not finite, or beyond `most`, in the
    frames `where` (P, T).
    """
    broken = np.argwhere(~(np.abs(values) <= most).all(axis=-1) & where[..., None])  # NaN as well
    if len(broken):
        person, frame, joint = broken[0]
        raise InputError(
            f"{path}: field {name} is not finite for person {person}, frame {frame}, joint {H36M.names[joint]}, or "
            f"beyond {most:g}; make the file again"
        )
