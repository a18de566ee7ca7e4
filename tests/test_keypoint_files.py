"""Files of keypoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.geometry.skeleton import H36M
from demo import convert, keypoint_files
from demo.convert import COCO_17


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def clip() -> np.ndarray:
    """Two people in six frames (2, 6, 17, 3); the second is away in two of them."""
    rng = np.random.default_rng(1)
    xy, score = rng.uniform(0, 1000, (2, 6, 17, 2)), rng.uniform(0.1, 1, (2, 6, 17, 1))
    keypoints = convert.convert(np.concatenate([xy, score], axis=-1), COCO_17)
    keypoints[1, 2:4] = 0
    return keypoints


def test_keypoints_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "clip.npz"
    keypoint_files.write_keypoints(path, clip(), 29.97, (640, 480))
    keypoints, fps, size = keypoint_files.read_keypoints(path)
    np.testing.assert_array_equal(keypoints, clip())
    assert (keypoints.dtype, fps, size) == (np.float32, 29.97, (640, 480))
    with pytest.raises(ValueError, match="people"):
        keypoint_files.write_keypoints(path, clip()[0], 30, (640, 480))


def spoiled(value: float, axis: int) -> np.ndarray:
    keypoints = clip()
    keypoints[1, 4, 16, axis] = value
    return keypoints


BAD = {
    "another format": ({"format": "hot-motion 1"}, "format"),
    "no size": ({"size": None}, "size is missing"),
    "no keypoints": ({"keypoints": None}, "keypoints is missing"),
    "objects": ({"keypoints": np.array([None])}, "keypoints"),
    "33 joints": ({"keypoints": np.zeros((1, 4, 33, 3))}, "demo/convert.py"),
    "one person without its axis": ({"keypoints": clip()[0]}, r"\(people, frames, 17, 3\)"),
    "no score": ({"keypoints": clip()[..., :2]}, "score"),
    "text": ({"keypoints": clip().astype(str)}, "numbers"),
    "nobody": ({"keypoints": clip()[:0]}, r"\(0, 6, 17, 3\)"),
    "no frame": ({"keypoints": clip()[:, :0]}, r"\(2, 0, 17, 3\)"),
    "NaN": ({"keypoints": spoiled(np.nan, 0)}, "nan .x of RWrist, person 1, frame 4."),
    "infinity": ({"keypoints": spoiled(np.inf, 1)}, "inf .y of RWrist"),
    "score in percent": ({"keypoints": spoiled(87, 2)}, "87.0 .score of RWrist"),
    "negative score": ({"keypoints": spoiled(-0.5, 2)}, "score of RWrist"),
    "COCO's order": ({"joints": np.array(convert._COCO)}, "joints"),
    "no frame rate": ({"fps": 0.0}, "fps"),
    "size of one number": ({"size": 640}, "size"),
    "size of nothing": ({"size": [640, 0]}, "size"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_keypoints_files(name: str, tmp_path: Path) -> None:
    change, said = BAD[name]
    path = tmp_path / "bad.npz"
    good = {
        "format": keypoint_files.FORMAT,
        "joints": np.array(H36M.names),
        "keypoints": clip(),
        "fps": 30.0,
        "size": [640, 480],
    }
    np.savez(path, **{field: value for field, value in (good | change).items() if value is not None})
    with pytest.raises(InputError, match=said) as error:
        keypoint_files.read_keypoints(path)
    assert str(error.value).startswith(str(path))


def test_no_keypoints_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(lambda: keypoint_files.read_keypoints(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("hello")
    assert "text.npz" in refusal(lambda: keypoint_files.read_keypoints(tmp_path / "text.npz"))
    (tmp_path / "folder").mkdir()
    assert refusal(lambda: keypoint_files.read_keypoints(tmp_path / "folder"))
    blocked = tmp_path / "text.npz" / "clip.npz"
    assert "cannot be written" in refusal(lambda: keypoint_files.write_keypoints(blocked, clip(), 30, (640, 480)))
