"""In-the-wild training: its test file is read back or refused in a sentence, and a tiny run goes from motion to a
checkpoint that says what it reads. What is drawn is tested in test_wild_draw.py.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from common.data.datasets import read_sequences
from common.data.wild_file import View, read_wild_file, write_wild_file
from common.data.world_motion import WorldClip, read_world_motion, write_world_motion
from common.errors import InputError
from common.geometry.normalise import Normaliser
from common.geometry.skeleton import H36M
from common.inference.checkpoint import read_checkpoint
from common.training.recipes import WILD
from common.wild import BONES, HEIGHT, WildDataset
from tests.test_training import check_same_end, identical, last, weights_of
from tests.test_wild_draw import FPS, TRAIN, bones, errors, walker

Main = Callable[..., None]
Arrays = dict[str, np.ndarray]

TEST = [
    WorldClip("03_01", "03", "test", True, walker(70, 4)),
    WorldClip("09_01", "09", "test", False, walker(60, 5, "Greeting")),
    WorldClip("09_02", "09", "test", False, walker(12, 6)),
]


# The file.


def write_motion(folder: Path, clips: list[WorldClip], name: str = "tiny") -> Path:
    path = folder / f"motion_{name}.npz"
    write_world_motion(path, source="walkers made by rule", fps=FPS, clips=clips)
    return path


@pytest.fixture(scope="session")
def wild_root(main: Main, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of motion_tiny.npz and of the wild_test.npz that is made from it; not to be written to."""
    folder = tmp_path_factory.mktemp("wild")
    motion = write_motion(folder, [*TRAIN, *TEST])
    main(
        "dataset/prepare_wild.py",
        "--motion",
        motion,
        "--output",
        folder / "wild_test.npz",
        "--windows",
        5,
        "--frames",
        24,
    )
    return folder


def arrays_of(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    view = View(
        rng.random((3, 4, 17, 3)),
        rng.random((3, 4, 17, 3)),
        np.array([[640, 480], [1080, 1920], [7, 8]]),
        np.arange(3) + 1.0,
    )
    path = tmp_path / "wild_test.npz"
    write_wild_file(path, view, ["03_02", "14_07", "03_11"], 30, "made up")
    sequences, source = read_wild_file(path)
    assert source == "made up"
    for number, (sequence, subject) in enumerate(zip(sequences, ("03", "14", "03"), strict=True)):
        np.testing.assert_array_equal(sequence.pose_2d, view.pose_2d[number].astype(np.float32))
        np.testing.assert_array_equal(sequence.pose_3d, view.pose_3d[number].astype(np.float32))
        assert (sequence.subject, sequence.action, sequence.fps) == (subject, f"subject {subject}", 30.0)
        assert sequence.size == tuple(view.size[number])
    np.testing.assert_array_equal(arrays_of(path)["focal"], [1, 2, 3])
    assert [sequence.camera for sequence in read_wild_file(path, ["subject 03"])[0]] == ["window 0", "window 2"]
    data = read_sequences("wild", tmp_path, "noisy", "test", "subject 14")
    assert (len(data.sequences), data.skeleton, data.source, data.pooled) == (1, H36M, "made up", True)
    with pytest.raises(InputError, match="no window of subject 04; --actions may name subject 03, subject 14"):
        read_wild_file(path, ["subject 04", "subject 03"])
    arrays = {name: values for name, values in arrays_of(path).items() if name != "source"}
    np.savez(path, **arrays)
    assert "wild_test.npz" in read_wild_file(path)[1]


def put(index: object, value: object) -> Callable[[np.ndarray], np.ndarray]:
    def changed(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[index] = value
        return values

    return changed


# what: (field, the field spoilt, words of the sentence beside the file's name)
SPOILT: dict[str, tuple[str, Callable[[np.ndarray], object], list[str]]] = {
    "16 joints": ("pose_3d", lambda v: v[:, :, :16], ["pose_3d", "(5, 24, 16, 3)"]),
    "2D of 16 joints": ("pose_2d", lambda v: v[:, :, :16], ["pose_2d", "(5, 24, 16, 3)"]),
    "2D without scores": ("pose_2d", lambda v: v[..., :2], ["pose_2d", "(5, 24, 17, 2)"]),
    "2D of fewer windows": ("pose_2d", lambda v: v[:3], ["pose_2d", "(3, 24, 17, 3)"]),
    "one window": ("pose_3d", lambda v: v[0], ["pose_3d", "(24, 17, 3)"]),
    "no windows": ("pose_3d", lambda v: v[:0], ["pose_3d", "(0, 24, 17, 3)"]),
    "no frames": ("pose_3d", lambda v: v[:, :0], ["pose_3d", "(5, 0, 17, 3)"]),
    "poses in words": ("pose_3d", lambda v: v.astype(str), ["pose_3d"]),
    "pixels in words": ("pose_2d", lambda v: v.astype(str), ["pose_2d"]),
    "NaN": ("pose_3d", put((2, 7, 3, 1), np.nan), ["window 2, pose_3d", "frame 7, joint 3"]),
    "infinity": ("pose_2d", put((4, 0, 16, 2), np.inf), ["window 4, pose_2d", "frame 0, joint 16"]),
    "a size of nothing": ("size", put((1, 0), 0), ["size"]),
    "a size below nothing": ("size", put((1, 1), -720), ["size"]),
    "a size under a pixel": ("size", lambda v: v * 1e-4, ["size"]),
    "a size without end": ("size", lambda v: put((0, 0), np.inf)(v.astype(float)), ["size"]),
    "a size that is no number": ("size", lambda v: put((0, 0), np.nan)(v.astype(float)), ["size"]),
    "sizes in words": ("size", lambda v: v.astype(str), ["size"]),
    "sizes without height": ("size", lambda v: v[:, 0], ["size"]),
    "one size": ("size", lambda v: v[0], ["size"]),
    "a clip too few": ("clips", lambda v: v[:4], ["clips"]),
    "clips in numbers": ("clips", lambda v: np.arange(5), ["clips"]),
    "clips as objects": ("clips", lambda v: v.astype(object), ["clips"]),
    "poses as objects": ("pose_3d", lambda v: v.astype(object), ["pose_3d"]),
    "fps of nothing": ("fps", lambda v: 0, ["fps"]),
    "fps of each window": ("fps", lambda v: np.full(5, 50.0), ["fps"]),
    "fps in words": ("fps", lambda v: "fast", ["fps"]),
    "sources": ("source", lambda v: np.array(["a", "b"]), ["source"]),
    "a source in numbers": ("source", lambda v: 3, ["source"]),
}


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_wild_file(path)
    sentence = str(error.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert "; " in sentence  # and it says what to do
    return sentence


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_field_is_one_sentence(name: str, wild_root: Path, tmp_path: Path) -> None:
    arrays, (field, spoil, named) = arrays_of(wild_root / "wild_test.npz"), SPOILT[name]
    arrays[field] = np.asarray(spoil(arrays[field]))
    np.savez(tmp_path / "a.npz", **arrays)
    sentence = refused(tmp_path / "a.npz")
    for words in named:
        assert words in sentence


@pytest.mark.parametrize("field", ["pose_2d", "pose_3d", "size", "clips", "fps"])
def test_a_missing_field_is_one_sentence(field: str, wild_root: Path, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        **{name: values for name, values in arrays_of(wild_root / "wild_test.npz").items() if name != field},
    )
    assert f"field {field} is missing; see common/data/wild_file.py" in refused(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [None, b"", b"poses\n", "half"], ids=["missing", "empty", "text", "half"])
def test_a_file_that_is_no_npz(content: object, wild_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "wild_test.npz"
    if content is not None:
        whole = (wild_root / "wild_test.npz").read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    sentence = refused(path)
    if content is None:
        assert "no such file; make one with dataset/prepare_wild.py" in sentence


# dataset/prepare_wild.py


def make(main: Main, motion: Path, output: Path, *flags: object) -> Arrays:
    main("dataset/prepare_wild.py", "--motion", motion, "--output", output, *flags)
    return arrays_of(output)


def test_the_same_seed_writes_the_same_file(main: Main, wild_root: Path, tmp_path: Path) -> None:
    motion, flags = wild_root / "motion_tiny.npz", ("--frames", 24)
    again = make(main, motion, tmp_path / "a.npz", *flags, "--windows", 5)
    assert (tmp_path / "a.npz").read_bytes() == (wild_root / "wild_test.npz").read_bytes()
    fewer = make(main, motion, tmp_path / "b.npz", *flags, "--windows", 2)
    np.testing.assert_array_equal(fewer["pose_2d"], again["pose_2d"][:2])
    other = make(main, motion, tmp_path / "c.npz", *flags, "--windows", 5, "--seed", 1)
    assert not np.array_equal(other["pose_2d"], again["pose_2d"])


def test_windows_are_real_motion_of_test_people(
    main: Main, wild_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arrays = make(main, wild_root / "motion_tiny.npz", tmp_path / "a.npz", "--windows", 60, "--frames", 31)
    out = capsys.readouterr().out
    assert "left out: 1 of 3 test clips" in out
    assert "60 windows of 31 frames at 50 Hz" in out
    assert "2 test people (03, 09)" in out
    assert str(tmp_path / "a.npz") in out
    assert {name: (values.dtype.kind, values.shape) for name, values in arrays.items()} == {
        "pose_2d": ("f", (60, 31, 17, 3)), "pose_3d": ("f", (60, 31, 17, 3)), "size": ("i", (60, 2)),
        "focal": ("f", (60,)),
        "clips": ("U", (60,)), "fps": ("f", ()), "source": ("U", ()),
    }  # fmt: skip
    assert "walkers made by rule" in str(arrays["source"])
    assert "prepare_wild.py, seed 0" in str(arrays["source"])
    assert arrays["fps"] == FPS
    names = arrays["clips"].tolist()
    assert {name: names.count(name) for name in names} == {
        "03_01": pytest.approx(32, abs=12),
        "09_01": pytest.approx(28, abs=12),
    }
    starts = set()
    for name, pose in zip(names, arrays["pose_3d"], strict=True):
        clip = next(clip for clip in TEST if clip.name == name).pose
        if (
            name == "03_01"
        ):  # the person's own bones: the distances between joints are those of the clip, frame by frame
            apart, wanted = (np.linalg.norm(p[:, [3, 6, 13, 16]] - p[:, [16, 13, 6, 3]], axis=-1) for p in (pose, clip))
            misfit = [np.abs(apart - wanted[start : start + 31]).max() for start in range(len(clip) - 30)]
            assert min(misfit) < 1e-4
            starts.add(int(np.argmin(misfit)))
        else:
            np.testing.assert_allclose(bones(pose) / BONES[1:], 1, atol=0.4)
            assert np.abs(bones(pose)[0] - bones(clip)[0]).max() > 0.005
    assert len(starts) > 10
    view = arrays["pose_3d"], arrays["size"], arrays["focal"]
    assert np.median(np.abs(errors(arrays["pose_2d"], view))) == pytest.approx(0.0103, rel=0.1)
    assert (arrays["pose_2d"][..., 2] > 0).all()


def test_clips_seen_whole(main: Main, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Every clip as long as it is, by several cameras, under what is done in it."""
    clips = [replace(TEST[0], content="walk"), replace(TEST[2], content="keyed sit"), TEST[1], TRAIN[0]]
    motion = write_motion(tmp_path, clips)
    arrays = make(main, motion, tmp_path / "a.npz", "--whole", 2)
    assert "3 clips, each seen by 2 cameras" in capsys.readouterr().out
    assert arrays["pose_3d"].shape == (6, 70, 17, 3)
    assert arrays["length"].tolist() == [70, 70, 12, 12, 60, 60]
    sequences, _ = read_wild_file(tmp_path / "a.npz")
    assert [(sequence.subject, sequence.action, len(sequence)) for sequence in sequences] == [
        *[("03", "walk", 70)] * 2, *[("09", "keyed sit", 12)] * 2, *[("09", "subject 09", 60)] * 2,
    ]  # fmt: skip
    for sequence, clip in zip(sequences[::2], clips, strict=False):
        angle = [
            (pose[:, 2] - pose[:, 1]) / np.linalg.norm(pose[:, 2] - pose[:, 1], axis=-1, keepdims=True)
            for pose in (sequence.pose_3d, clip.pose)
        ]
        turns = [(one[1:] * one[:-1]).sum(-1) for one in angle]
        np.testing.assert_allclose(*turns, atol=1e-5)  # the whole motion at its own speed
        assert not np.allclose(sequence.pose_2d[0], sequences[1].pose_2d[0])
    assert len(read_wild_file(tmp_path / "a.npz", ["keyed sit"])[0]) == 2
    again = make(main, motion, tmp_path / "b.npz", "--whole", 2)
    np.testing.assert_array_equal(again["pose_2d"], arrays["pose_2d"])


def test_windows_of_different_lengths_are_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poses = [rng.random((frames, 17, 3)).astype(np.float32) for frames in (4, 9, 1)]
    view = View(poses, [pose + 1 for pose in poses], np.full((3, 2), 640), np.ones(3))
    path = tmp_path / "wild_test.npz"
    write_wild_file(path, view, ["03_02", "14_07", "03_11"], 30, "made up", ["sit", "walk", "sit"])
    sequences, _ = read_wild_file(path)
    for sequence, pose, action in zip(sequences, poses, ("sit", "walk", "sit"), strict=True):
        np.testing.assert_array_equal(sequence.pose_2d, pose)
        np.testing.assert_array_equal(sequence.pose_3d, pose + 1)
        assert sequence.action == action
    assert np.isfinite(arrays_of(path)["pose_3d"]).all()
    for field, value in (
        ("length", [4, 10, 1]),
        ("length", [4, 0, 1]),
        ("length", [4, 9]),
        ("action", [1, 2, 3]),
        ("action", ["sit"]),
    ):
        np.savez(tmp_path / "b.npz", **arrays_of(path) | {field: np.array(value)})
        assert f"field {field}" in refused(tmp_path / "b.npz")


def test_no_one_to_train_on_is_taken(main: Main, tmp_path: Path) -> None:
    """Not even where training has the most motion; people who are to be trained on alone are no test set."""
    train = [replace_clip(clip, "train") for clip in (TEST[0], TEST[1])]
    arrays = make(
        main, write_motion(tmp_path, [*TRAIN, TEST[2], *train]), tmp_path / "a.npz", "--windows", 20, "--frames", 5
    )
    assert set(arrays["clips"].tolist()) == {"09_02"}


def test_clips_are_drawn_in_proportion_to_their_length(main: Main, tmp_path: Path) -> None:
    clips = [
        WorldClip("03_01", "03", "test", True, walker(30, 1)),
        WorldClip("03_02", "03", "test", True, walker(270, 2)),
    ]
    arrays = make(main, write_motion(tmp_path, clips), tmp_path / "a.npz", "--windows", 200, "--frames", 2)
    assert arrays["clips"].tolist().count("03_01") == pytest.approx(20, abs=10)


def replace_clip(clip: WorldClip, split: str) -> WorldClip:
    return replace(clip, name="x" + clip.name, split=split)


BAD_FLAGS = {
    "no motion": (("--motion", "nosuch.npz"), ["nosuch.npz", "prepare_motion.py"]),
    "too long": (("--frames", 71), ["motion_tiny.npz", "--frames 71", "70"]),
    "no windows": (("--windows", 0), ["--windows", "'0'"]),
    "no frames": (("--frames", "many"), ["--frames", "'many'"]),
    "a seed below 0": (("--seed", -1), ["--seed", "'-1'"]),
    "no folder": (("--output", "motion_tiny.npz/a.npz"), ["cannot be written"]),
    "nobody to test": (("--motion", "motion_train.npz"), ["motion_train.npz", "'test'"]),
    "not a motion file": (("--motion", "wild_test.npz"), ["wild_test.npz", "format"]),
}


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_bad_input_of_prepare_wild(
    name: str,
    main: Main,
    wild_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for file in wild_root.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_motion(tmp_path, TRAIN, "train")
    monkeypatch.chdir(tmp_path)
    flags, named = BAD_FLAGS[name]
    with pytest.raises(SystemExit) as stop:
        main("dataset/prepare_wild.py", "--motion", "motion_tiny.npz", "--output", "a.npz", *flags)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for words in named:
        assert words in error
    assert not (tmp_path / "a.npz").exists()


# Training.

SIZES = ("--frames", 9, "--channel", 16, "--d_hid", 24, "--depth", 2, "--token_num", 3, "--layer_index", 1)
FLAGS = (*SIZES, "--recipe", "wild", "--motion", "tiny", "--device", "cpu", "--stride", 12, "--batch_size", 8)
BATCHES = 3  # of an epoch: 230 frames / 12 = 20 windows
Train = Callable[..., Path]


@pytest.fixture(scope="session")
def train(main: Main, wild_root: Path) -> Train:
    """train(FOLDER, *FLAGS) trains a tiny model by the recipe for two epochs and returns the folder."""

    def call(folder: Path, *flags: object) -> Path:
        main("main_mixste.py", "--root_path", wild_root, *FLAGS, "--nepoch", 2, "--checkpoint", folder, *flags)
        return folder

    return call


@pytest.fixture(scope="session")
def unbroken(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unbroken run; not to be written to."""
    folder = tmp_path_factory.mktemp("unbroken_wild")
    return train(folder / "run", "--results", folder / "results.json")


def test_a_run_by_the_recipe(unbroken: Path) -> None:
    content = last(unbroken)
    results = json.loads((unbroken.parent / "results.json").read_text())
    assert [row["epoch"] for row in content["progress"]["history"]] == [1, 2]
    assert results["mpjpe"] == content["progress"]["history"][-1]["mpjpe"]  # the last epoch, be it the best or not
    assert "walkers made by rule" in results["source"]
    name = f"model_2_{int(100 * results['mpjpe'])}.pth"
    assert {path.name for path in unbroken.iterdir()} == {"configs.txt", "train.log", "curves.png", "last.pt", name}
    checkpoint = read_checkpoint(unbroken)
    assert checkpoint.normaliser == WILD.normaliser == Normaliser("box", in_channels=3, fps=25.0, height=HEIGHT)
    assert (checkpoint.name, checkpoint.sizes["in_channels"], checkpoint.sizes["frames"]) == ("mixste.hot_mixste", 3, 9)
    arguments = content["arguments"]
    assert {key: arguments[key] for key in ("recipe", "dataset", "lr", "seed", "batch_size")} == {
        "recipe": "wild", "dataset": "wild", "lr": 1e-3, "seed": 1, "batch_size": 8,
    }  # fmt: skip
    assert results["actions"].keys() <= {"subject 03", "subject 09"}
    assert sum(action["frames"] for action in results["actions"].values()) == 5 * 24


def test_every_epoch_sees_every_window_anew(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, real = {1: {}, 2: {}}, WildDataset.__getitem__

    def get(self: WildDataset, items: np.ndarray) -> object:
        batch = real(self, items)
        drawn[self.epoch].update(zip(items.tolist(), batch.pose_2d, strict=True))
        return batch

    monkeypatch.setattr(WildDataset, "__getitem__", get)
    train(tmp_path / "run")
    assert sorted(drawn[1]) == sorted(drawn[2]) == list(range(20))
    assert list(drawn[1]) != list(drawn[2])
    assert not any(torch.equal(drawn[1][item], drawn[2][item]) for item in drawn[1])


def test_the_mean_of_the_weights_is_the_result(unbroken: Path) -> None:
    content, saved = last(unbroken), weights_of(unbroken)
    mean = {name.removeprefix("module."): value for name, value in content["mean"].items() if name != "n_averaged"}
    assert identical(saved, mean)
    assert content["mean"]["n_averaged"] == 2 * BATCHES
    assert not identical(saved, content["model"])


def test_the_learning_rate_rises_and_falls(unbroken: Path) -> None:
    rates = [row["lr"] for row in last(unbroken)["progress"]["history"]]
    assert 1e-3 > rates[0] > rates[1] > 0  # after half of the steps and before the last
    assert rates[1] < 2e-4


def test_testing_the_checkpoint_gives_the_score_of_the_training(
    unbroken: Path, main: Main, wild_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    expected = json.loads((unbroken.parent / "results.json").read_text())
    test = ("--test", "--previous_dir", unbroken, "--root_path", wild_root, "--device", "cpu", "--batch_size", 8)
    for flags in (("--dataset", "wild"), ("--recipe", "wild")):
        main("main_mixste.py", *test, *flags, "--results", tmp_path / "results.json")
        found = json.loads((tmp_path / "results.json").read_text())
        assert found["actions"] == expected["actions"]
        assert found["mpjpe"] == expected["mpjpe"]
        out = capsys.readouterr().out
        assert "mean of all frames" in out
        assert f"{expected['mpjpe']:.2f}" in out


class Killed(Exception):
    """Stands for a power cut: nothing is saved after it."""


def breaking(monkeypatch: pytest.MonkeyPatch, at: int, how: Callable[[], object]) -> None:
    """Do `how` while batch `at` of the training is drawn, counted from 1."""
    real, count = WildDataset.__getitem__, 0

    def get(self: WildDataset, items: np.ndarray) -> object:
        nonlocal count
        count += 1
        if count == at:
            how()
        return real(self, items)

    monkeypatch.setattr(WildDataset, "__getitem__", get)


def check_goes_on(run: Path, unbroken: Path, main: Main) -> None:
    progress = last(run)["progress"]
    assert (progress["epoch"], progress["step"]) == (2, 1)
    main("main_mixste.py", "--resume", run, "--save_every", 300)
    check_same_end(run, unbroken)
    assert identical(last(run)["mean"], last(unbroken)["mean"])


def test_going_on_after_a_signal(
    unbroken: Path, train: Train, main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, BATCHES + 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as stop:
        train(tmp_path / "run")
    assert stop.value.code == 128 + signal.SIGTERM
    check_goes_on(tmp_path / "run", unbroken, main)


def test_going_on_after_a_power_cut(
    unbroken: Path, train: Train, main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise Killed

    breaking(monkeypatch, BATCHES + 2, die)
    with pytest.raises(Killed):
        train(tmp_path / "run", "--save_every", 0)
    check_goes_on(tmp_path / "run", unbroken, main)


@pytest.mark.parametrize("script", ["main_mhformer.py", "main_mixste_tpc.py"])
def test_other_models_train_by_the_recipe(script: str, main: Main, wild_root: Path, tmp_path: Path) -> None:
    sizes = ("--frames", 9, "--channel", 16, "--d_hid", 24) + (
        ("--token_num", 3, "--layer_index", 1) if "tpc" in script else ()
    )
    main(
        script, "--root_path", wild_root, *FLAGS[len(SIZES) :], *sizes, "--nepoch", 1, "--checkpoint", tmp_path / "run"
    )
    content = last(tmp_path / "run")
    assert content["normaliser"]["kind"] == "box"
    assert np.isfinite(content["progress"]["history"][0]["loss"])
    assert content["optimizer"]["param_groups"][0]["weight_decay"] == 0.05
    stays = {
        name: value for name, value in content["model"].items() if "running" in name
    }  # batch norms do not look at the batch
    assert bool(stays) == (script == "main_mhformer.py")
    assert all((value == (1 if name.endswith("var") else 0)).all() for name, value in stays.items())


def sentence(main: Main, capsys: pytest.CaptureFixture, *argv: object) -> str:
    """The one sentence with which main_mixste.py ends, with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main("main_mixste.py", *argv)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_length_of_a_run_is_fixed_since_its_learning_rates_hang_on_it(
    epochs: int, unbroken: Path, main: Main, capsys: pytest.CaptureFixture
) -> None:
    error = sentence(main, capsys, "--resume", unbroken, "--nepoch", epochs)
    assert f"--nepoch is {epochs}, but the run to resume has 2" in error


REFUSED = {
    "the test set to train on": (
        ("--recipe", "published", "--dataset", "wild"),
        ["--dataset wild is a test set", "--recipe wild"],
    ),
    "no such motion": (("--motion", "nosuch"), ["motion_nosuch.npz", "no such file"]),
    "motion of test people": (("--motion", "mixed"), ["motion_mixed.npz", "subject 09", "test set"]),
    "motion that is kept for testing": (
        ("--motion", "kept"),
        ["motion_kept.npz", "clip dm_crawl", "kept for testing", "HELD_OUT"],
    ),
    "parts of no such name": (("--without", "slow,arms"), ["--without", "'arms'", "limbs"]),
    "no test set": (("--root_path", "."), ["wild_test.npz", "no such file", "prepare_wild.py"]),
    "other 2D": (("--keypoints", "gt"), ["--keypoints", "'gt'"]),
    "nobody of that name": (("--actions", "subject 77"), ["subject 77", "subject 03"]),
    "part of the data": (("--subset", 0.5), ["--subset"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(
    name: str,
    wild_root: Path,
    tmp_path: Path,
    main: Main,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for file in wild_root.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_motion(tmp_path, [*TRAIN, replace_clip(TEST[1], "train"), TEST[0]], "mixed")
    write_motion(tmp_path, [*TRAIN, replace(TRAIN[0], name="dm_crawl", subject="x")], "kept")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    flags, named = REFUSED[name]
    error = sentence(
        main, capsys, "--root_path", tmp_path, *FLAGS, "--nepoch", 1, "--checkpoint", tmp_path / "run", *flags
    )
    for words in named:
        assert words in error
    assert not list((tmp_path).glob("run/*.p*"))


def test_motion_of_the_other_split_is_never_trained_on(wild_root: Path) -> None:
    clips, _, _ = read_world_motion(wild_root / "motion_tiny.npz", "train")
    assert {clip.subject for clip in clips} == {"01", "05"}
