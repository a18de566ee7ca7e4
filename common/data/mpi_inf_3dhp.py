"""MPI-INF-3DHP, as the field passes it around: data_train_3dhp.npz and data_test_3dhp.npz -> PoseSequence.

Both hold a pickled dictionary under `data`. Training: "S1 Seq1".."S8 Seq2" -> [cameras, frames per second], cameras
"0".."8" without "3" -> data_2d (n, 17, 2) pixels and data_3d (n, 17, 3) millimetres in camera axes. Test: "TS1".."TS6"
-> data_2d, data_3d and valid (n,). The joints of the files are put in the order of H36M, joint for joint, so that the
root comes first, and weights of joints, bones and mirrored pairs are those of Human3.6M.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.data.safe_pickle import checked_array, npz_fields, read_mapping, read_npz_object
from common.data.schema import MOST_METRES, MOST_PIXELS, SENTENCE, listed, text_problem
from common.data.sequences import PoseSequence, check_finite
from common.errors import InputError
from common.geometry.skeleton import H36M

TRAIN_FILE, TEST_FILE = "data_train_3dhp.npz", "data_test_3dhp.npz"
TRAIN_SEQUENCES = tuple(f"S{subject} Seq{number}" for subject in range(1, 9) for number in (1, 2))
CAMERAS = ("0", "1", "2", "4", "5", "6", "7", "8")
TRAIN_SIZE = 2048.0, 2048.0
TEST_SIZES = dict.fromkeys(("TS1", "TS2", "TS3", "TS4"), (2048.0, 2048.0)) | dict.fromkeys(
    ("TS5", "TS6"), (1920.0, 1080.0)
)
"""The pictures of each test sequence: width and height in pixels."""
TEST_FPS = 25.0
"""Frames per second of the test sequences, whose file does not say; it is what most of the training has."""

FROM_FILE = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
"""The joint of the files that is each joint of H36M: 0 head top, 1 neck, 2-4 right arm, 5-7 left arm, 8-10 right leg,
11-13 left leg, 14 pelvis, 15 spine, 16 head."""
PCK_JOINTS = tuple(joint for joint, name in enumerate(H36M.names) if name not in ("Hip", "Spine", "Neck/Nose"))
"""The 14 joints that PCK and AUC look at, numbered as in H36M: not pelvis, spine and head (14, 15, 16 of the files)."""

_TRUNK = (0, 7, 8, 9, 10)
"""From the pelvis to the head's top."""
_LEAST_TRUNK, _MOST_TRUNK = 300.0, 1500.0
"""Millimetres along it, for any person."""
_OTHER_UNITS = {"metres": 1000, "centimetres": 10}
_MAKE = "make it with dataset/prepare_3dhp.py"


def read_3dhp(root: str | Path, split: str, names: Sequence[str] | None = None) -> tuple[list[PoseSequence], str]:
    """Read one split, "train" or "test", and where it comes from, as its `source` says if it has one.

    root: the folder of both files. names: of the test sequences that are taken; None: all. 3D is in camera space,
    absolute, metres. Raises InputError naming the file and the field for whatever cannot be used.
    """
    path = Path(root) / (TRAIN_FILE if split == "train" else TEST_FILE)
    wanted = TRAIN_SEQUENCES if split == "train" else tuple(TEST_SIZES)
    fields = npz_fields(path)
    # The test set is passed around with a field for each sequence too.
    data = (
        read_mapping(path, "data")
        if "data" in fields or wanted[0] not in fields
        else {name: read_mapping(path, name) for name in wanted if name in fields}
    )
    if missing := [name for name in wanted if name not in data]:
        raise InputError(f"{path}: sequence {listed(missing)} is missing (it has {listed(list(data))}); {_MAKE}")
    source = _source(path) if "source" in fields else "MPI-INF-3DHP"
    if split == "train":
        return [view for name in wanted for view in _train_views(f"{path}: {name}", name, data[name])], source
    if unknown := [name for name in names or () if name not in TEST_SIZES]:
        raise InputError(
            f"--actions names {', '.join(unknown)}, which 3dhp does not have; its test sequences are "
            f"{', '.join(TEST_SIZES)}"
        )
    return [_test_sequence(path, name, data[name]) for name in wanted if names is None or name in names], source


def _source(path: Path) -> str:
    source = str(read_npz_object(path, "source"))
    if problem := text_problem(source, SENTENCE):
        raise InputError(f"{path}: field source is {problem}; {_MAKE}")
    return source


def _train_views(where: str, name: str, value: Any) -> list[PoseSequence]:
    """One PoseSequence for each camera."""
    several = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim)
    cameras, fps = (value[0], _fps(value[1])) if several and len(value) == 2 else (None, None)
    if not isinstance(cameras, dict) or fps is None:
        raise InputError(f"{where} is not the pair [cameras, frames per second]; {_MAKE}")
    if set(cameras) != set(CAMERAS):
        raise InputError(f"{where} has the cameras {listed(list(cameras))}, not {', '.join(CAMERAS)}; {_MAKE}")
    subject, action = name.split(" ")
    views = []
    for camera in CAMERAS:
        pose_2d, pose_3d = _poses(f"{where}, camera {camera}", cameras[camera])
        views.append(PoseSequence(subject, action, camera, pose_2d, pose_3d, TRAIN_SIZE, fps))
    return views


def _fps(value: object) -> float | None:
    """Frames per second; None where the value is no such number."""
    number = value.item() if isinstance(value, np.generic | np.ndarray) and value.size == 1 else value
    return float(number) if isinstance(number, int | float) and 0.01 <= number <= 1e5 else None


def _test_sequence(path: Path, name: str, value: object) -> PoseSequence:
    where = f"{path}: {name}"
    pose_2d, pose_3d = _poses(where, value)
    assert isinstance(value, dict)  # else it would have no poses
    if "valid" not in value:
        raise InputError(f"{where} has no valid flags (valid), which say what frames are scored; {_MAKE}")
    flags = value["valid"]
    if isinstance(flags, np.ndarray) and flags.dtype == bool:
        flags = flags.astype(np.uint8)
    if isinstance(flags, np.ndarray) and flags.shape[1:] == (1,):
        flags = flags[:, 0]  # (L,), of a column as MATLAB has it
    flags = checked_array(f"{where}, valid", flags, "frames")
    if len(flags) != len(pose_3d):
        raise InputError(f"{where} has {len(flags)} valid flags for {len(pose_3d)} frames; {_MAKE}")
    if not np.isin(flags, (0, 1)).all():
        raise InputError(f"{where}, valid holds other numbers than 0 and 1; {_MAKE}")
    if not flags.any():
        raise InputError(f"{where} has no valid frame, so that nothing of it can be scored; {_MAKE}")
    return PoseSequence(name, name, "0", pose_2d, pose_3d, TEST_SIZES[name], TEST_FPS, flags.astype(bool))


def _poses(where: str, value: object) -> tuple[np.ndarray, np.ndarray]:
    """pose_2d (L, 17, 2) pixels and pose_3d (L, 17, 3) metres of a dictionary, float32, joints in the order of H36M."""
    if not isinstance(value, Mapping) or not {"data_2d", "data_3d"} <= set(value):
        raise InputError(f"{where} has no data_2d and data_3d; {_MAKE}")
    pixels = checked_array(f"{where}, data_2d", value["data_2d"], "frames", H36M.joints, 2)
    millimetres = checked_array(f"{where}, data_3d", value["data_3d"], "frames", H36M.joints, 3)
    if len(pixels) != len(millimetres):
        raise InputError(f"{where} has {len(pixels)} frames of 2D, but {len(millimetres)} of 3D; {_MAKE}")
    check_finite(f"{where}, data_2d", pixels, MOST_PIXELS)
    check_finite(f"{where}, data_3d", millimetres, 1000 * MOST_METRES)
    pose_2d = pixels[:, FROM_FILE].astype(np.float32)  # (L, 17, 2)
    pose_3d = millimetres[:, FROM_FILE].astype(np.float64)  # (L, 17, 3)
    trunk = float(np.median(np.linalg.norm(np.diff(pose_3d[:, _TRUNK], axis=1), axis=-1).sum(axis=-1)))
    if not _LEAST_TRUNK <= trunk <= _MOST_TRUNK:
        fitting = [unit for unit, size in _OTHER_UNITS.items() if _LEAST_TRUNK <= trunk * size <= _MOST_TRUNK]
        raise InputError(
            f"{where}, data_3d: a person has {trunk:.3g} from pelvis to head top, not some 700 as in millimetres"
            f"{''.join(f'; it seems to be in {unit}' for unit in fitting)}; {_MAKE}"
        )
    if np.abs(pose_2d).max() <= 2:
        raise InputError(f"{where}, data_2d is within -2..2, as if it were normalised, not in pixels; {_MAKE}")
    return pose_2d, (pose_3d / 1000).astype(np.float32)
