"""A video -> its people's 3D motion: a video to look at, files for other programs, and a page to turn the motion around in.

    python demo/vis.py --video sample_video.mp4

Stages, each of which can start from the file that the one before left: pictures -> 2D keypoints (keypoints.npz, --keypoints) ->
3D poses (poses.npz, --poses) -> NAME.mp4, poses.csv, poses.json, viewer.html.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
import itertools
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import cv2
import numpy as np
from tqdm import tqdm

from common.arguments import Parser, number
from common.camera import FIELD_OF_VIEW, view_of_camera
from common.checkpoint import find_checkpoint, shipped_checkpoint
from common.compute import choose_compute
from common.errors import InputError, exit_on_input_error
from common.files import check_writable
from common.lifting import Lifter
from demo.camera import choose_camera
from demo.convert import convert
from demo.detect import Detector, create_detector, read_keypoints, write_keypoints
from demo.export import Poses, hash_file, read_poses, write_csv, write_json, write_poses, write_viewer
from demo.lift import lift_people
from demo.render import Scene3D, draw_2d, draw_3d, panel_size, place_people, side_by_side
from demo.track import Tracker
from demo.video import VideoReader, VideoWriter, open_video, scaled_size

OUTPUT = Path(__file__).resolve().parent / "output"
AHEAD = 4  # pictures that wait between two stages that run side by side
LINES = 720  # height of the drawn video
BLANK = 40  # grey of the pictures where there is no video

Item = TypeVar("Item")


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Pass items on while a thread of their own already makes the next few; an error there is raised here."""
    waiting: queue.Queue = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(what: tuple[str, object]) -> None:
        while not stopped.is_set():
            try:
                waiting.put(what, timeout=0.1)
                break
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                if stopped.is_set():
                    return
                put(("item", item))
            put(("end", None))
        except BaseException as error:  # whatever it is, it belongs to whoever reads
            put(("error", error))

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped.set()


def detect_people(video: VideoReader, detector: Detector, most: int) -> np.ndarray:
    """The 2D keypoints of the `most` people seen longest -> (P, T, 17, 3), pixels and score. Raises InputError for nobody."""
    tracker = Tracker(float(video.fps))
    for _, at, picture in tqdm(ahead(video), total=video.frames, desc="detecting", unit="frame", disable=None, leave=False):
        tracker.add(convert(detector.detect(picture, at), detector.joints))
    keypoints = tracker.tracks(most)
    if not len(keypoints):
        raise InputError(f"{video.path}: no person was found in any frame; use a video in which a person is large enough to see")
    return keypoints


def drawn(pictures: Iterable[np.ndarray], poses: Poses, size: tuple[int, int], fix_z: bool) -> Iterator[np.ndarray]:
    """Each picture, of `size` (width, height), with the 2D over it, and the 3D to its right; as many as there are poses."""
    posed = poses.posed  # (P, T)
    offsets = place_people(poses.poses_3d, posed, poses.fps, poses.keypoints_2d, fix_z)  # (P, T, 3)
    scene = Scene3D.around(panel_size(size), poses.poses_3d + offsets[:, :, None], posed)
    keypoints = poses.keypoints_2d * np.array([size[0] / poses.size[0], size[1] / poses.size[1], 1], np.float32)  # (P, T, 17, 3)
    for frame, picture in zip(range(posed.shape[1]), pictures, strict=False):
        for person in range(len(posed)):
            draw_2d(picture, keypoints[person, frame], poses.valid[person, frame], person)
        yield side_by_side(picture, draw_3d(scene, poses.poses_3d[:, frame], posed[:, frame], offsets[:, frame]))


def render(video: VideoReader | None, poses: Poses, path: Path, fix_z: bool, lines: int = LINES) -> None:
    """Write the side-by-side video, no higher than `lines` pixels; decoding, drawing and encoding run side by side.

    No video: the 2D stands on grey.
    """
    frames, size = poses.posed.shape[1], scaled_size(video.size if video else poses.size, lines)
    if video:
        pictures = ahead(picture for _, _, picture in video.scaled(lines))
    else:
        pictures = (np.full((size[1], size[0], 3), BLANK, np.uint8) for _ in range(frames))
    sheets = ahead(drawn(pictures, poses, size, fix_z))
    first = next(sheets)
    sound = video.path if video and video.has_audio else None
    with VideoWriter(path, video.fps if video else poses.fps, first.shape[1::-1], sound, frames / poses.fps) as writer:
        sheets = itertools.chain([first], sheets)
        for sheet in tqdm(sheets, total=frames, desc="drawing", unit="frame", disable=None, leave=False):
            writer.write(sheet)


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_argument_group("input")
    group.add_argument("--video", help="a video or a folder of images, by path or by its name in demo/video/; or a camera's number")
    group.add_argument("--seconds", type=number(float, 0, above=True), help="record a camera for so long (default: until q is pressed)")
    group.add_argument("--fps", type=number(float, 1), default=30.0, help="frames per second of a folder of images (default: 30)")
    group.add_argument("--keypoints", metavar="FILE", help="2D keypoints of an earlier run (keypoints.npz) in place of detection")
    group.add_argument("--poses", metavar="FILE", help="3D poses of an earlier run (poses.npz): only draw and export them")
    group = parser.add_argument_group("2D")
    group.add_argument("--detector", default="mediapipe", help="who finds the joints (default: mediapipe)")
    group.add_argument("--detector_model", help="full, heavy or the file of a model (default: heavy where it is there, else full)")
    group.add_argument("--people", type=number(int, 1), default=4, help="at most so many, who are seen longest (default: 4)")
    group = parser.add_argument_group("3D")
    group.add_argument("--checkpoint", help="weights of any model that this project trained (default: those that come along)")
    group.add_argument("--height", type=number(float, 0.3, 3), help="the person's height from ankle to crown, metres (default: 1.64)")
    group.add_argument(
        "--fov", type=number(float, *FIELD_OF_VIEW), metavar="DEGREES", help="what the camera sees over the larger side of its picture "
        "(default: as the images of a folder say in their EXIF, else 53)",
    )  # fmt: skip
    group.add_argument(
        "--camera", metavar="FILE", help="the camera's matrix and picture size, a .toml, .yml, .xml or .json (demo/camera.py)"
    )
    group.add_argument("--smooth", action="store_true", help="take jitter out of the poses with a 1-euro filter")
    group.add_argument("--gpu", default="0", help="number of the CUDA device, where there is one (default: 0)")
    group = parser.add_argument_group("output")
    group.add_argument("--output", metavar="FOLDER", help="where the results go (default: demo/output/NAME/)")
    group.add_argument(
        "--lines", type=number(int, 2), default=LINES, help=f"the drawn video is no higher than so many pixels (default: {LINES})"
    )
    group.add_argument("--fix_z", action="store_true", help="the lowest joint stands on the ground in every frame")
    return parser


def main() -> None:
    """Run the stages that are asked for and say where the results are."""
    args = build_parser().parse_args()
    cv2.setNumThreads(1)  # the stages run side by side: OpenCV's own threads would get in their way
    if not (args.video or args.keypoints or args.poses):
        raise InputError("nothing to do; give --video, or --keypoints or --poses of an earlier run")
    if args.keypoints and args.poses:
        raise InputError("--keypoints and --poses are both given; give the one to start from")
    video = open_video(args.video, fps=args.fps, seconds=args.seconds) if args.video else None
    name = Path(video.path if video else args.keypoints or args.poses).stem
    folder = Path(args.output) if args.output else OUTPUT / name
    check_writable(folder / "poses.npz")
    started = time.perf_counter()

    def done(what: str, frames: int) -> None:
        nonlocal started
        now = time.perf_counter()
        print(f"{what}: {frames} frames, {frames / (now - started):.0f} frames/s", flush=True)
        started = now

    if args.poses:
        poses = read_poses(args.poses)
    else:
        if args.keypoints:
            keypoints, fps, size = read_keypoints(args.keypoints)
        else:
            detector = create_detector(args.detector, args.detector_model)
            started = time.perf_counter()
            keypoints, fps, size = detect_people(video, detector, args.people), float(video.fps), video.size
            write_keypoints(folder / "keypoints.npz", keypoints, fps, size)
            done(f"2D by {detector.name}, {len(keypoints)} people", keypoints.shape[1])
        camera = choose_camera(args.fov, args.camera, video.path if video else None, size)
        if camera:
            print(f"field of view: {view_of_camera(camera):.1f} degrees{f', by {camera.name}' if camera.name else ''}")
        weights = find_checkpoint(args.checkpoint) if args.checkpoint else shipped_checkpoint()
        lifter = Lifter.from_checkpoint(weights, choose_compute("auto", args.gpu, "fp32").device)
        started = time.perf_counter()
        poses_3d, valid = lift_people(keypoints, size, fps, lifter, smooth=args.smooth, height=args.height, fov=camera)
        done(f"3D by {lifter.model.name}", valid.size)
        poses = Poses(poses_3d, keypoints, valid, fps, size, lifter.model.name, hash_file(weights))
        write_poses(folder / "poses.npz", poses)
    if video and video.size != tuple(poses.size):
        have, want = ("x".join(map(str, size)) for size in (video.size, poses.size))
        raise InputError(f"{video.path}: has pictures of {have} pixels, but the poses are of {want}; give the video that they are of")
    write_csv(folder / "poses.csv", poses)
    write_json(folder / "poses.json", poses)
    write_viewer(folder / "viewer.html", poses.poses_3d, poses.keypoints_2d, poses.valid, poses.fps, poses.size, name, args.fix_z)
    started = time.perf_counter()
    render(video, poses, folder / f"{name}.mp4", args.fix_z, args.lines)
    done("drawing and encoding", poses.posed.shape[1])
    print(f"results: {folder}: {name}.mp4, viewer.html, poses.npz, poses.csv, poses.json")


if __name__ == "__main__":
    exit_on_input_error(main)
