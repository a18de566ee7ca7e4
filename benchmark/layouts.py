"""How far apart the 3D of two layouts of one detector's points is on real film: what a layout with fewer points loses.

    python benchmark/layouts.py --video demo/video/sample_video.mp4

The detector's 33 points are written in other layouts by the correspondences that are known (and the crown of the head,
which BlazePose has not, over the middle of the ears), each converted by its own table, and lifted by the weights that
come along.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import contextlib

import numpy as np

from common.arguments import Parser, number
from common.errors import InputError, exit_on_input_error

_COCO_OF_33 = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
CROWN = 1 / 0.61
"""From the middle of the shoulders, in shares of the way to the ears: as demo/convert.py has it."""


def layouts_of(points: np.ndarray) -> dict[str, np.ndarray]:
    """Points (..., 33, 3) of BlazePose in the layouts of demo/convert.py, by name: (..., J, 3)."""

    def at(*joints: int) -> np.ndarray:
        """The middle of points (..., 1, 3)."""
        return points[..., list(joints), :].mean(axis=-2, keepdims=True)

    coco = points[..., list(_COCO_OF_33), :]
    neck, pelvis, ears = at(11, 12), at(23, 24), at(7, 8)
    crown = neck + CROWN * (ears - neck)
    crown[..., 2] = ears[..., 2]
    feet = {"left": (31, 31, 29), "right": (32, 32, 30)}
    body = np.concatenate([at(0), neck, points[..., [12, 14, 16, 11, 13, 15], :], pelvis], axis=-2)
    legs, face = points[..., [24, 26, 28, 23, 25, 27], :], points[..., [5, 2, 8, 7], :]
    toes = points[..., [*feet["left"], *feet["right"]], :]
    return {
        "blazepose-33": points,
        "coco-17": coco,
        "coco-18": np.concatenate([body[..., :8, :], legs, face], axis=-2),
        "body-25": np.concatenate([body, legs, face, toes], axis=-2),
        "halpe-26": np.concatenate([coco, crown, neck, pelvis, points[..., [31, 32, 31, 32, 29, 30], :]], axis=-2),
        "mpii-16": np.concatenate(
            [
                points[..., [28, 26, 24, 23, 25, 27], :],
                pelvis,
                neck,
                neck,
                crown,
                points[..., [16, 14, 12, 11, 13, 15], :],
            ],
            axis=-2,
        ),
    }


def main() -> None:
    """Print the table."""
    parser = Parser(description=__doc__)
    parser.add_argument("--video", required=True, help="a film with people")
    parser.add_argument("--frames", type=number(int, 1), default=230, help="at most so many (default: 230)")
    args = parser.parse_args()

    from common.inference.checkpoint import shipped_checkpoint
    from common.inference.lifting import Lifter
    from demo.convert import LAYOUTS, convert
    from demo.detect import create_detector
    from demo.video_read import open_video

    video, rows = open_video(args.video), []
    with contextlib.closing(create_detector()) as detector:
        for index, time, picture in video:
            if index >= args.frames:
                break
            people = detector.detect(picture, time)
            if len(people):
                rows.append(people[0])  # who was seen longest
    if not rows:
        raise InputError(f"{args.video}: nobody was found; give a film with people")
    points = np.stack(rows)  # (T, 33, 3)
    lifter = Lifter.from_checkpoint(shipped_checkpoint())
    poses = {
        name: lifter(convert(layout, LAYOUTS[name]), video.size, float(video.fps))
        for name, layout in layouts_of(points).items()
    }
    print(f"{len(points)} frames, mm from the 3D of {(first := next(iter(poses)))}: mean of all joints, largest joint")
    for name, pose in poses.items():
        apart = 1000 * np.linalg.norm(pose - poses[first], axis=-1).mean(axis=0)  # (17,)
        print(f"{name:14} {apart.mean():6.1f} {apart.max():6.1f}")


if __name__ == "__main__":
    exit_on_input_error(main)
