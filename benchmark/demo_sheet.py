"""A contact sheet of a video, such as the demo's: some of its frames in one picture.

    python benchmark/demo_sheet.py --video demo/output/sample_video/sample_video.mp4 --frames 60,115,160,192

draws the README's picture of the demo, after `make demo`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np

from common.arguments import Parser, number
from common.errors import InputError, exit_on_input_error
from common.files import replacing
from demo.video_read import IMAGES, open_video


def sheet(pictures: list[np.ndarray], columns: int) -> np.ndarray:
    """Pictures (H, W, 3) of one size, row by row; what is left of the last row is white."""
    missing = -len(pictures) % columns
    pictures = pictures + [np.full_like(pictures[0], 255)] * missing
    return np.vstack([np.hstack(pictures[row : row + columns]) for row in range(0, len(pictures), columns)])


def main() -> None:
    """Read, put together, write."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", required=True, help="a video, by path or by its name in demo/video/")
    parser.add_argument("--frames", required=True, metavar="N,N,...", help="which frames, counted from 0")
    parser.add_argument("--columns", type=number(int, 1), default=2, help="pictures side by side (default: 2)")
    parser.add_argument("--lines", type=number(int, 2), default=270, help="height of each, pixels (default: 270)")
    parser.add_argument("--output", default=str(ROOT / "figure" / "demo.jpg"), help="figure (default: figure/demo.jpg)")
    args = parser.parse_args()
    suffix = Path(args.output).suffix
    if suffix not in IMAGES:
        raise InputError(f"--output is {args.output!r}; it must end in one of {', '.join(IMAGES)}")
    try:
        wanted = [int(text) for text in args.frames.split(",")]
    except ValueError as error:
        raise InputError(
            f"--frames is {args.frames!r}; give frame numbers with commas between them, such as 60,115"
        ) from error
    found = {index: picture for index, _, picture in open_video(args.video).scaled(args.lines) if index in wanted}
    if missing := [index for index in wanted if index not in found]:
        raise InputError(f"{args.video}: has no frame {missing[0]}; give others by --frames")
    _, data = cv2.imencode(suffix, sheet([found[index] for index in wanted], args.columns))
    with replacing(args.output) as temporary:
        Path(temporary).write_bytes(data.tobytes())


if __name__ == "__main__":
    exit_on_input_error(main)
