"""What the demo knows of the camera: the flags, files of intrinsics, and the EXIF of images."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from common.errors import InputError
from common.geometry.camera import FIELD_OF_VIEW, Camera, camera_for, camera_of_view, view_of_camera
from common.geometry.skeleton import H36M
from demo.camera import Lens, camera_of_image, choose_camera, read_camera, straighten
from demo.keypoint_files import write_keypoints
from demo.poses import read_poses
from tests.test_shipped import walker

SIZE = (1080, 1920)
MATRIX = [[1700.0, 0.0, 530.0], [0.0, 1690.0, 970.0], [0.0, 0.0, 1.0]]
EXPECTED = (SIZE, (1700.0, 1690.0), (530.0, 970.0))


def numbers(camera: Camera) -> tuple:
    return camera.size, camera.focal, camera.center


def opencv(path: Path) -> None:
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", SIZE[0])
    storage.write("image_height", SIZE[1])
    storage.write("camera_matrix", np.array(MATRIX))
    storage.write("distortion_coefficients", np.zeros((1, 5)))
    storage.release()


def toml(*names: str) -> str:
    tables = [
        f'[{name}]\nname = "{name}"\nsize = [1080.0, 1920.0]\nmatrix = {MATRIX}\nrotation = [1.0, 2.0, 3.0]\n'
        for name in names
    ]
    return "\n".join([*tables, "[metadata]\nadjusted = false\n"])


def bent(path: Path, **table: object) -> Path:
    path.write_text(json.dumps({"matrix": MATRIX, "size": SIZE} | table))
    return path


@pytest.mark.parametrize(
    ("coefficients", "fisheye"),
    [([-0.2, 0.05, 0.001, -0.002], False), ([-0.2, 0.05, 0.001, -0.002, 0.01], False), ([0.02, 0.01, 0, 0], True)],
)
def test_a_lens_that_bends_is_made_straight(coefficients: list[float], fisheye: bool, tmp_path: Path) -> None:
    camera = read_camera(bent(tmp_path / "a.json", distortions=coefficients, fisheye=fisheye))
    assert isinstance(camera, Lens)
    large = camera_for(camera, (2 * SIZE[0], 2 * SIZE[1]))
    rng = np.random.default_rng(0)
    straight = rng.uniform([200, 300], [900, 1600], (50, 2))
    for scale, lens in ((1, camera), (2, large)):
        assert isinstance(lens, Lens)
        seen = lens.bent(scale * straight)
        assert np.abs(seen - scale * straight).max() > 2
        keypoints = np.concatenate([seen, np.ones((50, 1))], axis=1)[None]  # (1, 50, 3)
        keypoints[0, 7] = 0
        result = straighten(keypoints, lens)
        assert not result[0, 7].any()
        expected = np.delete(scale * straight, 7, axis=0)
        np.testing.assert_allclose(np.delete(result[0, :, :2], 7, axis=0), expected, atol=0.02)
    outside = straighten(np.array([[[-5000.0, 900, 0.5], [0, 900, 0.5]]]), camera)[0]
    np.testing.assert_allclose(outside[0, :2] + [5000, 0], outside[1, :2], atol=1e-2)
    plain = read_camera(bent(tmp_path / "b.json", distortions=[0, 0, 0, 0]))
    assert not isinstance(plain, Lens)
    assert straighten(keypoints, plain) is keypoints


def test_distortion_in_files_of_opencv_and_pose2sim(tmp_path: Path) -> None:
    storage = cv2.FileStorage(str(tmp_path / "a.yml"), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", SIZE[0])
    storage.write("image_height", SIZE[1])
    storage.write("camera_matrix", np.array(MATRIX))
    storage.write("distortion_coefficients", np.array([[-0.1, 0.02, 0.0, 0.001, 0.0]]))
    storage.release()
    text = f'[c]\nname = "c"\nsize = [1080.0, 1920.0]\nmatrix = {MATRIX}\ndistortions = [-0.1, 0.02, 0.0, 0.001]\n'
    (tmp_path / "a.toml").write_text(text + "fisheye = false\n")
    first, second = read_camera(tmp_path / "a.yml"), read_camera(tmp_path / "a.toml")
    points = np.array([[100.0, 200], [900, 1700]])
    assert isinstance(first, Lens)
    assert isinstance(second, Lens)
    np.testing.assert_allclose(first.straight(points), second.straight(points), atol=1e-6)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"distortions": [-5.0, 0, 0, 0]}, "distortions is of no lens"),
        ({"distortions": [0.0, 0, 1e9, 0]}, "distortions is of no lens"),
        ({"distortions": [-0.1, 0.2]}, "field distortions is not 4 numbers"),
        ({"distortions": ["a"] * 4}, "field distortions is not 4 numbers"),
        ({"D": [-0.1, float("nan"), 0, 0]}, "field D is not 4 numbers"),
        ({"distortions": [-0.1, 0, 0, 0, 0], "fisheye": True}, "field distortions is not 4 numbers"),
        ({"distortions": [-40.0, 0, 0, 0], "fisheye": True}, "distortions is of no lens"),
    ],
)
def test_a_lens_that_cannot_be(table: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_camera(bent(tmp_path / "a.json", **table))


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (640, 640)])
@pytest.mark.parametrize("fov", [10, 53.13, 90, 150])
def test_field_of_view_and_back(fov: float, size: tuple[int, int]) -> None:
    camera = camera_of_view(fov, size)
    assert view_of_camera(camera) == pytest.approx(fov)
    larger = camera_for(camera, (2 * size[0], 2 * size[1]))
    assert view_of_camera(larger) == pytest.approx(fov)
    assert larger.center == (size[0], size[1])


@pytest.mark.parametrize("suffix", ["toml", "json", "yml", "xml"])
def test_files_of_intrinsics(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"camera.{suffix}"
    if suffix == "toml":
        path.write_text(toml("cam01"))
    elif suffix == "json":
        path.write_text(json.dumps({"matrix": MATRIX, "size": SIZE}))
    else:
        opencv(path)
    assert numbers(read_camera(path)) == EXPECTED


def test_one_of_several_cameras_is_found_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "Calib.toml"
    path.write_text(toml("cam01", "cam02"))
    assert read_camera(path, "CAM02").name == "cam02"
    with pytest.raises(InputError, match="cam01, cam02, none or several called 'other'"):
        read_camera(path, "other")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("no.toml", None, "no such file"),
        ("a.toml", "[cam", "damaged"),
        ("a.json", "{", "damaged"),
        ("a.json", "[" * 100_000, "damaged"),
        ("a.yml", "%YAML:1.0\n---\na: [1, 2\nb: {", "damaged"),
        ("a.yml", "words", "damaged"),
        ("a.xml", "<no>", "damaged"),
        ("a.txt", "1700", "is no .toml"),
        ("a.json", "[1, 2]", "no names and values"),
        ("a.json", "{}", "holds no camera"),
        ("a.json", {"matrix": MATRIX}, "no size"),
        ("a.json", {"matrix": MATRIX[:2], "size": SIZE}, "matrix is not 9 numbers"),
        ("a.json", {"matrix": "wide", "size": SIZE}, "matrix is not 9 numbers"),
        ("a.json", {"matrix": {"data": {}}, "size": SIZE}, "matrix is not 9 numbers"),
        ("a.json", {"matrix": np.eye(3).tolist(), "size": [0, 5]}, "0 x 5"),
        ("a.json", {"matrix": [[math.nan, 0, 1], [0, 1, 1], [0, 0, 1]], "size": SIZE}, "matrix is not 9 numbers"),
        ("a.json", {"matrix": np.transpose(MATRIX).tolist(), "size": SIZE}, "no camera matrix"),
        ("a.json", {"matrix": MATRIX, "size": [1080]}, "size is not 2 numbers"),
    ],
)
def test_a_bad_file_is_one_sentence(name: str, text: object, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text if isinstance(text, str) else json.dumps(text))
    with pytest.raises(InputError, match=words) as error:
        read_camera(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("camera", "size", "words"),
    [
        (Camera("c", SIZE, (1700, 1700), (540, 960)), (1920, 1080), "another shape"),
        (Camera("c", SIZE, (1700, 1200), (540, 960)), SIZE, "about the same"),
        (Camera("c", SIZE, (1700, 1700), (-5, 960)), SIZE, "outside its picture"),
        (Camera("c", SIZE, (20000, 20000), (540, 960)), SIZE, r"sees 5\.5 degrees"),
        (Camera("c", SIZE, (100, 100), (540, 960)), SIZE, "sees 168 degrees"),
    ],
)
def test_a_camera_that_cannot_be_of_the_film(camera: Camera, size: tuple[int, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        camera_for(camera, size)


def write_image(path: Path, size: tuple[int, int] = (400, 300), **tags: object) -> Path:
    exif = Image.Exif()
    for name, value in tags.items():
        exif.get_ifd(IFD.Exif)[Base[name]] = value
    Image.new("RGB", size).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("tags", "fov"),
    [
        # a side of 0.8 of the diagonal
        ({"FocalLengthIn35mmFilm": 28}, 2 * math.degrees(math.atan(0.8 * 43.2666 / 2 / 28))),
        ({"FocalLengthIn35mmFilm": 0}, None),  # the standard's word for unknown
        ({"FocalLength": 5.0}, None),
        # A sensor of 4000 pixels over 8 mm: 500 a millimetre; the image was made smaller afterwards.
        (
            {"FocalLength": 5.0, "FocalPlaneXResolution": 5000.0, "FocalPlaneResolutionUnit": 3, "ExifImageWidth": 4000,
             "ExifImageHeight": 3000},
            2 * math.degrees(math.atan(4 / 5)),
        ),
        ({}, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [(400, 300), (300, 400)])
def test_exif(tags: dict, fov: float | None, size: tuple[int, int], tmp_path: Path) -> None:
    camera = camera_of_image(write_image(tmp_path / "photo.jpg", size, **tags))
    assert (camera and view_of_camera(camera)) == (fov and pytest.approx(fov, rel=1e-4))


def test_damaged_exif_says_nothing(tmp_path: Path) -> None:
    whole = write_image(tmp_path / "photo.jpg", FocalLengthIn35mmFilm=28, FocalLength=5.0).read_bytes()
    rng = np.random.default_rng(0)
    for round_ in range(300):
        broken = bytearray(whole)
        for place in rng.integers(2, 150, 4):
            broken[place] = rng.integers(256)
        path = tmp_path / f"{round_ % 2}.jpg"
        path.write_bytes(broken if round_ % 2 else broken[: rng.integers(200)])
        try:
            camera = camera_of_image(path)
        except InputError:  # a number that is none of a camera
            continue
        assert camera is None or FIELD_OF_VIEW[0] <= view_of_camera(camera) <= FIELD_OF_VIEW[1]


def test_which_source_counts(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write_image(folder / "a.png")
    assert choose_camera(None, None, folder, (400, 300)) is None
    write_image(folder / "b.jpg", FocalLengthIn35mmFilm=28)
    assert choose_camera(None, None, folder, (400, 300)).name == "b.jpg"
    assert choose_camera(None, None, folder / "b.jpg", (400, 300)) is None  # no folder of images
    assert view_of_camera(choose_camera(70, None, folder, (400, 300))) == pytest.approx(70)
    (tmp_path / "c.json").write_text(json.dumps({"matrix": MATRIX, "size": SIZE}))
    assert numbers(choose_camera(None, tmp_path / "c.json", folder, (540, 960))) == ((540, 960), (850, 845), (265, 485))
    with pytest.raises(InputError, match="both given"):
        choose_camera(70, tmp_path / "c.json", folder, (540, 960))
    write_image(folder / "a.jpg", FocalLengthIn35mmFilm=400)
    with pytest.raises(InputError, match=r"a\.jpg: by its EXIF.*--fov"):
        choose_camera(None, None, folder, (400, 300))


def test_the_demo_turns_poses_by_the_field_of_view(
    main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    size = (320, 180)
    write_keypoints(tmp_path / "keypoints.npz", (walker(12) * [0.2, 0.2, 1] + [60, 0, 0])[None], 25, size)
    (tmp_path / "camera.json").write_text(
        json.dumps({"K": [[160, 0, 320], [0, 160, 180], [0, 0, 1]], "width": 640, "height": 360})
    )

    def run(*flags: object) -> np.ndarray:
        main(
            "demo/vis.py",
            "--keypoints",
            tmp_path / "keypoints.npz",
            "--output",
            tmp_path / "out",
            "--lines",
            40,
            *flags,
        )
        return read_poses(tmp_path / "out" / "poses.npz").poses_3d[0]

    assumed = run()
    assert "field of view" not in capsys.readouterr().out
    wide = run("--fov", 126.8698976)
    assert "field of view: 126.9 degrees" in capsys.readouterr().out
    np.testing.assert_allclose(run("--camera", tmp_path / "camera.json"), wide, atol=1e-5)
    lengths = [
        [np.linalg.norm(pose[:, joint] - pose[:, parent], axis=-1) for joint, parent in H36M.bones]
        for pose in (assumed, wide)
    ]
    np.testing.assert_allclose(*lengths, atol=1e-5)  # a turn, and nothing else
    assert np.abs(assumed - wide).max() > 0.05
    for value in ("9.9", "150.1", "nan", "wide", "-60"):
        with pytest.raises(SystemExit) as stop:
            run("--fov", value)
        assert stop.value.code == 2
        assert re.match(r"error: .*(--fov|field of view)", capsys.readouterr().err)


def test_the_demo_reads_the_exif_of_images(
    main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        write_image(folder / f"{number}.jpg", (320, 180), FocalLengthIn35mmFilm=28)
    write_keypoints(tmp_path / "keypoints.npz", (walker(12) * [0.2, 0.2, 1])[None], 30, (320, 180))
    main("demo/vis.py", "--video", folder, "--keypoints", tmp_path / "keypoints.npz", "--output", tmp_path / "out")
    assert "field of view: 67.9 degrees, by 0.jpg" in capsys.readouterr().out
