"""data_2d_custom_NAME.npz: 2D of other people's videos, as VideoPose3D's scripts write it; one person per video and
no 3D.

positions_2d = {video: {"custom": [(T, 17, 2) pixels]}}, metadata = {layout_name: "coco", num_joints,
keypoints_symmetry, video_metadata: {video: {w, h}}}, both pickled; a third coordinate is taken for the detector's
score.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.data.safe_pickle import read_mapping
from common.data.schema import FPS, MOST_PIXELS, NUMBER, SIZE, Axes, Field, check_header, check_values, listed, shown
from common.data.sequences import check_finite
from common.errors import InputError

LAYOUTS = ("coco", "h36m")
SIDE = Field(NUMBER, (), SIZE.least, SIZE.most)
AGAIN = "make the file again with VideoPose3D's prepare_data_2d_custom.py"


class CustomVideo(NamedTuple):
    """One video: its name, its 17 joints (T, 17, 3) in pixels and score, of which layout they are, and, where the
    file tells, frames per second and (width, height) in pixels."""

    name: str
    points: np.ndarray
    layout: str
    fps: float | None
    size: tuple[int, int] | None


def is_custom_2d(positions: dict) -> bool:
    """Whether positions_2d are of somebody's own videos."""
    return bool(positions) and all(
        isinstance(views, dict) and list(views) == ["custom"] for views in positions.values()
    )


def without_3d(path: str | Path) -> InputError:
    """What to tell somebody who wants to train or test with such a file."""
    return InputError(
        f"{path}: holds 2D of one's own videos, as VideoPose3D's scripts write it, and no 3D to train on or to test "
        f"against; lift it with demo/vis.py --keypoints {path}"
    )


def read_custom_2d(path: str | Path, video: str | None = None) -> CustomVideo:
    """Read the video called `video`, with or without its suffix; None: the only one of the file.

    Raises InputError where the file is damaged or of another layout, and, with the names that it has, where it is
    not clear which video is meant.
    """
    path = Path(path)
    positions, metadata = read_mapping(path, "positions_2d"), read_mapping(path, "metadata")
    layout = metadata.get("layout_name")
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise InputError(
            f"{path}: metadata layout_name is {shown(layout)}, not {' or '.join(LAYOUTS)}; give joints of one of these"
        )
    name = _choose(path, list(positions), video)
    where = f"{path}: video {shown(name)}"
    clips = positions[name].get("custom") if isinstance(positions[name], dict) else None
    if (
        not isinstance(clips, list | tuple | np.ndarray)
        or np.ndim(clips) == 0
        or len(clips) != 1
        or not isinstance(clips[0], np.ndarray)
    ):
        raise InputError(f"{where} is not one array under the name custom; {AGAIN}")
    points = clips[0]
    check_header(where, points.dtype, points.shape, Field(NUMBER, ("frames", 17, (2, 3))), Axes(), AGAIN)
    check_finite(where, points, MOST_PIXELS)
    score = np.clip(points[..., 2:], 0, 1) if points.shape[2] == 3 else np.ones((*points.shape[:2], 1))  # (T, 17, 1)
    about = metadata.get("video_metadata")
    about = about.get(name) if isinstance(about, dict) else None
    about = about if isinstance(about, dict) else {}
    fps = _number(where, "fps", about["fps"], FPS) if about.get("fps") is not None else None
    size = None
    if {"w", "h"} <= set(about):
        size = int(_number(where, "w", about["w"], SIDE)), int(_number(where, "h", about["h"], SIDE))
    return CustomVideo(name, np.concatenate([points[..., :2], score], axis=-1).astype(np.float32), layout, fps, size)


def _choose(path: Path, names: list[str], video: str | None) -> str:
    if not names:
        raise InputError(f"{path}: holds no video; {AGAIN}")
    found = [name for name in names if video is not None and (name == video or Path(name).stem == Path(video).stem)]
    exact = [name for name in found if name == video]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if len(names) == 1 and video is None:
        return names[0]
    which = "several videos" if video is None else f"not one video called {shown(video)}"
    raise InputError(f"{path}: holds {which} ({listed(names)}); give --video with the file of one of them")


def _number(where: str, name: str, value: object, field: Field) -> float:
    array = np.array(value if isinstance(value, int | float | np.number) else "")
    check_header(f"{where}, {name}", array.dtype, array.shape, field, Axes(), AGAIN)
    check_values(f"{where}, {name}", array, field, Axes(), AGAIN)
    return float(array)
