"""The test people of a world motion file -> wild_test.npz (common/wild_file.py), a test set for in-the-wild weights.

    python dataset/prepare_wild.py

Real motion at its own speed, its bones redrawn to human proportions except where the skeleton is the person's own, seen by cameras
and a simulated detector drawn for each window as `--recipe wild` draws them. Clips to train on are never taken. Scores on another
such set (other people, another seed) are not to be compared with those on this one.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from common.arguments import Parser, number
from common.detector_noise import named_generator
from common.errors import InputError, exit_on_input_error
from common.files import check_writable
from common.wild import WILD_TEST, MotionBank, View, draw_motion, observe, see
from common.wild_file import write_wild_file
from common.world_motion import WorldClip, read_world_motion

FOLDER = Path(__file__).resolve().parent


def draw_windows(clips: Sequence[WorldClip], fps: float, windows: int, frames: int, seed: int) -> tuple[View, list[str]]:
    """Cut `windows` windows of `frames` frames from clips that are all that long, and see them; with the name of each one's clip.

    A clip is drawn in proportion to its length, the place within it evenly. Each window has a generator of its own, so that a
    larger set with the same seed begins with the smaller one.
    """
    bank = MotionBank(clips, fps)
    names, views = [], []
    for window in tqdm(range(windows), desc="drawing", unit="window", disable=None):
        rng = named_generator(seed, "wild_test", str(window))
        clip = rng.choice(len(clips), 1, p=bank.length / bank.length.sum())  # (1,)
        centre = rng.integers(bank.length[clip] - frames + 1) + (frames - 1) / 2  # (1,)
        pose_3d, size, focal = see(draw_motion(bank, clip, centre, frames, fps, WILD_TEST, rng), WILD_TEST, rng)
        views.append(View(observe(pose_3d, size, focal, fps, WILD_TEST, rng), pose_3d, size, focal))
        names.append(clips[clip.item()].name)
    return View(*(np.concatenate(parts) for parts in zip(*views, strict=True))), names


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--motion", default=str(FOLDER / "motion_cmu.npz"), metavar="FILE",
        help="the world motion file, of which the test split is used (default: dataset/motion_cmu.npz of this repository)",
    )  # fmt: skip
    parser.add_argument(
        "--output", default=str(FOLDER / "wild_test.npz"), metavar="FILE",
        help="the test set to write (default: dataset/wild_test.npz of this repository)",
    )  # fmt: skip
    parser.add_argument("--windows", type=number(int, 1), default=160, help="how many windows (default: %(default)s)")
    parser.add_argument(
        "--frames", type=number(int, 1), default=243, help="frames of each window; shorter clips are left out (default: %(default)s)"
    )
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of everything that is drawn (default: %(default)s)")
    return parser


def main() -> None:
    """Read the test people's clips, draw the windows, write them and say what was written."""
    args = build_parser().parse_args()
    check_writable(args.output)
    clips, fps, source = read_world_motion(args.motion, "test")
    long = [clip for clip in clips if len(clip) >= args.frames]
    if not long:
        longest = max(map(len, clips))
        raise InputError(f"{args.motion}: no test clip has --frames {args.frames}; give {longest} or less, as many as the longest has")
    if len(long) < len(clips):
        print(f"left out: {len(clips) - len(long)} of {len(clips)} test clips, which have fewer than {args.frames} frames")
    view, names = draw_windows(long, fps, args.windows, args.frames, args.seed)
    made = f"dataset/prepare_wild.py, seed {args.seed}: windows of free motion, seen by cameras and a detector drawn at random"
    write_wild_file(args.output, view, names, fps, f"{made}. {source}")
    people = sorted({clip.subject for clip in long if clip.name in names})
    print(
        f"{args.windows} windows of {args.frames} frames at {fps:g} Hz, from {len(set(names))} clips of {len(people)} test people "
        f"({', '.join(people)}): {args.output}"
    )


if __name__ == "__main__":
    exit_on_input_error(main)
