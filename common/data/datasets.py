"""One door to all data: --dataset NAME -> sequences, skeleton and what to say of the source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.data.custom_2d import without_3d
from common.data.h36m import TEST_SUBJECTS, TRAIN_SUBJECTS, read_h36m, skeleton_of
from common.data.motion_file import read_motion_file
from common.data.mpi_inf_3dhp import PCK_JOINTS, read_3dhp
from common.data.sequences import PoseSequence
from common.data.wild_file import read_wild_file
from common.errors import InputError
from common.geometry.skeleton import H36M, Skeleton


@dataclass(frozen=True)
class Data:
    """One split of a data set. source: a sentence on where it comes from, None for Human3.6M itself. pooled: its score
    is the mean over all frames, not over the actions. centred: a test scores the centres of windows around each valid
    frame, whatever --stride is. pck_joints: those of PCK and AUC; without any, these are not taken.
    """

    sequences: list[PoseSequence]
    skeleton: Skeleton
    source: str | None
    pooled: bool = False
    centred: bool = False
    pck_joints: tuple[int, ...] = ()


def default_keypoints(dataset: str) -> str:
    """The 2D that is used when --keypoints is not given."""
    return {"h36m": "cpn_ft_h36m_dbb", "3dhp": "gt"}.get(dataset, "noisy")


def read_sequences(dataset: str, root: str | Path, keypoints: str, split: str, actions: str = "*") -> Data:
    """Read one split, "train" or "test".

    dataset: "h36m" (the two npz files of VideoPose3D's scripts in `root`), "3dhp" (the two of MPI-INF-3DHP;
    common/data/mpi_inf_3dhp.py), "wild" (root/wild_test.npz, a test set only; common/data/wild_file.py), or any other
    NAME for root/data_NAME.npz in our own format (common/data/motion_file.py). actions: "*" or names separated by
    commas; of 3dhp the test sequences, while all is trained on. Raises InputError for what cannot be read.
    """
    _check_not_custom(Path(root), dataset, keypoints)
    if not dataset.replace("_", "").replace("-", "").isalnum():
        raise InputError(
            f"--dataset is {dataset!r}; it must be h36m, 3dhp or the NAME of a file data_NAME.npz, without folders"
        )
    names = None if actions == "*" else [name.strip() for name in actions.split(",") if name.strip()]
    if names is not None and not names:
        raise InputError(f"--actions is {actions!r}; give '*' or action names separated by commas")
    if dataset == "h36m":
        subjects = TRAIN_SUBJECTS if split == "train" else TEST_SUBJECTS
        sequences, source = read_h36m(root, keypoints, subjects, names)
        return Data(sequences, skeleton_of(keypoints), source)
    if dataset == "3dhp":
        if keypoints != default_keypoints(dataset):
            raise InputError(f"--keypoints is {keypoints!r}, but 3dhp has the true 2D only; leave the flag out")
        sequences, source = read_3dhp(root, split, names)
        return Data(sequences, H36M, source, pooled=True, centred=True, pck_joints=PCK_JOINTS)
    if dataset == "wild":
        if split != "test":
            raise InputError("--dataset wild is a test set only; train with --recipe wild, or on another --dataset")
        if keypoints != default_keypoints(dataset):
            raise InputError(
                f"--keypoints is {keypoints!r}, but wild_test.npz holds one kind of 2D; leave the flag out"
            )
        sequences, source = read_wild_file(Path(root) / "wild_test.npz", names)
        return Data(sequences, H36M, source, pooled=True)
    sequences, source = read_motion_file(Path(root) / f"data_{dataset}.npz", keypoints, split, names)
    return Data(sequences, H36M, source)


def _check_not_custom(root: Path, dataset: str, keypoints: str) -> None:
    """Raise InputError where the flags name 2D of one's own videos, by its path, its NAME, or as VideoPose3D's flags
    do.
    """
    wanted = root / (f"data_2d_h36m_{keypoints}.npz" if dataset == "h36m" else f"data_{dataset}.npz")
    named = [Path(dataset), Path(keypoints), root / dataset, root / keypoints, root / f"data_2d_custom_{keypoints}.npz"]
    for path in named + sorted(root.glob("data_2d_custom_*.npz")) * (dataset == "custom"):
        if path.name.startswith("data_2d_custom_") and path.is_file() and not wanted.exists():
            raise without_3d(path)
