"""The layout of an in-the-wild test set (wild_test.npz): N windows of T frames, plain arrays, no pickles.

| array | shape | what |
|---|---|---|
| pose_2d | (N, T, 17, 3) | pixels, and the detector's score 0..1 |
| pose_3d | (N, T, 17, 3) | metres, camera space: x right, y down, z forward |
| size | (N, 2) | width and height of the picture in pixels |
| focal | (N,) | focal length in pixels; the principal point is the picture's centre. No model is told |
| clips | (N,) | text, "SUBJECT_TRIAL" |
| length | (N,) | optional: frames of each window that count, where not all T do; the last of them is repeated after
them |
| action | (N,) | optional: text, the row of the tables that each window counts for; "subject NN" where it is left out |
| fps | () | frames per second |
| source | () | optional: a sentence that says where the motion comes from |
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.data.npz import NpzFields, open_npz
from common.data.schema import FLOAT, FPS, MOST_METRES, MOST_PIXELS, NUMBER, SIZE, SOURCE, TEXT, WHOLE, Field, listed
from common.data.sequences import PoseSequence, check_finite
from common.errors import InputError
from common.files import replacing

SCHEMA = {
    "pose_3d": Field(FLOAT, ("windows", "frames", 17, 3), finite=False),
    "pose_2d": Field(FLOAT, ("windows", "frames", 17, 3), finite=False),
    "size": Field(NUMBER, ("windows", 2), SIZE.least, SIZE.most),
    "clips": Field(TEXT, ("windows",)),
    "length": Field(WHOLE, ("windows",), least=1),
    "action": Field(TEXT, ("windows",)),
    "fps": FPS,
    "source": SOURCE,
}
MAKE = "make one with dataset/prepare_wild.py or copy the file again"


class View(NamedTuple):
    """N windows as seen: pose_2d N x (T, 17, 3) pixels and score; pose_3d N x (T, 17, 3) metres, camera space; size (N,
    2) and focal (N,) in pixels. Not all windows need have the same T.
    """

    pose_2d: Sequence[np.ndarray]
    pose_3d: Sequence[np.ndarray]
    size: np.ndarray
    focal: np.ndarray


def write_wild_file(
    path: str | Path, view: View, clips: Sequence[str], fps: float, source: str, action: Sequence[str] | None = None
) -> None:
    """Write N windows, seen as `view` says and cut from `clips`, in the layout above. action: the row of the tables for
    each one.
    """
    length = np.array([len(pose) for pose in view.pose_3d])  # (N,)
    fields: dict[str, Any] = {
        "size": np.asarray(view.size, np.int32),
        "focal": np.asarray(view.focal, np.float32),
        "clips": np.array(clips, dtype=str),
    }
    for name, windows in (("pose_2d", view.pose_2d), ("pose_3d", view.pose_3d)):
        padded = [np.concatenate([pose, np.repeat(pose[-1:], length.max() - len(pose), axis=0)]) for pose in windows]
        fields[name] = np.stack(padded).astype(np.float32)  # (N, T, 17, 3)
    if length.min() < length.max():
        fields["length"] = length
    if action is not None:
        fields["action"] = np.array(action, dtype=str)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **fields, fps=float(fps), source=source)


def read_clip_names(path: str | Path) -> list[str]:
    """What each window was cut from. Raises InputError where the file is missing, damaged or of another layout."""
    with _open(Path(path)) as field:
        return field("clips").tolist()


def read_wild_file(path: str | Path, actions: Sequence[str] | None = None) -> tuple[list[PoseSequence], str]:
    """Every window as a sequence, whose action is the file's or "subject NN", and the source; actions: only those.

    Raises InputError where the file is missing, damaged or of another layout, or has no window of an action.
    """
    path = Path(path)
    with _open(path) as field:
        pose_3d, pose_2d, size, fps = field("pose_3d"), field("pose_2d"), field("size"), float(field("fps"))
        clips = field("clips").tolist()
        length = field("length").tolist() if "length" in field else [pose_3d.shape[1]] * len(clips)
        action = field("action").tolist() if "action" in field else None
        source = str(field("source")) if "source" in field else f"{path.name}: free motion seen by virtual cameras"
    if max(length) > pose_3d.shape[1]:
        raise InputError(
            f"{path}: field length is {max(length)} for a window, but there are {pose_3d.shape[1]} frames; {MAKE}"
        )
    sequences = []
    for number, clip in enumerate(clips):
        where = f"{path}: window {number}"
        check_finite(f"{where}, pose_2d", pose_2d[number], MOST_PIXELS)
        check_finite(f"{where}, pose_3d", pose_3d[number], MOST_METRES)
        subject, frames = clip.partition("_")[0], slice(length[number])
        row = f"subject {subject}" if action is None else action[number]
        picture = (int(size[number, 0]), int(size[number, 1]))
        poses = pose_2d[number, frames], pose_3d[number, frames]
        sequences.append(PoseSequence(subject, row, f"window {number}", *poses, picture, fps))
    have = sorted({sequence.action for sequence in sequences})
    missing = sorted(set(actions or ()) - set(have))
    if missing:
        raise InputError(f"{path}: no window of {listed(missing)}; --actions may name {listed(have)}")
    return [sequence for sequence in sequences if actions is None or sequence.action in actions], source


def _open(path: Path) -> AbstractContextManager[NpzFields]:
    return open_npz(
        path, SCHEMA, make=f"{MAKE}, or give --root_path", layout="see common/data/wild_file.py for the layout"
    )
