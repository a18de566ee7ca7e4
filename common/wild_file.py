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
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.files import replacing
from common.npz import open_npz
from common.sequences import PoseSequence, check_poses
from common.wild import View

MAKE = "make one with dataset/prepare_wild.py or copy the file again"


def write_wild_file(path: str | Path, view: View, clips: Sequence[str], fps: float, source: str) -> None:
    """Write N windows, seen as `view` says and cut from `clips`, in the layout above."""
    fields = {"pose_2d": view.pose_2d, "pose_3d": view.pose_3d, "focal": view.focal}
    arrays = {name: values.astype(np.float32) for name, values in fields.items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, size=view.size.astype(np.int32), clips=np.array(clips, dtype=str), fps=float(fps), source=source)


def read_wild_file(path: str | Path, actions: Sequence[str] | None = None) -> tuple[list[PoseSequence], str]:
    """Every window as a sequence, whose action is "subject NN", and the source; actions: only those.

    Raises InputError where the file is missing, damaged or of another layout, or has no window of an action.
    """
    path = Path(path)
    with open_npz(path, make=f"{MAKE}, or give --root_path", layout="see common/wild_file.py for the layout") as field:
        pose_2d, pose_3d, size, clips = (field(name) for name in ("pose_2d", "pose_3d", "size", "clips"))
        fps = field.above_zero("fps")
        source = field("source") if "source" in field.names else np.array(f"{path.name}: free motion seen by virtual cameras")
    if pose_3d.ndim != 4 or pose_3d.dtype.kind != "f" or pose_3d.shape[2:] != (17, 3) or 0 in pose_3d.shape:
        raise InputError(f"{path}: field pose_3d is {pose_3d.dtype} {pose_3d.shape}, not floats (windows, frames, 17, 3); {MAKE}")
    if pose_2d.dtype.kind != "f" or pose_2d.shape != pose_3d.shape:
        raise InputError(f"{path}: field pose_2d is {pose_2d.dtype} {pose_2d.shape}, not floats {pose_3d.shape} as pose_3d; {MAKE}")
    if size.shape != (len(pose_3d), 2) or size.dtype.kind not in "fiu" or not np.all((size >= 1) & np.isfinite(size)):
        raise InputError(f"{path}: field size is not a width and a height of 1 or more for each of {len(pose_3d)} windows; {MAKE}")
    if clips.shape != (len(pose_3d),) or clips.dtype.kind != "U":
        raise InputError(f"{path}: field clips is not one name for each of {len(pose_3d)} windows; {MAKE}")
    if source.ndim or source.dtype.kind != "U":
        raise InputError(f"{path}: field source is not one text; {MAKE}")
    sequences = []
    for number, clip in enumerate(clips.tolist()):
        where = f"{path}: window {number}"
        check_poses(f"{where}, pose_2d", pose_2d[number], "pixels")
        check_poses(f"{where}, pose_3d", pose_3d[number], "m")
        subject = clip.partition("_")[0]
        picture = (int(size[number, 0]), int(size[number, 1]))
        sequences.append(PoseSequence(subject, f"subject {subject}", f"window {number}", pose_2d[number], pose_3d[number], picture, fps))
    have = sorted({sequence.action for sequence in sequences})
    missing = sorted(set(actions or ()) - set(have))
    if missing:
        raise InputError(f"{path}: no window of {', '.join(missing)}; --actions may name {', '.join(have)}")
    return [sequence for sequence in sequences if actions is None or sequence.action in actions], str(source)
