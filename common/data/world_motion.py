"""Motion in the world, before any camera saw it: one .npz of plain arrays (no pickles).

| array | shape | what |
|---|---|---|
| format | () | "hot-world 1" |
| source | () | a sentence that says where the motion comes from |
| fps | () | frames per second |
| name, subject, split | (N,) | text of each clip; split is "train" or "test" |
| own_bones | (N,) | bool: whether the skeleton is true to the person, or else one skeleton onto which everyone's motion
was brought |
| content | (N,) | optional: text, what is done ("walk", "sit") |
| weight | (N,) | optional: how much more often a minute of the clip is drawn in training than one of weight 1; 0 or
more |
| length | (N,) | frames of each clip; the poses of all clips stand one after the other, sum = total |
| pose | (total, 17, 3) | float32, metres, world: y up, right-handed |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from common.data.npz import open_npz
from common.data.schema import FLOAT32, FPS, MOST_METRES, NUMBER, SOURCE, TEXT, TRUTH, WHOLE, Field
from common.data.sequences import check_finite
from common.errors import InputError
from common.files import replacing

FORMAT = "hot-world 1"
SPLITS = ("train", "test")
HELD_OUT = (
    "03",
    "09",
    "11",
    "12",
    "14",
    "cmu03",
    "cmu09",
    "cmu11",
    "cmu12",
    "cmu14",
    "dm",
    "deepmimic",
    "mass",
    "m2madd",
)
"""People of CMU, and collections, that models are tested on and never trained on: by subject, or as names of clips
begin.
"""
_PER_CLIP = {
    "name": Field(TEXT, ("clip",)),
    "subject": Field(TEXT, ("clip",)),
    "split": Field(TEXT, ("clip",), choices=SPLITS),
    "own_bones": Field(TRUTH, ("clip",)),
    "length": Field(WHOLE, ("clip",), least=1),
}
_OPTIONAL = {"content": Field(TEXT, ("clip",)), "weight": Field(NUMBER, ("clip",), 0, 1e6)}
SCHEMA = {
    "format": Field(TEXT, choices=(FORMAT,)),
    "source": SOURCE,
    "fps": FPS,
    **_PER_CLIP,
    **_OPTIONAL,
    "pose": Field(FLOAT32, ("total", 17, 3), finite=False),
}


@dataclass(frozen=True)
class WorldClip:
    """A clip of L frames: pose (L, 17, 3) float32, metres, world with y up; own_bones: the skeleton is true to the
    person; content: what is done; weight: how much more often a minute of it is drawn in training than one of weight 1.
    """

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
    """The split of a clip: "test" if its subject, or what stands before the first _ of its name, is in HELD_OUT, else
    "train".
    """
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
    """Read the clips of one split ("train" or "test"), in the file's order, the frames per second and the `source`
    sentence.

    Raises InputError where the file is missing, damaged, of another layout, or has no clip of the split.
    """
    path = Path(path)
    with open_npz(
        path,
        SCHEMA,
        make="make it with dataset/prepare_motion.py",
        layout="see common/data/world_motion.py for the layout",
    ) as field:
        field("format")
        source, fps = str(field("source")), float(field("fps"))
        field.axes.names["clip"] = field("name").tolist()
        columns = {
            name: field(name).tolist() for name in (*_PER_CLIP, *_OPTIONAL) if name in _PER_CLIP or name in field
        }
        chosen = [i for i, of_split in enumerate(columns["split"]) if of_split == split]
        if not chosen:
            raise InputError(
                f"{path}: holds no clip of split {split!r}; make the file again with people in both splits"
            )
        content, weight = (
            columns.get(name, [default] * len(columns["name"])) for name, default in (("content", ""), ("weight", 1.0))
        )
        if split == "train" and not any(weight[i] for i in chosen):
            raise InputError(
                f"{path}: field weight is 0 for every clip of split {split!r}; make the file again with some above 0"
            )
        start = [0, *accumulate(columns["length"])]  # Python's whole numbers: no lengths overflow
        field.fix_axis("total", start[-1], "as field length adds up")
        pose = field("pose")
    clips = []
    for i in chosen:
        name, rows = columns["name"][i], pose[start[i] : start[i + 1]]
        check_finite(f"{path}: field pose, clip {name}", rows, MOST_METRES)
        about = content[i], float(weight[i])
        clips.append(WorldClip(name, columns["subject"][i], split, columns["own_bones"][i], rows, *about))
    return clips, fps, source
