"""In-the-wild training: what is drawn keeps the rules, its file is read back or refused in a sentence, and a tiny run goes from
motion to a checkpoint that says what it reads."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from common import detector_noise, wild
from common.checkpoint import read_checkpoint
from common.datasets import read_sequences
from common.errors import InputError
from common.normalise import Normaliser, box_of
from common.recipes import WILD
from common.skeleton import H36M, body_height
from common.wild import BONES, HEIGHT, NEAREST, PARENTS, WILD_TEST, MotionBank, View, Wild, WildDataset
from common.wild_file import read_wild_file, write_wild_file
from common.world_motion import WorldClip, read_world_motion, write_world_motion
from dataset import prepare_toy
from tests.synthetic import REST
from tests.test_training import check_same_end, identical, last, weights_of

Main = Callable[..., None]
Arrays = dict[str, np.ndarray]
FPS = prepare_toy.FPS
MIRRORED = list(H36M.mirrored)
STANDING = REST[:, [0, 2, 1]].astype(np.float32) * np.array([1, 1, -1], np.float32)  # (17, 3), world, y up, chest over hip


def walker(length: int, seed: int, action: str = "Walking") -> np.ndarray:
    """A rigid figure of the toy set (length, 17, 3), metres, world, y up."""
    rng = np.random.default_rng(seed)
    body = prepare_toy.make_body(rng)
    x, y, z = np.moveaxis(prepare_toy.forward_kinematics(body, prepare_toy.MOTIONS[action](length, body, rng)), -1, 0)
    return np.stack([x, z, -y], axis=-1).astype(np.float32)


TRAIN = [
    WorldClip("01_01", "01", "train", True, walker(120, 1)),
    WorldClip("05_01", "05", "train", False, walker(90, 2, "Greeting")),
    WorldClip("05_02", "05", "train", False, walker(20, 3, "Sitting")),  # shorter than a window
]
TEST = [
    WorldClip("03_01", "03", "test", True, walker(70, 4)),
    WorldClip("09_01", "09", "test", False, walker(60, 5, "Greeting")),
    WorldClip("09_02", "09", "test", False, walker(12, 6)),
]


def bones(pose: np.ndarray) -> np.ndarray:
    """Lengths (..., 16) of poses (..., 17, 3)."""
    return np.linalg.norm(pose - pose[..., PARENTS, :], axis=-1)[..., 1:]


def forward(pose: np.ndarray) -> np.ndarray:
    """How far the nose of poses (..., 17, 3) is before the body, to the front of one whose left is left; negative if mirrored."""
    ahead = np.cross(pose[..., 4, :] - pose[..., 1, :], pose[..., 8, :] - pose[..., 0, :])
    return (ahead * (pose[..., 9, :] - pose[..., 8, :])).sum(axis=-1)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No joint far off, no sides swapped."""
    monkeypatch.setattr(detector_noise, "OUTLIER_RATE", 0.0)
    monkeypatch.setattr(detector_noise, "SWAP_RATE", 0.0)


AS_TRAINED = Wild()
EXACT = replace(WILD_TEST, noise=(1e-9, 1e-9))


# Motion.


def test_a_cut_at_the_clip_s_own_speed_is_the_clip() -> None:
    bank = MotionBank(TRAIN, FPS)
    clip, centre = np.array([0, 1, 0, 0]), np.array([40, 30, 2, 119])  # two of them stick out and are moved into the clip
    found = bank.cut(clip, centre, np.ones(4), 21)
    for window, number, start in zip(found, clip, (30, 20, 0, 99), strict=True):
        np.testing.assert_array_equal(window, TRAIN[number].pose[start : start + 21])
    np.testing.assert_array_equal(bank.cut(clip, centre, -np.ones(4), 21), found[:, ::-1])
    np.testing.assert_array_equal(bank.cut(clip[:2], centre[:2], np.full(2, 2.0), 21)[0], TRAIN[0].pose[20:61:2])


def test_in_clips_that_are_too_short_the_edge_frames_are_repeated() -> None:
    (found,) = MotionBank(TRAIN, FPS).cut(np.array([2]), np.array([3]), np.ones(1), 30)  # 20 frames, 5 more on either side
    np.testing.assert_array_equal(found[5:25], TRAIN[2].pose)
    np.testing.assert_array_equal(found[[0, 4, 25, 29]], TRAIN[2].pose[[0, 0, -1, -1]])
    one = WorldClip("a", "a", "train", True, STANDING[None])
    np.testing.assert_array_equal(MotionBank([one], FPS).cut(np.zeros(1, int), np.zeros(1), np.full(1, 0.7), 5)[0], [STANDING] * 5)


@pytest.mark.parametrize("speed", [0.37, 1.0, -1.6])
def test_straight_motion_stays_straight_at_any_speed(speed: float) -> None:
    velocity = np.array([0.03, -0.01, 0.02], np.float32)
    line = STANDING + velocity * np.arange(60, dtype=np.float32)[:, None, None]
    bank = MotionBank([WorldClip("a", "a", "train", True, line)], FPS)
    (found,) = bank.cut(np.zeros(1, int), np.array([29.3]), np.full(1, speed), 31)
    steps = np.arange(31) - 15
    np.testing.assert_allclose(found, STANDING + velocity * (29.3 + speed * steps)[:, None, None], atol=1e-5)


def test_legs_under_another_upper_body() -> None:
    lower, upper = walker(50, 1)[None], walker(50, 2, "Greeting")[None]
    found = wild.recombine(lower, upper)
    np.testing.assert_array_equal(found[:, :, :7], lower[:, :, :7])
    own = [0, *range(7, 17)]

    def apart(pose: np.ndarray) -> np.ndarray:
        return np.linalg.norm(pose[:, :, own, None] - pose[:, :, None, own], axis=-1)

    np.testing.assert_allclose(apart(found), apart(upper), atol=1e-5)  # the upper body's own shape
    high, wanted = (pose[:, :, 7:, 1] - pose[:, :, :1, 1] for pose in (found, upper))
    np.testing.assert_allclose(high, wanted, atol=1e-6)  # and upright as it was
    assert (forward(found) > 0).all()
    # With its own legs, turned about the vertical and moved, it is what it was.
    cos, sin = np.cos(2.1), np.sin(2.1)
    turned = (upper @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) + [3.0, 0.2, -1.0]).astype(np.float32)
    np.testing.assert_allclose(wild.recombine(turned, upper), turned, atol=1e-5)


def test_bent_limbs_keep_their_length() -> None:
    pose = np.repeat(walker(75, 1)[None], 8, axis=0)
    found = wild.bend(pose, 25.0, np.random.default_rng(0))
    np.testing.assert_allclose(bones(found), bones(pose), atol=1e-5)
    np.testing.assert_array_equal(found[:, :, [0, 1, 4, 7]], pose[:, :, [0, 1, 4, 7]])
    moved = np.linalg.norm(found - pose, axis=-1).mean(axis=1)  # (8, 17)
    assert (moved[:, [2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16]] > 1e-3).all()
    assert moved.max() < 1
    change = np.abs(np.diff(found - pose, axis=1)).max()
    assert 1e-3 < change < 0.15  # slowly, metres per frame


def test_bones_are_as_long_as_asked_for() -> None:
    pose = np.stack([walker(30, 1), walker(30, 2), walker(30, 7, "Sitting")])
    found = wild.redraw_bones(pose, np.array([False, True, False]), (0.0, 0.0), np.random.default_rng(0))
    np.testing.assert_allclose(bones(found)[[0, 2]], np.broadcast_to(BONES[1:], (2, 30, 16)), atol=1e-5)
    np.testing.assert_allclose(found[1], pose[1], atol=1e-6)
    for part, joint in enumerate(PARENTS[1:].tolist()):  # bones point where they did
        one, other = ((p[:, :, part + 1] - p[:, :, joint]) for p in (found, pose))
        np.testing.assert_allclose((one * other).sum(-1), np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1), rtol=1e-5)
    legs = (BONES[[2, 3, 5, 6]] / bones(pose)[0, 0, [1, 2, 4, 5]]).mean()
    np.testing.assert_allclose(found[0, :, 0], pose[0, :, 0] * legs, rtol=1e-4)  # longer legs go further


def test_bodies_vary_as_asked_for() -> None:
    pose = np.broadcast_to(STANDING, (4000, 1, 17, 3)).copy()
    length = bones(wild.redraw_bones(pose, np.zeros(4000, bool), (0.06, 0.03), np.random.default_rng(0)))[:, 0]  # (4000, 16)
    np.testing.assert_allclose(length, length[:, [joint - 1 for joint in MIRRORED[1:]]], rtol=1e-4)
    ratio = length / BONES[1:]
    np.testing.assert_allclose(ratio.mean(axis=0), 1, atol=0.005)
    np.testing.assert_allclose(ratio.std(axis=0), np.hypot(0.06, 0.03), rtol=0.06)
    size = np.corrcoef(ratio[:, 1], ratio[:, 9])[0, 1]  # of thigh and head: what they share is the person's size
    assert size == pytest.approx(0.06**2 / (0.06**2 + 0.03**2), abs=0.05)
    assert 0.75 < ratio.min() < ratio.max() < 1.25


def draw(what: Wild, count: int = 12, frames: int = 21, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return wild.draw_motion(MotionBank(TRAIN, FPS), np.arange(count) % 2, np.full(count, 40), frames, FPS, what, rng)


def test_mirrored_twice_is_what_it_was() -> None:
    plain, mirrored = draw(WILD_TEST), draw(replace(WILD_TEST, mirrored=1.0))
    np.testing.assert_array_equal(mirrored[:, :, MIRRORED] * np.array([-1, 1, 1], np.float32), plain)
    assert (forward(mirrored) > 0).all()  # whose left is still the left
    assert not np.allclose(mirrored[..., 0], plain[..., 0], atol=0.01)


def test_nothing_is_changed_in_a_test_set_but_bones() -> None:
    found = draw(WILD_TEST)
    for window, clip in zip(found, [TRAIN[0], TRAIN[1]] * 6, strict=True):
        if clip.own_bones:
            np.testing.assert_allclose(window, clip.pose[30:51], atol=1e-6)
        else:
            cosine = (window - window[:, PARENTS]) * (clip.pose - clip.pose[:, PARENTS])[30:51]
            product = bones(window) * bones(clip.pose[30:51])
            np.testing.assert_allclose(cosine.sum(-1)[:, 1:], product, rtol=1e-5)
    assert np.ptp(bones(found)[1::2, 0], axis=0).min() > 0.005  # another body each


# Cameras.


def test_cameras() -> None:
    world = np.broadcast_to(STANDING, (800, 3, 17, 3))
    pose, size, focal = wild.see(world, AS_TRAINED, np.random.default_rng(0))
    assert pose.dtype == np.float32
    np.testing.assert_allclose(bones(pose), bones(world), atol=1e-5)
    np.testing.assert_allclose(forward(pose), forward(world), rtol=1e-3)  # no mirrored world
    up = pose[:, 0, 8] - pose[:, 0, 0]
    up /= np.linalg.norm(up, axis=-1, keepdims=True)
    pitch, roll = np.degrees(np.arcsin(-up[:, 2])), np.degrees(np.arctan2(up[:, 0], -up[:, 1]))  # looking down brings the head nearer
    low, high = AS_TRAINED.pitch
    assert low - 0.01 < pitch.min() < low + 2
    assert high - 2 < pitch.max() < high + 0.01
    assert roll.std() == pytest.approx(AS_TRAINED.roll, rel=0.1)
    assert np.abs(roll).max() < 3 * AS_TRAINED.roll + 0.01
    across = pose[:, 0, 4] - pose[:, 0, 1]
    assert np.histogram(np.arctan2(across[:, 2], across[:, 0]), bins=8, range=(-np.pi, np.pi))[0].min() > 50  # from all around
    field = np.degrees(2 * np.arctan(size.max(axis=1) / 2 / focal))
    assert field.min() > AS_TRAINED.field_of_view[0] - 1e-6
    assert field.max() < AS_TRAINED.field_of_view[1] + 1e-6
    assert {tuple(one) for one in size.tolist()} == set(wild.SIZES)
    assert pose[:, 1, 0, 2].min() >= AS_TRAINED.distance[0] - 1e-5


@pytest.mark.parametrize("step", [0.0, 0.5])
def test_people_are_in_front_of_the_camera_and_in_the_picture(step: float) -> None:
    """Also those who walk towards it: half a metre per frame, eight metres in all."""
    path = np.arange(17, dtype=np.float32)[:, None, None] * np.array([step, 0, 0], np.float32)
    pose, size, focal = wild.see(np.repeat((STANDING + path)[None], 400, axis=0), AS_TRAINED, np.random.default_rng(1))
    assert pose[..., 2].min() >= NEAREST - 1e-4
    assert (pose[..., 2].min(axis=(1, 2)) < NEAREST + 1e-4).any() == (step > 0)
    root = pose[:, 8, 0, :2] / pose[:, 8, 0, 2:] * focal[:, None] + size / 2
    assert (root >= -0.01).all()
    assert (root <= size + 0.01).all()
    pixels = pose[:, 8, :, :2] / pose[:, 8, :, 2:] * focal[:, None, None] + size[:, None] / 2
    inside = ((pixels >= 0) & (pixels <= size[:, None])).all(axis=-1)
    assert inside.mean() > 0.95


# The detector.


def standing(count: int, frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People who stand still, 3 to 12 m away, camera space (B, F, 17, 3), with sizes (B, 2) and focal lengths (B,)."""
    pose = STANDING * np.array([1, -1, -1], np.float32) - np.array([0, -1, 0], np.float32)
    distance = np.random.default_rng(seed).uniform(3, 12, (count, 1, 1, 1)).astype(np.float32) * np.array([0, 0, 1], np.float32)
    return np.repeat(pose + distance, frames, axis=1), np.tile([1280, 720], (count, 1)), np.full(count, 1200.0)


def project(pose: np.ndarray, size: np.ndarray, focal: np.ndarray) -> np.ndarray:
    """Camera space (B, F, 17, 3) -> pixels (B, F, 17, 2) of a pinhole camera."""
    return pose[..., :2].astype(np.float64) / pose[..., 2:] * focal[:, None, None, None] + size[:, None, None] / 2


def errors(seen: np.ndarray, view: tuple) -> np.ndarray:
    """Of the detector, in heights of the person in the picture: (B, F, 17, 2)."""
    true = project(*view)
    return (seen[..., :2] - true) / box_of(true)[1][:, None, None, None]


@pytest.mark.usefixtures("quiet")
def test_pixels_are_the_pinhole_projection_of_the_pose() -> None:
    rng = np.random.default_rng(0)
    view = wild.see(draw(AS_TRAINED, 40), AS_TRAINED, rng)
    seen = wild.observe(*view, FPS, EXACT, rng)
    assert seen.shape == (40, 21, 17, 3)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen[..., :2], project(*view), rtol=1e-5, atol=0.02)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("fps", [50.0, 25.0])
def test_errors_are_as_large_as_the_detector_s(fps: float) -> None:
    bias, drift, white = detector_noise.BIAS, detector_noise.DRIFT, detector_noise.WHITE
    correlation = detector_noise.CORRELATION ** (detector_noise.REFERENCE_FPS / fps)
    view = standing(300, 80)
    error = errors(wild.observe(*view, fps, WILD_TEST, np.random.default_rng(0)), view)
    assert abs(error.mean()) < 0.0005
    assert error.std() == pytest.approx(np.sqrt(bias**2 + drift**2 + white**2), rel=0.03)
    assert (error[:, 0] * error[:, -1]).mean() == pytest.approx(bias**2, rel=0.1)  # what stays
    change = np.diff(error, axis=1)
    assert change.std() == pytest.approx(np.sqrt(2 * drift**2 * (1 - correlation) + 2 * white**2), rel=0.02)
    larger = errors(wild.observe(*view, fps, replace(WILD_TEST, noise=(1.7, 1.7)), np.random.default_rng(0)), view)
    np.testing.assert_allclose(larger, 1.7 * error, atol=2e-5)


def test_scores_fall_with_the_error_and_some_joints_are_far_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_noise, "SWAP_RATE", 0.0)
    view = standing(300, 100)
    seen = wild.observe(*view, FPS, WILD_TEST, np.random.default_rng(0))
    score, error = seen[..., 2], np.linalg.norm(errors(seen, view), axis=-1)
    assert 0 < score.min() < score.max() == 1
    bins = [0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.5]
    means = [score[(error >= low) & (error < high)].mean() for low, high in itertools.pairwise(bins)]
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.9
    assert means[-1] < 0.3
    off = error > 0.07
    expected = wild.chance_of(detector_noise.OUTLIER_RATE, 100 / FPS)
    assert off.any(axis=1).mean() == pytest.approx(expected, rel=0.15)  # of joints and windows
    assert error.max() < detector_noise.OUTLIER_DISTANCE[1] + 0.1


def test_sides_are_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_noise, "OUTLIER_RATE", 0.0)
    monkeypatch.setattr(detector_noise, "SWAP_RATE", 1e3)
    view = standing(200, 100)
    seen, true = wild.observe(*view, FPS, EXACT, np.random.default_rng(0))[..., :2], project(*view)
    own, other = (np.isclose(seen, pixels, atol=0.05).all(axis=-1) for pixels in (true, true[:, :, MIRRORED]))
    assert (own | other).all()
    for group in detector_noise.SWAP_GROUPS:
        swapped = ~own[:, :, list(group)]
        assert (swapped == swapped[..., :1]).all()  # all together
        assert swapped.any(axis=(1, 2)).mean() > 0.9
        assert swapped[..., 0].sum(axis=1).max() <= detector_noise.SWAP_SECONDS[1] * FPS + 1
    assert own[:, :, [0, 7, 8, 9, 10]].all()


def test_spells() -> None:
    rng = np.random.default_rng(0)
    for chance in (0.0, 0.3, 1.0):
        found = wild.spells(chance, (0.2, 0.6), (100, 2000, 2), 50.0, rng)  # 10 to 30 frames
        assert found.shape == (100, 2000, 2)
        assert found.any(axis=0).mean() == pytest.approx(chance, abs=0.02)
        # One in each at most, which may begin before and end after.
        starts = (np.diff(found.astype(int), axis=0, prepend=0) == 1).sum(axis=0)
        assert starts.max(initial=0) <= 1
        assert found.sum(axis=0).max() <= 31
        long = np.linspace(10, 30, 1000)
        assert found.mean() == pytest.approx(chance * (long / (100 + long)).mean(), rel=0.05)
    whole = wild.spells(1.0, (0.2, 0.2), (100, 500), 50.0, rng).sum(axis=0)
    assert np.median(whole) == 10
    assert wild.chance_of(0.5, 2) == pytest.approx(1 - np.exp(-1))


@pytest.mark.usefixtures("quiet")
def test_missing_joints_have_no_score() -> None:
    view = standing(200, 50)
    assert (wild.observe(*view, FPS, WILD_TEST, np.random.default_rng(0))[..., 2] > 0).all()
    missing = replace(WILD_TEST, missing=1.0, unscored=0.5)
    seen = wild.observe(*view, FPS, missing, np.random.default_rng(0))
    gone = seen[..., 2] == 0
    assert gone.any(axis=(1, 2)).mean() > 0.8
    assert 0.02 < gone.mean() < 0.3
    limbs = {tuple(np.flatnonzero(one)) for one in gone.any(axis=1)}
    assert set(wild.ARMS_AND_LEGS) <= limbs
    found = Normaliser("box", 3).apply(seen, (1280, 720))
    assert (found[gone] == 0).all()


@pytest.mark.usefixtures("quiet")
def test_the_edge_of_the_picture_cuts_one_side() -> None:
    view = standing(300, 20)
    true = project(*view)[:, 0]
    seen = wild.observe(*view, FPS, replace(EXACT, cut=1.0), np.random.default_rng(0))
    low = seen[..., 2].mean(axis=1) < 0.6  # (B, 17): missing, or guessed with low scores
    assert low.any(axis=1).all()
    assert not low.all(axis=1).any()
    edges = []
    for pixels, beyond, window in zip(true, low, seen, strict=True):
        sides = {"bottom": pixels[:, 1], "top": -pixels[:, 1], "left": -pixels[:, 0], "right": pixels[:, 0]}
        cut = [name for name, along in sides.items() if along[beyond].min() >= along[~beyond].max() - 0.01]
        assert cut
        edges.append(cut[0])
        np.testing.assert_allclose(window[:, ~beyond, :2], np.broadcast_to(pixels[~beyond], (20, (~beyond).sum(), 2)), atol=0.05)
    assert edges.count("bottom") > 150
    assert set(edges) == {"bottom", "top", "left", "right"}
    assert 0.2 < (seen[..., 2] == 0).any(axis=(1, 2)).mean() < 0.6  # the others are guessed


@pytest.mark.usefixtures("quiet")
def test_frozen_joints_followed_people_and_other_definitions() -> None:
    rng = np.random.default_rng(0)
    view = standing(100, 50)
    seen = wild.observe(*view, FPS, replace(WILD_TEST, frozen=1.0), rng)
    still = (np.diff(seen[..., :2], axis=1) == 0).all(axis=-1).any(axis=1)  # (B, 17), in spite of the noise
    assert still.any(axis=1).mean() > 0.8
    assert {tuple(np.flatnonzero(one)) for one in still} <= {(), *wild.ARMS_AND_LEGS}

    assert (wild.observe(*view, FPS, replace(WILD_TEST, unscored=1.0), rng)[..., 2] == 1).all()

    offset = errors(wild.observe(*view, FPS, replace(EXACT, definitions=1.0), rng), view)
    np.testing.assert_allclose(offset, np.broadcast_to(offset[:, :1], offset.shape), atol=1e-4)  # of those who stand still
    far = np.linalg.norm(offset, axis=-1).max(axis=(0, 1))
    same = np.isin(np.arange(17), [2, 3, 5, 6, 12, 13, 15, 16])  # knees, ankles, elbows, wrists
    assert far[same].max() < 1e-4
    assert 0.005 < far[~same].min() < far[~same].max() < 0.2

    pose = view[0] + np.linspace(-1, 1, 50, dtype=np.float32)[:, None, None] * np.array([1, 0, 0], np.float32)
    seen = wild.observe(pose, *view[1:], FPS, replace(EXACT, followed=1.0), rng)
    true = project(pose, *view[1:])
    np.testing.assert_allclose(seen[:, 25, :, :2], true[:, 25], atol=0.05)
    share = np.ptp(seen[:, :, 0, 0], axis=1) / np.ptp(true[:, :, 0, 0], axis=1)
    assert share.max() < 0.51
    assert share.min() < 0.1


# The data set.


def dataset(what: Wild = AS_TRAINED, frames: int = 27, stride: int = 6, seed: int = 1) -> WildDataset:
    return WildDataset(TRAIN, FPS, WILD.normaliser, frames, stride, seed, what)


def test_the_same_seed_epoch_and_items_give_the_same_batch() -> None:
    items = np.array([3, 0, 20, 7])
    one, other = dataset(), dataset()
    first = one[items]
    assert identical(list(first), list(other[items]))
    one.epoch = 2
    second = one[items]
    one.epoch = 0
    assert identical(list(first), list(one[items]))
    for changed in (second, dataset(seed=2)[items], one[items[::-1].copy()]):
        assert not torch.equal(changed.pose_2d, first.pose_2d)
        assert not torch.equal(changed.pose_3d, first.pose_3d)
    assert torch.equal(second.sequence, first.sequence)
    assert torch.equal(second.start, first.start)


def test_every_clip_has_a_window_about_every_so_many_frames() -> None:
    data = dataset(stride=6)
    assert len(data) == 20 + 15 + 3
    assert np.bincount(data.clip).tolist() == [20, 15, 3]
    assert data.centre[data.clip == 0].tolist() == list(range(3, 120, 6))
    long = dataset(stride=1000)
    assert len(long) == 3
    assert (long.centre < [len(clip) for clip in TRAIN]).all()


@pytest.mark.parametrize("items", [5, np.array([5]), np.arange(38), np.array([37, 37, 0])], ids=["int", "one", "all", "repeated"])
def test_batches_of_any_items(items: np.ndarray | int) -> None:
    batch, count = dataset()[items], np.size(items)
    assert batch.pose_2d.shape == (count, 27, 17, 3)
    assert batch.pose_3d.shape == (count, 27, 17, 3)
    assert (batch.sequence.shape, batch.start.shape) == ((count,), (count,))
    assert batch.pose_2d.dtype == batch.pose_3d.dtype == torch.float32
    assert batch.pose_2d.isfinite().all()
    assert batch.pose_3d.isfinite().all()
    assert (batch.pose_2d[..., 2] >= 0).all()
    assert (batch.pose_2d[..., 2] <= 1).all()
    assert (batch.pose_2d[batch.pose_2d[..., 2] == 0] == 0).all()
    assert batch.pose_2d[..., :2].abs().max() < 20


def test_targets_are_bodies_of_one_height() -> None:
    target = dataset()[np.arange(38)].pose_3d.numpy()
    assert (target[:, :, 0] == 0).all()
    np.testing.assert_allclose(body_height(target).mean(axis=1), HEIGHT, rtol=1e-4)
    length = bones(target)  # (38, 27, 16)
    np.testing.assert_allclose(length, np.broadcast_to(length[:, :1], length.shape), atol=2e-3)  # rigid
    np.testing.assert_allclose(length, length[..., [joint - 1 for joint in MIRRORED[1:]]], atol=2e-3)  # left as right
    assert (target[:, :, 10, 1] < target[:, :, 0, 1]).mean() > 0.95  # y down: heads are above hips


@pytest.mark.usefixtures("quiet")
def test_targets_have_the_axes_that_the_input_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen from afar, the input is the target without its depth, up to scale; in the camera's axes it is so only in the middle."""
    data, items = dataset(replace(EXACT, distance=(9.0, 12.0), field_of_view=(70.0, 90.0))), np.arange(38)

    def misfit() -> float:
        batch = data[items]
        shown, target = (x[..., :2] - x[..., :1, :2] for x in (batch.pose_2d, batch.pose_3d))
        scale = (shown * target).sum(dim=(1, 2, 3), keepdim=True) / (target**2).sum(dim=(1, 2, 3), keepdim=True)
        return ((shown - scale * target).norm(dim=-1).mean() / (scale * target).norm(dim=-1).mean()).item()

    turned = misfit()
    monkeypatch.setattr(Normaliser, "turn", lambda self, pose_2d, *_: np.broadcast_to(np.eye(3), (len(pose_2d), 3, 3)))
    assert turned < 0.06
    assert turned < misfit() / 2


# The file.


def write_motion(folder: Path, clips: list[WorldClip], name: str = "tiny") -> Path:
    path = folder / f"motion_{name}.npz"
    write_world_motion(path, source="walkers made by rule", fps=FPS, clips=clips)
    return path


@pytest.fixture(scope="session")
def wild_root(main: Main, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of motion_tiny.npz and of the wild_test.npz that is made from it; not to be written to."""
    folder = tmp_path_factory.mktemp("wild")
    motion = write_motion(folder, [*TRAIN, *TEST])
    main("dataset/prepare_wild.py", "--motion", motion, "--output", folder / "wild_test.npz", "--windows", 5, "--frames", 24)
    return folder


def arrays_of(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    view = View(rng.random((3, 4, 17, 3)), rng.random((3, 4, 17, 3)), np.array([[640, 480], [1080, 1920], [7, 8]]), np.arange(3) + 1.0)
    path = tmp_path / "wild_test.npz"
    write_wild_file(path, view, ["03_02", "14_07", "03_11"], 30, "made up")
    sequences, source = read_wild_file(path)
    assert source == "made up"
    for number, (sequence, subject) in enumerate(zip(sequences, ("03", "14", "03"), strict=True)):
        np.testing.assert_array_equal(sequence.pose_2d, view.pose_2d[number].astype(np.float32))
        np.testing.assert_array_equal(sequence.pose_3d, view.pose_3d[number].astype(np.float32))
        assert (sequence.subject, sequence.action, sequence.fps) == (subject, f"subject {subject}", 30.0)
        assert sequence.size == tuple(view.size[number])
    np.testing.assert_array_equal(arrays_of(path)["focal"], [1, 2, 3])
    assert [sequence.camera for sequence in read_wild_file(path, ["subject 03"])[0]] == ["window 0", "window 2"]
    data = read_sequences("wild", tmp_path, "noisy", "test", "subject 14")
    assert (len(data.sequences), data.skeleton, data.source, data.pooled) == (1, H36M, "made up", True)
    with pytest.raises(InputError, match="no window of subject 04; --actions may name subject 03, subject 14"):
        read_wild_file(path, ["subject 04", "subject 03"])
    arrays = {name: values for name, values in arrays_of(path).items() if name != "source"}
    np.savez(path, **arrays)
    assert "wild_test.npz" in read_wild_file(path)[1]


def put(index: object, value: object) -> Callable[[np.ndarray], np.ndarray]:
    def changed(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[index] = value
        return values

    return changed


# what: (field, the field spoilt, words of the sentence beside the file's name)
SPOILT: dict[str, tuple[str, Callable[[np.ndarray], object], list[str]]] = {
    "16 joints": ("pose_3d", lambda v: v[:, :, :16], ["pose_3d", "(5, 24, 16, 3)"]),
    "2D of 16 joints": ("pose_2d", lambda v: v[:, :, :16], ["pose_2d", "(5, 24, 16, 3)"]),
    "2D without scores": ("pose_2d", lambda v: v[..., :2], ["pose_2d", "(5, 24, 17, 2)"]),
    "2D of fewer windows": ("pose_2d", lambda v: v[:3], ["pose_2d", "(3, 24, 17, 3)"]),
    "one window": ("pose_3d", lambda v: v[0], ["pose_3d", "(24, 17, 3)"]),
    "no windows": ("pose_3d", lambda v: v[:0], ["pose_3d", "(0, 24, 17, 3)"]),
    "no frames": ("pose_3d", lambda v: v[:, :0], ["pose_3d", "(5, 0, 17, 3)"]),
    "poses in words": ("pose_3d", lambda v: v.astype(str), ["pose_3d"]),
    "pixels in words": ("pose_2d", lambda v: v.astype(str), ["pose_2d"]),
    "NaN": ("pose_3d", put((2, 7, 3, 1), np.nan), ["window 2, pose_3d", "frame 7, joint 3"]),
    "infinity": ("pose_2d", put((4, 0, 16, 2), np.inf), ["window 4, pose_2d", "frame 0, joint 16"]),
    "a size of nothing": ("size", put((1, 0), 0), ["size"]),
    "a size below nothing": ("size", put((1, 1), -720), ["size"]),
    "a size under a pixel": ("size", lambda v: v * 1e-4, ["size"]),
    "a size without end": ("size", lambda v: put((0, 0), np.inf)(v.astype(float)), ["size"]),
    "a size that is no number": ("size", lambda v: put((0, 0), np.nan)(v.astype(float)), ["size"]),
    "sizes in words": ("size", lambda v: v.astype(str), ["size"]),
    "sizes without height": ("size", lambda v: v[:, 0], ["size"]),
    "one size": ("size", lambda v: v[0], ["size"]),
    "a clip too few": ("clips", lambda v: v[:4], ["clips"]),
    "clips in numbers": ("clips", lambda v: np.arange(5), ["clips"]),
    "clips as objects": ("clips", lambda v: v.astype(object), ["clips"]),
    "poses as objects": ("pose_3d", lambda v: v.astype(object), ["pose_3d"]),
    "fps of nothing": ("fps", lambda v: 0, ["fps"]),
    "fps of each window": ("fps", lambda v: np.full(5, 50.0), ["fps"]),
    "fps in words": ("fps", lambda v: "fast", ["fps"]),
    "sources": ("source", lambda v: np.array(["a", "b"]), ["source"]),
    "a source in numbers": ("source", lambda v: 3, ["source"]),
}


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_wild_file(path)
    sentence = str(error.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert "; " in sentence  # and it says what to do
    return sentence


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_field_is_one_sentence(name: str, wild_root: Path, tmp_path: Path) -> None:
    arrays, (field, spoil, named) = arrays_of(wild_root / "wild_test.npz"), SPOILT[name]
    arrays[field] = np.asarray(spoil(arrays[field]))
    np.savez(tmp_path / "a.npz", **arrays)
    sentence = refused(tmp_path / "a.npz")
    for words in named:
        assert words in sentence


@pytest.mark.parametrize("field", ["pose_2d", "pose_3d", "size", "clips", "fps"])
def test_a_missing_field_is_one_sentence(field: str, wild_root: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{name: values for name, values in arrays_of(wild_root / "wild_test.npz").items() if name != field})
    assert f"field {field} is missing; see common/wild_file.py" in refused(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [None, b"", b"poses\n", "half"], ids=["missing", "empty", "text", "half"])
def test_a_file_that_is_no_npz(content: object, wild_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "wild_test.npz"
    if content is not None:
        whole = (wild_root / "wild_test.npz").read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    sentence = refused(path)
    if content is None:
        assert "no such file; make one with dataset/prepare_wild.py" in sentence


# dataset/prepare_wild.py


def make(main: Main, motion: Path, output: Path, *flags: object) -> Arrays:
    main("dataset/prepare_wild.py", "--motion", motion, "--output", output, *flags)
    return arrays_of(output)


def test_the_same_seed_writes_the_same_file(main: Main, wild_root: Path, tmp_path: Path) -> None:
    motion, flags = wild_root / "motion_tiny.npz", ("--frames", 24)
    again = make(main, motion, tmp_path / "a.npz", *flags, "--windows", 5)
    assert (tmp_path / "a.npz").read_bytes() == (wild_root / "wild_test.npz").read_bytes()
    fewer = make(main, motion, tmp_path / "b.npz", *flags, "--windows", 2)
    np.testing.assert_array_equal(fewer["pose_2d"], again["pose_2d"][:2])
    other = make(main, motion, tmp_path / "c.npz", *flags, "--windows", 5, "--seed", 1)
    assert not np.array_equal(other["pose_2d"], again["pose_2d"])


def test_windows_are_real_motion_of_test_people(main: Main, wild_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arrays = make(main, wild_root / "motion_tiny.npz", tmp_path / "a.npz", "--windows", 60, "--frames", 31)
    out = capsys.readouterr().out
    assert "left out: 1 of 3 test clips" in out
    assert "60 windows of 31 frames at 50 Hz" in out
    assert "2 test people (03, 09)" in out
    assert str(tmp_path / "a.npz") in out
    assert {name: (values.dtype.kind, values.shape) for name, values in arrays.items()} == {
        "pose_2d": ("f", (60, 31, 17, 3)), "pose_3d": ("f", (60, 31, 17, 3)), "size": ("i", (60, 2)), "focal": ("f", (60,)),
        "clips": ("U", (60,)), "fps": ("f", ()), "source": ("U", ()),
    }  # fmt: skip
    assert "walkers made by rule" in str(arrays["source"])
    assert "prepare_wild.py, seed 0" in str(arrays["source"])
    assert arrays["fps"] == FPS
    names = arrays["clips"].tolist()
    assert {name: names.count(name) for name in names} == {"03_01": pytest.approx(32, abs=12), "09_01": pytest.approx(28, abs=12)}
    starts = set()
    for name, pose in zip(names, arrays["pose_3d"], strict=True):
        clip = next(clip for clip in TEST if clip.name == name).pose
        if name == "03_01":  # the person's own bones: the distances between joints are those of the clip, frame by frame
            apart, wanted = (np.linalg.norm(p[:, [3, 6, 13, 16]] - p[:, [16, 13, 6, 3]], axis=-1) for p in (pose, clip))
            misfit = [np.abs(apart - wanted[start : start + 31]).max() for start in range(len(clip) - 30)]
            assert min(misfit) < 1e-4
            starts.add(int(np.argmin(misfit)))
        else:
            np.testing.assert_allclose(bones(pose) / BONES[1:], 1, atol=0.4)
            assert np.abs(bones(pose)[0] - bones(clip)[0]).max() > 0.005
    assert len(starts) > 10
    view = arrays["pose_3d"], arrays["size"], arrays["focal"]
    assert np.median(np.abs(errors(arrays["pose_2d"], view))) == pytest.approx(0.0103, rel=0.1)
    assert (arrays["pose_2d"][..., 2] > 0).all()


def test_no_one_to_train_on_is_taken(main: Main, tmp_path: Path) -> None:
    """Not even where training has the most motion; people who are to be trained on alone are no test set."""
    train = [replace_clip(clip, "train") for clip in (TEST[0], TEST[1])]
    arrays = make(main, write_motion(tmp_path, [*TRAIN, TEST[2], *train]), tmp_path / "a.npz", "--windows", 20, "--frames", 5)
    assert set(arrays["clips"].tolist()) == {"09_02"}


def test_clips_are_drawn_in_proportion_to_their_length(main: Main, tmp_path: Path) -> None:
    clips = [WorldClip("03_01", "03", "test", True, walker(30, 1)), WorldClip("03_02", "03", "test", True, walker(270, 2))]
    arrays = make(main, write_motion(tmp_path, clips), tmp_path / "a.npz", "--windows", 200, "--frames", 2)
    assert arrays["clips"].tolist().count("03_01") == pytest.approx(20, abs=10)


def replace_clip(clip: WorldClip, split: str) -> WorldClip:
    return WorldClip("x" + clip.name, clip.subject, split, clip.own_bones, clip.pose)


BAD_FLAGS = {
    "no motion": (("--motion", "nosuch.npz"), ["nosuch.npz", "prepare_cmu.py"]),
    "too long": (("--frames", 71), ["motion_tiny.npz", "--frames 71", "70"]),
    "no windows": (("--windows", 0), ["--windows", "'0'"]),
    "no frames": (("--frames", "many"), ["--frames", "'many'"]),
    "a seed below 0": (("--seed", -1), ["--seed", "'-1'"]),
    "no folder": (("--output", "motion_tiny.npz/a.npz"), ["cannot be written"]),
    "nobody to test": (("--motion", "motion_train.npz"), ["motion_train.npz", "'test'"]),
    "not a motion file": (("--motion", "wild_test.npz"), ["wild_test.npz", "format"]),
}


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_bad_input_of_prepare_wild(
    name: str, main: Main, wild_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in wild_root.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_motion(tmp_path, TRAIN, "train")
    monkeypatch.chdir(tmp_path)
    flags, named = BAD_FLAGS[name]
    with pytest.raises(SystemExit) as stop:
        main("dataset/prepare_wild.py", "--motion", "motion_tiny.npz", "--output", "a.npz", *flags)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for words in named:
        assert words in error
    assert not (tmp_path / "a.npz").exists()


# Training.

SIZES = ("--frames", 9, "--channel", 16, "--d_hid", 24, "--depth", 2, "--token_num", 3, "--layer_index", 1)
FLAGS = (*SIZES, "--recipe", "wild", "--motion", "tiny", "--device", "cpu", "--stride", 12, "--batch_size", 8)
BATCHES = 3  # of an epoch: 10 + 7 + 2 windows
Train = Callable[..., Path]


@pytest.fixture(scope="session")
def train(main: Main, wild_root: Path) -> Train:
    """train(FOLDER, *FLAGS) trains a tiny model by the recipe for two epochs and returns the folder."""

    def call(folder: Path, *flags: object) -> Path:
        main("main_mixste.py", "--root_path", wild_root, *FLAGS, "--nepoch", 2, "--checkpoint", folder, *flags)
        return folder

    return call


@pytest.fixture(scope="session")
def unbroken(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unbroken run; not to be written to."""
    folder = tmp_path_factory.mktemp("unbroken_wild")
    return train(folder / "run", "--results", folder / "results.json")


def test_a_run_by_the_recipe(unbroken: Path) -> None:
    content = last(unbroken)
    results = json.loads((unbroken.parent / "results.json").read_text())
    assert [row["epoch"] for row in content["progress"]["history"]] == [1, 2]
    assert results["mpjpe"] == content["progress"]["history"][-1]["mpjpe"]  # the last epoch, be it the best or not
    assert "walkers made by rule" in results["source"]
    name = f"model_2_{int(100 * results['mpjpe'])}.pth"
    assert {path.name for path in unbroken.iterdir()} == {"configs.txt", "train.log", "curves.png", "last.pt", name}
    checkpoint = read_checkpoint(unbroken)
    assert checkpoint.normaliser == WILD.normaliser == Normaliser("box", in_channels=3, fps=25.0, height=HEIGHT)
    assert (checkpoint.name, checkpoint.sizes["in_channels"], checkpoint.sizes["frames"]) == ("mixste.hot_mixste", 3, 9)
    arguments = content["arguments"]
    assert {key: arguments[key] for key in ("recipe", "dataset", "lr", "seed", "batch_size")} == {
        "recipe": "wild", "dataset": "wild", "lr": 1e-3, "seed": 1, "batch_size": 8,
    }  # fmt: skip
    assert results["actions"].keys() <= {"subject 03", "subject 09"}
    assert sum(action["frames"] for action in results["actions"].values()) == 5 * 24


def test_every_epoch_sees_every_window_anew(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, real = {1: {}, 2: {}}, WildDataset.__getitem__

    def get(self: WildDataset, items: np.ndarray) -> object:
        batch = real(self, items)
        drawn[self.epoch].update(zip(items.tolist(), batch.pose_2d, strict=True))
        return batch

    monkeypatch.setattr(WildDataset, "__getitem__", get)
    train(tmp_path / "run")
    assert sorted(drawn[1]) == sorted(drawn[2]) == list(range(19))
    assert list(drawn[1]) != list(drawn[2])
    assert not any(torch.equal(drawn[1][item], drawn[2][item]) for item in drawn[1])


def test_the_mean_of_the_weights_is_the_result(unbroken: Path) -> None:
    content, saved = last(unbroken), weights_of(unbroken)
    mean = {name.removeprefix("module."): value for name, value in content["mean"].items() if name != "n_averaged"}
    assert identical(saved, mean)
    assert content["mean"]["n_averaged"] == 2 * BATCHES
    assert not identical(saved, content["model"])


def test_the_learning_rate_rises_and_falls(unbroken: Path) -> None:
    rates = [row["lr"] for row in last(unbroken)["progress"]["history"]]
    assert 1e-3 > rates[0] > rates[1] > 0  # after half of the steps and before the last
    assert rates[1] < 2e-4


def test_testing_the_checkpoint_gives_the_score_of_the_training(
    unbroken: Path, main: Main, wild_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    expected = json.loads((unbroken.parent / "results.json").read_text())
    test = ("--test", "--previous_dir", unbroken, "--root_path", wild_root, "--device", "cpu", "--batch_size", 8)
    for flags in (("--dataset", "wild"), ("--recipe", "wild")):
        main("main_mixste.py", *test, *flags, "--results", tmp_path / "results.json")
        found = json.loads((tmp_path / "results.json").read_text())
        assert found["actions"] == expected["actions"]
        assert found["mpjpe"] == expected["mpjpe"]
        out = capsys.readouterr().out
        assert "mean of all frames" in out
        assert f"{expected['mpjpe']:.2f}" in out


class Killed(Exception):
    """Stands for a power cut: nothing is saved after it."""


def breaking(monkeypatch: pytest.MonkeyPatch, at: int, how: Callable[[], object]) -> None:
    """Do `how` while batch `at` of the training is drawn, counted from 1."""
    real, count = WildDataset.__getitem__, 0

    def get(self: WildDataset, items: np.ndarray) -> object:
        nonlocal count
        count += 1
        if count == at:
            how()
        return real(self, items)

    monkeypatch.setattr(WildDataset, "__getitem__", get)


def check_goes_on(run: Path, unbroken: Path, main: Main) -> None:
    progress = last(run)["progress"]
    assert (progress["epoch"], progress["step"]) == (2, 1)
    main("main_mixste.py", "--resume", run, "--save_every", 300)
    check_same_end(run, unbroken)
    assert identical(last(run)["mean"], last(unbroken)["mean"])


def test_going_on_after_a_signal(unbroken: Path, train: Train, main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, BATCHES + 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as stop:
        train(tmp_path / "run")
    assert stop.value.code == 128 + signal.SIGTERM
    check_goes_on(tmp_path / "run", unbroken, main)


def test_going_on_after_a_power_cut(unbroken: Path, train: Train, main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> None:
        raise Killed

    breaking(monkeypatch, BATCHES + 2, die)
    with pytest.raises(Killed):
        train(tmp_path / "run", "--save_every", 0)
    check_goes_on(tmp_path / "run", unbroken, main)


@pytest.mark.parametrize("script", ["main_mhformer.py", "main_mixste_tpc.py"])
def test_other_models_train_by_the_recipe(script: str, main: Main, wild_root: Path, tmp_path: Path) -> None:
    sizes = ("--frames", 9, "--channel", 16, "--d_hid", 24) + (("--token_num", 3, "--layer_index", 1) if "tpc" in script else ())
    main(script, "--root_path", wild_root, *FLAGS[len(SIZES) :], *sizes, "--nepoch", 1, "--checkpoint", tmp_path / "run")
    content = last(tmp_path / "run")
    assert content["normaliser"]["kind"] == "box"
    assert np.isfinite(content["progress"]["history"][0]["loss"])
    assert content["optimizer"]["param_groups"][0]["weight_decay"] == 0.05
    stays = {name: value for name, value in content["model"].items() if "running" in name}  # batch norms do not look at the batch
    assert bool(stays) == (script == "main_mhformer.py")
    assert all((value == (1 if name.endswith("var") else 0)).all() for name, value in stays.items())


def sentence(main: Main, capsys: pytest.CaptureFixture, *argv: object) -> str:
    """The one sentence with which main_mixste.py ends, with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main("main_mixste.py", *argv)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_length_of_a_run_is_fixed_since_its_learning_rates_hang_on_it(
    epochs: int, unbroken: Path, main: Main, capsys: pytest.CaptureFixture
) -> None:
    error = sentence(main, capsys, "--resume", unbroken, "--nepoch", epochs)
    assert f"--nepoch is {epochs}, but the run to resume has 2" in error


REFUSED = {
    "the test set to train on": (("--recipe", "published", "--dataset", "wild"), ["--dataset wild is a test set", "--recipe wild"]),
    "no such motion": (("--motion", "nosuch"), ["motion_nosuch.npz", "no such file"]),
    "motion of test people": (("--motion", "mixed"), ["motion_mixed.npz", "subject 09", "test set"]),
    "no test set": (("--root_path", "."), ["wild_test.npz", "no such file", "prepare_wild.py"]),
    "other 2D": (("--keypoints", "gt"), ["--keypoints", "'gt'"]),
    "nobody of that name": (("--actions", "subject 77"), ["subject 77", "subject 03"]),
    "part of the data": (("--subset", 0.5), ["--subset"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(
    name: str, wild_root: Path, tmp_path: Path, main: Main, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in wild_root.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_motion(tmp_path, [*TRAIN, replace_clip(TEST[1], "train"), TEST[0]], "mixed")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    flags, named = REFUSED[name]
    error = sentence(main, capsys, "--root_path", tmp_path, *FLAGS, "--nepoch", 1, "--checkpoint", tmp_path / "run", *flags)
    for words in named:
        assert words in error
    assert not list((tmp_path).glob("run/*.p*"))


def test_motion_of_the_other_split_is_never_trained_on(wild_root: Path) -> None:
    clips, _, _ = read_world_motion(wild_root / "motion_tiny.npz", "train")
    assert {clip.subject for clip in clips} == {"01", "05"}
