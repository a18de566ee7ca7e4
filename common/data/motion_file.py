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
| pose_2d_NAME | (total, 17, 2 or 3) | pixels, and detector score; `--keypoints NAME` chooses one, only that one is read
|
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from common.data.custom_2d import without_3d
from common.data.npz import open_npz
from common.data.schema import FPS, MOST_METRES, MOST_PIXELS, NUMBER, SIZE, SOURCE, TEXT, WHOLE, Field, listed, shown
from common.data.sequences import PoseSequence, check_finite
from common.errors import InputError
from common.files import replacing

FORMAT = "hot-motion 1"
LABELS = ("subject", "action", "camera", "split")
SCHEMA = {
    "format": Field(TEXT, choices=(FORMAT,)),
    "source": SOURCE,
    "fps": FPS,
    **dict.fromkeys(LABELS, Field(TEXT, ("N",))),
    "length": Field(WHOLE, ("N",), least=1),
    "size": Field(NUMBER, ("N", 2), SIZE.least, SIZE.most),
    "pose_3d": Field(NUMBER, ("total", 17, 3), finite=False),
}
KEYPOINTS = Field(NUMBER, ("total", 17, (2, 3)), finite=False)


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
    arrays: dict[str, Any] = {
        f"pose_2d_{name}": np.concatenate(parts).astype(np.float32) for name, parts in pose_2d.items()
    }
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


def read_motion_file(
    path: str | Path, keypoints: str, split: str, actions: Sequence[str] | None = None
) -> tuple[list[PoseSequence], str]:
    """Read the sequences of one split ("train" or "test") and the file's `source` sentence.

    keypoints: which pose_2d_NAME to read; the others are never touched. actions: None for all, else exact names.
    Raises InputError where the file is missing, damaged, of another layout, or has nothing of what is asked for.
    """
    path = Path(path)
    make, layout = (
        "make it with a dataset/prepare_*.py script or give --root_path",
        "see common/data/motion_file.py for the layout",
    )
    with open_npz(path, SCHEMA | {f"pose_2d_{keypoints}": KEYPOINTS}, make=make, layout=layout) as field:
        if "positions_2d" in field:
            raise without_3d(path)
        field("format")
        labels = {name: field(name).tolist() for name in LABELS}
        length, size, fps, source = field("length"), field("size"), float(field("fps")), str(field("source"))
        known = sorted(name.removeprefix("pose_2d_") for name in field.members if name.startswith("pose_2d_"))
        if keypoints not in known:
            raise InputError(f"{path}: has no keypoints {shown(keypoints)}; --keypoints may be {listed(known)}")
        have = {action for action, of_split in zip(labels["action"], labels["split"], strict=True) if of_split == split}
        if not have:
            raise InputError(
                f"{path}: holds no sequence of split {split!r}; make the file again with people in both splits"
            )
        missing = sorted(set(actions or ()) - have)
        if missing:
            raise InputError(f"{path}: no {split} sequence of action {listed(missing)}; it has {listed(sorted(have))}")
        chosen = [
            i
            for i, of_split in enumerate(labels["split"])
            if of_split == split and (not actions or labels["action"][i] in actions)
        ]
        start = [0, *accumulate(map(int, length))]  # Python's whole numbers: no lengths overflow
        field.fix_axis("total", start[-1], "as field length adds up")
        pose_3d, pose_2d = field("pose_3d"), field(f"pose_2d_{keypoints}")
    sequences = []
    for i in chosen:
        rows = slice(start[i], start[i + 1])
        subject, action, camera = (labels[name][i] for name in ("subject", "action", "camera"))
        where = f"{path}: subject {subject}, action {action}, camera {camera}"
        check_finite(f"{where}, pose_2d_{keypoints}", pose_2d[rows], MOST_PIXELS)
        check_finite(f"{where}, pose_3d", pose_3d[rows], MOST_METRES)
        picture = (int(size[i][0]), int(size[i][1]))
        sequences.append(PoseSequence(subject, action, camera, pose_2d[rows], pose_3d[rows], picture, fps))
    return sequences, source
