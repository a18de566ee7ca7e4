"""A small synthetic set in the Human3.6M layout: an articulated walker made by rule. It is not Human3.6M data.

    python dataset/prepare_toy.py

Writes data_3d_h36m.npz, data_2d_h36m_gt.npz and data_2d_h36m_cpn_ft_h36m_dbb.npz (true pixels + simulated detector
errors), so that training and testing can be tried where the real files are not at hand. Scores on it say nothing about
Human3.6M.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from common.arguments import Parser, number
from common.data.h36m import KEPT
from common.errors import exit_on_input_error
from common.files import replacing
from common.geometry.camera import h36m_cameras, project, world_to_camera
from common.geometry.skeleton import H36M
from common.wild.detector_noise import detector_like, named_generator

SOURCE = "a synthetic walker made by rule (dataset/prepare_toy.py), in the layout of Human3.6M; not Human3.6M data"
SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
ACTIONS = ("Walking", "Walking 1", "Sitting", "Greeting")
FPS = 50.0
METADATA = {
    "layout_name": "h36m",
    "num_joints": H36M.joints,
    "keypoints_symmetry": [list(H36M.left), list(H36M.right)],
    "source": SOURCE,
}
ANKLE = 0.08  # metres over the floor


@dataclass(frozen=True)
class Body:
    """Bone lengths in metres; hips and shoulders from the middle to the side."""

    hips: float = 0.13
    thigh: float = 0.45
    shin: float = 0.44
    spine: float = 0.24
    chest: float = 0.25
    neck: float = 0.11
    head: float = 0.115
    shoulders: float = 0.15
    upper_arm: float = 0.28
    forearm: float = 0.25


@dataclass(frozen=True)
class Motion:
    """Joint angles in radians and the way over the floor, T frames.

    Limbs are (T, 2), right then left. thigh, arm: forward of straight down. knee, elbow: bend, from 0 (straight); the
    knee folds back, the elbow to the front. arm_out, forearm_out: away from the body's middle plane. lean (T,): trunk
    forward. heading (T,): where the person faces, from world x towards y. place (T, 2): of the hip over the floor,
    metres.
    """

    thigh: np.ndarray
    knee: np.ndarray
    arm: np.ndarray
    elbow: np.ndarray
    arm_out: np.ndarray
    forearm_out: np.ndarray
    lean: np.ndarray
    heading: np.ndarray
    place: np.ndarray


def make_body(rng: np.random.Generator) -> Body:
    """A person of 1.55 to 1.9 m whose bones differ from the average by a few per cent each."""
    stature = rng.uniform(0.93, 1.08)
    return Body(**{name: length * stature * rng.uniform(0.95, 1.05) for name, length in vars(Body()).items()})


def walk(length: int, body: Body, rng: np.random.Generator) -> Motion:
    """Walk on a circle around the studio's origin, arms against the legs, knees bending as a leg swings forward."""
    time = np.arange(length) / FPS
    cadence, swing, radius = rng.uniform(0.8, 1.1), rng.uniform(0.4, 0.55), rng.uniform(0.6, 0.9)
    phase = 2 * np.pi * cadence * time[:, None] + rng.uniform(0, 2 * np.pi) + np.array([0, np.pi])  # (T, 2)
    # Each of the two steps of a cycle carries the body as far as the legs are spread.
    speed = 4 * (body.thigh + body.shin) * np.sin(swing) * cadence * 0.8
    turn = rng.choice([-1.0, 1.0])
    angle = turn * speed / radius * time + rng.uniform(0, 2 * np.pi)  # (T,)
    forearm = rng.uniform(0.2, 0.5) + 0.25 * np.clip(-np.sin(phase), 0, None)
    return Motion(
        thigh=swing * np.sin(phase),
        knee=0.08 + 0.95 * np.clip(np.cos(phase + 0.35), 0, None) ** 2,
        arm=-0.8 * swing * np.sin(phase),
        elbow=forearm,
        arm_out=np.full((length, 2), 0.12),
        forearm_out=np.full((length, 2), 0.08),
        lean=0.06 + 0.02 * np.sin(2 * phase[:, 0]),
        heading=angle + turn * np.pi / 2,
        place=radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1),
    )


def sit(length: int, body: Body, rng: np.random.Generator) -> Motion:
    """Sit as on a chair, swaying, hands by the thighs."""
    sway = slow_waves(length, 8, rng)
    return Motion(
        thigh=np.radians(84) + 0.05 * sway[:, 0:2],
        knee=np.radians(82) + 0.12 * (1 + sway[:, 2:4]),
        arm=0.45 + 0.15 * sway[:, 4:6],
        elbow=0.8 + 0.25 * sway[:, 6:8],
        arm_out=np.full((length, 2), 0.15),
        forearm_out=np.full((length, 2), 0.05),
        lean=0.1 + 0.12 * sway[:, 0],
        heading=rng.uniform(0, 2 * np.pi) + 0.2 * sway[:, 1],
        place=np.tile(rng.uniform(-0.5, 0.5, 2), (length, 1)),
    )


def greet(length: int, body: Body, rng: np.random.Generator) -> Motion:
    """Stand and wave with the right hand, or the left."""
    time = np.arange(length) / FPS
    sway = slow_waves(length, 8, rng)
    raised = np.array([1.0, 0.0]) if rng.random() < 0.5 else np.array([0.0, 1.0])
    wave = np.sin(2 * np.pi * rng.uniform(1.2, 1.8) * time)[:, None]  # (T, 1)
    return Motion(
        thigh=0.03 + 0.02 * sway[:, 0:2],
        knee=0.08 + 0.04 * (1 + sway[:, 2:4]),
        arm=0.1 * sway[:, 4:6] * (1 - raised) - 0.2 * raised,
        elbow=(0.2 + 0.1 * sway[:, 6:8]) * (1 - raised),
        arm_out=0.12 + (np.radians(80) + 0.1 * wave) * raised,
        forearm_out=0.08 + (np.radians(160) + 0.45 * wave) * raised,
        lean=0.03 * sway[:, 0],
        heading=rng.uniform(0, 2 * np.pi) + 0.3 * sway[:, 1],
        place=rng.uniform(-0.5, 0.5, 2) + 0.05 * sway[:, 2:4],
    )


MOTIONS = {"Walking": walk, "Walking 1": walk, "Sitting": sit, "Greeting": greet}


def slow_waves(length: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth curves within -1..1, (T, count), each a sine of its own slow rhythm."""
    time = np.arange(length)[:, None] / FPS
    return np.sin(2 * np.pi * rng.uniform(0.1, 0.4, count) * time + rng.uniform(0, 2 * np.pi, count))


def sideways_limb(forward: np.ndarray, out: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Unit vectors (T, 2, 3) in the body's axes (front, left, up) of limbs that hang down at forward = out = 0."""
    return np.stack([np.sin(forward) * np.cos(out), side * np.sin(out), -np.cos(forward) * np.cos(out)], axis=-1)


def forward_kinematics(body: Body, motion: Motion) -> np.ndarray:
    """The 17 joints (T, 17, 3), metres, world with z up; the lower ankle is ANKLE over the floor in every frame."""
    side = np.array([-1.0, 1.0])  # right, left
    flat = np.zeros_like(motion.thigh)  # (T, 2)
    left = np.array([0.0, 1.0, 0.0])
    up = np.stack([np.sin(motion.lean), 0 * motion.lean, np.cos(motion.lean)], axis=-1)  # (T, 3), along the trunk
    front = np.stack([np.cos(motion.lean), 0 * motion.lean, -np.sin(motion.lean)], axis=-1)  # (T, 3), out of the chest

    joints = np.zeros((len(motion.thigh), 17, 3))  # in the body's axes (front, left, up), hip at 0
    hips = side[:, None] * left * body.hips  # (2, 3)
    knees = hips + body.thigh * sideways_limb(motion.thigh, flat, side)  # (T, 2, 3)
    feet = knees + body.shin * sideways_limb(motion.thigh - motion.knee, flat, side)  # (T, 2, 3)
    joints[:, 7] = body.spine * up
    joints[:, 8] = joints[:, 7] + body.chest * up
    joints[:, 9] = joints[:, 8] + body.neck * (0.9 * up + np.sqrt(1 - 0.9**2) * front)
    joints[:, 10] = joints[:, 9] + body.head * (np.sqrt(1 - 0.2**2) * up - 0.2 * front)
    shoulders = joints[:, 8, None] + side[:, None] * left * body.shoulders  # (T, 2, 3)
    elbows = shoulders + body.upper_arm * sideways_limb(motion.arm, motion.arm_out, side)
    wrists = elbows + body.forearm * sideways_limb(motion.arm + motion.elbow, motion.forearm_out, side)
    joints[:, (1, 4)] = hips
    joints[:, (2, 5)] = knees
    joints[:, (3, 6)] = feet
    joints[:, (14, 11)] = shoulders
    joints[:, (15, 12)] = elbows
    joints[:, (16, 13)] = wrists
    joints[..., 2] += ANKLE - joints[:, (3, 6), 2].min(axis=1, keepdims=True)

    cos, sin = np.cos(motion.heading)[:, None], np.sin(motion.heading)[:, None]  # (T, 1)
    x = cos * joints[..., 0] - sin * joints[..., 1] + motion.place[:, :1]  # (T, 17)
    y = sin * joints[..., 0] + cos * joints[..., 1] + motion.place[:, 1:]
    return np.stack([x, y, joints[..., 2]], axis=-1)  # (T, 17, 3)


def build(frames: int, seed: int) -> tuple[dict, dict, dict]:
    """The contents of the three files: 3D {subject: {action: (T, 32, 3) metres, world, z up}}, then true and
    detector-like 2D {subject: {action: [4 x (T, 17, 2) pixels]}}; all float32.
    """
    poses: dict = {}
    truth: dict = {}
    detected: dict = {}
    for subject in tqdm(SUBJECTS, desc="synthetic walkers", unit="person", disable=None):
        body = make_body(named_generator(seed, subject))
        poses[subject], truth[subject], detected[subject] = {}, {}, {}
        for action in ACTIONS:
            joints = forward_kinematics(body, MOTIONS[action](frames, body, named_generator(seed, subject, action)))
            full = np.zeros((frames, 32, 3), np.float32)
            full[:, KEPT] = joints
            poses[subject][action] = full
            pixels = [project(world_to_camera(full[:, KEPT], camera), camera) for camera in h36m_cameras(subject)]
            rng = named_generator(seed, subject, action, "detector")
            truth[subject][action] = [view.astype(np.float32) for view in pixels]
            detected[subject][action] = [detector_like(view, rng, FPS)[..., :2] for view in pixels]
    return poses, truth, detected


def write(folder: str | Path, frames: int, seed: int) -> None:
    """Write the three synthetic files into `folder`; raises InputError where that is not possible."""
    poses, truth, detected = build(frames, seed)
    contents: dict[str, dict[str, Any]] = {
        "data_3d_h36m.npz": {"positions_3d": poses},
        "data_2d_h36m_gt.npz": {"positions_2d": truth},
        "data_2d_h36m_cpn_ft_h36m_dbb.npz": {"positions_2d": detected},
    }
    for name, arrays in contents.items():
        with replacing(Path(folder) / name) as temporary:
            np.savez_compressed(temporary, **arrays | {"metadata": METADATA})


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", default=str(Path(__file__).resolve().parent / "toy"), metavar="FOLDER",
        help="where the three synthetic files go (default: dataset/toy of this repository)",
    )  # fmt: skip
    parser.add_argument(
        "--frames",
        type=number(int, 1),
        default=300,
        help="frames of each clip, at 50 per second (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=number(int, 0),
        default=0,
        help="of the bodies, the motions and the detector's errors (default: %(default)s)",
    )
    return parser


def main() -> None:
    """Write the synthetic set and say what was written."""
    args = build_parser().parse_args()
    write(args.output, args.frames, args.seed)
    sequences = len(SUBJECTS) * len(ACTIONS) * 4
    print(
        f"synthetic, not Human3.6M: {sequences} sequences of {args.frames} frames, {len(SUBJECTS)} people, 4 cameras: "
        f"{args.output}"
    )


if __name__ == "__main__":
    exit_on_input_error(main)
