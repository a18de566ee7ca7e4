"""How pixels become what a model reads: the place and the size of the person drop out, missing joints do not count, and
the axes of the poses are those of the line of sight.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from common.geometry.box import rotation_to
from common.geometry.normalise import FOCAL, Normaliser, box_of
from common.geometry.skeleton import H36M
from tests.rules import motion
from tests.synthetic import REST

SIZE = (1280, 720)
KINDS = ("picture", "box", "pixels")
BOX = Normaliser("box", in_channels=3)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """A window without a joint is no reason to warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def window(seed: int = 0, frames: int = 9, batch: int | None = None) -> np.ndarray:
    """Pixels and scores above 0 of a moving person, float32: (frames, 17, 3), or (batch, frames, 17, 3)."""
    pose = motion(batch or 1, frames, 2, seed).numpy() * 120 + [500, 400]
    score = np.random.default_rng(seed).uniform(0.1, 1, (*pose.shape[:-1], 1))
    whole = np.concatenate([pose, score], axis=-1).astype(np.float32)
    return whole if batch else whole[0]


def with_gaps(pose_2d: np.ndarray, share: float = 0.2) -> np.ndarray:
    """Some joints of score 0, wherever they may be then."""
    gone = np.random.default_rng(9).random(pose_2d.shape[:-1]) < share
    pose_2d = pose_2d.copy()
    pose_2d[gone] = [-4000, 9000, 0]
    return pose_2d


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(kind: str, channels: int) -> None:
    given, normaliser = window(), Normaliser(kind, channels)
    normalised = normaliser.apply(given, SIZE)
    assert normalised.dtype == np.float32
    assert normalised.shape == (9, 17, channels)
    back = normaliser.invert(normalised, SIZE, box_of(given))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, given[..., :channels], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_passed_on_and_1_without_a_detector(kind: str) -> None:
    given = with_gaps(window())
    np.testing.assert_array_equal(Normaliser(kind, 3).apply(given, SIZE)[..., 2], given[..., 2])
    plain = window()[..., :2]
    assert (Normaliser(kind, 3).apply(plain, SIZE)[..., 2] == 1).all()
    np.testing.assert_array_equal(
        Normaliser(kind, 2).apply(plain, SIZE), Normaliser(kind, 3).apply(plain, SIZE)[..., :2]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_windows_is_as_windows_alone(kind: str) -> None:
    given = window(batch=4)
    given[1] = with_gaps(given[1])
    given[2, 3:7, :, 2] = 0
    given[3, ..., 2] = 0  # not there at all, unlike the others
    sizes, focal = np.array([(1280, 720), (720, 1280), (1000, 1000), (640, 480)]), np.array([0.8, 1.0, 1.5, 2.0])
    normaliser = Normaliser(kind, 3)
    together, turns = normaliser.apply(given, SIZE), normaliser.turn(given, sizes, focal)
    assert turns.shape == (4, 3, 3)
    for number, alone in enumerate(given):
        np.testing.assert_array_equal(together[number], normaliser.apply(alone, SIZE))
        np.testing.assert_allclose(turns[number], normaliser.turn(alone, sizes[number], focal[number]), atol=1e-12)
    np.testing.assert_array_equal(normaliser.apply(given[None], SIZE)[0], together)


def test_which_kinds_need_whole_windows() -> None:
    assert [kind for kind in KINDS if Normaliser(kind).per_window] == ["box"]


# The box.


def test_place_and_size_in_the_picture_do_not_matter() -> None:
    given = with_gaps(window())
    reference = BOX.apply(given, SIZE)
    for scale, shift in ((1, (200, -90)), (0.3, (0, 0)), (2.5, (-700, 300))):
        moved = given.copy()
        moved[..., :2] = given[..., :2] * scale + shift
        np.testing.assert_allclose(BOX.apply(moved, (1920, 1080)), reference, atol=1e-4)


def test_the_box_is_as_large_as_the_person() -> None:
    still = np.repeat(window(frames=1), 5, axis=0)
    centre, side = box_of(still)
    low, high = still[0, :, :2].min(axis=0), still[0, :, :2].max(axis=0)
    np.testing.assert_allclose(centre, (low + high) / 2, rtol=1e-6)
    assert side == pytest.approx((high - low).max(), rel=1e-6)
    xy = BOX.apply(still, SIZE)[..., :2]
    extent = xy.max(axis=(0, 1)) - xy.min(axis=(0, 1))
    assert extent.max() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(xy.max(axis=(0, 1)), -xy.min(axis=(0, 1)), atol=1e-6)


def test_a_mirrored_picture_gives_a_mirrored_output() -> None:
    given, order = with_gaps(window()), list(H36M.mirrored)
    mirrored = given[:, order]
    mirrored[..., 0] = SIZE[0] - mirrored[..., 0]
    expected = BOX.apply(given, SIZE)[:, order] * [-1, 1, 1]
    np.testing.assert_allclose(BOX.apply(mirrored, SIZE), expected, atol=1e-5)
    flip = np.diag([-1, 1, 1])
    np.testing.assert_allclose(BOX.turn(mirrored, SIZE), flip @ BOX.turn(given, SIZE) @ flip, atol=1e-6)


def test_a_joint_far_off_for_a_moment_changes_nothing_else() -> None:
    given = np.repeat(window(frames=1), 9, axis=0)
    spoilt = given.copy()
    spoilt[2:6, 13, :2] = [9000, -5000]
    expected, found = BOX.apply(given, SIZE), BOX.apply(spoilt, SIZE)
    others = np.ones((9, 17), bool)
    others[2:6, 13] = False
    np.testing.assert_array_equal(found[others], expected[others])


def test_missing_joints_are_at_0_and_do_not_count() -> None:
    given = window()
    gaps = with_gaps(given)
    elsewhere = gaps.copy()
    elsewhere[gaps[..., 2] == 0, :2] = [1e6, np.nan]  # what a detector says of a joint that it did not find is not read
    found = BOX.apply(gaps, SIZE)
    assert (found[gaps[..., 2] == 0] == 0).all()
    np.testing.assert_array_equal(BOX.apply(elsewhere, SIZE), found)
    # One that is inside the box leaves it as it is.
    inner = given.copy()
    inner[:, 8, :2] = given[..., :2].mean(axis=1)
    expected = BOX.apply(inner, SIZE)
    inner[:, 8, 2] = 0
    found = BOX.apply(inner, SIZE)
    np.testing.assert_array_equal(np.delete(found, 8, axis=1), np.delete(expected, 8, axis=1))
    np.testing.assert_array_equal(found[:, 8], 0)


def test_frames_without_any_joint_do_not_count() -> None:
    given = window()
    given[6:, :, 2] = 0
    np.testing.assert_array_equal(BOX.apply(given, SIZE)[:6], BOX.apply(given[:6], SIZE))


def test_missing_joints_come_back_at_the_centre_of_the_box() -> None:
    gaps = with_gaps(window())
    box = box_of(gaps)
    back = BOX.invert(BOX.apply(gaps, SIZE), SIZE, box)
    there = gaps[..., 2] > 0
    np.testing.assert_allclose(back[there], gaps[there], atol=1e-3)
    np.testing.assert_allclose(back[~there], np.broadcast_to([*box[0], 0], back[~there].shape), atol=1e-3)


@pytest.mark.parametrize("nothing", ["no joint", "one point", "one joint"])
def test_windows_with_nothing_to_see(nothing: str) -> None:
    given = window(batch=2)
    if nothing == "one point":
        given[0, ..., :2] = [640, 100]
    else:
        given[0, :, 1 if nothing == "one joint" else 0 :, 2] = 0
        given[0, :, 0] = given[0, :1, 0]  # still
    found = BOX.apply(given, SIZE)
    assert (found[0, ..., :2] == 0).all()
    np.testing.assert_array_equal(found[..., 2], given[..., 2])
    np.testing.assert_array_equal(found[1], BOX.apply(given[1], SIZE))
    assert np.isfinite(BOX.turn(given, SIZE)).all()
    assert np.isfinite(BOX.invert(found, SIZE, box_of(given))).all()


# Turning.


def test_turns_are_rotations_and_the_smallest() -> None:
    rays = np.random.default_rng(0).uniform(-2, 2, (200, 3))
    rays[:, 2] = np.abs(rays[:, 2])
    turns = rotation_to(torch.from_numpy(rays)).numpy()
    np.testing.assert_allclose(turns @ turns.mT, np.broadcast_to(np.eye(3), turns.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-12)
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    np.testing.assert_allclose(turns[..., 2], unit, atol=1e-12)  # where the z axis goes
    # By no more than the angle between the two: no roll about the line of sight.
    np.testing.assert_allclose(np.trace(turns, axis1=-2, axis2=-1), 1 + 2 * unit[:, 2], atol=1e-12)
    np.testing.assert_allclose(rotation_to(torch.tensor([0.0, 0.0, 7.0])).numpy(), np.eye(3), atol=1e-15)


@pytest.mark.parametrize("kind", ["picture", "pixels"])
def test_other_kinds_have_the_camera_s_own_axes(kind: str) -> None:
    for given in (window(), window(batch=3), window(batch=3)[:, None]):
        turn = Normaliser(kind).turn(given, SIZE)
        assert turn.shape == (*given.shape[:-3], 3, 3)
        assert (turn == np.eye(3)).all()


def test_a_person_in_the_middle_of_the_picture_is_not_turned() -> None:
    given = window().astype(np.float64)
    given[..., :2] += np.array(SIZE) / 2 - box_of(given)[0]
    np.testing.assert_allclose(BOX.turn(given, SIZE), np.eye(3), atol=1e-9)


def seen(pose: np.ndarray, focal: float, size: tuple[int, int]) -> np.ndarray:
    """A pinhole camera with its axis through the middle of the picture: (..., 3) metres -> pixels and score 1
    (..., 3).
    """
    pixels = pose[..., :2] / pose[..., 2:] * focal + np.array(size) / 2
    return np.concatenate([pixels, np.ones_like(pose[..., :1])], axis=-1)


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280)])
@pytest.mark.parametrize("degrees", [(15, 0), (-20, 0), (0, 12), (-13, -11)])
def test_turning_brings_back_the_axes_of_the_camera(degrees: tuple[float, float], size: tuple[int, int]) -> None:
    """Who is seen off the centre looks as if turned back by `turn` and seen in the centre; and not as if merely moved
    there.
    """
    focal, distance = 1.3 * max(size), 60.0
    body = REST[:, [0, 2, 1]] * [1, -1, -1] + 0.8 * motion(1, 5, 3, 2)[0].double().numpy()  # (5, 17, 3), y down
    body -= (body.min(axis=(0, 1)) + body.max(axis=(0, 1))) / 2
    ray = np.array([*np.tan(np.radians(degrees)), 1.0])
    ray /= np.linalg.norm(ray)
    pixels = seen(body + distance * ray, focal, size)
    turn = BOX.turn(pixels, size, focal / max(size))
    np.testing.assert_allclose(turn[:, 2], ray, atol=0.005)  # z goes to the line of sight
    front = np.array([0, 0, distance])
    found = BOX.apply(pixels, size)[..., :2]
    turned = BOX.apply(seen(body @ turn + front, focal, size), size)[..., :2]  # rows: by the inverse
    moved = BOX.apply(seen(body + front, focal, size), size)[..., :2]
    error, without = (np.abs(found - other).mean() for other in (turned, moved))
    assert error < 0.01  # of the box
    assert error < without / 3


def test_the_focal_length_that_is_assumed() -> None:
    given = window()
    np.testing.assert_array_equal(BOX.turn(given, SIZE), BOX.turn(given, SIZE, FOCAL))
    centre, _ = box_of(given)
    ray = np.array([*(centre - np.array(SIZE) / 2), FOCAL * max(SIZE)])
    np.testing.assert_allclose(BOX.turn(given, SIZE)[:, 2], ray / np.linalg.norm(ray), atol=1e-12)
    long, short = (BOX.turn(given, SIZE, focal) for focal in (2.0, 0.5))
    assert np.trace(short) < np.trace(BOX.turn(given, SIZE)) < np.trace(long) < 3
