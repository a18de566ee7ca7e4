"""CMU motion capture -> the project's motion formats, in two files beside each other.

    python dataset/prepare_cmu.py --input FOLDER

data_cmu.npz (common/motion_file.py): seen by the four Human3.6M cameras, with true and detector-like pixels.
motion_cmu.npz (common/world_motion.py): the clips whole and in the world, for training that draws its own cameras.

FOLDER holds files of mocap.cs.cmu.edu (SUBJECT.asf and SUBJECT_TRIAL.amc) and, or, SUBJECT_TRIAL.bvh of the "Daz" conversion.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from common.arguments import Parser, number
from common.camera import h36m_cameras, project, world_to_camera
from common.detector_noise import detector_like, named_generator
from common.errors import InputError, exit_on_input_error
from common.motion_file import write_motion_file
from common.npz import open_npz
from common.schema import FLOAT, MOST_METRES, TEXT, WHOLE, Field
from common.world_motion import WorldClip, write_world_motion
from dataset.asf_amc import read_asf_amc
from dataset.bvh import read_bvh
from dataset.mocap import resample

CREDIT = "the data used in this project was obtained from mocap.cs.cmu.edu; the database was created with funding from NSF EIA-0196217."
SOURCE = f"CMU motion capture on 17 joints, seen by simulated Human3.6M cameras: {CREDIT}"
WORLD_SOURCE = f"CMU motion capture on 17 joints: {CREDIT}"
FPS = 50.0
AMC_FPS = 120.0
ACTIONS = {
    "01": "Playground", "02": "Various", "03": "Uneven terrain", "05": "Dance", "06": "Basketball", "07": "Walk", "08": "Walk",
    "09": "Run", "10": "Soccer", "11": "Soccer", "12": "Tai chi", "13": "Everyday", "14": "Everyday",
}  # fmt: skip
TEST_SUBJECTS = ("03", "09", "11", "12", "14")
SETUPS = {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")}

STUDIO_RADIUS = 2.5  # metres: the root stays this near to the studio's origin
SHORTEST = 25  # frames
SETTLING = 3  # frames at 50 Hz: so long the BVH conversion takes from its T-pose to the motion


READY = {
    "clips": Field(TEXT, ("clips",)),
    "source": Field(TEXT, ("clips",), choices=("amc", "bvh")),
    "lengths": Field(WHOLE, ("clips",), least=1),
    "root": Field(FLOAT, ("total", 3), -MOST_METRES, MOST_METRES),
    "relative": Field(FLOAT, ("total", 16, 3), -MOST_METRES, MOST_METRES),
}
"""Clips that are already on the 17 joints, one after the other; relative: joints 1 to 16 minus the root."""


# Reading ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clip:
    """A clip at 50 Hz: poses (T, 17, 3), metres, world with y up; source is the kind of file it came from, "amc" or "bvh"."""

    poses: np.ndarray
    source: str


def read_folder(folder: str | Path, amc_fps: float = AMC_FPS) -> dict[str, Clip]:
    """Every clip under `folder` by its name, sorted by name.

    Where a clip is there as .amc and as .bvh, the .amc is read: it is true to the person's own bones. Raises InputError where
    there is no such folder or no clip in it, where a clip is there twice, and where a file cannot be used.
    """
    folder = Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".asf", ".amc", ".bvh") and path.is_file())
    found: dict[str, dict[str, Path]] = {".asf": {}, ".amc": {}, ".bvh": {}}
    for path in files:
        other = found[path.suffix.lower()].setdefault(clip_name(path.stem), path)
        if other != path:
            raise InputError(f"{path}: the same clip or skeleton is also there as {other}; leave one of the two out")
    chosen = dict(sorted((found[".bvh"] | found[".amc"]).items()))
    if not chosen:
        raise InputError(f"{folder}: holds no .amc or .bvh file; give --input the folder of the CMU motion files")
    clips = {}
    for name, path in tqdm(chosen.items(), desc="reading", unit="clip", disable=None):
        if path.suffix.lower() == ".bvh":
            poses, fps = read_bvh(path)
        else:
            asf = found[".asf"].get(subject_of(name))
            if asf is None:
                raise InputError(f"{path}: its skeleton {subject_of(name)}.asf is not under {folder}; download that file too")
            poses, fps = read_asf_amc(asf, path), amc_fps
        clips[name] = Clip(resample(poses, fps, FPS), path.suffix.lower()[1:])
    return clips


def read_ready(path: str | Path) -> dict[str, Clip]:
    """Clips that are already on the 17 joints at 50 Hz, metres, world with y up, by their names, sorted by name.

    The .npz holds clips (N,), source (N,) "amc" or "bvh", lengths (N,), root (total, 3) and relative (total, 16, 3), joints 1 to
    16 minus the root. Raises InputError where it is missing, damaged, or its fields do not fit together.
    """
    path = Path(path)
    layout = f"give an .npz with {', '.join(READY)}"
    with open_npz(path, READY, make="give a file that is there", layout=layout) as field:
        names, source, lengths = (field(name) for name in ("clips", "source", "lengths"))
        field.fix_axis("total", sum(lengths.tolist()), "as field lengths adds up")
        root, relative = field("root"), field("relative")
    root = root.astype(np.float64)[:, None]  # (total, 1, 3)
    poses = np.concatenate([root, root + relative], axis=1)  # (total, 17, 3)
    parts = np.split(poses, np.cumsum(lengths)[:-1])
    clips = {clip_name(str(name)): Clip(part, str(kind)) for name, part, kind in zip(names, parts, source, strict=True)}
    if not clips or len(clips) != len(names):
        raise InputError(f"{path}: field clips is empty or names a clip twice; make the file again")
    return dict(sorted(clips.items()))


def clip_name(stem: str) -> str:
    """The name of a clip, or of a subject's skeleton, with the subject in two digits: "3_02" -> "03_02"."""
    subject, separator, trial = stem.partition("_")
    return (subject.zfill(2) if subject.isdigit() else subject) + separator + trial


def subject_of(name: str) -> str:
    """The subject of a clip: "03_02" -> "03"."""
    return name.partition("_")[0]


# Writing ---------------------------------------------------------------------------------------------------------------------


def z_up(poses: np.ndarray) -> np.ndarray:
    """World with y up (..., 3) -> world with z up, as Human3.6M has it: a quarter turn about x, right-handed both."""
    return np.stack([poses[..., 0], -poses[..., 2], poses[..., 1]], axis=-1)  # (..., 3)


def studio_pieces(poses: np.ndarray) -> list[np.ndarray]:
    """A clip (T, 17, 3), z up, metres -> consecutive pieces of (nearly) one length that fit into the studio.

    The clip's lowest foot is at z = 0 and each piece is centred on the origin: its root stays within STUDIO_RADIUS. Nothing is
    scaled. As few pieces as do; those under SHORTEST frames are left out.
    """
    if len(poses) < SHORTEST:
        return []
    poses = poses - [0, 0, poses[:, (3, 6), 2].min()]
    suspect = 0  # a frame whose piece did not fit, and probably will not when the pieces are a little shorter
    for count in range(1, (len(poses) - 1) // (SHORTEST - 1) + 1):  # with more, all would be under SHORTEST
        edges = _edges(len(poses), count)
        first = int(np.searchsorted(edges, suspect, side="right")) - 1
        for k in (first, *range(count)):
            piece = poses[edges[k] : edges[k + 1]]
            if not _fits_studio(piece):
                steps = np.linalg.norm(np.diff(piece[:, 0, :2], axis=0), axis=-1)
                suspect = int(edges[k]) + int(steps.argmax())
                break
        else:
            pieces = [piece - _floor_centre(piece) for piece in np.split(poses, edges[1:-1])]
            return [piece for piece in pieces if len(piece) >= SHORTEST]
    return []


def _edges(length: int, count: int) -> np.ndarray:
    """Where `count` pieces of (nearly) one length begin and end -> (count + 1,)."""
    number = np.arange(count + 1)
    return number * (length // count) + np.minimum(number, length % count)


def _fits_studio(piece: np.ndarray) -> bool:
    """Whether the root (T, 17, 3), z up, stays within STUDIO_RADIUS of the middle of its way."""
    return bool(np.linalg.norm(piece[:, 0, :2] - _floor_centre(piece)[:2], axis=-1).max() <= STUDIO_RADIUS)


def settled(clip: Clip) -> np.ndarray:
    """The poses (T, 17, 3) of a clip, without the frames in which a BVH clip leaves its T-pose."""
    return clip.poses[SETTLING:] if clip.source == "bvh" else clip.poses


def split_of(subject: str) -> str:
    """The split of all clips of a subject, "train" or "test"."""
    return "test" if subject in TEST_SUBJECTS else "train"


def world_clips(clips: Mapping[str, Clip]) -> list[WorldClip]:
    """Clips -> what `write_world_motion` takes, sorted by name: whole, where they were captured; those under SHORTEST left out.

    AMC clips have the person's own bones; the BVH conversion brought everyone onto one skeleton.
    """
    world = []
    for name, clip in sorted(clips.items()):
        pose, subject = settled(clip).astype(np.float32), subject_of(name)
        if len(pose) >= SHORTEST:
            world.append(WorldClip(name, subject, split_of(subject), clip.source == "amc", pose))
    return world


def build_sequences(clips: Mapping[str, Clip], seed: int) -> dict[str, list]:
    """Clips -> the lists that `write_motion_file` takes, one entry per piece and camera; pose_2d under "gt" and "noisy".

    The set-ups of the cameras take turns over the sorted clips of a split.
    """
    columns: dict[str, list] = {name: [] for name in ("subject", "action", "camera", "split", "size", "pose_3d", "gt", "noisy")}
    turn = {"train": 0, "test": 0}
    for name in tqdm(sorted(clips), desc="projecting", unit="clip", disable=None):
        subject = subject_of(name)
        split = split_of(subject)
        setup = SETUPS[split][turn[split] % len(SETUPS[split])]
        turn[split] += 1
        for cut, piece in enumerate(studio_pieces(z_up(settled(clips[name])))):
            for camera in h36m_cameras(setup):
                pose_3d = world_to_camera(piece, camera).astype(np.float32)
                truth = project(pose_3d.astype(np.float64), camera)
                row = {
                    "subject": subject,
                    "action": ACTIONS.get(subject, subject),
                    "camera": camera.name,
                    "split": split,
                    "size": camera.size,
                    "pose_3d": pose_3d,
                    "gt": truth.astype(np.float32),
                    "noisy": detector_like(truth, named_generator(seed, name, str(cut), camera.name), FPS),
                }
                for column, value in row.items():
                    columns[column].append(value)
    return columns


def _floor_centre(poses: np.ndarray) -> np.ndarray:
    """The middle of the root's way over the floor: (T, 17, 3), z up -> (3,) with z = 0."""
    root = poses[:, 0, :2]
    return np.append((root.min(axis=0) + root.max(axis=0)) / 2, 0)


def world_path(output: str | Path) -> Path:
    """Where the clips in the world go, beside the motion file: data_cmu.npz -> motion_cmu.npz, cmu.npz -> motion_cmu.npz."""
    output = Path(output)
    return output.with_name("motion_" + output.name.removeprefix("data_"))


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--input", required=True, metavar="PATH",
        help="folder searched, with its subfolders, for .asf, .amc and .bvh files; or an .npz of clips already on the 17 joints",
    )  # fmt: skip
    parser.add_argument(
        "--output", default=str(Path(__file__).resolve().parent / "data_cmu.npz"), metavar="FILE",
        help="the motion file to write (default: dataset/data_cmu.npz of this repository); the clips in the world go beside it, "
        "under its name with motion_ for data_",
    )  # fmt: skip
    parser.add_argument(
        "--amc_fps",
        type=number(float, 0, above=True),
        default=AMC_FPS,
        help="frame rate of .amc files, which do not tell (default: %(default)g)",
    )
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the simulated detector's errors (default: %(default)s)")
    return parser


def main() -> None:
    """Read the clips, see them through the cameras, write both files and say what was written."""
    args = build_parser().parse_args()
    path = Path(args.input)
    if path.is_dir():
        clips = read_folder(path, args.amc_fps)
    elif path.suffix == ".npz" and path.is_file():
        clips = read_ready(path)
    else:
        raise InputError(f"--input {path}: is neither a folder nor an .npz file; give the folder of the CMU motion files")
    columns = build_sequences(clips, args.seed)
    if not columns["pose_3d"]:
        raise InputError(f"--input {path}: no clip has {SHORTEST} frames at {FPS:g} Hz; give longer clips")
    keypoints = {name: columns.pop(name) for name in ("gt", "noisy")}
    write_motion_file(args.output, source=SOURCE, fps=FPS, pose_2d=keypoints, **columns)
    for split in SETUPS:
        lengths = [len(pose) for pose, of in zip(columns["pose_3d"], columns["split"], strict=True) if of == split]
        print(f"{split}: {len(lengths)} sequences, {sum(lengths)} frames, {sum(lengths) / FPS / 60:.1f} minutes")
    print(f"{len(clips)} clips, 4 cameras, {FPS:g} Hz: {args.output}")
    world = world_clips(clips)
    write_world_motion(world_path(args.output), source=WORLD_SOURCE, fps=FPS, clips=world)
    minutes = sum(map(len, world)) / FPS / 60
    print(f"in the world: {len(world)} clips, {minutes:.1f} minutes, {FPS:g} Hz: {world_path(args.output)}")


if __name__ == "__main__":
    exit_on_input_error(main)
