"""The layout of an in-the-wild test set (wild_test.npz): N windows of T frames, plain arrays, no pickles.

| array | shape | what |
|---|---|---|
| pose_2d | (N, T, 17, 3) | pixels, and the detector's score 0..1 |
| pose_3d | (N, T, 17, 3) | metres, camera space: x right, y down, z forward |
| size | (N, 2) | width and height of the picture in pixels |
| focal | (N,) | focal length in pixels; the principal point is the picture's centre. No model is told |
| clips | (N,) | text, "SUBJECT_TRIAL" |
| fps | () | frames per second |
| source | () | optional: a sentence that says where the motion comes from |
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError
from common.files import replacing
from common.npz import NpzFields, open_npz
from common.schema import FLOAT, FPS, MOST_METRES, MOST_PIXELS, NUMBER, SIZE, SOURCE, TEXT, Field, listed
from common.sequences import PoseSequence, check_finite

if TYPE_CHECKING:
    from common.wild import View  # which takes torch, as reading does not

SCHEMA = {
    "pose_3d": Field(FLOAT, ("windows", "frames", 17, 3), finite=False),
    "pose_2d": Field(FLOAT, ("windows", "frames", 17, 3), finite=False),
    "size": Field(NUMBER, ("windows", 2), SIZE.least, SIZE.most),
    "clips": Field(TEXT, ("windows",)),
    "fps": FPS,
    "source": SOURCE,
}
MAKE = "make one with dataset/prepare_wild.py or copy the file again"


def write_wild_file(path: str | Path, view: View, clips: Sequence[str], fps: float, source: str) -> None:
    """Write N windows, seen as `view` says and cut from `clips`, in the layout above."""
    fields = {"pose_2d": view.pose_2d, "pose_3d": view.pose_3d, "focal": view.focal}
    arrays = {name: values.astype(np.float32) for name, values in fields.items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, size=view.size.astype(np.int32), clips=np.array(clips, dtype=str), fps=float(fps), source=source)


def read_clip_names(path: str | Path) -> list[str]:
    """What each window was cut from. Raises InputError where the file is missing, damaged or of another layout."""
    with _open(Path(path)) as field:
        return field("clips").tolist()


def read_wild_file(path: str | Path, actions: Sequence[str] | None = None) -> tuple[list[PoseSequence], str]:
    """Every window as a sequence, whose action is "subject NN", and the source; actions: only those.

    Raises InputError where the file is missing, damaged or of another layout, or has no window of an action.
    """
    path = Path(path)
    with _open(path) as field:
        pose_3d, pose_2d, size, fps = field("pose_3d"), field("pose_2d"), field("size"), float(field("fps"))
        clips = field("clips").tolist()
        source = str(field("source")) if "source" in field else f"{path.name}: free motion seen by virtual cameras"
    sequences = []
    for number, clip in enumerate(clips):
        where = f"{path}: window {number}"
        check_finite(f"{where}, pose_2d", pose_2d[number], MOST_PIXELS)
        check_finite(f"{where}, pose_3d", pose_3d[number], MOST_METRES)
        subject = clip.partition("_")[0]
        picture = (int(size[number, 0]), int(size[number, 1]))
        sequences.append(PoseSequence(subject, f"subject {subject}", f"window {number}", pose_2d[number], pose_3d[number], picture, fps))
    have = sorted({sequence.action for sequence in sequences})
    missing = sorted(set(actions or ()) - set(have))
    if missing:
        raise InputError(f"{path}: no window of {listed(missing)}; --actions may name {listed(have)}")
    return [sequence for sequence in sequences if actions is None or sequence.action in actions], source


def _open(path: Path) -> AbstractContextManager[NpzFields]:
    return open_npz(path, SCHEMA, make=f"{MAKE}, or give --root_path", layout="see common/wild_file.py for the layout")
