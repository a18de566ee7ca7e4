"""The demo as a whole: stages that start from each other's files, results that fit the video, one sentence for bad
input.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from common.errors import InputError
from common.geometry.normalise import Normaliser
from common.inference.checkpoint import save_checkpoint
from demo import stages
from demo.convert import BLAZEPOSE_33
from demo.detect import DETECTORS
from demo.keypoint_files import read_keypoints, write_keypoints
from demo.poses import Poses, read_poses, write_poses
from demo.video_read import open_video
from demo.video_write import VideoWriter
from model import create_model
from tests.conftest import ROOT
from tests.test_errors import heed_signals
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
    flags = (
        "--video",
        folder / "clip.mp4",
        "--keypoints",
        folder / "keypoints.npz",
        "--checkpoint",
        folder / "weights.pth",
    )
    main("demo/vis.py", *flags, "--output", out, "--smooth")
    assert {path.name for path in out.iterdir()} == {
        "clip.mp4",
        "poses.npz",
        "poses.csv",
        "poses.json",
        "viewer.html",
        "written.json",
    }
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
    assert {path.name for path in again.iterdir()} == {
        "poses.mp4",
        "poses.csv",
        "poses.json",
        "viewer.html",
        "written.json",
    }
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


def test_nobody_in_the_first_frames_shifts_nothing(
    folder: Path, main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    found = ".xxxxxxxxx.x"
    detector = Scripted(found)
    monkeypatch.setattr("demo.detect.DETECTORS", {"scripted": lambda model: detector})
    out = tmp_path / "out"
    main(
        "demo/vis.py",
        "--video",
        folder / "clip.mp4",
        "--detector",
        "scripted",
        "--checkpoint",
        folder / "weights.pth",
        "--output",
        out,
    )
    poses = read_poses(out / "poses.npz")
    assert ["x" if there else "." for there in poses.valid[0]] == list(found)
    assert poses.posed[0].tolist() == [False] + [True] * 11
    assert read_video(out / "clip.mp4")[0] == FRAMES
    assert read_keypoints(out / "keypoints.npz")[0].shape == (1, FRAMES, 17, 3)
    assert "somebody in 10 of 12 frames" in capsys.readouterr().out
    assert detector.closed


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], ["nothing to do", "--video"]),
        (["--video", "nowhere.mp4"], ["nowhere.mp4", "no such file"]),
        (["--keypoints", "{folder}/keypoints.npz", "--poses", "{folder}/keypoints.npz"], ["--keypoints and --poses"]),
        (["--keypoints", "{folder}/weights.pth"], ["weights.pth"]),
        (["--poses", "{folder}/keypoints.npz"], ["keypoints.npz", "format"]),
        (
            ["--keypoints", "{folder}/keypoints.npz", "--checkpoint", "{folder}/nothing.pth"],
            ["nothing.pth", "no such file"],
        ),
        (["--video", "{folder}/clip.mp4", "--detector", "eyes"], ["eyes", "blazepose"]),
        (["--video", "{folder}/clip.mp4", "--detector", "nobody"], ["clip.mp4", "no person was found"]),
        (
            ["--video", "{folder}/clip.mp4", "--output", "{folder}/weights.pth/x"],
            ["weights.pth/x", "cannot be written"],
        ),
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


def check_refused(words: list[str], main: Main, capsys: pytest.CaptureFixture, *flags: object) -> None:
    """The demo ends with one sentence that has these words, and exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main("demo/vis.py", *flags)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for word in words:
        assert word in error


@pytest.mark.parametrize("stage", ["--keypoints", "--poses"])
@pytest.mark.parametrize(
    ("frames", "fps", "size", "words"),
    [
        (FRAMES, FPS, (640, 360), ["320x180", "640x360"]),
        (FRAMES, 30, SIZE, ["30 frames per second", "has 25"]),
        (FRAMES - 1, FPS, SIZE, ["of 11 frames", "has 12"]),
        (FRAMES + 30, FPS, SIZE, ["of 42 frames", "has 12"]),
    ],
)
def test_a_stage_of_another_video_is_refused(
    stage: str, frames: int, fps: float, size: tuple[int, int], words: list[str],
    folder: Path, main: Main, tmp_path: Path, capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    file, people = tmp_path / "of another.npz", walker(frames)[None] * [0.25, 0.25, 1]
    if stage == "--keypoints":
        write_keypoints(file, people, fps, size)
    else:
        write_poses(
            file, Poses(np.zeros((1, frames, 17, 3), np.float32), people, np.ones((1, frames), bool), fps, size)
        )
    flags = (
        "--video",
        folder / "clip.mp4",
        stage,
        file,
        "--checkpoint",
        folder / "weights.pth",
        "--output",
        tmp_path / "out",
    )
    check_refused([str(file), "clip.mp4", "give the video that they are of", *words], main, capsys, *flags)
    assert not (tmp_path / "out").exists()


def at_origin(poses: Poses) -> np.ndarray:
    """No offsets (P, T, 3): everybody stands where the poses are."""
    return np.zeros((*poses.valid.shape, 3), np.float32)


def test_a_video_whose_length_is_not_what_it_says_is_counted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    video = open_video(folder / "clip.mp4")
    stages.check_same_video(replace(video, frames=40), "a.npz", FRAMES, FPS, SIZE)
    people = walker(20)[None] * [0.25, 0.25, 1]
    poses = Poses(np.zeros((1, 20, 17, 3), np.float32), people, np.ones((1, 20), bool), FPS, SIZE)
    for claimed in (replace(video, frames=20), replace(video, frames=None)):
        with pytest.raises(
            InputError, match="the poses are of 20 frames, but the video has 12; give the video that they are of"
        ):
            stages.render(claimed, poses, at_origin(poses), tmp_path / "new.mp4", 100)
    assert list(tmp_path.iterdir()) == []
    poses = replace(poses, poses_3d=poses.poses_3d[:, :9], keypoints_2d=people[:, :9], valid=poses.valid[:, :9])
    with pytest.raises(InputError, match="the poses are of 9 frames, but the video has 12"):
        stages.render(video, poses, at_origin(poses), tmp_path / "new.mp4", 100)
    assert stages.render(None, poses, at_origin(poses), tmp_path / "new.mp4", 100) == 9
    assert read_video(tmp_path / "new.mp4")[0] == 9


def test_a_video_without_a_picture_is_one_sentence(folder: Path) -> None:
    empty = replace(open_video(folder / "clip.mp4"), pictures=lambda size: iter(()))
    with pytest.raises(InputError, match=r"clip\.mp4: holds no picture that can be read"):
        stages.detect_people(empty, Scripted(""), 4)


def test_what_exists_is_not_replaced(folder: Path, main: Main, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    stage = ("--keypoints", folder / "keypoints.npz", "--checkpoint", folder / "weights.pth")
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        shutil.copy(folder / "clip.mp4", tmp_path / name)
    first, second = tmp_path / "A" / "clip.mp4", tmp_path / "B" / "clip.mp4"
    check_refused(
        [str(first), "is read by this run"], main, capsys, "--video", first, *stage, "--output", tmp_path / "A"
    )
    assert first.read_bytes() == second.read_bytes()
    out = tmp_path / "out"
    for _ in range(2):
        main("demo/vis.py", "--video", first, *stage, "--output", out)
    drawn = (out / "clip.mp4").read_bytes()
    check_refused([f"is a result of {first}", "--output"], main, capsys, "--video", second, *stage, "--output", out)
    check_refused(["is read by this run"], main, capsys, "--video", out / "clip.mp4", *stage, "--output", out)
    (out / "poses.csv").write_text("mine")
    check_refused(["poses.csv", "was changed since"], main, capsys, "--video", first, *stage, "--output", out)
    assert ((out / "clip.mp4").read_bytes(), (out / "poses.csv").read_text()) == (drawn, "mine")
    for path in (tmp_path / "A", tmp_path / "B"):
        assert [file.name for file in path.iterdir()] == ["clip.mp4"]


def test_an_error_leaves_no_empty_folder(
    folder: Path, main: Main, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    flags = ("--video", tmp_path / "text.mp4", "--output", tmp_path / "new" / "out")
    check_refused(["text.mp4", "is not a video"], main, capsys, *flags)
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


def test_any_name_makes_results(folder: Path, main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = ("--checkpoint", folder / "weights.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("demo.detect.DETECTORS", {"scripted": lambda model: Scripted("x" * FRAMES)})
    pictures = tmp_path / "7"  # a folder, though cameras have such names
    pictures.mkdir()
    for _, seconds, picture in open_video(folder / "clip.mp4"):
        cv2.imwrite(str(pictures / f"{round(seconds * FPS)}.tiff"), picture)
    os.symlink("7", "link")
    for number, source in enumerate(("7", "7/", "./7", "link/")):
        main(
            "demo/vis.py",
            "--video",
            source,
            "--fps",
            FPS,
            "--detector",
            "scripted",
            *weights,
            "--output",
            f"out{number}/",
        )
        name = "link" if source == "link/" else "7"
        assert read_video(tmp_path / f"out{number}" / f"{name}.mp4")[0] == FRAMES
    video = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(folder / "clip.mp4", video)
    main("demo/vis.py", "--video", video, "--detector", "scripted", *weights, "--output", os.fsdecode(b"out\xe9"))
    assert read_video(tmp_path / os.fsdecode(b"out\xe9") / "caf_.mp4")[0] == FRAMES


# Scenes and flickers
# ---------------------------------------------------------------------------------------------------------


def people_of(found: str, folder: Path, most: int = 4) -> tuple[np.ndarray, Scripted]:
    """The keypoints, and the detector, of a video of two scenes, the second of which begins at the "|"."""
    rng = np.random.default_rng(0)
    scenes = [cv2.resize(rng.integers(0, 255, (9, 16, 3), np.uint8), SIZE) for _ in range(2)]
    detector, first = Scripted(found.replace("|", "")), len(found.split("|")[0])
    with VideoWriter(folder / "film.mp4", FPS, SIZE) as writer:
        for frame in range(len(detector.found)):
            writer.write(scenes[int(frame >= first)])
    return stages.detect_people(open_video(folder / "film.mp4"), detector, most), detector


def test_a_cut_ends_the_tracks(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    keypoints, detector = people_of("x" * 20 + "|" + "x" * 30, tmp_path)  # at the very same place
    seen = (keypoints[..., 2] > 0).any(axis=-1)  # (P, T)
    assert seen.tolist() == [[False] * 20 + [True] * 30, [True] * 20 + [False] * 30]
    assert detector.resets == [20]
    assert "2 scenes" in capsys.readouterr().out
    keypoints, _ = people_of("x" * 20 + "|" + "x" * 30, tmp_path, most=1)  # at a time
    assert len(keypoints) == 2


@pytest.mark.parametrize("found", ["." * 60, "." * 20 + "x" * 7 + "." * 20 + "x" * 9 + "." * 20])
def test_flickers_are_nobody(found: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"film\.mp4: no person was found for half a second"):
        people_of(found, tmp_path)


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


# Ends
# ----------------------------------------------------------------------------------------------------------------------

SLOW = """
import os, runpy, time
import demo.detect, demo.stages
from common.errors import InputError
from tests.test_demo_vis import FRAMES, Scripted

class Slow(Scripted):
    def detect(self, frame, time_):
        print("detecting", flush=True)
        if os.environ["STAGE"] == "bad" and self.frame == 5:
            raise InputError("bad")
        time.sleep(0.3 if os.environ["STAGE"] == "detecting" else 0)
        return super().detect(frame, time_)

def draw_3d(*args):
    print("drawing", flush=True)
    time.sleep(0.3)
    return draw(*args)

draw, demo.stages.draw_3d = demo.stages.draw_3d, draw_3d
demo.detect.DETECTORS["slow"] = lambda model: Slow("x" * FRAMES)
runpy.run_path("demo/vis.py", run_name="__main__")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("stage", "number"), [("detecting", signal.SIGINT), ("drawing", signal.SIGTERM), ("bad", None)]
)
def test_a_demo_that_is_stopped_leaves_whole_files_only(
    stage: str, number: int | None, folder: Path, tmp_path: Path
) -> None:
    flags = [
        "--video",
        folder / "clip.mp4",
        "--detector",
        "slow",
        "--checkpoint",
        folder / "weights.pth",
        "--output",
        tmp_path / "out",
    ]
    (tmp_path / "tmp").mkdir()
    settings = os.environ | {"STAGE": stage, "TMPDIR": str(tmp_path / "tmp")}
    command = [sys.executable, "-c", SLOW, *map(str, flags)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )
    while number is not None and process.stdout.readline().strip() != stage:
        assert process.poll() is None
    if number is not None:
        process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == (2 if number is None else 128 + number)
    assert error.count("\n") == 1
    assert error.startswith("error: bad" if number is None else "stopped by ")
    assert list((tmp_path / "tmp").iterdir()) == []
    left = {path.name for path in (tmp_path / "out").iterdir()} if (tmp_path / "out").exists() else set()
    assert left == (
        {"keypoints.npz", "poses.npz", "poses.csv", "poses.json", "viewer.html", "written.json"}
        if stage == "drawing"
        else set()
    )
