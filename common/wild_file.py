"""The layout of an in-the-wild test set (wild_test.npz): N windows of T frames, plain arrays, no pickles.

| array | shape | what |
|---|---|---|
| pose_2d | (N, T, 17, 3) | pixels, and the detector's score 0..1 |
| pose_3d | (N, T, 17, 3) | metres, camera space: x right, y down, z forward |
| size | (N, 2) | width and height of the picture in pixels |
| focal | (N,) | focal length in pixels; the principal point is the picture's centre. No model is told |
| clips | (N,) | text, "SUBJECT_TRIAL" |
| length | (N,) | optional: frames of each window that count, where not all T do; the last of them is repeated after them |
| action | (N,) | optional: text, the row of the tables that each window counts for; "subject NN" where it is left out |
| fps | () | frames per second |
| source | () | optional: a sentence that says where the motion comes from |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import InputError
from common.files import replacing
from common.npz import open_npz
from common.sequences import PoseSequence, check_poses

MAKE = "make one with dataset/prepare_wild.py or copy the file again"


class View(NamedTuple):
    """N windows as seen: pose_2d N x (T, 17, 3) pixels and score; pose_3d N x (T, 17, 3) metres, camera space; size (N, 2) and focal
    (N,) in pixels. Not all windows need have the same T."""

    pose_2d: Sequence[np.ndarray]
    pose_3d: Sequence[np.ndarray]
    size: np.ndarray
    focal: np.ndarray


def write_wild_file(
    path: str | Path, view: View, clips: Sequence[str], fps: float, source: str, action: Sequence[str] | None = None
) -> None:
    """Write N windows, seen as `view` says and cut from `clips`, in the layout above. action: the row of the tables for each one."""
    length = np.array([len(pose) for pose in view.pose_3d])  # (N,)
    fields = {"size": np.asarray(view.size, np.int32), "focal": np.asarray(view.focal, np.float32), "clips": np.array(clips, dtype=str)}
    for name, windows in (("pose_2d", view.pose_2d), ("pose_3d", view.pose_3d)):
        padded = [np.concatenate([pose, np.repeat(pose[-1:], length.max() - len(pose), axis=0)]) for pose in windows]
        fields[name] = np.stack(padded).astype(np.float32)  # (N, T, 17, 3)
    if length.min() < length.max():
        fields["length"] = length
    if action is not None:
        fields["action"] = np.array(action, dtype=str)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **fields, fps=float(fps), source=source)


def read_wild_file(path: str | Path, actions: Sequence[str] | None = None) -> tuple[list[PoseSequence], str]:
    """Every window as a sequence, whose action is the file's or "subject NN", and the source; actions: only those.

    Raises InputError where the file is missing, damaged or of another layout, or has no window of an action.
    """
    path = Path(path)
    with open_npz(path, make=f"{MAKE}, or give --root_path", layout="see common/wild_file.py for the layout") as field:
        pose_2d, pose_3d, size, clips = (field(name) for name in ("pose_2d", "pose_3d", "size", "clips"))
        fps = field.above_zero("fps")
        length = field("length") if "length" in field.names else np.full(len(pose_3d), pose_3d.shape[1] if pose_3d.ndim > 1 else 0)
        action = field("action") if "action" in field.names else None
        source = field("source") if "source" in field.names else np.array(f"{path.name}: free motion seen by virtual cameras")
    if pose_3d.ndim != 4 or pose_3d.dtype.kind != "f" or pose_3d.shape[2:] != (17, 3) or 0 in pose_3d.shape:
        raise InputError(f"{path}: field pose_3d is {pose_3d.dtype} {pose_3d.shape}, not floats (windows, frames, 17, 3); {MAKE}")
    if pose_2d.dtype.kind != "f" or pose_2d.shape != pose_3d.shape:
        raise InputError(f"{path}: field pose_2d is {pose_2d.dtype} {pose_2d.shape}, not floats {pose_3d.shape} as pose_3d; {MAKE}")
    if size.shape != (len(pose_3d), 2) or size.dtype.kind not in "fiu" or not np.all((size >= 1) & np.isfinite(size)):
        raise InputError(f"{path}: field size is not a width and a height of 1 or more for each of {len(pose_3d)} windows; {MAKE}")
    if clips.shape != (len(pose_3d),) or clips.dtype.kind != "U":
        raise InputError(f"{path}: field clips is not one name for each of {len(pose_3d)} windows; {MAKE}")
    if length.shape != clips.shape or length.dtype.kind not in "iu" or not np.all((length >= 1) & (length <= pose_3d.shape[1])):
        raise InputError(f"{path}: field length is not a count of 1 to {pose_3d.shape[1]} frames for each window; {MAKE}")
    if action is not None and (action.shape != clips.shape or action.dtype.kind != "U"):
        raise InputError(f"{path}: field action is not one text for each of {len(pose_3d)} windows; {MAKE}")
    if source.ndim or source.dtype.kind != "U":
        raise InputError(f"{path}: field source is not one text; {MAKE}")
    sequences = []
    for number, clip in enumerate(clips.tolist()):
        where = f"{path}: window {number}"
        check_poses(f"{where}, pose_2d", pose_2d[number], "pixels")
        check_poses(f"{where}, pose_3d", pose_3d[number], "m")
        subject, frames = clip.partition("_")[0], slice(int(length[number]))
        row = f"subject {subject}" if action is None else str(action[number])
        picture = (int(size[number, 0]), int(size[number, 1]))
        poses = pose_2d[number, frames], pose_3d[number, frames]
        sequences.append(PoseSequence(subject, row, f"window {number}", *poses, picture, fps))
    have = sorted({sequence.action for sequence in sequences})
    missing = sorted(set(actions or ()) - set(have))
    if missing:
        raise InputError(f"{path}: no window of {', '.join(missing)}; --actions may name {', '.join(have)}")
    return [sequence for sequence in sequences if actions is None or sequence.action in actions], str(source)
