"""Our own motion format: one .npz of plain arrays (no pickles), for any subjects and any cameras.

| array | shape | what |
|---|---|---|
| format | () | "hot-motion 1" |
| source | () | a sentence that says where the motion comes from |
| fps | () | frames per second |
| subject, action, camera, split | (N,) | of each sequence; split is "train" or "test" |
| length | (N,) | frames of each sequence; the poses of all sequences stand one after the other, sum L = total |
| size | (N, 2) | width and height of the picture in pixels |
| pose_3d | (total, 17, 3) | metres, camera space: x right, y down, z forward |
| pose_2d_NAME | (total, 17, 2 or 3) | pixels, and detector score; `--keypoints NAME` chooses one, only that one is read |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.files import replacing
from common.npz import open_npz
from common.sequences import PoseSequence, check_poses

FORMAT = "hot-motion 1"
LABELS = ("subject", "action", "camera", "split")


def write_motion_file(
    path: str | Path,
    *,
    source: str,
    fps: float,
    subject: Sequence[str],
    action: Sequence[str],
    camera: Sequence[str],
    split: Sequence[str],
    size: Sequence[tuple[int, int]],
    pose_3d: Sequence[np.ndarray],
    pose_2d: Mapping[str, Sequence[np.ndarray]],
) -> None:
    """Write N sequences, each (L, 17, ...), in the format above; `pose_2d` maps a keypoint name to its N arrays."""
    arrays = {f"pose_2d_{name}": np.concatenate(parts).astype(np.float32) for name, parts in pose_2d.items()}
    arrays["pose_3d"] = np.concatenate(pose_3d).astype(np.float32)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            format=FORMAT,
            source=source,
            fps=float(fps),
            subject=np.array(subject, dtype=str),
            action=np.array(action, dtype=str),
            camera=np.array(camera, dtype=str),
            split=np.array(split, dtype=str),
            length=np.array([len(part) for part in pose_3d], dtype=np.int64),
            size=np.array(size, dtype=np.int64).reshape(-1, 2),
            **arrays,
        )


def read_motion_file(path: str | Path, keypoints: str, split: str, actions: Sequence[str] | None = None) -> tuple[list[PoseSequence], str]:
    """Read the sequences of one split ("train" or "test") and the file's `source` sentence.

    keypoints: which pose_2d_NAME to read; the others are never touched. actions: None for all, else exact names.
    Raises InputError where the file is missing, damaged, of another layout, or has nothing of what is asked for.
    """
    path = Path(path)
    make, layout = "make it with a dataset/prepare_*.py script or give --root_path", "see common/motion_file.py for the layout"
    with open_npz(path, make=make, layout=layout) as field:
        field.check_format(FORMAT)
        labels = {name: field(name) for name in LABELS}
        length, size, fps, source = field("length"), field("size"), field.above_zero("fps"), str(field("source"))
        if length.ndim != 1 or length.dtype.kind not in "iu" or size.ndim != 2 or size.shape[1] != 2:
            raise InputError(f"{path}: field length is not (N,) whole numbers or field size is not (N, 2); make the file again")
        known = sorted(name.removeprefix("pose_2d_") for name in field.names if name.startswith("pose_2d_"))
        if keypoints not in known:
            raise InputError(f"{path}: has no keypoints {keypoints!r}; --keypoints may be {', '.join(known)}")
        if len({len(length), len(size), *(len(values) for values in labels.values())}) != 1 or np.any(length < 1):
            raise InputError(
                f"{path}: the fields {', '.join(LABELS)}, length and size do not describe the same sequences; make the file again"
            )
        chosen = [i for i in range(len(length)) if labels["split"][i] == split and (actions is None or labels["action"][i] in actions)]
        if actions is not None:
            missing = sorted(set(actions) - {str(labels["action"][i]) for i in chosen})
            if missing:
                have = sorted({str(labels["action"][i]) for i in range(len(length)) if labels["split"][i] == split})
                raise InputError(f"{path}: no {split} sequence of action {', '.join(missing)}; it has {', '.join(have)}")
        if not chosen:
            raise InputError(f"{path}: holds no sequence of split {split!r}; make the file again with people in both splits")
        pose_3d, pose_2d = field("pose_3d"), field(f"pose_2d_{keypoints}")
    start = [0, *accumulate(map(int, length))]  # Python's whole numbers: no lengths overflow
    total = start[-1]
    for name, values, axes in (("pose_3d", pose_3d, (3,)), (f"pose_2d_{keypoints}", pose_2d, (2, 3))):
        if values.dtype.kind not in "fiu":
            raise InputError(f"{path}: field {name} holds no numbers; make the file again")
        if values.ndim != 3 or values.shape[:2] != (total, 17) or values.shape[2] not in axes:
            raise InputError(
                f"{path}: field {name} has shape {values.shape}, not ({total}, 17, {' or '.join(map(str, axes))}); make the file again"
            )
    sequences = []
    for i in chosen:
        rows = slice(start[i], start[i + 1])
        subject, action, camera = (str(labels[name][i]) for name in ("subject", "action", "camera"))
        where = f"{path}: subject {subject}, action {action}, camera {camera}"
        check_poses(f"{where}, pose_2d_{keypoints}", pose_2d[rows], "pixels")
        check_poses(f"{where}, pose_3d", pose_3d[rows], "m")
        picture = (int(size[i][0]), int(size[i][1]))
        sequences.append(PoseSequence(subject, action, camera, pose_2d[rows], pose_3d[rows], picture, fps))
    return sequences, source
