"""Find the people of a video and their motion in 3D. Write a video of it, files for other programs, and a page on which
the motion can be turned around.

    python demo/vis.py --video sample_video.mp4

The stages: pictures -> 2D keypoints (keypoints.npz) -> 3D poses (poses.npz) -> NAME.mp4, poses.csv, poses.json,
viewer.html, and the motion for other programs (--export). A run can also start from the 2D keypoints (--keypoints) or
3D poses (--poses) of an earlier run.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
import contextlib
import re
import time
from typing import TYPE_CHECKING

from common.arguments import Parser, number
from common.errors import InputError, exit_on_input_error

if TYPE_CHECKING:
    import numpy as np

    from demo.poses import Poses
    from demo.results import Results
    from demo.video_read import VideoReader

OUTPUT = Path(__file__).resolve().parent / "output"
LINES = 720  # height of the drawn video


def build_parser() -> Parser:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_argument_group("input")
    group.add_argument(
        "--video", help="a video or a folder of images, by path or by its name in demo/video/; or a camera's number"
    )
    group.add_argument(
        "--seconds", type=number(float, 0, above=True), help="how long to record a camera (default: until q is pressed)"
    )
    group.add_argument(
        "--fps",
        type=number(float, 0, above=True),
        default=30.0,
        help="frames per second of a folder of images, or of keypoints whose file does not say it (default: 30)",
    )
    group.add_argument(
        "--keypoints",
        metavar="FILE",
        help="2D keypoints in place of detection: keypoints.npz of an earlier run, or the file or folder of another "
        "tool (demo/README.md)",
    )
    group.add_argument("--layout", help="the layout of the joints of --keypoints, where their number does not tell it")
    group.add_argument(
        "--size", type=picture_size, metavar="WxH", help="the picture's size in pixels, where --keypoints does not tell"
    )
    group.add_argument(
        "--poses", metavar="FILE", help="3D poses of an earlier run (poses.npz): only draw and export them"
    )
    group = parser.add_argument_group("2D")
    group.add_argument(
        "--detector",
        default="blazepose",
        help="who finds the joints: blazepose (default), movenet, hrnet, rtmpose, rtmo",
    )
    group.add_argument(
        "--detector_model", help="full, heavy or the file of a model (default: heavy where it is there, else full)"
    )
    group.add_argument(
        "--people",
        type=number(int, 1),
        default=4,
        help="at most this many people at a time, those who are seen longest (default: 4)",
    )
    group.add_argument(
        "--person", type=number(int, 0), metavar="ID", help="only this one, by the number in the table of a run"
    )
    group = parser.add_argument_group("3D")
    group.add_argument(
        "--checkpoint", help="weights of any model that this project trained (default: those of the repository)"
    )
    group.add_argument(
        "--height", type=number(float, 0.3, 3), help="the person's height from ankle to crown, metres (default: 1.64)"
    )
    group.add_argument(
        "--fov", type=float, metavar="DEGREES",
        help="the camera's field of view over the larger side of its picture, 10 to 150 (default: by the EXIF of "
        "images, else 53)",
    )  # fmt: skip
    group.add_argument(
        "--camera",
        metavar="FILE",
        help="a file with the camera's matrix, picture size and distortion, in place of --fov (demo/camera.py)",
    )
    group.add_argument("--smooth", action="store_true", help="take jitter out of the poses with a 1-euro filter")
    group.add_argument(
        "--backend",
        default="torch",
        choices=("torch", "onnxruntime", "openvino"),
        help="what runs the model; the last two take the optional packages of demo/requirements.txt and half a minute "
        "to start, and run on the CPU (default: torch)",
    )
    group.add_argument("--gpu", default="0", help="number of the CUDA device, where there is one (default: 0)")
    group = parser.add_argument_group("output")
    group.add_argument("--output", metavar="FOLDER", help="where the results go (default: demo/output/NAME/)")
    group.add_argument(
        "--lines",
        type=number(int, 2),
        default=LINES,
        help=f"the greatest height of the drawn video, pixels (default: {LINES})",
    )
    group.add_argument(
        "--export",
        metavar="FORMATS",
        help="files of the motion, some of bvh,glb,trc,c3d,csv,angles (default: all whose package is installed)",
    )
    group.add_argument("--unit", choices=("cm", "m"), default="cm", help="unit of length of the .bvh (default: cm)")
    group.add_argument("--fix_z", action="store_true", help="the lowest joint stands on the ground in every frame")
    return parser


def picture_size(text: str) -> tuple[int, int]:
    """Width and height, given as 1920x1080."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no width and height in pixels, such as 1920x1080")
    return int(found[1]), int(found[2])


def main() -> None:
    """Check what is asked for, run the stages, and print where the results are."""
    args = build_parser().parse_args()
    if not (args.video or args.keypoints or args.poses):
        raise InputError("nothing to do; give --video, or --keypoints or --poses of an earlier run")
    if args.keypoints and args.poses:
        raise InputError("--keypoints and --poses are both given; give the one to start from")
    if (args.layout or args.size) and not args.keypoints:
        raise InputError("--layout and --size are about --keypoints, which is not given; leave them out")
    if args.size and args.video:
        raise InputError("--size and --video are both given; the picture's size is the video's: leave --size out")
    # These imports take seconds. They come here, where Ctrl-C already ends the program with a sentence.
    from demo.motion.formats import choose_formats, file_names
    from demo.results import Results, name_after
    from demo.video_read import find_source, open_video
    from demo.video_record import record_camera

    formats = choose_formats(args.export)
    source, camera = find_source(args.video) if args.video else (Path(args.keypoints or args.poses), None)
    name = name_after(source)
    folder = Path(args.output) if args.output else OUTPUT / name
    names = [f"{name}.mp4", "viewer.html", "poses.json", *file_names(formats, args.people)]
    if not args.poses:
        names.append("poses.npz")
        if not args.keypoints:
            names.append("keypoints.npz")
    inputs = [
        given
        for given in (source, args.keypoints, args.poses, args.checkpoint, args.detector_model, args.camera)
        if given
    ]
    with Results(folder, source, names, inputs) as results:
        if camera is not None:
            record_camera(camera, args.seconds, source)
        run(args, open_video(source, fps=args.fps) if args.video else None, name, formats, results)
    print(f"results: {folder}: {', '.join(results.written)}")


def run(args: argparse.Namespace, video: VideoReader | None, name: str, formats: list[str], results: Results) -> None:
    """Run the stages from the one that `args` start with, and write the results, called `name`, and the motion in
    `formats`.
    """
    import cv2

    from demo.export import write_json
    from demo.motion.formats import write_motion
    from demo.people import people_table
    from demo.placing import place_people
    from demo.poses import write_poses
    from demo.stages import render
    from demo.viewer import write_viewer

    cv2.setNumThreads(1)  # the stages run side by side: OpenCV's own threads would get in their way
    if args.poses:
        poses = poses_of_file(args, video)
    else:
        poses = make_poses(args, video, results)
        with results.writing("poses.npz") as path:
            write_poses(path, poses)
    with results.writing("poses.json") as path:
        write_json(path, poses)
    offsets = place_people(poses.poses_3d, poses.posed, poses.fps, poses.keypoints_2d, args.fix_z)  # (P, T, 3)
    write_motion(results, formats, poses, offsets, args.unit)
    with results.writing("viewer.html") as path:
        write_viewer(path, poses, offsets, name)
    started = time.perf_counter()
    with results.writing(f"{name}.mp4") as path:
        frames = render(video, poses, offsets, path, args.lines)
    report(f"drawing and encoding: {frames} frames", frames, started)
    print(people_table(poses.keypoints_2d, poses.fps, args.person or 0))


def poses_of_file(args: argparse.Namespace, video: VideoReader | None) -> Poses:
    """The poses of --poses, of --person alone. Raises InputError where they cannot be of the video."""
    from dataclasses import replace

    from demo.people import check_person
    from demo.poses import read_poses
    from demo.stages import check_same_video

    poses = read_poses(args.poses)
    if video:
        check_same_video(video, args.poses, poses.valid.shape[1], poses.fps, poses.size)
    rows = check_person(args.person, len(poses.valid))
    return replace(poses, poses_3d=poses.poses_3d[rows], keypoints_2d=poses.keypoints_2d[rows], valid=poses.valid[rows])


def make_poses(args: argparse.Namespace, video: VideoReader | None, results: Results) -> Poses:
    """3D poses from the 2D of --keypoints, or else of the video; of --person alone."""
    from common.geometry.camera import view_of_camera
    from common.inference.checkpoint import find_checkpoint, shipped_checkpoint
    from common.inference.compute import choose_compute
    from common.inference.lifting import Lifter
    from demo.camera import choose_camera, straighten
    from demo.lift import lift_people
    from demo.people import check_person, read_people
    from demo.poses import Poses
    from demo.results import hash_file

    keypoints = None
    if args.keypoints:
        keypoints, fps, size = read_people(
            args.keypoints, video, args.people, fps=args.fps, size=args.size, layout=args.layout
        )
    else:
        assert video is not None  # main sees to it
        fps, size = float(video.fps), video.size
    # A wrong camera is refused here, before the long work.
    camera = choose_camera(args.fov, args.camera, video.path if video else None, size)
    if camera:
        print(f"field of view: {view_of_camera(camera):.1f} degrees{f', by {camera.name}' if camera.name else ''}")
    if keypoints is None:
        assert video is not None
        keypoints = detect_keypoints(args, video, results)
    keypoints = keypoints[check_person(args.person, len(keypoints))]
    weights = find_checkpoint(args.checkpoint) if args.checkpoint else shipped_checkpoint()
    device = choose_compute("auto" if args.backend == "torch" else "cpu", args.gpu, "fp32").device
    lifter = Lifter.from_checkpoint(weights, device, backend=args.backend)
    started = time.perf_counter()
    seen = straighten(keypoints, camera)
    poses_3d, valid = lift_people(seen, size, fps, lifter, smooth=args.smooth, height=args.height, fov=camera)
    report(f"3D by {lifter.model.name}: {valid.size} frames", valid.size, started)
    return Poses(poses_3d, keypoints, valid, fps, size, lifter.model.name, hash_file(weights))


def detect_keypoints(args: argparse.Namespace, video: VideoReader, results: Results) -> np.ndarray:
    """The keypoints (P, T, 17, 3) of the people in the video, also written to keypoints.npz."""
    from demo.detect import create_detector
    from demo.keypoint_files import write_keypoints
    from demo.stages import detect_people

    with contextlib.closing(create_detector(args.detector, args.detector_model)) as detector:
        started = time.perf_counter()
        keypoints = detect_people(video, detector, args.people)
    with results.writing("keypoints.npz") as path:
        write_keypoints(path, keypoints, float(video.fps), video.size)
    somebody, frames = (keypoints[..., 2] > 0).any(axis=(0, 2)).sum(), keypoints.shape[1]
    found = f"people {len(keypoints)}, somebody in {somebody} of {frames} frames"
    report(f"2D by {detector.name}: {found}", frames, started)
    return keypoints


def report(work: str, frames: int, started: float) -> None:
    """Print which work was done, and its frames per second since `started` (of time.perf_counter)."""
    print(f"{work}, {frames / (time.perf_counter() - started):.0f} frames/s", flush=True)


if __name__ == "__main__":
    exit_on_input_error(main)
