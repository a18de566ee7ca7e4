"""The demo as a whole: stages that start from each other's files, results that fit the video, one sentence for bad input."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from common.checkpoint import save_checkpoint
from common.errors import InputError
from common.normalise import Normaliser
from demo import stages
from demo.convert import BLAZEPOSE_33
from demo.detect import DETECTORS, read_keypoints, write_keypoints
from demo.export import read_poses
from demo.video import VideoWriter
from model import create_model
from tests.test_shipped import walker

SIZE, FPS, FRAMES = (320, 180), 25, 12
Main = Callable[..., None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of FRAMES frames, keypoints of two people in it, and a checkpoint; not to be written to."""
    folder = tmp_path_factory.mktemp("demo")
    with VideoWriter(folder / "clip.mp4", FPS, SIZE) as writer:
        for frame in range(FRAMES):
            writer.write(np.full((SIZE[1], SIZE[0], 3), 10 * frame, np.uint8))
    people = np.stack([walker(FRAMES) * [0.25, 0.25, 1], walker(FRAMES) * [0.2, 0.25, 1] + [100, 0, 0]])
    people[1, 4:7] = 0  # away for a moment
    write_keypoints(folder / "keypoints.npz", people, FPS, SIZE)
    model = create_model("mixste.hot_mixste", frames=9, channel=16, token_num=3, layer_index=1, depth=2, in_channels=3)
    save_checkpoint(folder / "weights.pth", model, Normaliser("box", 3, 25.0, 1.64))
    return folder


def read_video(path: Path) -> tuple[int, float, tuple[int, int]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sum(1 for _ in container.decode(stream)), float(stream.average_rate), (stream.width, stream.height)


def test_from_keypoints_to_everything(folder: Path, main: Main, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    flags = ("--video", folder / "clip.mp4", "--keypoints", folder / "keypoints.npz", "--checkpoint", folder / "weights.pth")
    main("demo/vis.py", *flags, "--output", out, "--smooth")
    assert {path.name for path in out.iterdir()} == {"clip.mp4", "poses.npz", "poses.csv", "poses.json", "viewer.html", "written.json"}
    frames, fps, (width, height) = read_video(out / "clip.mp4")
    assert (frames, fps, height) == (FRAMES, FPS, SIZE[1])
    assert width == SIZE[0] + SIZE[1]
    poses = read_poses(out / "poses.npz")
    assert poses.poses_3d.shape == (2, FRAMES, 17, 3)
    assert (poses.fps, tuple(poses.size), poses.model) == (FPS, SIZE, "mixste.hot_mixste")
    assert poses.valid.sum() == 2 * FRAMES - 3
    assert poses.posed.all()  # the gap is short enough
    assert np.array_equal(poses.keypoints_2d, read_keypoints(folder / "keypoints.npz")[0])
    with open(out / "poses.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * FRAMES
    assert len(json.loads((out / "poses.json").read_text())["people"]) == 2
    said = capsys.readouterr().out
    assert "frames/s" in said
    assert str(out) in said

    again = tmp_path / "again"  # only draw what is there already: the same motion, without the model
    main("demo/vis.py", "--poses", out / "poses.npz", "--output", again, "--fix_z")
    assert {path.name for path in again.iterdir()} == {"poses.mp4", "poses.csv", "poses.json", "viewer.html", "written.json"}
    assert read_video(again / "poses.mp4")[0] == FRAMES
    assert (again / "poses.csv").read_bytes() == (out / "poses.csv").read_bytes()


class Scripted:
    """A detector that knows in which frames whom to find."""

    name, joints = "scripted", BLAZEPOSE_33

    def __init__(self, found: str) -> None:
        self.found, self.frame, self.resets, self.closed = found, -1, [], False

    def reset(self) -> None:
        self.resets.append(self.frame + 1)

    def close(self) -> None:
        self.closed = True

    def detect(self, frame: np.ndarray, time: float) -> np.ndarray:
        assert frame.shape == (SIZE[1], SIZE[0], 3)
        self.frame += 1
        assert time == pytest.approx(self.frame / FPS)
        rng = np.random.default_rng(0)
        body = np.concatenate([rng.uniform(20, 120, (33, 2)), np.full((33, 1), 0.9)], axis=1)
        return body[None] if self.found[self.frame] == "x" else np.zeros((0, 33, 3))


def test_nobody_in_the_first_frames_shifts_nothing(folder: Path, main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ".xxxxxxxxx.x"
    monkeypatch.setattr("demo.detect.DETECTORS", {"scripted": lambda model: Scripted(found)})
    out = tmp_path / "out"
    main("demo/vis.py", "--video", folder / "clip.mp4", "--detector", "scripted", "--checkpoint", folder / "weights.pth", "--output", out)
    poses = read_poses(out / "poses.npz")
    assert ["x" if there else "." for there in poses.valid[0]] == list(found)
    assert poses.posed[0].tolist() == [False] + [True] * 11
    assert read_video(out / "clip.mp4")[0] == FRAMES
    assert read_keypoints(out / "keypoints.npz")[0].shape == (1, FRAMES, 17, 3)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], ["nothing to do", "--video"]),
        (["--video", "nowhere.mp4"], ["nowhere.mp4", "no such file"]),
        (["--keypoints", "{folder}/keypoints.npz", "--poses", "{folder}/keypoints.npz"], ["--keypoints and --poses"]),
        (["--keypoints", "{folder}/weights.pth"], ["weights.pth"]),
        (["--poses", "{folder}/keypoints.npz"], ["keypoints.npz", "format"]),
        (["--keypoints", "{folder}/keypoints.npz", "--checkpoint", "{folder}/nothing.pth"], ["nothing.pth", "no such file"]),
        (["--video", "{folder}/clip.mp4", "--detector", "eyes"], ["eyes", "mediapipe"]),
        (["--video", "{folder}/clip.mp4", "--detector", "nobody"], ["clip.mp4", "no person was found"]),
        (["--video", "{folder}/clip.mp4", "--output", "{folder}/weights.pth/x"], ["weights.pth/x", "cannot be written"]),
        (["--keypoints", "{folder}/keypoints.npz", "--height", "17"], ["--height"]),
    ],
)
def test_bad_input_is_one_sentence(
    flags: list[str],
    words: list[str],
    folder: Path,
    main: Main,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr("demo.detect.DETECTORS", DETECTORS | {"nobody": lambda model: Scripted("." * FRAMES)})
    flags = [flag.format(folder=folder) for flag in flags]
    output = [] if "--output" in flags else ["--output", tmp_path / "out"]
    weights = [] if "--checkpoint" in flags else ["--checkpoint", folder / "weights.pth"]
    with pytest.raises(SystemExit) as stop:
        main("demo/vis.py", *flags, *output, *weights)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    assert not (tmp_path / "out" / "poses.npz").exists()


def test_poses_of_another_video_are_refused(folder: Path, main: Main, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = walker(5) * [0.25, 0.25, 1]
    write_keypoints(tmp_path / "other.npz", other[None], FPS, (640, 480))
    with pytest.raises(SystemExit):
        main("demo/vis.py", "--video", folder / "clip.mp4", "--keypoints", tmp_path / "other.npz", "--checkpoint", folder / "weights.pth",
             "--output", tmp_path / "out")  # fmt: skip
    assert "320x180" in (error := capsys.readouterr().err)
    assert "640x480" in error


def test_stages_side_by_side() -> None:
    with stages.ahead(range(50)) as items:
        assert list(items) == list(range(50))

    def broken() -> Iterator[int]:
        yield 1
        raise InputError("the end")

    with stages.ahead(broken()) as items:
        assert next(items) == 1
        with pytest.raises(InputError, match="the end"):
            next(items)


@pytest.mark.parametrize("error", [None, InputError("bad"), KeyboardInterrupt()])
def test_a_stage_that_is_left_has_ended_its_thread_and_closed_its_source(error: BaseException | None) -> None:
    closed, before = [], threading.active_count()

    def endless(name: str, source: Iterator[int] | None = None) -> Iterator[int]:
        try:
            yield from source or itertools.count()
        finally:
            closed.append(name)

    with (
        contextlib.suppress(InputError, KeyboardInterrupt),
        stages.ahead(endless("first")) as first,
        stages.ahead(endless("second", first)) as second,
    ):
        assert next(second) == 0
        if error:
            raise error
    assert threading.active_count() == before
    assert closed == ["second", "first"]


def test_a_video_is_never_whole_in_memory() -> None:
    taken = 0

    def counted() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken = number
            yield number

    with stages.ahead(counted()) as items:
        for number in items:
            assert taken - number <= stages.AHEAD + 2
