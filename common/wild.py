"""Windows of free motion as anybody's camera and anybody's detector might see them (recipe `wild`). Everything is drawn afresh
for each window from one generator and vectorised over the batch; poses are (B, F, 17, 3) metres, world with y up unless said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from common import detector_noise as detector
from common.normalise import Normaliser, box_of
from common.pose_dataset import Batch
from common.skeleton import H36M, body_height
from common.windows import catmull_rom
from common.world_motion import WorldClip

HEIGHT = 1.64
"""Ankle to crown of an adult 1.72 m tall, metres: the person that in-the-wild weights speak of."""

# Mean lengths of the bones of adults on these joints, metres, by joint (the bone that ends there).
BONES = np.array(
    [0, 0.128, 0.445, 0.440, 0.128, 0.445, 0.440, 0.240, 0.253, 0.120, 0.115, 0.155, 0.283, 0.250, 0.155, 0.283, 0.250], np.float32
)
SIZES = ((1280, 720), (1920, 1080), (1080, 1920), (720, 1280), (1000, 1000), (640, 480))
NEAREST = 1.0
"""No joint comes nearer to the camera than this, metres."""

# The joints that turn with a joint when a limb is bent there: elbows, shoulders, hips, spine, neck.
BENDS = {12: (13,), 11: (12, 13), 15: (16,), 14: (15, 16), 1: (2, 3), 4: (5, 6), 7: (8, 9, 10, 11, 12, 13, 14, 15, 16), 8: (9, 10)}
ARMS_AND_LEGS = ((1, 2, 3), (4, 5, 6), (11, 12, 13), (14, 15, 16))
PARENTS = np.array(H36M.parents)


@dataclass(frozen=True)
class Wild:
    """What is drawn, and how often. Chances are per window."""

    speed: tuple[float, float] = (0.6, 1.6)
    reversed: float = 0.3
    mirrored: float = 0.5
    recombined: float = 0.3
    """Legs of one clip under the upper body of another."""
    bent: float = 0.5
    """Limbs turned by slow random angles."""
    own_bones: float = 0.15
    """Bones kept in proportion (where the clip's are the person's own), instead of drawn around BONES."""
    bone_spread: tuple[float, float] = (0.06, 0.06)
    """Standard deviations of the person's size and of each bone, relative."""
    pitch: tuple[float, float] = (-25.0, 45.0)
    roll: float = 5.0
    field_of_view: tuple[float, float] = (25.0, 90.0)
    distance: tuple[float, float] = (2.0, 10.0)
    followed: float = 0.25
    """The camera turns with the person."""
    definitions: float = 0.5
    """The detector means other points by hip, neck and head."""
    noise: tuple[float, float] = (0.4, 1.7)
    """The size of the detector's errors is drawn between these multiples of `detector_noise`'s."""
    frozen: float = 0.08
    missing: float = 0.12
    cut: float = 0.10
    """The picture's edge cuts the person."""
    score_curve: float = 0.5
    """The detector's scores rise or fall otherwise."""
    unscored: float = 0.10
    """The detector says 1 of every joint."""


# A test set shows what is there: real motion at its own speed, one detector.
WILD_TEST = replace(
    Wild(), speed=(1.0, 1.0), reversed=0.0, mirrored=0.0, recombined=0.0, bent=0.0, own_bones=1.0, followed=0.0, definitions=0.0,
    noise=(1.0, 1.0), frozen=0.0, missing=0.0, cut=0.0, score_curve=0.0, unscored=0.0,
)  # fmt: skip


class View(NamedTuple):
    """Windows as seen: pose_2d (B, F, 17, 3) pixels and score; pose_3d (B, F, 17, 3) metres, camera space; size (B, 2) and focal (B,)
    in pixels."""

    pose_2d: np.ndarray
    pose_3d: np.ndarray
    size: np.ndarray
    focal: np.ndarray


class MotionBank:
    """World motion of many clips in one array, from which windows are cut at any speed."""

    def __init__(self, clips: Sequence[WorldClip], fps: float) -> None:
        self.fps = fps
        self.pose = np.concatenate([clip.pose for clip in clips]).astype(np.float32)  # (total, 17, 3)
        self.length = np.array([len(clip.pose) for clip in clips])  # (N,)
        self.offset = np.cumsum(self.length) - self.length  # (N,)
        self.own_bones = np.array([clip.own_bones for clip in clips])  # (N,)

    def cut(self, clip: np.ndarray, centre: np.ndarray, speed: np.ndarray, frames: int) -> np.ndarray:
        """Windows of clips (B,) around frames `centre` (B,), played at `speed` (B,), negative: backwards -> (B, frames, 17, 3).

        Windows that stick out are moved into the clip; in clips that are too short the edge frames are repeated. Between frames
        the motion goes along Catmull-Rom splines.
        """
        reach = np.abs(speed) * (frames - 1) / 2
        last = self.length[clip] - 1  # (B,)
        centre = np.where(2 * reach < last, np.clip(centre, reach, np.maximum(last - reach, reach)), last / 2)
        time = centre[:, None] + speed[:, None] * (np.arange(frames) - (frames - 1) / 2)  # (B, F) frames of the clip
        time = np.clip(time, 0, last[:, None])
        left = np.minimum(time.astype(np.int64), np.maximum(last[:, None] - 1, 0))  # (B, F)
        if np.all(time == left):
            return self.pose[left + self.offset[clip, None]]
        pose = np.zeros((*left.shape, 17, 3), np.float32)
        for step, weight in zip((-1, 0, 1, 2), catmull_rom((time - left).astype(np.float32)), strict=True):
            rows = np.clip(left + step, 0, last[:, None]) + self.offset[clip, None]
            pose += weight[..., None, None] * self.pose[rows]
        return pose


def draw_motion(
    bank: MotionBank, clip: np.ndarray, centre: np.ndarray, frames: int, fps: float, wild: Wild, rng: np.random.Generator
) -> np.ndarray:
    """Windows (B, F, 17, 3) at `fps` around frame `centre` (B,) of clips (B,): other speeds, bodies recombined, limbs bent, bones
    redrawn, mirrored. The root goes where the clip has it."""
    count = len(clip)

    def speeds(n: int) -> np.ndarray:
        sign = np.where(rng.random(n) < wild.reversed, -1, 1)
        return sign * np.exp(rng.uniform(*np.log(wild.speed), n)) * bank.fps / fps

    pose = bank.cut(clip, centre, speeds(count), frames)
    chosen = rng.random(count) < wild.recombined
    if chosen.any():
        other = rng.choice(len(bank.length), int(chosen.sum()), p=bank.length / bank.length.sum())
        upper = bank.cut(other, rng.random(len(other)) * bank.length[other], speeds(len(other)), frames)
        pose[chosen] = recombine(pose[chosen], upper)
    chosen = rng.random(count) < wild.bent
    if chosen.any():
        pose[chosen] = bend(pose[chosen], fps, rng)
    own = bank.own_bones[clip] & (rng.random(count) < wild.own_bones)
    pose = redraw_bones(pose, own, wild.bone_spread, rng)
    mirrored = rng.random(count) < wild.mirrored
    pose[mirrored] = pose[mirrored][:, :, list(H36M.mirrored)] * np.array([-1, 1, 1], np.float32)
    return pose


def recombine(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The hips and legs of one motion with the upper body of another, which is turned about the vertical so that its hips face the
    same way in every frame: both (B, F, 17, 3) -> the same."""
    across = [pose[:, :, 1] - pose[:, :, 4] for pose in (lower, upper)]  # (B, F, 3), right hip minus left
    heading = [a[..., 0] + 1j * a[..., 2] for a in across]
    turn = heading[0] * heading[1].conj()
    turn = turn / np.maximum(np.abs(turn), 1e-9)  # (B, F)
    body = upper[:, :, 7:] - upper[:, :, :1]  # (B, F, 10, 3)
    flat = (body[..., 0] + 1j * body[..., 2]) * turn[..., None]
    body = np.stack([flat.real, body[..., 1], flat.imag], axis=-1).astype(np.float32)
    return np.concatenate([lower[:, :, :7], lower[:, :, :1] + body], axis=2)  # (B, F, 17, 3)


def rotate_about(axis: np.ndarray, angle: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Rotate vectors (B, F, n, 3) about unit axes (B, 3) by angles (B, F), radians (Rodrigues)."""
    axis = axis[:, None, None]  # (B, 1, 1, 3)
    sin, cos = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]  # (B, F, 1, 1)
    along = (vectors * axis).sum(-1, keepdims=True)
    return vectors * cos + np.cross(axis, vectors) * sin + axis * along * (1 - cos)


def bend(pose: np.ndarray, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Turn limbs, trunk and head about random axes by slow waves of some degrees: (B, F, 17, 3) at `fps` -> the same."""
    count, frames = pose.shape[:2]
    pose = pose.copy()
    for joint, moved in BENDS.items():
        axis = rng.standard_normal((count, 3)).astype(np.float32)
        axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
        still, wave = np.radians(rng.normal(0, 12, (2, count, 1)))
        cycles = rng.uniform(0.2, 1.5, (count, 1)) * np.arange(frames) / fps + rng.random((count, 1))  # (B, F)
        angle = (still + wave * np.sin(2 * np.pi * cycles)).astype(np.float32) * (0.5 if joint in (7, 1, 4) else 1.0)
        pivot = pose[:, :, joint, None]  # (B, F, 1, 3)
        pose[:, :, moved] = pivot + rotate_about(axis, angle, pose[:, :, moved] - pivot)
    return pose


def redraw_bones(pose: np.ndarray, own: np.ndarray, spread: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Give each window (B, F, 17, 3) another body: lengths around BONES, left as right; where `own` (B,), it stays as it is."""
    count = len(pose)
    bone = pose - pose[:, :, PARENTS]  # (B, F, 17, 3); of the root: nothing
    bone[:, :, 0] = 0
    length = np.linalg.norm(bone, axis=-1).mean(axis=1)  # (B, 17)
    drawn = 1 + spread[1] * rng.standard_normal((count, 17)).clip(-2.5, 2.5)
    drawn[:, list(H36M.right)] = drawn[:, list(H36M.left)]
    size = 1 + spread[0] * rng.standard_normal((count, 1)).clip(-2.5, 2.5)
    wanted = np.where(own[:, None], length, BONES * drawn * size)  # (B, 17)
    ratio = (wanted / np.maximum(length, 1e-6)).astype(np.float32)
    bone *= ratio[:, None, :, None]
    legs = ratio[:, [2, 3, 5, 6]].mean(axis=1)[:, None, None]  # who has longer legs goes further
    moved = np.empty_like(pose)
    moved[:, :, 0] = pose[:, :, 0] * legs
    for joint in range(1, 17):
        moved[:, :, joint] = moved[:, :, PARENTS[joint]] + bone[:, :, joint]
    return moved


def see(pose: np.ndarray, wild: Wild, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put a camera before each window: world poses (B, F, 17, 3) -> camera space, picture sizes (B, 2), focal lengths (B,) pixels.

    The person's root in the middle of the window is somewhere in the picture, so far away that the person fits in.
    """
    count, frames = pose.shape[:2]
    yaw = rng.uniform(-np.pi, np.pi, count)
    pitch = np.radians(rng.uniform(*wild.pitch, count))
    roll = np.radians((wild.roll * rng.standard_normal(count)).clip(-3 * wild.roll, 3 * wild.roll))
    size = np.array(SIZES)[rng.integers(len(SIZES), size=count)]  # (B, 2)
    focal = size.max(axis=1) / 2 / np.tan(np.radians(rng.uniform(*wild.field_of_view, count)) / 2)  # (B,)

    x, y, z = (pose - pose[:, frames // 2, None, :1]).transpose(3, 0, 1, 2)  # three of (B, F, 17), about the middle root
    turn = np.exp(1j * yaw).astype(np.complex64)[:, None, None]
    flat = (x + 1j * z) * turn
    x, y, z = flat.real, -y, -flat.imag  # a level camera: x right, y down, z forward
    tilted = (z + 1j * y) * np.exp(-1j * pitch).astype(np.complex64)[:, None, None]  # looking down brings what is far up
    y, z = tilted.imag, tilted.real
    rolled = (x + 1j * y) * np.exp(1j * roll).astype(np.complex64)[:, None, None]
    body = np.stack([rolled.real, rolled.imag, z], axis=-1).astype(np.float32)  # (B, F, 17, 3)

    tall = np.abs(body[..., :2] - body[:, :, :1, :2]).max(axis=(1, 2))  # (B, 2) half of what the person takes, metres
    fits = (2.1 * tall * focal[:, None] / size).max(axis=1)  # (B,) the distance at which the person fills the picture
    near = np.maximum(wild.distance[0], 0.9 * fits)
    distance = near + (np.maximum(wild.distance[1], near) - near) * rng.random(count) ** 1.5
    room = np.maximum(size / 2 / focal[:, None] - tall / distance[:, None], 0)  # (B, 2) how far from the centre the root may be
    place = room * rng.uniform(-1, 1, (count, 2)) * rng.choice([0.5, 1.0], (count, 1))
    ray = np.concatenate([place, np.ones((count, 1))], axis=1)  # (B, 3)
    root = ray * distance[:, None]
    closest = (body[..., 2].min(axis=(1, 2)) + root[:, 2])[:, None]
    root += ray * np.maximum(NEAREST - closest, 0)
    return body + root[:, None, None].astype(np.float32), size, focal


def other_definitions(pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where a detector that means other points by the joints would see them: camera space (B, F, 17, 3) -> the same.

    Constant offsets in the axes of the pelvis and of the shoulders: hips apart and up, shoulders, thorax, nose and head.
    """
    count = len(pose)
    up = pose[:, :, 8] - pose[:, :, 0]  # (B, F, 3)
    up = up / np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-6)
    moved = pose.copy()

    def offset(spread: float) -> np.ndarray:
        return (spread * rng.standard_normal((count, 1, 1))).astype(np.float32)

    for left, right, middle, apart, high in ((4, 1, (0,), 0.025, 0.03), (11, 14, (8,), 0.02, 0.025)):
        across = pose[:, :, left] - pose[:, :, right]
        across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
        wide, raised = offset(apart) * across, offset(high) * up
        moved[:, :, left] += wide + raised
        moved[:, :, right] += raised - wide
        for joint in middle:
            moved[:, :, joint] += raised + offset(0.01) * up
    ahead = np.cross(across, up)  # of the shoulders: forward
    for joint, spread in ((7, 0.03), (9, 0.04), (10, 0.04)):
        moved[:, :, joint] += offset(spread) * ahead + offset(spread) * up
    return moved


def spells(chance: float, seconds: tuple[float, float], shape: tuple[int, ...], fps: float, rng: np.random.Generator) -> np.ndarray:
    """With `chance`, a spell of so many seconds somewhere within frames (F) for each of (...): shape (F, ...) -> bool (F, ...)."""
    frames, shape = shape[0], shape[1:]
    long = np.maximum(rng.uniform(*seconds, shape) * fps, 1)
    start = rng.uniform(-long, frames)
    start = np.where(rng.random(shape) < chance, start, frames + 1)
    time = np.arange(frames).reshape(-1, *[1] * len(shape))
    return (time >= start) & (time < start + long)


def observe(pose: np.ndarray, size: np.ndarray, focal: np.ndarray, fps: float, wild: Wild, rng: np.random.Generator) -> np.ndarray:
    """What a detector makes of camera-space poses (B, F, 17, 3) at `fps`: pixels and scores (B, F, 17, 3), float32.

    Its errors are those of `detector_noise`, in units of the person's height in the picture, and worse.
    """
    count, frames = pose.shape[:2]

    def project(points: np.ndarray) -> np.ndarray:
        return points[..., :2] / np.maximum(points[..., 2:], 0.1) * focal[:, None, None, None].astype(np.float32)

    true = project(pose)  # (B, F, 17, 2) pixels from the picture's centre
    chosen = rng.random(count) < wild.definitions
    seen = true.copy()
    if chosen.any():
        seen[chosen] = project(np.concatenate([pose, other_definitions(pose, rng)])[np.where(chosen, count, 0) + np.arange(count)])[chosen]
    height = np.maximum(box_of(true)[1], 1e-3).astype(np.float32)[None, :, None]  # (1, B, 1)
    seen = seen.transpose(1, 0, 2, 3).copy()  # (F, B, 17, 2): time first, as noise runs

    mirrored, still = np.array(H36M.mirrored), seen.copy()
    for group in detector.SWAP_GROUPS:
        chance = chance_of(detector.SWAP_RATE, frames / fps)
        swapped = spells(chance, detector.SWAP_SECONDS, (frames, count), fps, rng)  # (F, B)
        group = list(group)
        seen[:, :, group] = np.where(swapped[..., None, None], still[:, :, mirrored[group]], seen[:, :, group])

    level = np.exp(rng.uniform(*np.log(wild.noise), (1, count, 1, 1))).astype(np.float32)
    error = level * detector.residual((frames, count, 17, 2), fps, rng)
    chance = chance_of(detector.OUTLIER_RATE, frames / fps)
    far = spells(chance, detector.OUTLIER_SECONDS, (frames, count, 17), fps, rng)  # (F, B, 17)
    angle, away = rng.uniform(0, 2 * np.pi, (count, 17)), rng.uniform(*detector.OUTLIER_DISTANCE, (count, 17))
    error += (far * away)[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    seen += height[..., None] * error
    size_of_error = np.linalg.norm(error, axis=-1)  # (F, B, 17) heights
    score = 1 - 5 * size_of_error + 0.04 * rng.standard_normal(size_of_error.shape, np.float32)

    limb = np.zeros((count, 17), bool)
    which = rng.integers(len(ARMS_AND_LEGS), size=count)
    for number, joints in enumerate(ARMS_AND_LEGS):
        limb[np.ix_(which == number, joints)] = True
    if wild.frozen:
        held = spells(wild.frozen, (0.2, 1.0), (frames, count), fps, rng)  # (F, B)
        first = np.maximum(held.argmax(axis=0) - 1, 0)  # the frame before the spell
        stuck = seen[first, np.arange(count)]  # (B, 17, 2)
        frozen = held[..., None] & limb  # (F, B, 17)
        seen = np.where(frozen[..., None], stuck, seen)
        score = np.where(frozen, score * rng.uniform(0.3, 1.0, (count, 1)), score)
    gone = np.zeros(score.shape, bool)
    if wild.missing:
        lost = spells(wild.missing, (0.1, 2.0), (frames, count), fps, rng)  # (F, B)
        single = rng.random((count, 17)) < 0.12
        gone = lost[..., None] & np.where(rng.random((count, 1)) < 0.5, limb, single)
    if wild.cut:
        gone, seen, score = cut_by_edge(gone, seen, score, height, wild.cut, rng)
    curved = rng.random((count, 1)) < wild.score_curve
    score = np.clip(score, 0.05, 1) ** np.where(curved, rng.uniform(0.5, 2.5, (count, 1)), 1)
    score = np.where(rng.random((count, 1)) < wild.unscored, 1, score)
    score = np.where(gone, 0, score)

    if wild.followed:
        follows = (rng.random(count) < wild.followed) * rng.uniform(0.5, 1.05, count)
        path = still[:, :, :1] - still[frames // 2, None, :, :1]  # (F, B, 1, 2)
        seen = seen - follows[:, None, None] * path
    seen = seen + size[:, None] / 2
    return np.concatenate([seen, score[..., None]], axis=-1).transpose(1, 0, 2, 3).astype(np.float32)  # (B, F, 17, 3)


def chance_of(rate: float, seconds: float) -> float:
    """How probable it is that something which comes `rate` times a second comes within `seconds`."""
    return 1 - np.exp(-rate * seconds)


def cut_by_edge(
    gone: np.ndarray, seen: np.ndarray, score: np.ndarray, height: np.ndarray, chance: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Let the picture's edge cut some people: joints beyond it are missing, or guessed along the edge with low scores.

    gone, score (F, B, 17); seen (F, B, 17, 2) pixels; height (1, B, 1) pixels. Most often the legs are what is cut.
    """
    count = score.shape[1]
    edge = rng.choice(4, count, p=(0.6, 0.1, 0.15, 0.15))  # bottom, top, left, right
    axis, sign = np.where(edge < 2, 1, 0), np.where(edge % 2 == 0, 1, -1) * np.where(edge < 2, 1, -1)
    along = np.where(axis[:, None] == 1, seen[..., 1], seen[..., 0]) * sign[:, None]  # (F, B, 17), larger is nearer to the edge
    low, high = along.mean(axis=0).min(axis=-1), along.mean(axis=0).max(axis=-1)  # (B,)
    border = low + (high - low) * rng.uniform(0.35, 0.95, count)  # (B,)
    beyond = (along > border[:, None]) & (rng.random(count) < chance)[:, None]  # (F, B, 17)
    lost = rng.random((count, 1)) < 0.4
    guess = border[:, None] + 0.1 * (along - border[:, None]) + 0.02 * height * rng.standard_normal(along.shape, np.float32)
    moved = np.where(beyond & ~lost, guess, along) * sign[:, None]
    seen = np.stack([np.where((axis == 0)[:, None], moved, seen[..., 0]), np.where((axis == 1)[:, None], moved, seen[..., 1])], axis=-1)
    score = np.where(beyond & ~lost, score * rng.uniform(0.05, 0.5, (count, 1)), score)
    return gone | (beyond & lost), seen, score


def in_units_of_person(pose_3d: np.ndarray) -> np.ndarray:
    """Camera-space poses (B, F, 17, 3) metres -> root-relative, in metres of a person HEIGHT tall."""
    tall = body_height(pose_3d).mean(axis=1)  # (B,)
    return (pose_3d - pose_3d[:, :, :1]) * (HEIGHT / np.maximum(tall, 1e-6))[:, None, None, None]


class WildDataset(Dataset):
    """Windows around every `stride`-th frame of every clip, each seen anew in every epoch; indexed by arrays of item numbers.

    The same seed, epoch and items give the same batch. Targets are what a model behind `normaliser` is to say: the person's
    size and the camera's axes are taken out (`Normaliser.height`, `Normaliser.turn`).
    """

    def __init__(
        self, clips: Sequence[WorldClip], fps: float, normaliser: Normaliser, frames: int, stride: int, seed: int, wild: Wild = Wild()
    ) -> None:
        self.bank, self.normaliser, self.frames, self.seed, self.wild = MotionBank(clips, fps), normaliser, frames, seed, wild
        centres = [np.arange(stride // 2 % length, length, stride) for length in self.bank.length]
        self.clip = np.repeat(np.arange(len(clips)), [len(c) for c in centres])  # (N,)
        self.centre = np.concatenate(centres)  # (N,)
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.clip)

    def __getitem__(self, items: np.ndarray | int) -> Batch:
        items = np.atleast_1d(items)
        rng = np.random.default_rng([self.seed, self.epoch, *items.tolist()])
        fps = self.normaliser.fps
        world = draw_motion(self.bank, self.clip[items], self.centre[items], self.frames, fps, self.wild, rng)
        pose_3d, size, focal = see(world, self.wild, rng)
        pose_2d = observe(pose_3d, size, focal, fps, self.wild, rng)
        turn = self.normaliser.turn(pose_2d, size, focal / size.max(axis=1)).astype(np.float32)  # (B, 3, 3)
        target = in_units_of_person(pose_3d) @ turn[:, None]  # the inverse turn, of row vectors
        pose_2d = self.normaliser.apply(pose_2d, size)
        tensors = (torch.from_numpy(values) for values in (pose_2d, target.astype(np.float32), self.clip[items], self.centre[items]))
        return Batch(*tensors)
