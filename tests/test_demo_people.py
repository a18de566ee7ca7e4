"""The people of the demo from files of other tools: from a file to results, one by number, and the table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.layouts import layouts_of
from common.errors import InputError
from common.geometry.normalise import Normaliser
from common.inference.checkpoint import save_checkpoint
from demo.convert import BLAZEPOSE_33, LAYOUTS, convert
from demo.keypoint_files import write_keypoints
from demo.people import check_person, people_table, read_people
from demo.poses import read_poses
from demo.video_read import open_video
from demo.video_write import VideoWriter
from model import create_model
from tests.keypoint_layouts import LAYOUTS as NAMES
from tests.keypoint_layouts import person

SIZE, FPS, FRAMES = (320, 180), 25, 12
Main = Callable[..., None]


def people(frame: int) -> list[np.ndarray]:
    """Two people; the second, who is gone in the last frames, has lower scores."""
    both = [(person(NAMES["coco-17"], x + frame, 0.06) - [0, 450, 0]) for x in (90, 220)]
    both[1][:, 2] = 0.5
    return both[: 1 if frame >= FRAMES - 2 else 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video, keypoints of it as AlphaPose and OpenPose write them, and a checkpoint; not to be written to."""
    folder = tmp_path_factory.mktemp("people")
    with VideoWriter(folder / "clip.mp4", FPS, SIZE) as writer:
        for frame in range(FRAMES):
            writer.write(np.full((SIZE[1], SIZE[0], 3), 10 * frame, np.uint8))
    rows = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": points.ravel().tolist(), "score": 2.0}
        for frame in range(FRAMES)
        for points in people(frame)
    ]
    (folder / "alpha.json").write_text(json.dumps(rows))
    (folder / "openpose").mkdir()
    for frame in range(FRAMES):
        found = [{"person_id": [-1], "pose_keypoints_2d": points.ravel().tolist()} for points in people(frame)]
        (folder / "openpose" / f"clip_{frame:012d}_keypoints.json").write_text(json.dumps({"people": found}))
    model = create_model("mixste.hot_mixste", frames=9, channel=16, token_num=3, layer_index=1, depth=2, in_channels=3)
    save_checkpoint(folder / "weights.pth", model, Normaliser("box", 3, 25.0, 1.64))
    lens = {"matrix": [[300.0, 0, 160], [0, 300, 90], [0, 0, 1]], "size": SIZE, "distortions": [-0.3, 0.1, 0, 0]}
    (folder / "lens.json").write_text(json.dumps(lens))
    (folder / "plain.json").write_text(json.dumps(lens | {"distortions": [0, 0, 0, 0]}))
    return folder


def test_a_file_of_another_tool_to_results(folder: Path, main: Main, tmp_path: Path, capsys) -> None:
    flags = ("--video", folder / "clip.mp4", "--checkpoint", folder / "weights.pth")
    main("demo/vis.py", *flags, "--keypoints", folder / "alpha.json", "--output", tmp_path / "all")
    both = read_poses(tmp_path / "all" / "poses.npz")
    assert both.valid.sum(axis=1).tolist() == [FRAMES, FRAMES - 2]
    said = capsys.readouterr().out
    assert "AlphaPose, 17 joints (COCO_17), 25 frames/s" in said
    assert "     0     0:00.0     0:00.5   100%   0.90" in said
    assert "     1     0:00.0     0:00.4   100%   0.50" in said
    main("demo/vis.py", *flags, "--keypoints", folder / "openpose", "--person", 1, "--output", tmp_path / "one")
    one = read_poses(tmp_path / "one" / "poses.npz")
    np.testing.assert_array_equal(one.poses_3d[0], both.poses_3d[1])
    said = capsys.readouterr().out
    assert "     1     0:00.0     0:00.4   100%   0.50" in said
    assert "     0     0:00" not in said
    main("demo/vis.py", "--poses", tmp_path / "all" / "poses.npz", "--person", 1, "--output", tmp_path / "poses")
    assert len((tmp_path / "poses" / "poses.csv").read_text().splitlines()) == 1 + FRAMES


def test_without_the_video_and_through_a_lens(folder: Path, main: Main, tmp_path: Path) -> None:
    flags = ("--keypoints", folder / "openpose", "--size", "320x180", "--fps", 25, "--people", 1)
    poses = []
    for camera in ("plain.json", "lens.json"):
        out = tmp_path / camera
        main(
            "demo/vis.py", *flags, "--camera", folder / camera, "--checkpoint", folder / "weights.pth", "--output", out
        )
        poses.append(read_poses(out / "poses.npz"))
    assert poses[0].poses_3d.shape == (1, FRAMES, 17, 3)
    np.testing.assert_array_equal(poses[0].keypoints_2d, poses[1].keypoints_2d)  # as they were seen
    assert np.abs(poses[0].poses_3d - poses[1].poses_3d).max() > 1e-4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--keypoints", "{folder}/alpha.json"], "--size"),
        (["--keypoints", "{folder}/alpha.json", "--size", "large"], "--size"),
        (["--keypoints", "{folder}/alpha.json", "--size", "320x180", "--person", "2"], "--person is 2"),
        (["--keypoints", "{folder}/alpha.json", "--size", "320x180", "--person", "-1"], "--person"),
        (["--keypoints", "{folder}/alpha.json", "--size", "320x180", "--layout", "cat"], "--layout is 'cat'"),
        (["--keypoints", "{folder}/alpha.json", "--video", "{folder}/clip.mp4", "--size", "320x180"], "--size and"),
        (["--video", "{folder}/clip.mp4", "--layout", "coco-17"], "--layout and --size"),
        (["--keypoints", "{folder}/none.json"], "no such file"),
        (["--keypoints", "{folder}"], "unknown tool"),
    ],
)
def test_bad_flags(flags: list[str], message: str, folder: Path, main: Main, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main("demo/vis.py", *(flag.format(folder=folder) for flag in flags), "--output", tmp_path / "out")
    assert end.value.code == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()


def test_the_layout_of_the_demo_s_own_file_is_known(folder: Path, tmp_path: Path) -> None:
    write_keypoints(tmp_path / "keypoints.npz", np.ones((1, 12, 17, 3)), FPS, SIZE)
    with pytest.raises(InputError, match="leave --layout out"):
        read_people(tmp_path / "keypoints.npz", None, 4, fps=FPS, layout="coco-17")
    write_keypoints(tmp_path / "other.npz", np.ones((1, 13, 17, 3)), FPS, SIZE)
    with pytest.raises(InputError, match="is of 13 frames"):
        read_people(tmp_path / "other.npz", open_video(folder / "clip.mp4"), 4, fps=FPS)


def test_table() -> None:
    keypoints = np.zeros((2, 3000, 17, 3))
    keypoints[0, 100:2000, :, 2] = 0.75
    keypoints[0, 500:975] = 0
    lines = people_table(keypoints, 25.0, 3).splitlines()
    assert lines[1].split() == ["3", "0:04.0", "1:20.0", "75%", "0.75"]
    assert lines[2].split()[:3] == ["4", "-", "-"]
    assert len({len(line) for line in lines}) == 1
    assert check_person(None, 2) == slice(None)
    assert check_person(1, 2) == slice(1, 2)
    with pytest.raises(InputError, match="only 0"):
        check_person(1, 1)


def test_two_layouts_of_one_detector_are_one_person() -> None:
    points = person(NAMES["blazepose-33"])
    expected = convert(points, BLAZEPOSE_33)
    for name, layout in layouts_of(points).items():
        pose = convert(layout, LAYOUTS[name])
        np.testing.assert_allclose(pose[:, :2], expected[:, :2], atol=4 if name == "mpii-16" else 1e-3)  # of 425 pixels
