"""The official files of MPI-INF-3DHP -> data_train_3dhp.npz and data_test_3dhp.npz (common/data/mpi_inf_3dhp.py).

    python dataset/prepare_3dhp.py --input FOLDER

FOLDER is where the data set was unpacked: S1/Seq1/annot.mat to S8/Seq2/annot.mat, and TS1/annot_data.mat to
TS6/annot_data.mat there or in mpi_inf_3dhp_test_set/. No pictures are needed. The files of the test set are HDF5, as
MATLAB 7.3 writes it, and h5py reads them: pip install h5py.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse

import numpy as np
from tqdm import tqdm

from common.arguments import Parser
from common.data.mpi_inf_3dhp import CAMERAS, TEST_FILE, TEST_SIZES, TRAIN_FILE, TRAIN_SEQUENCES
from common.errors import InputError, exit_on_input_error
from common.files import check_writable, replacing
from dataset.matlab import Variable, read_matlab

FOLDER = Path(__file__).resolve().parent
SOURCE = "MPI-INF-3DHP, from its annotation files (dataset/prepare_3dhp.py)"
OF_28 = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)
"""The joints of the training annotation that are the 17 of the test set."""
FAST = ("S1 Seq2", "S3 Seq1", "S3 Seq2", "S5 Seq1", "S5 Seq2")
"""The sequences of 50 frames per second; the others have 25."""
VALID = {"TS1": 603, "TS2": 540, "TS3": 505, "TS4": 553, "TS5": 276, "TS6": 452}
"""How many frames of each test sequence are scored in what others publish."""
TEST_FOLDERS = "mpi_inf_3dhp_test_set/mpi_inf_3dhp_test_set", "mpi_inf_3dhp_test_set", "."


def read_train_sequence(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """One annot.mat -> for each camera data_2d (n, 17, 2) pixels and data_3d (n, 17, 3) millimetres, float32."""
    variables = read_matlab(path, ("annot2", "univ_annot3"))
    return {
        camera: {
            "data_2d": _camera(path, "annot2", variables["annot2"], int(camera), 2),
            "data_3d": _camera(path, "univ_annot3", variables["univ_annot3"], int(camera), 3),
        }
        for camera in CAMERAS
    }


def _camera(path: Path, name: str, cells: Variable, camera: int, axes: int) -> np.ndarray:
    """The cell of one camera, (n, 28 * axes) -> (n, 17, axes)."""
    if not isinstance(cells, list) or len(cells) <= camera:
        raise InputError(f"{path}: variable {name} has no cell for camera {camera}; is it the right file?")
    values = cells[camera]
    if values.ndim != 2 or values.shape[1] != 28 * axes:
        raise InputError(f"{path}: {name} of camera {camera} has the shape {values.shape}, not (frames, {28 * axes})")
    return values.reshape(-1, 28, axes)[:, OF_28].astype(np.float32)  # (n, 17, axes)


def read_test_sequence(path: Path) -> dict[str, np.ndarray]:
    """One annot_data.mat -> data_2d (n, 17, 2) pixels, data_3d (n, 17, 3) millimetres, float32, and valid (n,) bool."""
    variables = read_matlab(path, ("annot2", "univ_annot3", "valid_frame"))
    found = {}
    for field, name, axes in (("data_2d", "annot2", 2), ("data_3d", "univ_annot3", 3)):
        values = variables[name]
        if isinstance(values, list) or values.ndim != 4 or values.shape[:3] != (axes, 17, 1):
            shape = "cells" if isinstance(values, list) else f"the shape {values.shape}"
            raise InputError(f"{path}: variable {name} has {shape}, not ({axes}, 17, 1, frames); is it the right file?")
        found[field] = values[:, :, 0].transpose(2, 1, 0).astype(np.float32)  # (n, 17, axes)
    flags = variables["valid_frame"]
    if isinstance(flags, list) or flags.size != len(found["data_2d"]):
        raise InputError(f"{path}: variable valid_frame has not one flag for each frame; is it the right file?")
    return found | {"valid": flags.ravel() != 0}


def find_test_files(folder: Path) -> dict[str, Path]:
    """The annotation file of each test sequence."""
    first = f"{next(iter(TEST_SIZES))}/annot_data.mat"
    for name in TEST_FOLDERS:
        if (folder / name / first).is_file():
            return {sequence: folder / name / sequence / "annot_data.mat" for sequence in TEST_SIZES}
    raise InputError(
        f"{folder}: {first} is neither here nor in {TEST_FOLDERS[1]}; give --input the folder where MPI-INF-3DHP was "
        "unpacked"
    )


def save(path: Path, data: dict) -> None:
    """Write one of the two files."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, data=np.array(data, dtype=object), source=np.array(SOURCE))


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, metavar="FOLDER", help="where MPI-INF-3DHP was unpacked")
    parser.add_argument(
        "--output", default=str(FOLDER), metavar="FOLDER",
        help="where the two files go (default: dataset/ of this repository)",
    )  # fmt: skip
    return parser


def main() -> None:
    """Read the annotations, write both files, and say what was written."""
    args = build_parser().parse_args()
    folder, output = Path(args.input), Path(args.output)
    for name in (TRAIN_FILE, TEST_FILE):
        check_writable(output / name)
    files = find_test_files(folder)
    test = {name: read_test_sequence(path) for name, path in files.items()}
    train = {
        name: read_train_sequence(folder.joinpath(*name.split(" "), "annot.mat"))
        for name in tqdm(TRAIN_SEQUENCES, desc="reading", unit="sequence", disable=None)
    }
    save(output / TEST_FILE, test)
    save(output / TRAIN_FILE, {name: [cameras, 50 if name in FAST else 25] for name, cameras in train.items()})
    frames = sum(len(view["data_3d"]) for cameras in train.values() for view in cameras.values())
    print(f"{output / TRAIN_FILE}: {len(train)} sequences, {len(CAMERAS)} cameras, {frames:,} frames")
    counts = {name: int(sequence["valid"].sum()) for name, sequence in test.items()}
    print(f"{output / TEST_FILE}: valid frames {counts}, {sum(counts.values()):,} in all")
    if counts != VALID:
        print(f"published scores are over {VALID}, {sum(VALID.values()):,} in all: yours are not comparable with them")


if __name__ == "__main__":
    exit_on_input_error(main)
