"""Motion capture of any people -> motion_NAME.npz (common/data/world_motion.py), which `--recipe wild --motion NAME`
trains on.

    python dataset/prepare_motion.py --input FOLDER_OR_FILE ... --output dataset/motion_NAME.npz

Every input is a folder of .bvh files (joint names of Mixamo, Rokoko, Xsens, Daz or CMU) and, or, of CMU's SUBJECT.asf
and SUBJECT_TRIAL.amc, or an .npz of clips that are already on the 17 joints. All are cleaned by one rule: no T-pose at
the start, and no jumps within a clip. What is rare and what is well captured is drawn more often than minutes tell, by
the content of each clip. People and collections that models are tested on get the split "test", all others "train".
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from common.arguments import Parser, number
from common.data.world_motion import SPLITS, WorldClip, split_of, write_world_motion
from common.errors import InputError, exit_on_input_error
from common.files import check_writable
from dataset.clips import ACTIONS, AMC_FPS, CREDIT, FPS, SHORTEST, Clip, cleaned, read_clips
from dataset.rigs import BVH_UNIT

SOURCE = f"motion capture on 17 joints (dataset/prepare_motion.py). Of CMU's: {CREDIT}"

# How much more often a minute is drawn than one of weight 1, by content.
WEIGHTS = {
    "walk": 0.3, "breakdance": 1.5, "martial arts": 1.5, "tool work": 1.5, "sit": 3.0, "floor": 3.0, "swim": 3.0,
    "kneel": 3.0,
    "crouch/kneel/fall": 3.0,
}  # fmt: skip
# And by where it comes from: joints that are estimated teach little.
SOURCES = {"cmump": 0.3}
KEYED = ("m2m", "m2madd")
"""Sources whose motion was made by hand: the poses are people's, the dynamics are not."""
SEATED = ("13_01",)
"""Clips of CMU's subjects in ACTIONS in which somebody sits."""


def content_of(name: str, clip: Clip) -> str:
    """What is done in a clip, as tables may name it: keyed motion apart from captured."""
    content = clip.content.replace(", ", "/") or ("sit" if name in SEATED else ACTIONS.get(clip.subject, "").lower())
    return f"keyed {content}".strip() if clip.source in KEYED else content


def weight_of(clip: Clip, content: str) -> float:
    """How much more often a minute of a clip is drawn: the file's own weight, or by content and source."""
    if clip.weight is not None:
        return clip.weight
    return WEIGHTS.get(content.removeprefix("keyed "), 1.0) * SOURCES.get(clip.source, 1.0)


def world_clips(clips: Mapping[str, Clip]) -> list[WorldClip]:
    """Clips -> what `write_world_motion` takes, cleaned, sorted by name."""
    world = []
    for name, clip in cleaned(clips).items():
        content = content_of(name.partition(".")[0], clip)
        pose = clip.poses.astype(np.float32)
        world.append(
            WorldClip(
                name,
                clip.subject,
                split_of(name, clip.subject),
                clip.own_bones,
                pose,
                content,
                weight_of(clip, content),
            )
        )
    return sorted(world, key=lambda clip: clip.name)


def table(clips: list[WorldClip]) -> str:
    """Minutes of each content, and its share in what is drawn."""
    minutes: defaultdict[str, float] = defaultdict(float)
    drawn: defaultdict[str, float] = defaultdict(float)
    for clip in clips:
        minutes[clip.content] += len(clip) / FPS / 60
        drawn[clip.content] += len(clip) * clip.weight
    total = sum(drawn.values()) or 1
    rows = sorted(minutes, key=drawn.__getitem__, reverse=True)
    return "\n".join(
        f"  {content or '(not said)':28}{minutes[content]:7.1f} minutes, drawn {drawn[content] / total:6.1%}"
        for content in rows
    )


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--input", required=True, nargs="+", metavar="PATH",
        help="folders searched, with their subfolders, for .asf, .amc and .bvh files; or .npz files of clips already "
        "on the 17 joints",
    )  # fmt: skip
    parser.add_argument(
        "--output", default=str(Path(__file__).resolve().parent / "motion_cmu.npz"), metavar="FILE",
        help="the file to write (default: dataset/motion_cmu.npz of this repository)",
    )  # fmt: skip
    parser.add_argument(
        "--amc_fps", type=number(float, 0, above=True), default=AMC_FPS,
        help="frame rate of .amc files, which do not tell (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--bvh_unit", type=number(float, 0, above=True), default=BVH_UNIT,
        help="metres in a unit of length of .bvh files, which do not tell (default: %(default)g, centimetres)",
    )  # fmt: skip
    return parser


def main() -> None:
    """Read the clips, clean and weight them, write the file and say what was written."""
    args = build_parser().parse_args()
    check_writable(args.output)
    clips: dict[str, Clip] = {}
    for path in args.input:
        more = read_clips(path, args.amc_fps, args.bvh_unit)
        twice = sorted(clips.keys() & more.keys())
        if twice:
            raise InputError(f"--input {path}: clip {twice[0]} is also in another input; leave one of the two out")
        clips |= more
    world = world_clips(clips)
    if not world:
        raise InputError(
            f"--input {args.input[0]}: no clip has {SHORTEST} frames at {FPS:g} Hz without jumps; give longer clips"
        )
    write_world_motion(args.output, source=SOURCE, fps=FPS, clips=world)
    for split in SPLITS:
        chosen = [clip for clip in world if clip.split == split]
        if chosen:
            print(f"{split}: {len(chosen)} clips, {sum(map(len, chosen)) / FPS / 60:.1f} minutes\n{table(chosen)}")
    print(f"{len(world)} clips, {FPS:g} Hz: {args.output}")


if __name__ == "__main__":
    exit_on_input_error(main)
