"""Views of one person that disagree: triangulation, who is who, alignment, and the table; on synthetic cameras, without
any film.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmark import real_film
from benchmark.multiview import (
    aligned_distance,
    disagreement,
    find_person,
    of_height,
    read_qualisys,
    reprojection_error,
    scaled_distance,
    triangulate,
)
from benchmark.real_film import Films, change, scores
from common.errors import InputError
from common.geometry.camera import Camera, project, rotate, world_to_camera
from common.geometry.skeleton import body_height
from tests.rules import motion

SIZE, FPS, FRAMES = (1080, 1920), 50.0, 40


def ring(count: int = 4) -> list[Camera]:
    """Cameras around the origin, world with z up, which look at it from 4 m away and 1 m above, rolled a little, with a
    lens that bends.
    """
    cameras = []
    for number in range(count):
        angle = 2 * np.pi * number / count + 0.3
        place = np.array([4 * np.cos(angle), 4 * np.sin(angle), 1.0])
        forward = -place / np.linalg.norm(place)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(forward, right), forward])  # rows: the camera's axes in the world
        axes = Rotation.from_euler("z", 10 * number, degrees=True).as_matrix() @ axes
        x, y, z, w = Rotation.from_matrix(axes.T).as_quat()
        cameras.append(
            Camera(
                f"cam{number}",
                SIZE,
                (1600, 1610),
                (530, 950),
                (-0.05, 0.1, 0),
                orientation=(w, x, y, z),
                translation=tuple(place),
            )
        )
    return cameras


def person(seed: int = 0, place: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """Somebody who moves smoothly about a place (FRAMES, 17, 3), metres, world."""
    return motion(1, FRAMES, 3, seed)[0].double().numpy() * 0.4 + place


def seen(points: np.ndarray, cameras: list[Camera]) -> np.ndarray:
    """(V, FRAMES, 17, 3): true pixels, score 0.9."""
    pixels = np.stack([project(world_to_camera(points, camera), camera) for camera in cameras])
    return np.concatenate([pixels, np.full_like(pixels[..., :1], 0.9)], axis=-1)


def in_camera_axes(points: np.ndarray, cameras: list[Camera]) -> np.ndarray:
    """(V, FRAMES, 17, 3) relative to joint 0."""
    poses = np.stack([world_to_camera(points, camera) for camera in cameras])
    return poses - poses[:, :, :1]


def test_points_come_back_from_their_pictures() -> None:
    cameras, points = ring(), person()
    found, misses = triangulate(seen(points, cameras), cameras)
    np.testing.assert_allclose(found, points, atol=1e-6)
    assert np.abs(misses).max() < 1e-6
    assert reprojection_error(found, seen(points, cameras), cameras).max() < 1e-3


def test_a_view_that_is_far_off_or_blind_does_not_move_the_points() -> None:
    cameras, points = ring(), person()
    pose_2d = seen(points, cameras)
    pose_2d[2, :, 13, :2] += [300, -200]
    pose_2d[0, :, 3] = 0  # not found
    found, misses = triangulate(pose_2d, cameras)
    assert np.linalg.norm(found - points, axis=-1).max() < 0.01
    assert misses[2, :, 13].min() > 0.1
    assert np.linalg.norm(triangulate(pose_2d, cameras, robust=False)[0] - points, axis=-1)[:, 13].min() > 0.1
    pose_2d[:3, :, 5, 2] = 0
    assert np.isnan(triangulate(pose_2d, cameras)[0][:, 5]).all()
    assert np.isfinite(np.delete(triangulate(pose_2d, cameras)[0], 5, axis=1)).all()


def test_who_is_the_same_in_all_views() -> None:
    cameras = ring()
    man, woman = seen(person(1), cameras), seen(person(2, (0.8, 0.5, 0.0)), cameras)
    rng = np.random.default_rng(0)
    man[..., :2] += 5 * rng.standard_normal(man[..., :2].shape)
    woman[..., :2] += 25 * rng.standard_normal(woman[..., :2].shape)  # found less well
    people = [np.stack([man[view], woman[view]][:: 1 if view % 2 else -1]) for view in range(4)]
    assert find_person(people, cameras, 20) == (1, 0, 1, 0)
    people[0][1, 15:] = 0  # the man is in this view for 15 frames only
    assert find_person(people, cameras, 15) == (1, 0, 1, 0)
    assert find_person(people, cameras, 20) == (0, 1, 0, 1)
    people[3][:, :35] = 0
    with pytest.raises(InputError, match="no person is in all 4 views"):
        find_person(people, cameras, 20)


def test_views_that_differ_by_a_similarity_agree() -> None:
    cameras, points = ring(), person()
    poses = in_camera_axes(points, cameras) * np.array([1, 1.1, 0.9, 2]).reshape(4, 1, 1, 1)
    poses[1, :10] = np.nan
    pairs = disagreement(poses)
    assert sorted(pairs) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert [len(pairs[pair]) for pair in ((0, 1), (0, 2))] == [30, 40]
    assert max(errors.max() for errors in pairs.values()) < 1e-7
    in_world = np.stack([rotate(camera.orientation, pose) for camera, pose in zip(cameras, poses, strict=True)])
    assert max(errors.max() for errors in disagreement(in_world, scaled_distance).values()) < 1e-7
    assert min(errors.mean() for errors in disagreement(poses, scaled_distance).values()) > 0.05


def test_what_a_similarity_cannot_undo_is_measured() -> None:
    pose = person()
    other = pose.copy()
    other[:, 3] += [0.17, 0, 0]
    assert 0.005 < aligned_distance(pose, other).mean() < 0.03  # 17 cm of one of 17 joints
    np.testing.assert_allclose(aligned_distance(pose, other), aligned_distance(other, pose))
    mirrored = pose * [1, 1, -1]
    assert aligned_distance(pose, mirrored).mean() > 0.05


def test_people_are_brought_to_one_height() -> None:
    pose = person()
    pose[3] = np.nan
    assert np.nanmean(body_height(of_height(pose, 1.64))) == pytest.approx(1.64)


def test_scores_of_the_truth_and_of_flat_poses() -> None:
    cameras, points = ring(), person()
    films = Films(seen(points, cameras), np.zeros((4, FRAMES, 17, 3)), cameras, FPS)
    true = scores(in_camera_axes(points, cameras), films)
    assert all(true[metric]["mean"] < 0.01 for metric in ("disagreement", "oriented", "triangulated"))
    flat = scores(in_camera_axes(points, cameras) * [1, 1, 0], films)
    assert all(flat[metric]["mean"] > 50 for metric in ("disagreement", "oriented", "triangulated"))
    views, pairs = flat["disagreement"]["views"], flat["disagreement"]["pairs"]
    assert views[0] == pytest.approx(np.mean([pairs[f"cam0-cam{other}"] for other in (1, 2, 3)]))
    assert flat["disagreement"]["mean"] == pytest.approx(np.mean(list(pairs.values())))
    assert "cam2-cam3" in real_film.table({"the truth": true, "flat": flat}, films)


def test_a_wrong_line_of_sight_shows_with_calibrated_rotations_only() -> None:
    cameras, points = ring(), person()
    films = Films(seen(points, cameras), np.zeros((4, FRAMES, 17, 3)), cameras, FPS)
    tilted = in_camera_axes(points, cameras) @ Rotation.from_euler("x", 12, degrees=True).as_matrix()
    found = scores(tilted, films)
    assert found["disagreement"]["mean"] < 0.01
    assert found["oriented"]["mean"] > 20


def test_changes_do_not_span_gaps_and_know_the_frame_rate() -> None:
    time = np.arange(60) / 30  # seconds
    pose = np.zeros((60, 17, 3))
    pose[:, 1:, 0] = (2.0 * time**2)[:, None]  # 4 m/s^2
    expected = 16 / 17 * 4 / 50**2
    assert change(pose, 30.0, 2) == pytest.approx(expected, rel=0.02)
    pose[30:] += 5 * (np.arange(17) > 0)[:, None]
    pose[30] = np.nan
    assert change(pose, 30.0, 2) == pytest.approx(expected, rel=0.05)
    assert change(pose, 30.0, 2, cutoff=6.0) < 2 * expected
    assert np.isnan(change(np.full((9, 17, 3), np.nan), 30.0, 2))


QUALISYS = """<?xml version='1.0'?>
<calibration><cameras>
<camera active="1" serial="cam01"><fov_video bottom="1919" left="0" right="1087" top="0"/>
<transform r11="0" r12="1" r13="0" r21="0" r22="0" r23="1" r31="1" r32="0" r33="0" x="4000" y="0" z="1000"/>
<intrinsic centerPointU="34560" centerPointV="61440" focalLengthU="102400" focalLengthV="108800"
radialDistortion1="-0.04" radialDistortion2="0.1" radialDistortion3="0"/></camera>
<camera active="0" serial="cam02"/></cameras></calibration>
"""


def test_a_qualisys_calibration(tmp_path: Path) -> None:
    path = tmp_path / "a.qca.txt"
    path.write_text(QUALISYS)
    (camera,) = read_qualisys(path)
    assert (camera.name, camera.size, camera.focal, camera.center) == ("cam01", (1088, 1920), (1600, 1700), (540, 960))
    assert camera.radial == (-0.04, 0.1, 0)
    # It stands at x = 4 and looks along -x: y is to its right, z up.
    np.testing.assert_allclose(world_to_camera(np.array([[0.0, 0.5, 1.2]]), camera), [[0.5, -0.2, 4]], atol=1e-12)
    for spoiled, words in (
        (QUALISYS[:200], "no XML"),
        (QUALISYS.replace('x="4000"', 'x="far"'), "lacks a number"),
        (QUALISYS.replace('r11="0"', ""), "lacks a number"),
        (QUALISYS.replace("<intrinsic", "<other"), "lacks a number"),
        (QUALISYS.replace('active="1"', 'active="0"'), "no active camera"),
    ):
        path.write_text(spoiled)
        with pytest.raises(InputError, match=words):
            read_qualisys(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_qualisys(tmp_path / "none")


def test_bad_flags_and_folders(tmp_path: Path) -> None:
    parser = real_film.build_parser()
    assert parser.parse_args(["--fov", "calibration"]).fov == "calibration"
    assert parser.parse_args(["--fov", "60"]).fov == 60
    for text in ("5", "wide", "nan"):
        with pytest.raises(InputError, match="--fov"):
            parser.parse_args(["--fov", text])
    with pytest.raises(InputError, match="holds no two videos"):
        real_film.find_films(tmp_path)
    for name in ("videos/cam01.mp4", "videos/cam09.mp4", "calibration/a.qca.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(QUALISYS)
    with pytest.raises(InputError, match="no camera cam09, only cam01"):
        real_film.find_films(tmp_path)
