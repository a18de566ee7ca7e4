"""The contact sheet: what it draws and prints for a tiny model, and its measures on poses whose faults are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from benchmark import look
from common.data.wild_file import View, read_wild_file, write_wild_file
from common.geometry.normalise import Normaliser
from common.inference import checkpoint
from common.inference.checkpoint import save_checkpoint
from common.inference.lifting import Lifter
from model import create_model
from tests.rules import SMALL, filled
from tests.synthetic import REST, world_motion

Main = Callable[..., None]
CLIPS = ["03_04", "03_05", "12_01", "14_21"]
FRAMES, FPS, SIZE, FOCAL = 20, 25.0, (640, 480), 500.0
TO_CAMERA = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From z up, the person looking along -y, to the camera's x right, y down, z forward, looking at the person's face."""


def standing(frames: int = 5) -> np.ndarray:
    """A person who stands upright and faces the camera (frames, 17, 3), metres, camera axes."""
    pose = REST @ TO_CAMERA.T
    return np.repeat((pose - pose[:1])[None], frames, axis=0)


def turned(pose: np.ndarray, axis: int, degrees: float) -> np.ndarray:
    """Turned right-handedly about camera axis x (0), y (1) or z (2) through the root."""
    a, (j, k) = np.radians(degrees), [other % 3 for other in (axis + 1, axis + 2)]
    matrix = np.eye(3)
    matrix[j, j] = matrix[k, k] = np.cos(a)
    matrix[j, k], matrix[k, j] = -np.sin(a), np.sin(a)
    return pose @ matrix.T


def projected(pose: np.ndarray) -> np.ndarray:
    return pose[..., :2] / pose[..., 2:] * FOCAL + np.array(SIZE) / 2


@pytest.fixture(scope="module")
def wild_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a wild_test.npz of four windows."""
    root = tmp_path_factory.mktemp("wild")
    world = np.stack([world_motion(FRAMES, seed) for seed in range(len(CLIPS))]) - [0, 0, 1]
    pose_3d = world @ TO_CAMERA.T + [0, 0, 4]
    score = np.random.default_rng(1).uniform(0.3, 1, (*pose_3d.shape[:3], 1))
    score[0, :3, 16] = 0  # not found
    pose_2d = np.concatenate([projected(pose_3d), score], axis=-1)
    size, focal = np.tile(SIZE, (len(CLIPS), 1)), np.full(len(CLIPS), FOCAL)
    write_wild_file(root / "wild_test.npz", View(pose_2d, pose_3d, size, focal), CLIPS, FPS, "figures moving by rule")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    model = filled(create_model("mixste.hot_mixste", **SMALL["mixste.hot_mixste"], in_channels=3))
    save_checkpoint(path, model, Normaliser("box", 3, FPS, 1.64))
    return path


def test_a_sheet_has_a_row_for_each_window(weights: Path, wild_root: Path) -> None:
    sequences, source = read_wild_file(wild_root / "wild_test.npz")
    lifter = Lifter.from_checkpoint(weights)
    looks = [look.lift(lifter, n, CLIPS[n], sequences[n]) for n in (1, 3)]
    figure = look.draw(looks, 2, "a title", source)
    labels = [axes.get_label() for axes in figure.axes]
    assert labels.count("over time") == 2
    assert [labels.count(panel) for panel in ("picture", "2D input", "camera", "side")] == [4, 4, 4, 4]
    written = " ".join(text.get_text() for text in figure.texts)
    for words in (
        "a title",
        source,
        "window 1",
        "14_21",
        f"MPJPE {looks[0].mpjpe:.1f} mm",
        f"P-MPJPE {looks[1].p_mpjpe:.1f} mm",
    ):
        assert words in written
    metres = {
        round(float(np.ptp(axes.get_xlim())), 9) for axes in figure.axes if axes.get_label() in ("camera", "side")
    }
    assert len(metres) == 1  # one scale in all panels
    rows = [axes.get_position() for axes in figure.axes if axes.get_label() == "over time"]
    assert rows[1].y1 < rows[0].y0  # the second row is below the first
    for axes in figure.axes:
        box = axes.get_position()
        assert 0 <= box.x0 < box.x1 <= 1, axes.get_label()
        assert 0 <= box.y0 < box.y1 <= 1, axes.get_label()


def test_the_script_draws_and_tells(
    main: Main, weights: Path, wild_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "new" / "sheet.png"
    flags = ["--root_path", wild_root, "--checkpoint", weights, "--frames_shown", 1, "--output", output]
    main("benchmark/look.py", *flags, "--windows", "2,0,3")
    text = capsys.readouterr().out
    tall = len(imread(output))
    assert [line.split()[:2] for line in text.splitlines()[4:7]] == [["2", "12_01"], ["0", "03_04"], ["3", "14_21"]]
    for words in (
        "mixste.hot_mixste (tiny.pth) on wild",
        "figures moving by rule",
        "hips swapped along x",
        "acceleration, mean",
    ):
        assert words in text
    main("benchmark/look.py", *flags, "--windows", 2, "--worst")
    assert tall - len(imread(output)) == look.ROW_HEAD + look.BODY + look.FOOT
    worst = [float(line.split()[3]) for line in capsys.readouterr().out.splitlines()[4:6]]
    assert worst == sorted(worst, reverse=True)
    assert worst[0] >= max(float(line.split()[3]) for line in text.splitlines()[4:7])


def test_data_without_scores(main: Main, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    model = filled(create_model("mixste.hot_mixste", **SMALL["mixste.hot_mixste"]))
    save_checkpoint(tmp_path / "two.pth", model, Normaliser())
    flags = [
        "--root_path",
        tiny_root,
        "--checkpoint",
        tmp_path / "two.pth",
        "--frames_shown",
        1,
        "--output",
        tmp_path / "sheet.png",
    ]
    main("benchmark/look.py", "--dataset", "tiny", *flags, "--windows", "1,")
    assert "P3 Walking" in (text := capsys.readouterr().out) or "P4 Sitting" in text
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_swapped_hips_are_found() -> None:
    truth = standing()
    mirrored = truth * [-1, 1, 1]
    swapped = look.swapped_hips(np.concatenate([truth[:2], mirrored[:3]]), truth)
    assert np.array_equal(swapped[:, 0], [0, 0, 1, 1, 1])
    assert np.isnan(swapped[:, 1]).all()  # side by side: none is in front
    aside = turned(truth, 1, 60)
    assert np.array_equal(look.swapped_hips(turned(truth, 1, -60), aside), [[0, 1]] * 5)


@pytest.mark.parametrize("away", [0, 70, 180, 250])
def test_a_knee_bent_backwards_is_found(away: float) -> None:
    pose = standing()
    shank = (
        np.array([0, np.cos(np.radians(40)), -np.sin(np.radians(40))]) * 0.4
    )  # to the front, which is the camera's side
    pose[1:3, 3] = pose[1:3, 2] + shank
    pose[3:, 6] = pose[3:, 5] + shank * [1, 1, -1]  # as a knee bends
    pose = turned(pose, 1, away)
    assert look.forward_bend(pose) == pytest.approx(np.array([[0, 0], [40, 0], [40, 0], [0, -40], [0, -40]]), abs=1e-6)


@pytest.mark.parametrize("around", [0, 90, 200])
def test_a_lean_is_measured(around: float) -> None:
    truth = turned(standing(), 1, around)
    assert look.lean_error(turned(truth, 0, -10), truth) == pytest.approx(np.array([[10, 0]] * 5), abs=1e-6)
    assert look.lean_error(turned(truth, 2, 10), truth) == pytest.approx(np.array([[0, 10]] * 5), abs=1e-6)
    assert look.lean_error(truth, turned(truth, 0, -10))[0, 0] == pytest.approx(-10, abs=1e-6)
    away = look.lean_error(truth + [0, 0, 0.2] * (np.arange(17) == look.THORAX)[:, None], truth)
    assert away[0, 0] > 5  # a spine with a larger z leans away from the camera
    lying = turned(truth, 0, 90)
    assert np.isnan(look.lean_error(lying, lying)[:, 1]).all()


def test_acceleration() -> None:
    time = np.arange(5.0)[:, None]
    pose = np.zeros((5, 17, 3))
    pose[:, 1] = 0.1 * time  # steady
    pose[:, 2, 1] = 0.02 * time[:, 0] ** 2
    moved = look.acceleration(pose + 0.3 * np.sin(time)[..., None])  # all alike: not of the pose
    assert moved.shape == (3, 17)
    assert moved[:, 2] == pytest.approx(0.04)
    assert np.delete(moved, 2, axis=1) == pytest.approx(0, abs=1e-9)


def test_the_error_of_the_input_in_metres() -> None:
    truth = standing() + np.array([0.5, 0.2, 4])
    pixels = np.concatenate([projected(truth), np.ones((5, 17, 1))], axis=-1)
    assert look.seen_at_true_depth(pixels, truth) == pytest.approx(truth, abs=1e-9)
    pixels[2, 13, 2] = 0
    seen = look.seen_at_true_depth(pixels, truth)
    assert np.isnan(seen[2, 13]).all()
    assert np.isnan(seen).sum() == 3
    noisy = pixels + [1, 0, 0] * np.where(np.arange(5) % 2, 5, -5)[:, None, None] * (np.arange(17) == 3)[:, None]
    error = look.seen_at_true_depth(noisy, truth)[:, 3, 0] - truth[:, 3, 0]
    assert np.ptp(error) == pytest.approx(10 * truth[0, 3, 2] / FOCAL, rel=0.02)


BAD = {
    "no weights": (["--checkpoint", "nowhere.pth"], ["nowhere.pth"]),
    "no data": (["--root_path", "nowhere/"], ["wild_test.npz"]),
    "unknown window": (["--windows", "1,4"], ["--windows", "4", "0 to 3"]),
    "too many": (["--windows", "5"], ["--windows is 5", "4"]),
    "none": (["--windows", "0"], ["--windows is 0"]),
    "words": (["--windows", "all"], ["--windows", "'all'"]),
    "a negative number": (["--windows", "1,-2"], ["--windows", "'1,-2'"]),
    "named and worst": (["--windows", "1,2", "--worst"], ["--windows", "--worst"]),
    "no moment": (["--frames_shown", "0"], ["--frames_shown"]),
    "no picture": (["--output", "sheet.txt"], ["--output", "sheet.txt"]),
    "a folder": (["--output", "folder.png"], ["folder.png", "folder"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(
    name: str,
    main: Main,
    weights: Path,
    wild_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    flags, named = BAD[name]
    assert_refused(
        named,
        capsys,
        main,
        "--root_path",
        wild_root,
        "--checkpoint",
        weights,
        "--windows",
        1,
        "--output",
        "s.png",
        *flags,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_no_weights_in_the_repository(
    main: Main, wild_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    assert_refused(
        [str(tmp_path)], capsys, main, "--root_path", wild_root, "--windows", 1, "--output", tmp_path / "s.png"
    )


def assert_refused(named: list[str], capsys: pytest.CaptureFixture, main: Main, *flags: object) -> None:
    with pytest.raises(SystemExit) as stop:
        main("benchmark/look.py", *flags)
    error = capsys.readouterr().err
    assert stop.value.code == 2, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    for words in named:
        assert words in error
