"""How fast each stage of the demo is, and the whole, on this machine.

    python benchmark/demo_speed.py --video sample_video.mp4

Stages are timed one by one over the first --frames frames, each with what it takes to feed it left out; "2D and tracks"
and "drawing, all of it" are the demo's two passes, whose parts run side by side; the whole is the time of both passes
and the lifting.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from common.arguments import Parser, number
from common.errors import InputError, exit_on_input_error
from common.inference.lifting import Lifter
from demo.detect import create_detector
from demo.lift import lift_people
from demo.placing import place_people
from demo.poses import Poses
from demo.stages import detect_people, drawn, render
from demo.video_read import VideoReader, open_video
from demo.video_write import VideoWriter
from demo.vis import LINES


def first_frames(video: VideoReader, count: int) -> VideoReader:
    """The video cut after `count` frames."""
    return replace(video, frames=count, pictures=lambda size: itertools.islice(video.pictures(size), count))


def timed(what: str, frames: int, work: Callable[[], object]) -> tuple[object, float]:
    """Do `work`, print its frames per second, and return its result and seconds."""
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    print(f"{what:42} {frames / seconds:8.1f} frames/s", flush=True)
    return result, seconds


def main() -> None:
    """Time everything and print the table."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", default="sample_video.mp4", help="a video, by path or by its name in demo/video/")
    parser.add_argument("--frames", type=number(int, 2), default=120, help="how many frames (default: 120)")
    parser.add_argument(
        "--detector_model", help="full, heavy or the file of a model (default: heavy where it is there, else full)"
    )
    parser.add_argument("--checkpoint", help="weights (default: those that come along)")
    args = parser.parse_args()
    cv2.setNumThreads(1)  # as in the demo
    whole = open_video(args.video)
    frames = sum(1 for _ in itertools.islice(whole, args.frames))
    if frames < 2:
        raise InputError(f"{args.video}: has one frame only; give a longer video")
    video = first_frames(whole, frames)
    print(f"{whole.path.name}: {whole.size[0]}x{whole.size[1]}, {frames} frames")
    timed("decoding", frames, lambda: sum(1 for _ in video))
    with contextlib.closing(create_detector(model=args.detector_model)) as detector:
        keypoints, first = timed(f"2D and tracks ({detector.name})", frames, lambda: detect_people(video, detector, 4))
    lifter = Lifter.from_checkpoint(args.checkpoint)
    lift_people(keypoints, video.size, float(video.fps), lifter)  # the first call of a model takes longer
    (poses_3d, valid), second = timed(
        f"lifting {len(keypoints)} people",
        valid_frames(keypoints),
        lambda: lift_people(keypoints, video.size, float(video.fps), lifter),
    )
    poses = Poses(poses_3d, keypoints, valid, float(video.fps), video.size)
    offsets = place_people(poses_3d, poses.posed, poses.fps, keypoints)
    small = video.scaled(LINES)
    pictures = [picture for _, _, picture in small]
    timed("drawing", frames, lambda: sum(1 for _ in drawn(pictures, poses, offsets, small.size)))
    sheets = list(drawn(pictures, poses, offsets, small.size))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.mp4"

        def encode() -> None:
            with VideoWriter(path, video.fps, (sheets[0].shape[1], sheets[0].shape[0])) as writer:
                for sheet in sheets:
                    writer.write(sheet)

        timed("encoding", frames, encode)
        _, third = timed("drawing, all of it", frames, lambda: render(video, poses, offsets, path, LINES))
    print(f"{'the whole':42} {frames / (first + second + third):8.1f} frames/s")


def valid_frames(keypoints: np.ndarray) -> int:
    """How many frames of people (P, T, 17, 3) there are."""
    return keypoints.shape[0] * keypoints.shape[1]


if __name__ == "__main__":
    exit_on_input_error(main)
