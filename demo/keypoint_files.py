"""Files of detected keypoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.data.custom_2d import read_custom_2d
from common.data.npz import open_npz
from common.data.schema import FPS, MOST_PIXELS, NUMBER, SIZE, TEXT, Field, shown
from common.errors import InputError
from common.files import replacing
from common.geometry.skeleton import H36M
from demo.convert import COCO_17, convert

FORMAT = "hot-keypoints 1"
LAYOUT = (
    "give x, y and score of the 17 joints, as demo/keypoint_files.py says; demo/convert.py has tables for other joints"
)
SCHEMA = {
    "format": Field(TEXT, choices=(FORMAT,)),
    "joints": Field(TEXT, (H36M.joints,)),
    "keypoints": Field(NUMBER, ("people", "frames", H36M.joints, 3), finite=False),
    "fps": FPS,
    "size": SIZE,
}


def write_keypoints(path: str | Path, keypoints: np.ndarray, fps: float, size: tuple[int, int]) -> None:
    """Write the keypoints of a video: one .npz of plain arrays (no pickles).

    | array | shape | what |
    |---|---|---|
    | format | () | "hot-keypoints 1" |
    | joints | (17,) | the names of the joints, `skeleton.H36M.names` |
    | keypoints | (P, T, 17, 3) | of P people in T frames: x right, y down in pixels, and score 0..1; 0: the joint was
    not found |
    | fps | () | frames per second |
    | size | (2,) | width and height of the picture in pixels |

    In a frame without the person all its scores are 0. Raises InputError where the file cannot be written.
    """
    if keypoints.ndim != 4 or keypoints.shape[2:] != (H36M.joints, 3):
        raise ValueError(f"keypoints of shape {keypoints.shape} are not (people, frames, {H36M.joints}, 3)")
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            format=FORMAT,
            joints=np.array(H36M.names),
            keypoints=keypoints.astype(np.float32),
            fps=float(fps),
            size=np.array(size, dtype=np.int64),
        )


def read_keypoints(
    path: str | Path, video: str | None = None, size: tuple[int, int] | None = None, fps: float | None = None
) -> tuple[np.ndarray, float, tuple[int, int]]:
    """The keypoints (P, T, 17, 3) float32, frames per second and (width, height) of a file in the layout of
    `write_keypoints`.

    Of VideoPose3D's files for one's own videos as well (common/data/custom_2d.py): video, size, fps are the video's
    name, what to take where the file does not tell. Raises InputError where the file is missing, damaged or of another
    layout.
    """
    path = Path(path)
    with open_npz(path, SCHEMA, make="give the path of a keypoints file", layout=LAYOUT) as field:
        if "positions_2d" in field:
            return _read_custom_2d(path, video, size, fps)
        field("format")
        names, keypoints, sides, rate = field("joints"), field("keypoints"), field("size"), float(field("fps"))
    if tuple(names.tolist()) != H36M.names:
        raise InputError(
            f"{path}: field joints is not the names of the {H36M.joints} joints of Human3.6M in order "
            "(common/geometry/skeleton.py); bring the joints into that order, demo/convert.py has tables"
        )
    wrong = ~(np.abs(keypoints) <= MOST_PIXELS)  # NaN as well
    wrong[..., 2] |= (keypoints[..., 2] < 0) | (keypoints[..., 2] > 1)
    if wrong.any():
        person, frame, joint, axis = (int(number) for number in np.argwhere(wrong)[0])
        what = f"{('x', 'y', 'score')[axis]} of {H36M.names[joint]}, person {person}, frame {frame}"
        raise InputError(
            f"{path}: field keypoints is {keypoints[person, frame, joint, axis]} ({what}), but pixels are finite and "
            "scores 0 to 1; "
            "give joints that were not found as x 0, y 0 and score 0"
        )
    return keypoints.astype(np.float32), rate, (int(sides[0]), int(sides[1]))


def _read_custom_2d(
    path: Path, video: str | None, size: tuple[int, int] | None, fps: float | None
) -> tuple[np.ndarray, float, tuple[int, int]]:
    clip = read_custom_2d(path, video)
    size, fps = clip.size or size, clip.fps or fps
    if size is None or fps is None:
        raise InputError(
            f"{path}: does not tell the size or the frame rate of {shown(clip.name)}; give --video with its file"
        )
    if clip.fps is None:
        print(f"{path}: does not tell the frame rate of {shown(clip.name)}; {fps:g} frames/s are taken", flush=True)
    points = convert(clip.points, COCO_17) if clip.layout == "coco" else clip.points  # (T, 17, 3)
    return points[None], fps, size
