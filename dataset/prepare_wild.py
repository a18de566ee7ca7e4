"""The test people of a world motion file -> wild_test.npz (common/data/wild_file.py), a test set for in-the-wild
weights.

    python dataset/prepare_wild.py

Real motion at its own speed, its bones redrawn to human proportions except where the skeleton is the person's own, seen
by cameras and a simulated detector drawn for each window as `--recipe wild` draws them, but for what it exaggerates.
Clips to train on are never taken. Scores on another such set (other people, another seed) are not to be compared with
those on this one.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from common.arguments import Parser, number
from common.data.wild_file import View, write_wild_file
from common.data.world_motion import WorldClip, read_world_motion
from common.errors import InputError, exit_on_input_error
from common.files import check_writable
from common.wild import WILD_TEST, MotionBank
from common.wild.body import draw_motion
from common.wild.camera import shoot
from common.wild.detector import observe
from common.wild.draw import Draw

FOLDER = Path(__file__).resolve().parent


def draw_windows(
    clips: Sequence[WorldClip], fps: float, windows: int, frames: int, seed: int
) -> tuple[View, list[WorldClip]]:
    """Cut `windows` windows of `frames` frames from clips that are all that long, and see them; with each one's clip.

    A clip is drawn in proportion to its length, the place within it evenly. Each window has a generator of its own, so
    that a larger set with the same seed begins with the smaller one.
    """
    bank = MotionBank(clips, fps, by_content=False)
    chosen, shots = [], []
    for window in tqdm(range(windows), desc="drawing", unit="window", disable=None):
        draw = Draw([seed, window])
        clip, _ = bank.place(draw.uniform(0, 1, 1))  # (1,)
        first = (draw.uniform(0, 1, 1) * (bank.length[clip] - frames + 1)).floor()
        chosen.append(clips[int(clip.item())])
        shots.append(see(bank, clip, first, frames, fps, draw))
    return View(*zip(*shots, strict=True)), chosen


def draw_whole(clips: Sequence[WorldClip], fps: float, views: int, seed: int) -> tuple[View, list[WorldClip]]:
    """See every clip whole, `views` times, by another camera each time."""
    bank = MotionBank(clips, fps, by_content=False)
    chosen, shots = [], []
    for shot in tqdm(range(len(clips) * views), desc="drawing", unit="view", disable=None):
        draw, clip = Draw([seed, shot]), torch.tensor([shot // views])
        chosen.append(clips[shot // views])
        shots.append(see(bank, clip, torch.zeros(1), len(chosen[-1]), fps, draw))
    return View(*zip(*shots, strict=True)), chosen


def see(bank: MotionBank, clip: Tensor, first: Tensor, frames: int, fps: float, draw: Draw) -> tuple[np.ndarray, ...]:
    """One window from frame `first` (1,) of a clip (1,): pose_2d (F, 17, 3), pose_3d (F, 17, 3), size (2,), focal
    ().
    """
    shot = shoot(draw_motion(bank, clip, first + (frames - 1) / 2, frames, fps, WILD_TEST, draw), WILD_TEST, draw)
    seen = observe(shot.pose, shot.size, shot.focal, fps, WILD_TEST, draw)
    return tuple(values[0].numpy() for values in (seen, shot.pose, shot.size, shot.focal))


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--motion", default=str(FOLDER / "motion_cmu.npz"), metavar="FILE",
        help="the world motion file, of which the test split is used (default: dataset/motion_cmu.npz of this "
        "repository)",
    )  # fmt: skip
    parser.add_argument(
        "--output", default=str(FOLDER / "wild_test.npz"), metavar="FILE",
        help="the test set to write (default: dataset/wild_test.npz of this repository)",
    )  # fmt: skip
    parser.add_argument("--windows", type=number(int, 1), default=160, help="how many windows (default: %(default)s)")
    parser.add_argument(
        "--frames",
        type=number(int, 1),
        default=243,
        help="frames of each window; shorter clips are left out (default: %(default)s)",
    )
    parser.add_argument(
        "--whole", type=number(int, 1), metavar="VIEWS",
        help="instead of windows, every clip whole, seen by so many cameras; tables have a row for each content of "
        "the clips, and those for which the motion file says nothing are under their subject",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=number(int, 0), default=0, help="of everything that is drawn (default: %(default)s)"
    )
    return parser


def main() -> None:
    """Read the test people's clips, draw the windows, write them and say what was written."""
    args = build_parser().parse_args()
    check_writable(args.output)
    clips, fps, source = read_world_motion(args.motion, "test")
    if args.whole:
        view, chosen = draw_whole(clips, fps, args.whole, args.seed)
        action = [clip.content or f"subject {clip.subject}" for clip in chosen]
        what = f"{len(clips)} clips, each seen by {args.whole} cameras"
    else:
        long = [clip for clip in clips if len(clip) >= args.frames]
        if not long:
            longest = max(map(len, clips))
            raise InputError(
                f"{args.motion}: no test clip has --frames {args.frames}; give {longest} or less, as many as the "
                "longest has, or --whole"
            )
        if len(long) < len(clips):
            print(
                f"left out: {len(clips) - len(long)} of {len(clips)} test clips, which have fewer than {args.frames} "
                "frames"
            )
        view, chosen = draw_windows(long, fps, args.windows, args.frames, args.seed)
        action = None
        what = f"{args.windows} windows of {args.frames} frames"
    made = f"dataset/prepare_wild.py, seed {args.seed}: free motion, seen by cameras and a detector drawn at random"
    write_wild_file(args.output, view, [clip.name for clip in chosen], fps, f"{made}. {source}", action)
    people, names = ({getattr(clip, field) for clip in chosen} for field in ("subject", "name"))
    print(
        f"{what} at {fps:g} Hz, from {len(names)} clips of {len(people)} test people ({', '.join(sorted(people))}): "
        f"{args.output}"
    )


if __name__ == "__main__":
    exit_on_input_error(main)
