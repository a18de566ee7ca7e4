"""Motion in the world, before any camera saw it: one .npz of plain arrays (no pickles).

| array | shape | what |
|---|---|---|
| format | () | "hot-world 1" |
| source | () | a sentence that says where the motion comes from |
| fps | () | frames per second |
| name, subject, split | (N,) | text of each clip; split is "train" or "test" |
| own_bones | (N,) | bool: whether the skeleton is true to the person, or else one skeleton onto which everyone's motion was brought |
| content | (N,) | optional: text, what is done ("walk", "sit") |
| weight | (N,) | optional: how much more often a minute of the clip is drawn in training than one of weight 1; 0 or more |
| length | (N,) | frames of each clip; the poses of all clips stand one after the other, sum = total |
| pose | (total, 17, 3) | float32, metres, world: y up, right-handed |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.files import replacing
from common.npz import NpzFields, open_npz
from common.sequences import check_poses

FORMAT = "hot-world 1"
SPLITS = ("train", "test")
HELD_OUT = ("03", "09", "11", "12", "14", "cmu03", "cmu09", "cmu11", "cmu12", "cmu14", "dm", "deepmimic", "mass", "m2madd")
"""People of CMU, and collections, that models are tested on and never trained on: by subject, or as names of clips begin."""
# One entry per clip: the kinds of numpy dtype that each may have, and in words.
_PER_CLIP = {
    "name": ("U", "text"), "subject": ("U", "text"), "split": ("U", "text"), "own_bones": ("b", "bool"), "length": ("iu", "int"),
    "content": ("U", "text"), "weight": ("fiu", "numbers"),
}  # fmt: skip
# What the clips of files without these fields have.
_OPTIONAL = {"content": "", "weight": 1.0}


@dataclass(frozen=True)
class WorldClip:
    """A clip of L frames: pose (L, 17, 3) float32, metres, world with y up; own_bones: the skeleton is true to the person;
    content: what is done; weight: how much more often a minute of it is drawn in training than one of weight 1."""

    name: str
    subject: str
    split: str
    own_bones: bool
    pose: np.ndarray
    content: str = ""
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.pose)


def split_of(name: str, subject: str) -> str:
    """The split of a clip: "test" if its subject, or what stands before the first _ of its name, is in HELD_OUT, else "train"."""
    return "test" if {subject, name.partition("_")[0]} & set(HELD_OUT) else "train"


def write_world_motion(path: str | Path, *, source: str, fps: float, clips: Sequence[WorldClip]) -> None:
    """Write clips, at least one, all at `fps` frames per second, in the format above."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            format=FORMAT,
            source=source,
            fps=float(fps),
            name=np.array([clip.name for clip in clips], dtype=str),
            subject=np.array([clip.subject for clip in clips], dtype=str),
            split=np.array([clip.split for clip in clips], dtype=str),
            own_bones=np.array([clip.own_bones for clip in clips], dtype=bool),
            content=np.array([clip.content for clip in clips], dtype=str),
            weight=np.array([clip.weight for clip in clips], dtype=np.float64),
            length=np.array([len(clip) for clip in clips], dtype=np.int64),
            pose=np.concatenate([clip.pose for clip in clips]).astype(np.float32),
        )


def read_world_motion(path: str | Path, split: str) -> tuple[list[WorldClip], float, str]:
    """Read the clips of one split ("train" or "test"), in the file's order, the frames per second and the `source` sentence.

    Raises InputError where the file is missing, damaged, of another layout, or has no clip of the split.
    """
    path = Path(path)
    with open_npz(path, make="make it with dataset/prepare_motion.py", layout="see common/world_motion.py for the layout") as field:
        field.check_format(FORMAT)
        source, fps = field("source"), field.above_zero("fps")
        if source.ndim or source.dtype.kind != "U":
            raise InputError(f"{path}: field source is not one text; make the file again")
        columns = _per_clip(path, field)
        chosen = [i for i, of in enumerate(columns["split"]) if of == split]
        if not chosen:
            raise InputError(f"{path}: holds no clip of split {split!r}; make the file again with people in both splits")
        pose = field("pose")
    start = [0, *accumulate(map(int, columns["length"]))]  # Python's whole numbers: no lengths overflow
    expected = (start[-1], 17, 3)
    if pose.dtype != np.float32 or pose.shape != expected:
        raise InputError(
            f"{path}: field pose is {pose.dtype} {pose.shape}, not float32 {expected} as field length adds up; make the file again"
        )
    clips = []
    for i in chosen:
        name, rows = str(columns["name"][i]), pose[start[i] : start[i + 1]]
        check_poses(f"{path}: field pose, clip {name}", rows, "m")
        about = str(columns["content"][i]), float(columns["weight"][i])
        clips.append(WorldClip(name, str(columns["subject"][i]), split, bool(columns["own_bones"][i]), rows, *about))
    return clips, fps, str(source)


def _per_clip(path: Path, field: NpzFields) -> dict[str, np.ndarray]:
    """The (N,) fields, checked: one entry for each clip, a split that is known, and at least one frame."""
    columns = {name: field(name) for name in _PER_CLIP if name not in _OPTIONAL or name in field.names}
    columns |= {name: np.full(len(columns["name"]), value) for name, value in _OPTIONAL.items() if name not in columns}
    for name, values in columns.items():
        kinds, words = _PER_CLIP[name]
        if values.ndim != 1 or values.dtype.kind not in kinds:
            raise InputError(f"{path}: field {name} is {values.dtype} {values.shape}, not {words} (N,); make the file again")
        if len(values) != len(columns["name"]):
            raise InputError(f"{path}: field {name} has {len(values)} entries, field name {len(columns['name'])}; make the file again")
    for name, split, length in zip(columns["name"], columns["split"], columns["length"], strict=True):
        if split not in SPLITS:
            raise InputError(f"{path}: field split of clip {name} is {str(split)!r}, not train or test; make the file again")
        if length < 1:
            raise InputError(f"{path}: field length of clip {name} is {length}, not 1 or more; make the file again")
    for name, weight in zip(columns["name"], columns["weight"], strict=True):
        if not 0 <= weight < np.inf:
            raise InputError(f"{path}: field weight of clip {name} is {weight}, not a number of 0 or more; make the file again")
    return columns
