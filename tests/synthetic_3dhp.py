"""A small set in the layout of MPI-INF-3DHP, made by rule: as the field passes it around, and as it is published."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.synthetic import world_motion

SOURCE = "figures moving by rule, in the layout of MPI-INF-3DHP"
CAMERAS = ("0", "1", "2", "4", "5", "6", "7", "8")
SIZES = {"TS1": (2048, 2048), "TS2": (2048, 2048), "TS3": (2048, 2048), "TS4": (2048, 2048)} | {
    "TS5": (1920, 1080), "TS6": (1920, 1080),
}  # fmt: skip
FROM_H36M = [10, 8, 14, 15, 16, 11, 12, 13, 1, 2, 3, 4, 5, 6, 0, 7, 9]
"""The joint of Human3.6M that is each joint of the files."""
OF_28 = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]


def view(length: int, seed: int, size: tuple[int, int] = (2048, 2048)) -> dict[str, np.ndarray]:
    """A moving figure four metres before a camera: data_2d (length, 17, 2) pixels, data_3d (length, 17, 3) mm."""
    x, y, z = world_motion(length, seed)[:, FROM_H36M].transpose(2, 0, 1)  # (length, 17) each; z up
    pose_3d = np.stack([x, 1 - z, y + 4], axis=-1)  # (length, 17, 3) metres, camera axes
    pose_2d = pose_3d[..., :2] / pose_3d[..., 2:] * size[0] * 0.7 + np.array(size) / 2  # (length, 17, 2)
    return {"data_2d": pose_2d.astype(np.float32), "data_3d": (1000 * pose_3d).astype(np.float32)}


def arrays(length: int = 10) -> tuple[dict, dict]:
    """The dictionaries of the training and of the test file."""
    train = {
        f"S{subject} Seq{number}": [
            {camera: view(length, 20 * subject + 10 * number + int(camera)) for camera in CAMERAS}, 25 * number,
        ]
        for subject in range(1, 9)
        for number in (1, 2)
    }  # fmt: skip
    test: dict = {}
    for number, (name, size) in enumerate(SIZES.items()):
        test[name] = view(length + number, 300 + number, size) | {"valid": np.arange(length + number) % 3 == 1}
    test["TS2"]["valid"][:4] = True
    return train, test


def save(folder: Path, train: dict | None, test: dict | None) -> Path:
    """Write the files as they are passed around -> the folder, for --root_path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (("train", train), ("test", test)):
        if data is not None:
            np.savez_compressed(folder / f"data_{name}_3dhp.npz", data=np.array(data, dtype=object), source=SOURCE)
    return folder


def save_annot(path: Path, cameras: dict) -> None:
    """annot.mat of one training sequence, of MATLAB 5: 14 cameras, 28 joints."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    cells = {}
    for name, field, axes in (("annot2", "data_2d", 2), ("univ_annot3", "data_3d", 3)):
        cells[name] = np.empty((14, 1), dtype=object)
        for camera in range(14):
            own = cameras.get(str(camera), cameras["0"])[field]
            values = np.full((len(own), 28, axes), 7.0)
            values[:, OF_28] = own
            cells[name][camera, 0] = values.reshape(len(own), -1)  # (n, 28 * axes)
    savemat(path, cells)


def save_annot_data(path: Path, sequence: dict) -> None:
    """annot_data.mat of one test sequence, of MATLAB 7.3, whose axes HDF5 has the other way round."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["annot2"] = sequence["data_2d"][:, None]  # (n, 1, 17, 2)
        file["univ_annot3"] = sequence["data_3d"][:, None]  # (n, 1, 17, 3)
        file["valid_frame"] = sequence["valid"][:, None].astype(np.float64)  # (n, 1)
