"""A video -> its people's 3D motion: a video to look at, files for other programs, and a page to turn the motion around
in.

    python demo/vis.py --video sample_video.mp4

Stages, each of which can start from the file that the one before left: pictures -> 2D keypoints (keypoints.npz,
--keypoints) -> 3D poses (poses.npz, --poses) -> NAME.mp4, poses.csv, poses.json, viewer.html.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
import contextlib
import time
from typing import TYPE_CHECKING

from common.arguments import Parser, number
from common.errors import InputError, exit_on_input_error

if TYPE_CHECKING:
    from demo.results import Results
    from demo.video import VideoReader

OUTPUT = Path(__file__).resolve().parent / "output"
LINES = 720  # height of the drawn video


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_argument_group("input")
    group.add_argument(
        "--video", help="a video or a folder of images, by path or by its name in demo/video/; or a camera's number"
    )
    group.add_argument(
        "--seconds", type=number(float, 0, above=True), help="record a camera for so long (default: until q is pressed)"
    )
    group.add_argument(
        "--fps",
        type=number(float, 0, above=True),
        default=30.0,
        help="frames per second of a folder of images, or of keypoints that do not tell (default: 30)",
    )
    group.add_argument(
        "--keypoints",
        metavar="FILE",
        help="2D keypoints in place of detection: keypoints.npz of an earlier run, or VideoPose3D's "
        "data_2d_custom_NAME.npz",
    )
    group.add_argument(
        "--poses", metavar="FILE", help="3D poses of an earlier run (poses.npz): only draw and export them"
    )
    group = parser.add_argument_group("2D")
    group.add_argument("--detector", default="mediapipe", help="who finds the joints (default: mediapipe)")
    group.add_argument(
        "--detector_model", help="full, heavy or the file of a model (default: heavy where it is there, else full)"
    )
    group.add_argument(
        "--people", type=number(int, 1), default=4, help="at most so many at a time, who are seen longest (default: 4)"
    )
    group = parser.add_argument_group("3D")
    group.add_argument(
        "--checkpoint", help="weights of any model that this project trained (default: those that come along)"
    )
    group.add_argument(
        "--height", type=number(float, 0.3, 3), help="the person's height from ankle to crown, metres (default: 1.64)"
    )
    group.add_argument(
        "--fov", type=float, metavar="DEGREES",
        help="what the camera sees over the larger side of its picture, 10 to 150 (default: as the EXIF of images "
        "says, else 53)",
    )  # fmt: skip
    group.add_argument(
        "--camera", metavar="FILE", help="in place of --fov, the camera's matrix and picture size (demo/camera.py)"
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
        help=f"the drawn video is no higher than so many pixels (default: {LINES})",
    )
    group.add_argument("--fix_z", action="store_true", help="the lowest joint stands on the ground in every frame")
    return parser


def main() -> None:
    """Run the stages that are asked for and say where the results are."""
    args = build_parser().parse_args()
    if not (args.video or args.keypoints or args.poses):
        raise InputError("nothing to do; give --video, or --keypoints or --poses of an earlier run")
    if args.keypoints and args.poses:
        raise InputError("--keypoints and --poses are both given; give the one to start from")
    # What takes seconds to import comes here, where Ctrl-C is a sentence already.
    from demo.results import Results, name_after
    from demo.video import find_source, open_video, record_camera

    source, camera = find_source(args.video) if args.video else (Path(args.keypoints or args.poses), None)
    name = name_after(source)
    folder = Path(args.output) if args.output else OUTPUT / name
    names = [f"{name}.mp4", "viewer.html", "poses.csv", "poses.json"]
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
        run(args, open_video(source, fps=args.fps) if args.video else None, name, results)
    print(f"results: {folder}: {', '.join(names)}")


def run(args: argparse.Namespace, video: VideoReader | None, name: str, results: Results) -> None:
    """The stages from what `args` start with, up to the results called `name`."""
    import cv2

    from common.geometry.camera import view_of_camera
    from common.inference.checkpoint import find_checkpoint, shipped_checkpoint
    from common.inference.compute import choose_compute
    from common.inference.lifting import Lifter
    from demo.camera import choose_camera
    from demo.detect import create_detector, read_keypoints, write_keypoints
    from demo.export import Poses, hash_file, read_poses, write_csv, write_json, write_poses, write_viewer
    from demo.lift import lift_people
    from demo.stages import check_same_video, detect_people, render

    cv2.setNumThreads(1)  # the stages run side by side: OpenCV's own threads would get in their way
    started = time.perf_counter()

    def done(what: str, frames: int) -> None:
        nonlocal started
        now = time.perf_counter()
        print(f"{what}, {frames / (now - started):.0f} frames/s", flush=True)
        started = now

    if args.poses:
        poses = read_poses(args.poses)
        if video:
            check_same_video(video, args.poses, poses.valid.shape[1], poses.fps, poses.size)
    else:
        if args.keypoints:
            about = (Path(video.path).name, video.size, float(video.fps)) if video else (None, None, args.fps)
            keypoints, fps, size = read_keypoints(args.keypoints, *about)
            if video:
                check_same_video(video, args.keypoints, keypoints.shape[1], fps, size)
        else:
            assert video is not None  # main sees to it
            fps, size = float(video.fps), video.size
        camera = choose_camera(args.fov, args.camera, video.path if video else None, size)
        if camera:
            print(f"field of view: {view_of_camera(camera):.1f} degrees{f', by {camera.name}' if camera.name else ''}")
        if not args.keypoints:
            with contextlib.closing(create_detector(args.detector, args.detector_model)) as detector:
                started = time.perf_counter()
                assert video is not None
                keypoints = detect_people(video, detector, args.people)
            with results.writing("keypoints.npz") as path:
                write_keypoints(path, keypoints, fps, size)
            somebody, frames = (keypoints[..., 2] > 0).any(axis=(0, 2)).sum(), keypoints.shape[1]  # of (P, T, 17)
            done(f"2D by {detector.name}: people {len(keypoints)}, somebody in {somebody} of {frames} frames", frames)
        weights = find_checkpoint(args.checkpoint) if args.checkpoint else shipped_checkpoint()
        device = choose_compute("auto" if args.backend == "torch" else "cpu", args.gpu, "fp32").device
        lifter = Lifter.from_checkpoint(weights, device, backend=args.backend)
        started = time.perf_counter()
        poses_3d, valid = lift_people(keypoints, size, fps, lifter, smooth=args.smooth, height=args.height, fov=camera)
        done(f"3D by {lifter.model.name}: {valid.size} frames", valid.size)
        poses = Poses(poses_3d, keypoints, valid, fps, size, lifter.model.name, hash_file(weights))
        with results.writing("poses.npz") as path:
            write_poses(path, poses)
    with results.writing("poses.csv") as path:
        write_csv(path, poses)
    with results.writing("poses.json") as path:
        write_json(path, poses)
    with results.writing("viewer.html") as path:
        write_viewer(path, poses.poses_3d, poses.keypoints_2d, poses.valid, poses.fps, poses.size, name, args.fix_z)
    started = time.perf_counter()
    with results.writing(f"{name}.mp4") as path:
        frames = render(video, poses, path, args.fix_z, args.lines)
    done(f"drawing and encoding: {frames} frames", frames)


if __name__ == "__main__":
    exit_on_input_error(main)
