"""CMU motion capture, seen by the four Human3.6M cameras -> data_cmu.npz (common/data/motion_file.py), with true and
detector-like pixels.

    python dataset/prepare_cmu.py --input FOLDER

For training that draws its own cameras (--recipe wild), see prepare_motion.py.
FOLDER holds files of mocap.cs.cmu.edu (SUBJECT.asf and SUBJECT_TRIAL.amc) and, or, SUBJECT_TRIAL.bvh of the "Daz"
conversion.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
from collections.abc import Mapping

import numpy as np
from tqdm import tqdm

from common.arguments import Parser, number
from common.data.motion_file import write_motion_file
from common.data.world_motion import split_of
from common.errors import InputError, exit_on_input_error
from common.geometry.camera import h36m_cameras, project, world_to_camera
from common.wild.detector_noise import detector_like, named_generator
from dataset.clips import ACTIONS, AMC_FPS, CREDIT, FPS, SHORTEST, Clip, cleaned, read_clips

SOURCE = f"CMU motion capture on 17 joints, seen by simulated Human3.6M cameras: {CREDIT}"
SETUPS = {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")}

STUDIO_RADIUS = 2.5  # metres: the root stays this near to the studio's origin


def z_up(poses: np.ndarray) -> np.ndarray:
    """World with y up (..., 3) -> world with z up, as Human3.6M has it: a quarter turn about x, right-handed both."""
    return np.stack([poses[..., 0], -poses[..., 2], poses[..., 1]], axis=-1)  # (..., 3)


def studio_pieces(poses: np.ndarray) -> list[np.ndarray]:
    """A clip (T, 17, 3), z up, metres -> consecutive pieces of (nearly) one length that fit into the studio.

    The clip's lowest foot is at z = 0 and each piece is centred on the origin: its root stays within STUDIO_RADIUS.
    Nothing is scaled. As few pieces as do; those under SHORTEST frames are left out.
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


def build_sequences(clips: Mapping[str, Clip], seed: int) -> dict[str, list]:
    """Clips -> the lists that `write_motion_file` takes, one entry per piece and camera; pose_2d under "gt" and
    "noisy".

    The set-ups of the cameras take turns over the sorted clips of a split.
    """
    columns: dict[str, list] = {
        name: [] for name in ("subject", "action", "camera", "split", "size", "pose_3d", "gt", "noisy")
    }
    turn = {"train": 0, "test": 0}
    for name in tqdm(sorted(clips), desc="projecting", unit="clip", disable=None):
        subject = clips[name].subject
        split = split_of(name, subject)
        setup = SETUPS[split][turn[split] % len(SETUPS[split])]
        turn[split] += 1
        for cut, piece in enumerate(studio_pieces(z_up(clips[name].poses))):
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


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--input", required=True, metavar="PATH",
        help="folder searched, with its subfolders, for .asf, .amc and .bvh files; or an .npz of clips already on the "
        "17 joints",
    )  # fmt: skip
    parser.add_argument(
        "--output", default=str(Path(__file__).resolve().parent / "data_cmu.npz"), metavar="FILE",
        help="the motion file to write (default: dataset/data_cmu.npz of this repository)",
    )  # fmt: skip
    parser.add_argument(
        "--amc_fps",
        type=number(float, 0, above=True),
        default=AMC_FPS,
        help="frame rate of .amc files, which do not tell (default: %(default)g)",
    )
    parser.add_argument(
        "--seed", type=number(int, 0), default=0, help="of the simulated detector's errors (default: %(default)s)"
    )
    return parser


def main() -> None:
    """Read the clips, see them through the cameras, write the file and say what was written."""
    args = build_parser().parse_args()
    clips = cleaned(read_clips(args.input, args.amc_fps))
    columns = build_sequences(clips, args.seed)
    if not columns["pose_3d"]:
        raise InputError(f"--input {args.input}: no clip has {SHORTEST} frames at {FPS:g} Hz; give longer clips")
    keypoints = {name: columns.pop(name) for name in ("gt", "noisy")}
    write_motion_file(args.output, source=SOURCE, fps=FPS, pose_2d=keypoints, **columns)
    for split in SETUPS:
        lengths = [len(pose) for pose, part in zip(columns["pose_3d"], columns["split"], strict=True) if part == split]
        print(f"{split}: {len(lengths)} sequences, {sum(lengths)} frames, {sum(lengths) / FPS / 60:.1f} minutes")
    print(f"{len(clips)} clips, 4 cameras, {FPS:g} Hz: {args.output}")


if __name__ == "__main__":
    exit_on_input_error(main)
