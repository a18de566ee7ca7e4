"""Motion in the world, before any camera saw it: one .npz of plain arrays (no pickles).

| array | shape | what |
|---|---|---|
| format | () | "hot-world 1" |
| source | () | a sentence that says where the motion comes from |
| fps | () | frames per second |
| name, subject, split | (N,) | text of each clip; split is "train" or "test" |
| own_bones | (N,) | bool: whether the skeleton is true to the person, or else one skeleton onto which everyone's motion was brought |
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
from common.npz import open_npz
from common.schema import FLOAT32, FPS, MOST_METRES, SOURCE, TEXT, TRUTH, WHOLE, Field
from common.sequences import check_finite

FORMAT = "hot-world 1"
SPLITS = ("train", "test")
_PER_CLIP = {
    "name": Field(TEXT, ("clip",)),
    "subject": Field(TEXT, ("clip",)),
    "split": Field(TEXT, ("clip",), choices=SPLITS),
    "own_bones": Field(TRUTH, ("clip",)),
    "length": Field(WHOLE, ("clip",), least=1),
}
SCHEMA = {
    "format": Field(TEXT, choices=(FORMAT,)),
    "source": SOURCE,
    "fps": FPS,
    **_PER_CLIP,
    "pose": Field(FLOAT32, ("total", 17, 3), finite=False),
}


@dataclass(frozen=True)
class WorldClip:
    """A clip of L frames: pose (L, 17, 3) float32, metres, world with y up; own_bones: the skeleton is true to the person."""

    name: str
    subject: str
    split: str
    own_bones: bool
    pose: np.ndarray

    def __len__(self) -> int:
        return len(self.pose)


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
            length=np.array([len(clip) for clip in clips], dtype=np.int64),
            pose=np.concatenate([clip.pose for clip in clips]).astype(np.float32),
        )


def read_world_motion(path: str | Path, split: str) -> tuple[list[WorldClip], float, str]:
    """Read the clips of one split ("train" or "test"), in the file's order, the frames per second and the `source` sentence.

    Raises InputError where the file is missing, damaged, of another layout, or has no clip of the split.
    """
    path = Path(path)
    with open_npz(path, SCHEMA, make="make it with dataset/prepare_cmu.py", layout="see common/world_motion.py for the layout") as field:
        field("format")
        source, fps = str(field("source")), float(field("fps"))
        field.axes.names["clip"] = field("name").tolist()
        columns = {name: field(name).tolist() for name in _PER_CLIP}
        chosen = [i for i, of_split in enumerate(columns["split"]) if of_split == split]
        if not chosen:
            raise InputError(f"{path}: holds no clip of split {split!r}; make the file again with people in both splits")
        start = [0, *accumulate(columns["length"])]  # Python's whole numbers: no lengths overflow
        field.fix_axis("total", start[-1], "as field length adds up")
        pose = field("pose")
    clips = []
    for i in chosen:
        name, rows = columns["name"][i], pose[start[i] : start[i + 1]]
        check_finite(f"{path}: field pose, clip {name}", rows, MOST_METRES)
        clips.append(WorldClip(name, columns["subject"][i], split, columns["own_bones"][i], rows))
    return clips, fps, source
