"""The demo's drawing: what is where on the picture, what fits, and that nothing that a video can bring makes it
fail.
"""

from __future__ import annotations

import numpy as np
import pytest

from demo.figure import SIDE_COLOURS, TRUNK_COLOURS, flat_view
from demo.placing import APART, ground_height, place_people
from demo.render import draw_2d, draw_3d, panel_size, side_by_side
from demo.scene import Scene3D, bgr
from tests.synthetic import REST, world_motion

FPS = 50.0
RED, BLUE = bgr(SIDE_COLOURS["right"]), bgr(SIDE_COLOURS["left"])


def in_camera(world: np.ndarray) -> np.ndarray:
    """World (..., 17, 3), z up -> relative to the hip, x right, y down, z forward; the resting person faces the
    camera.
    """
    turned = np.stack([world[..., 0], -world[..., 2], world[..., 1]], axis=-1)
    return turned - turned[..., :1, :]


@pytest.fixture
def standing() -> np.ndarray:
    """(17, 3)."""
    return in_camera(REST)


@pytest.fixture
def moving() -> np.ndarray:
    """Two people (2, 60, 17, 3)."""
    return np.stack([in_camera(world_motion(60, seed)) for seed in (1, 2)])


@pytest.fixture
def front() -> Scene3D:
    """A small scene seen as by the real camera."""
    return Scene3D((200, 200), azimuth=0, elevation=0)


def keypoints_of(pose: np.ndarray, size: tuple[int, int] = (320, 240), score: float = 0.9) -> np.ndarray:
    pixels = pose[..., :2] * 100 + np.array(size) / 2
    return np.concatenate([pixels, np.full_like(pixels[..., :1], score)], axis=-1)


def reddish(picture: np.ndarray) -> np.ndarray:
    """(H, W) bool: what a shaded or faded limb of the right is like."""
    blue, _, red = picture.astype(int).transpose(2, 0, 1)
    return red - blue > 60


def blueish(picture: np.ndarray) -> np.ndarray:
    blue, _, red = picture.astype(int).transpose(2, 0, 1)
    return blue - red > 60


def of_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=-1).sum())


# ---- the 2D picture ----


def test_limbs_are_drawn_in_place_in_the_colours_of_their_side(standing: np.ndarray) -> None:
    frame = np.full((240, 320, 3), 100, np.uint8)
    assert draw_2d(frame, keypoints_of(standing)) is frame
    for colour in (RED, BLUE, (235, 235, 235)):
        assert of_colour(frame, colour) > 20
    right = np.argwhere((frame == RED).all(axis=-1))[:, 1]
    left = np.argwhere((frame == BLUE).all(axis=-1))[:, 1]
    assert right.max() <= 161 <= left.min() + 2  # a person who faces the camera has the right on the left


def test_a_second_person_has_a_trunk_of_another_colour(standing: np.ndarray) -> None:
    frame = draw_2d(np.full((240, 320, 3), 100, np.uint8), keypoints_of(standing), person=1)
    assert of_colour(frame, bgr(TRUNK_COLOURS[1])) > 20
    assert of_colour(frame, RED) > 20


def test_a_low_score_is_thin_and_none_is_nothing(standing: np.ndarray) -> None:
    def red_with(score: float) -> int:
        keypoints = keypoints_of(standing)
        keypoints[[1, 2, 3, 14, 15, 16], 2] = score
        return int(reddish(draw_2d(np.full((960, 1280, 3), 100, np.uint8), keypoints * [4, 4, 1])).sum())

    assert red_with(0.9) > 1.8 * red_with(0.1) > 0
    assert red_with(0) == 0


def test_nothing_is_drawn_of_who_is_not_there(standing: np.ndarray) -> None:
    frame = np.full((240, 320, 3), 100, np.uint8)
    draw_2d(frame, keypoints_of(standing), valid=False)
    draw_2d(frame, np.zeros((17, 3)))
    draw_2d(frame, np.full((17, 3), np.nan))
    assert (frame == 100).all()


@pytest.mark.parametrize("where", [(-1e3, 50), (1e9, -1e9), (1e30, 1e30), (np.inf, 0), (159.7, 1e5)])
def test_keypoints_outside_the_picture(where: tuple[float, float], standing: np.ndarray) -> None:
    keypoints = keypoints_of(standing)
    keypoints[3, :2] = where
    frame = draw_2d(np.full((240, 320, 3), 100, np.uint8), keypoints)
    assert of_colour(frame, BLUE) > 20


# ---- where people stand ----


def test_the_lowest_joint_of_every_frame_on_the_ground(moving: np.ndarray) -> None:
    ground = ground_height(moving[0], np.ones(60, bool), FPS, fix_z=True)
    assert np.array_equal(ground, moving[0, ..., 1].max(axis=-1))


def test_the_smoothed_ground_is_under_every_joint_and_calmer(moving: np.ndarray, standing: np.ndarray) -> None:
    noisy = standing + 0.3 * (moving[0] - standing) + np.random.default_rng(0).normal(0, 0.01, moving[0].shape)
    lowest = noisy[..., 1].max(axis=-1)
    ground = ground_height(noisy, np.ones(60, bool), FPS)
    assert (ground >= lowest - 1e-12).all()
    assert np.abs(ground - lowest).max() < 0.08
    assert np.abs(np.diff(ground)).mean() < np.abs(np.diff(lowest)).mean() / 2


def test_the_ground_where_the_person_is_away(moving: np.ndarray) -> None:
    pose, valid = moving[0].copy(), np.ones(60, bool)
    valid[10:20] = False
    pose[10:20] = np.nan
    for fix_z in (True, False):
        assert np.isfinite(ground_height(pose, valid, FPS, fix_z)).all()
    assert np.array_equal(ground_height(pose, np.zeros(60, bool), FPS), np.zeros(60))


@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_ground_of_short_clips(length: int, moving: np.ndarray) -> None:
    assert ground_height(moving[0, :length], np.ones(length, bool), FPS).shape == (length,)


def test_people_stand_in_the_order_of_the_picture(moving: np.ndarray) -> None:
    valid = np.ones((2, 60), bool)
    keypoints = keypoints_of(moving)
    keypoints[0, ..., 0] += 500
    keypoints[0, 30:] = 0  # not seen there
    valid[0, 30:] = False
    offsets = place_people(moving, valid, FPS, keypoints, fix_z=True)
    assert offsets.shape == (2, 60, 3)
    assert offsets[:, :, 0] == pytest.approx(np.array([[APART / 2], [-APART / 2]]) + np.zeros((2, 60)))
    assert (moving + offsets[:, :, None])[1, ..., 1].max(axis=-1) == pytest.approx(0, abs=1e-6)
    assert place_people(moving, valid, FPS)[0, 0, 0] < 0  # as they are given
    assert np.isfinite(place_people(moving, np.zeros((2, 60), bool), FPS, keypoints)).all()


# ---- the 3D panel ----


def test_a_panel(moving: np.ndarray) -> None:
    valid = np.ones((2, 60), bool)
    offsets = place_people(moving, valid, FPS)
    for dark in (False, True):
        scene = Scene3D.around((210, 180), moving + offsets[:, :, None], valid, dark=dark)
        panel = draw_3d(scene, moving[:, 7], valid[:, 7], offsets[:, 7])
        assert panel.shape == (180, 210, 3)
        assert panel.dtype == np.uint8
        assert np.array_equal(panel, draw_3d(scene, moving[:, 7], valid[:, 7], offsets[:, 7]))
        again = Scene3D.around((210, 180), moving + offsets[:, :, None], valid, dark=dark)
        assert np.array_equal(panel, draw_3d(again, moving[:, 7], valid[:, 7], offsets[:, 7]))
        assert reddish(panel).sum() > 50
        assert blueish(panel).sum() > 50
        assert (np.mean(scene.background) < 100) == dark


def test_a_whole_motion_fits(moving: np.ndarray) -> None:
    valid = np.ones((2, 60), bool)
    valid[1, 40:] = False
    joints = moving + place_people(moving, valid, FPS)[:, :, None]
    joints[1, 40:] = np.nan
    for size in ((200, 200), (300, 150), (150, 300)):
        pixels, _ = Scene3D.around(size, joints, valid).project(joints[valid])
        assert (pixels > 0).all()
        assert (pixels < size).all()
        assert np.ptp(pixels.reshape(-1, 2), axis=0).max() > 0.5 * min(size)  # and it is not small
    assert Scene3D.around((200, 200), joints, np.zeros((2, 60), bool)) == Scene3D((200, 200))


def test_a_person_who_faces_the_camera(front: Scene3D, standing: np.ndarray) -> None:
    panel = draw_3d(front, standing)
    (red_y, red_x), (blue_y, blue_x) = (np.nonzero(where(panel)) for where in (reddish, blueish))
    assert red_x.mean() < 95 < 105 < blue_x.mean()
    assert red_y.mean() == pytest.approx(blue_y.mean(), abs=6)
    head, _ = front.project(standing[10] - [0, standing[:, 1].max(), 0])
    feet, _ = front.project(standing[3] - [0, standing[:, 1].max(), 0])
    assert head[1] < feet[1] - 100


def test_the_view_from_the_side_and_from_above() -> None:
    side, above = Scene3D((200, 200), azimuth=90, elevation=0), Scene3D((200, 200), azimuth=0, elevation=80)
    point = np.add(side.centre, (0, 0, 0.5))
    pixels, depth = side.project(point)
    assert pixels[0] < 90  # from the picture's left, what is behind is on the left
    assert depth == pytest.approx(side.distance)
    pixels, depth = above.project(point)
    assert pixels[1] < 90
    assert side.project(np.array(side.centre))[0] == pytest.approx([99.5, 99.5])
    assert side.rotation @ side.rotation.T == pytest.approx(np.eye(3))


@pytest.mark.parametrize(("near", "seen"), [("right", reddish), ("left", blueish)])
def test_the_nearer_leg_hides_the_other(near: str, seen: object, front: Scene3D, standing: np.ndarray) -> None:
    pose = standing.copy()
    pose[[1, 2, 3, 4, 5, 6], 0] = 0
    pose[[1, 2, 3], 2] = -0.3 if near == "right" else 0.3
    pose[[4, 5, 6], 2] = -pose[1, 2]
    pose[[1, 4], 1], pose[[2, 5], 1] = 0.1, 0.5
    shin, _ = front.project(pose[[2, 3]].mean(axis=0) - [0, pose[:, 1].max(), 0])
    x, y = np.rint(shin).astype(int)
    assert seen(draw_3d(front, pose))[y, x]


def test_feet_darken_the_ground(standing: np.ndarray) -> None:
    scene = Scene3D((200, 200), elevation=25)
    panel, empty = draw_3d(scene, standing).astype(int), scene.background.astype(int)
    grey = np.ptp(panel, axis=-1) < 12
    assert ((empty - panel).min(axis=-1)[grey] > 10).sum() > 100


def test_a_flat_view_is_what_the_camera_sees(front: Scene3D, moving: np.ndarray) -> None:
    """The contact sheet turns poses as the panel does: right is right, and up is up."""
    pose = moving[0, 9] / 100  # so small that the camera's perspective hardly matters
    for scene, across in ((front, 0), (Scene3D((200, 200), azimuth=-90, elevation=0), 2)):
        pixels, _ = scene.project(pose + scene.centre)
        view = (pixels - pixels[0]) * [1, -1]
        flat = flat_view(pose, across) * scene.focal / scene.distance
        assert view == pytest.approx(flat, abs=0.05)


def test_nobody(front: Scene3D, standing: np.ndarray) -> None:
    panel = draw_3d(front, standing, valid=False)
    assert not np.array_equal(panel, front.background)  # it says so
    assert reddish(panel).sum() == blueish(panel).sum() == 0
    for pose in (np.full((17, 3), np.nan), np.full((1, 17, 3), np.inf), np.empty((0, 17, 3))):
        assert np.array_equal(draw_3d(front, pose), panel)
    panel[:] = 0  # a new array every time
    assert draw_3d(front, standing, valid=False).any()


@pytest.mark.parametrize("offset", [(30, 0, 0), (0, 0, -20), (0, 0, -4.6), (1e6, 1e6, -1e6), (0, 50, 0), (1e30, 0, 0)])
def test_people_out_of_sight(offset: tuple[float, ...], front: Scene3D, standing: np.ndarray) -> None:
    both = np.stack([standing, standing])
    panel = draw_3d(front, both, True, np.array([(0, -0.87, 0), offset]))
    assert panel.shape == (200, 200, 3)
    assert panel.dtype == np.uint8


def test_a_pose_without_extent(front: Scene3D) -> None:
    assert draw_3d(front, np.zeros((17, 3))).shape == (200, 200, 3)


# ---- both ----


@pytest.mark.parametrize(
    ("video", "panel", "both"),
    [
        ((1768, 994), (994, 994), (994, 2762)),
        ((641, 359), (358, 358), (358, 998)),
        ((3840, 2160), (2160, 2160), (2160, 6000)),
        ((321, 2001), (2000, 2000), (2000, 2320)),
        ((2, 2), (2, 2), (2, 4)),
    ],
)
def test_sizes(video: tuple[int, int], panel: tuple[int, int], both: tuple[int, int]) -> None:
    assert panel_size(video) == panel
    frame = np.full((video[1], video[0], 3), 7, np.uint8)
    joined = side_by_side(frame, np.full((panel[1], panel[0], 3), 9, np.uint8))
    assert joined.shape == (*both, 3)
    assert joined.shape[0] % 2 == joined.shape[1] % 2 == 0
    width = both[1] - panel[0]
    assert (joined[:, :width] == 7).all()
    assert (joined[:, width:] == 9).all()


def test_a_picture_that_fits_is_not_touched() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (101, 63, 3), np.uint8)
    joined = side_by_side(frame, np.zeros((100, 101, 3), np.uint8))
    assert joined.shape == (100, 162, 3)
    assert np.array_equal(joined[:, :62], frame[:100, :62])
