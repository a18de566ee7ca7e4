"""Small data sets made by rule, for tests that travel with the project: nothing in them was ever motion of a person.

`write_h36m` makes the three files of the Human3.6M layout; golden/expected_synthetic.json holds what the published
evaluation prints for them. `write_tiny` makes a file in the project's own format, with people to train on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common.data.motion_file import write_motion_file

CAMERAS = json.loads((Path(__file__).resolve().parent.parent / "common" / "geometry" / "h36m_cameras.json").read_text())
KEPT = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
REST = np.array(
    [
        [0, 0, 0.95],
        [-0.13, 0, 0.95],
        [-0.13, 0, 0.5],
        [-0.13, 0, 0.08],
        [0.13, 0, 0.95],
        [0.13, 0, 0.5],
        [0.13, 0, 0.08],
        [0, 0, 1.2],
        [0, 0, 1.45],
        [0, -0.08, 1.55],
        [0, 0, 1.68],
        [0.16, 0, 1.42],
        [0.2, 0, 1.13],
        [0.2, -0.1, 0.88],
        [-0.16, 0, 1.42],
        [-0.2, 0, 1.13],
        [-0.2, -0.1, 0.88],
    ]
)
METADATA = {
    "layout_name": "h36m",
    "num_joints": 17,
    "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
}
Lengths = Mapping[str, Mapping[str, int]]
LENGTHS: Lengths = {
    "S9": {"Walking": 61, "Sitting": 100, "SittingDown 1": 38},
    "S11": {"Walking": 84, "Sitting": 27, "SittingDown 1": 55},
}


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Turn points (..., 3) by the quaternion (w, x, y, z)."""
    w, u = q[0], q[1:]
    uv = np.cross(u, v)
    return v + 2 * (w * uv + np.cross(u, uv))


def project(x: np.ndarray, camera: dict) -> np.ndarray:
    """Camera space (..., 3) metres -> pixels (..., 2), in the normalised units of the field's tools; written apart from
    common.geometry.camera.
    """
    w, h = camera["res_w"], camera["res_h"]
    f = np.array(camera["focal_length"]) / w * 2
    c = np.array(camera["center"]) / w * 2 - [1, h / w]
    k, p = np.array(camera["radial_distortion"]), np.array(camera["tangential_distortion"])
    x = np.clip(x[..., :2] / x[..., 2:], -1, 1)
    r2 = (x**2).sum(-1, keepdims=True)
    scale = 1 + (k * np.concatenate([r2, r2**2, r2**3], -1)).sum(-1, keepdims=True) + (p * x).sum(-1, keepdims=True)
    return (f * (x * scale + p * r2) + c + [1, h / w]) * w / 2


def smooth_motion(batch: int, frames: int, channels: int, seed: int, joints: int = 17) -> np.ndarray:
    """Smooth random motion (batch, frames, joints, channels) float32; the golden inputs have 17 joints."""
    rng = np.random.default_rng([seed, 99])
    t = np.linspace(0, 1, frames)[None, :, None, None]
    x = np.zeros((batch, frames, joints, channels))
    for k in range(1, 6):
        amplitude = rng.standard_normal((batch, 1, joints, channels)) / k
        phase = rng.uniform(0, 6.28, (batch, 1, joints, channels))
        speed = rng.uniform(0.5, 6, (batch, 1, joints, channels))
        x += 0.3 * amplitude * np.sin(6.28 * speed * t + phase)
    x += 0.01 * rng.standard_normal(x.shape)
    return x.astype(np.float32)


def world_motion(length: int, seed: int) -> np.ndarray:
    """A moving figure (length, 17, 3), metres, world, z up."""
    return REST + 0.15 * smooth_motion(1, length, 3, seed)[0].astype(np.float64)


def h36m_positions(lengths: Lengths = LENGTHS) -> tuple[dict, dict, dict]:
    """positions_3d, positions_2d of the truth, and positions_2d with noise of 4 pixels, as the files hold them."""
    poses, truth, detected = {}, {}, {}
    rng = np.random.default_rng(3)
    for s, (subject, actions) in enumerate(lengths.items()):
        poses[subject], truth[subject], detected[subject] = {}, {}, {}
        for a, (action, length) in enumerate(actions.items()):
            full = np.zeros((length, 32, 3), np.float32)
            full[:, KEPT] = world_motion(length, 100 + 10 * s + a)
            poses[subject][action], truth[subject][action], detected[subject][action] = full, [], []
            for camera, view in zip(CAMERAS["intrinsics"], CAMERAS["extrinsics"][subject], strict=True):
                q, t = np.array(view["orientation"]), np.array(view["translation"]) / 1000
                pixels = project(rotate(q * [1, -1, -1, -1], full[:, KEPT].astype(np.float64) - t), camera)
                truth[subject][action].append(pixels.astype(np.float32))
                detected[subject][action].append((pixels + rng.normal(0, 4, pixels.shape)).astype(np.float32))
    return poses, truth, detected


def save_h36m(
    folder: Path, poses: object, truth: object = None, detected: object = None, metadata: object = METADATA
) -> Path:
    """Write the files of the Human3.6M layout; None: that 2D file is not written."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=poses)
    for name, views in (("gt", truth), ("cpn_ft_h36m_dbb", detected)):
        if views is not None:
            np.savez_compressed(folder / f"data_2d_h36m_{name}.npz", positions_2d=views, metadata=metadata)
    return folder


def write_h36m(folder: Path, lengths: Lengths = LENGTHS) -> Path:
    """The three files of the set by rule."""
    return save_h36m(folder, *h36m_positions(lengths))


def tiny_arrays() -> dict:
    """What `write_motion_file` takes: two people to train on, two to test on, one camera each."""
    clips = [
        ("P1", "Walking", "train", 43),
        ("P2", "Sitting", "train", 31),
        ("P3", "Walking", "test", 20),
        ("P4", "Sitting", "test", 12),
    ]
    poses, pixels, cameras = [], [], []
    for number, (_, _, _, length) in enumerate(clips):
        camera, view = CAMERAS["intrinsics"][number], CAMERAS["extrinsics"]["S9"][number]
        q, t = np.array(view["orientation"]), np.array(view["translation"]) / 1000
        turned = rotate(q * [1, -1, -1, -1], world_motion(length, number) - t)
        poses.append(turned)
        pixels.append(project(turned, camera))
        cameras.append(camera)
    return {
        "source": "figures moving by rule",
        "fps": 50,
        "subject": [clip[0] for clip in clips],
        "action": [clip[1] for clip in clips],
        "split": [clip[2] for clip in clips],
        "camera": [camera["id"] for camera in cameras],
        "size": [(camera["res_w"], camera["res_h"]) for camera in cameras],
        "pose_3d": poses,
        "pose_2d": {"noisy": pixels, "gt": [part + 1 for part in pixels]},
    }


def write_tiny(folder: Path) -> Path:
    """data_tiny.npz in the project's own format -> the folder, for --root_path with --dataset tiny."""
    write_motion_file(folder / "data_tiny.npz", **tiny_arrays())
    return folder
