"""VideoPose3D's files of one's own videos: read by the demo, and named as what they are where 3D is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.data.custom_2d import read_custom_2d
from common.data.datasets import read_sequences
from common.errors import InputError
from demo.convert import COCO_17, convert
from demo.keypoint_files import read_keypoints

SYMMETRY = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]


def clip(frames: int = 9, seed: int = 0, axes: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1, (frames, 17, axes)).astype(np.float32) * ([500, 300, 1][:axes])


def write(folder: Path, videos: dict[str, object] | None = None, **metadata: object) -> Path:
    """data_2d_custom_mine.npz with these videos, as prepare_data_2d_custom.py writes it."""
    videos = {"walk.mp4": clip()} if videos is None else videos
    about = {name: {"w": 640, "h": 480} for name in videos}
    metadata = {
        "layout_name": "coco",
        "num_joints": 17,
        "keypoints_symmetry": SYMMETRY,
        "video_metadata": about,
    } | metadata
    positions = {name: {"custom": [points]} for name, points in videos.items()}
    np.savez_compressed(folder / "data_2d_custom_mine.npz", positions_2d=positions, metadata=metadata)
    return folder / "data_2d_custom_mine.npz"


def refusal(*arguments: object) -> str:
    with pytest.raises(InputError) as error:
        read_keypoints(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_coco_becomes_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    keypoints, fps, size = read_keypoints(path, None, None, 25)
    scored = np.concatenate([clip(), np.ones((9, 17, 1))], axis=-1)
    np.testing.assert_allclose(keypoints, convert(scored, COCO_17)[None], rtol=1e-6)
    assert (fps, size) == (25, (640, 480))
    assert "25 frames/s" in capsys.readouterr().out  # the file does not tell


def test_scores_and_our_own_joints(tmp_path: Path) -> None:
    path = write(tmp_path, {"walk.mp4": clip(axes=3)}, layout_name="h36m")
    keypoints, _, _ = read_keypoints(path, None, None, 25)
    np.testing.assert_allclose(keypoints, clip(axes=3)[None], rtol=1e-6)


def test_what_the_file_tells_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, video_metadata={"walk.mp4": {"w": np.int64(1280), "h": 720, "fps": 29.97}})
    assert read_keypoints(path, "walk.mp4", (640, 480), 25)[1:] == (29.97, (1280, 720))
    assert not capsys.readouterr().out
    path = write(tmp_path, video_metadata={})
    assert read_keypoints(path, "walk.mp4", (640, 480), 25)[1:] == (25, (640, 480))
    assert "give --video" in refusal(path, None, None, 25)


@pytest.mark.parametrize("name", ["b.mp4", "b", "b.avi"])
def test_the_video_chooses(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, {"a.mp4": clip(5), "b.mp4": clip(7)})
    assert read_keypoints(path, name, None, 25)[0].shape == (1, 7, 17, 3)


def test_no_guess_which_video(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.mp4": clip(5), "b.mp4": clip(7), "b.avi": clip(6)})
    for name in (None, "c.mp4", "b.mov"):
        sentence = refusal(path, name, None, 25)
        assert str(path) in sentence
        assert "a.mp4, b.mp4, b.avi" in sentence
        assert "--video" in sentence
    assert read_keypoints(path, "b.avi", None, 25)[0].shape[1] == 6
    assert "'other.mp4'" in refusal(write(tmp_path), "other.mp4", None, 25)


BAD = {
    "another layout": ({}, {"layout_name": "humaneva15"}, "humaneva15"),
    "no layout": ({}, {"layout_name": None}, "layout_name"),
    "no video": ({}, {}, "no video"),
    "15 joints": ({"a": clip()[:, :15]}, {}, r"\(9, 15, 2\)"),
    "one frame without its axis": ({"a": clip()[0]}, {}, r"\(17, 2\)"),
    "no frames": ({"a": clip()[:0]}, {}, r"\(0, 17, 2\)"),
    "NaN": ({"a": np.full((3, 17, 2), np.nan)}, {}, "frame 0, joint 0"),
    "far away": ({"a": np.full((3, 17, 2), 1e30)}, {}, "frame 0, joint 0"),
    "a list": ({"a": [1, 2]}, {}, "custom"),
    "words": ({"a": np.full((3, 17, 2), "x")}, {}, "numbers"),
    "no width": ({"a": clip()}, {"video_metadata": {"a": {"w": 0, "h": 480}}}, "w is 0"),
    "a width in words": ({"a": clip()}, {"video_metadata": {"a": {"w": "wide", "h": 480}}}, ", w is"),
    "control characters": ({"\x1b[2J": clip()}, {}, "printed"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(name: str, tmp_path: Path) -> None:
    videos, metadata, says = BAD[name]
    path = write(tmp_path, videos if videos or name == "no video" else None, **metadata)
    with pytest.raises(InputError, match=says) as error:
        read_custom_2d(path)
    assert str(error.value).startswith(str(path))
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("dataset", "keypoints"),
    [
        ("custom", "mine"),
        ("custom", "noisy"),
        ("h36m", "mine"),
        ("h36m", "data_2d_custom_mine.npz"),
        ("mine", "gt"),
        ("data_2d_custom_mine.npz", "gt"),
    ],
)
def test_trainers_say_what_it_is(dataset: str, keypoints: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    if dataset == "mine":  # under the name of our own format
        path = path.rename(tmp_path / "data_mine.npz")
    with pytest.raises(InputError) as error:
        read_sequences(dataset, tmp_path, keypoints, "test")
    assert str(error.value).startswith(f"{path}: ")
    assert "VideoPose3D" in str(error.value)
    assert f"demo/vis.py --keypoints {path}" in str(error.value)


def test_renamed_to_2d_of_human36m(tmp_path: Path, h36m_root: Path) -> None:
    (tmp_path / "data_3d_h36m.npz").write_bytes((h36m_root / "data_3d_h36m.npz").read_bytes())
    path = write(tmp_path).rename(tmp_path / "data_2d_h36m_mine.npz")
    with pytest.raises(InputError, match=f"{path.name}: holds 2D of one's own videos"):
        read_sequences("h36m", tmp_path, "mine", "test")
