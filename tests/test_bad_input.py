"""Bad input: one sentence on stderr that names the file, flag or value, and exit code 2; a bug keeps its traceback and
exit code 1.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from common import experiment
from common.geometry.normalise import Normaliser
from common.inference.checkpoint import save_checkpoint
from model import create_model
from tests import synthetic
from tests.conftest import ROOT
from tests.rules import filled

Main = Callable[..., None]
SIZES = {"frames": 9, "channel": 16, "token_num": 3, "layer_index": 1}
FLAGS = [word for size, value in SIZES.items() for word in (f"--{size}", value)]
LENGTHS = {"S9": {"Walking": 12, "Sitting": 9}, "S11": {"Walking": 5, "Sitting 1": 10}}


class World(NamedTuple):
    """Good input to spoil: data in both formats and weights of a tiny HoT w. MixSTE, plain and as we save them."""

    h36m: Path
    tiny: Path
    plain: Path
    ours: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> World:
    folder = tmp_path_factory.mktemp("world")
    model = filled(create_model("mixste.hot_mixste", **SIZES))
    torch.save(model.state_dict(), folder / "plain.pth")
    save_checkpoint(folder / "ours.pth", model, Normaliser())
    return World(synthetic.write_h36m(folder / "data", LENGTHS), tiny_root, folder / "plain.pth", folder / "ours.pth")


@pytest.fixture
def refused(
    main: Main, world: World, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """refused(*FLAGS, root=...) tests good weights, unless the flags say otherwise, and returns the one sentence of the
    refusal.
    """
    monkeypatch.chdir(tmp_path)

    def call(
        *flags: object, root: Path | None = None, script: str = "main_mixste.py", test: bool = True, sizes: list = FLAGS
    ) -> str:
        start = ["--test", "--previous_dir", world.plain] if test else ["--nepoch", 1, "--checkpoint", tmp_path / "run"]
        data = ["--root_path", root or world.h36m, "--stride", 9, "--device", "cpu", "--batch_size", 64]
        with pytest.raises(SystemExit) as stop:
            main(script, *start, *data, *sizes, *flags)
        error = capsys.readouterr().err
        assert stop.value.code == 2, error
        assert error.startswith("error: ")
        assert error.count("\n") == 1, error
        assert error.endswith("\n")
        assert "Traceback" not in error
        assert len(error) > 30
        return error

    return call


def test_the_good_input_is_good(main: Main, world: World, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = ["--root_path", world.h36m, "--stride", 9, "--device", "cpu", *FLAGS]
    main(
        "main_mixste.py", "--test", "--previous_dir", world.plain, *data, "--results", tmp_path / "new" / "results.json"
    )
    assert (tmp_path / "new" / "results.json").exists()
    assert capsys.readouterr().err == ""


# The data of --dataset h36m.


def spoilt(folder: Path, spoil: Callable[[dict, dict, dict], object]) -> Path:
    """The Human3.6M layout after `spoil` has changed positions_3d, the 2D and its metadata in place."""
    poses, _, detected = synthetic.h36m_positions(LENGTHS)
    metadata = dict(synthetic.METADATA)
    spoil(poses, detected, metadata)
    return synthetic.save_h36m(folder / "data", poses, None, detected, metadata)


def put(mapping: object, *keys: object, value: object) -> None:
    """mapping[k1][k2]... = value"""
    for key in keys[:-1]:
        mapping = mapping[key]
    mapping[keys[-1]] = value


SPOILT = {
    "subject missing in 3D": (lambda p, d, m: p.pop("S11"), ["data_3d_h36m.npz", "subject S11"]),
    "subject missing in 2D": (lambda p, d, m: d.pop("S9"), ["data_2d_h36m_cpn_ft_h36m_dbb.npz", "subject S9"]),
    "action missing in 2D": (
        lambda p, d, m: d["S9"].pop("Sitting"),
        ["data_2d_h36m_cpn_ft_h36m_dbb.npz", "S9", "'Sitting'"],
    ),
    "no actions at all": (lambda p, d, m: (p["S9"].clear(), p["S11"].clear()), ["data_3d_h36m.npz"]),
    "three cameras": (
        lambda p, d, m: d["S9"]["Walking"].pop(),
        ["cpn_ft_h36m_dbb.npz", "S9", "Walking", "3 cameras", "4"],
    ),
    "five cameras": (lambda p, d, m: d["S9"]["Walking"].append(d["S9"]["Walking"][0]), ["S9", "Walking", "5 cameras"]),
    "a number of cameras": (
        lambda p, d, m: put(d, "S9", "Walking", value=4),
        ["cpn_ft_h36m_dbb.npz", "S9", "Walking", "no cameras"],
    ),
    "no cameras": (
        lambda p, d, m: put(d, "S9", "Walking", value=[]),
        ["cpn_ft_h36m_dbb.npz", "S9", "Walking", "0 cameras"],
    ),
    "NaN in 2D": (
        lambda p, d, m: put(d["S11"]["Walking"][2], (3, 5, 1), value=np.nan),
        ["cpn_ft", "S11", "Walking", "frame 3, joint 5"],
    ),
    "infinity in 2D": (
        lambda p, d, m: put(d["S9"]["Walking"][0], (0, 0, 0), value=-np.inf),
        ["S9", "frame 0, joint 0"],
    ),
    "NaN in 3D": (
        lambda p, d, m: put(p["S9"]["Sitting"], (4, 6, 2), value=np.nan),
        ["data_3d", "S9", "Sitting", "frame 4, joint 4"],
    ),
    "3D far away": (
        lambda p, d, m: put(p["S9"]["Sitting"], (4, 6, 2), value=1e30),
        ["data_3d", "S9", "Sitting", "frame 4, joint 4", "1e+30", "100000"],
    ),
    "2D far away": (
        lambda p, d, m: put(d["S9"]["Sitting"][1], (4, 6, 1), value=-2e7),
        ["cpn_ft", "S9", "Sitting", "frame 4, joint 6", "-2e+07", "1e+07"],
    ),
    "2D too short": (
        lambda p, d, m: put(d["S9"]["Walking"], 1, value=d["S9"]["Walking"][1][:5]),
        ["S9", "Walking", "5 frames", "12"],
    ),
    "2D of 16 joints": (
        lambda p, d, m: put(d["S9"]["Walking"], 1, value=d["S9"]["Walking"][1][:, :16]),
        ["S9", "Walking", "16"],
    ),
    "2D of 4 axes": (
        lambda p, d, m: put(d["S9"]["Walking"], 0, value=np.zeros((12, 17, 4))),
        ["S9", "Walking", "(12, 17, 4)"],
    ),
    "2D of words": (lambda p, d, m: put(d["S9"]["Walking"], 0, value=np.full((12, 17, 2), "x")), ["S9", "Walking"]),
    "2D of ragged lists": (lambda p, d, m: put(d["S9"]["Walking"], 0, value=[[1, 2], [3]]), ["S9", "Walking"]),
    "3D of words": (
        lambda p, d, m: put(p, "S9", "Walking", value=np.full((12, 32, 3), "x")),
        ["data_3d_h36m.npz", "S9", "Walking"],
    ),
    "3D of objects": (
        lambda p, d, m: put(p, "S9", "Walking", value=np.full((12, 32, 3), None)),
        ["data_3d_h36m.npz", "S9", "Walking"],
    ),
    "3D of 20 joints": (
        lambda p, d, m: put(p, "S9", "Walking", value=np.zeros((12, 20, 3))),
        ["data_3d_h36m.npz", "S9", "Walking"],
    ),
    "3D of no frames": (
        lambda p, d, m: put(p, "S9", "Walking", value=np.zeros((0, 32, 3))),
        ["data_3d_h36m.npz", "S9", "Walking"],
    ),
    "3D that is a list": (lambda p, d, m: put(p, "S9", "Walking", value=[1, 2]), ["data_3d_h36m.npz", "S9", "Walking"]),
    "a subject that is a list": (lambda p, d, m: put(p, "S9", value=[1, 2]), ["data_3d_h36m.npz", "S9"]),
    "an action that is a number": (
        lambda p, d, m: put(p, "S9", 3, value=p["S9"]["Walking"]),
        ["data_3d_h36m.npz", "key of type int"],
    ),
    "metadata of another skeleton": (
        lambda p, d, m: m.update(num_joints=16),
        ["cpn_ft_h36m_dbb.npz", "num_joints", "16"],
    ),
    "metadata of words": (lambda p, d, m: m.update(num_joints="many"), ["cpn_ft_h36m_dbb.npz", "num_joints"]),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_h36m_files(name: str, refused: Callable[..., str], tmp_path: Path) -> None:
    spoil, named = SPOILT[name]
    error = refused(root=spoilt(tmp_path, spoil))
    for words in named:
        assert words in error


@pytest.mark.parametrize("file", ["data_3d_h36m.npz", "data_2d_h36m_cpn_ft_h36m_dbb.npz"])
@pytest.mark.parametrize(
    "kind", ["missing", "empty", "truncated", "text", "folder", "npy", "no field", "not a dictionary"]
)
def test_spoilt_files(kind: str, file: str, refused: Callable[..., str], tmp_path: Path) -> None:
    path = spoilt(tmp_path, lambda *_: None) / file
    if kind in ("missing", "folder"):
        path.unlink()
        if kind == "folder":
            path.mkdir()
    elif kind in ("empty", "truncated"):
        data = path.read_bytes()
        path.write_bytes(data[: {"empty": 0, "truncated": len(data) // 2}[kind]])
    elif kind == "text":
        path.write_text("positions\n")
    elif kind == "npy":
        with open(path, "wb") as out:
            np.save(out, np.zeros(3))
    elif kind == "no field":
        np.savez(path, something=np.zeros(3))
    else:
        np.savez(path, positions_3d=np.zeros(3), positions_2d=np.zeros(3), metadata={})
    error = refused(root=path.parent)
    assert str(path) in error
    if kind == "missing":
        assert "no such file" in error
    if kind in ("no field", "not a dictionary"):
        assert "field positions_" in error


class Hostile:
    """Unpickled, it would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.target}",)


def test_a_hostile_npz(refused: Callable[..., str], tmp_path: Path) -> None:
    root = spoilt(tmp_path, lambda p, d, m: put(p, "S9", "Walking", value=Hostile(tmp_path / "created")))
    error = refused(root=root)
    assert str(root / "data_3d_h36m.npz") in error
    assert "positions_3d" in error
    assert "system" in error
    assert not (tmp_path / "created").exists()


def test_training_needs_the_subjects_to_train_on(refused: Callable[..., str]) -> None:
    assert "subject S1 is missing" in refused(test=False)


# Data in the project's own format.


TINY = {
    "NaN in 2D": (
        lambda a: put(a["pose_2d_noisy"], (45, 2, 0), value=np.nan),
        ["P2", "Sitting", "pose_2d_noisy", "frame 2, joint 2"],
    ),
    "NaN in 3D": (
        lambda a: put(a["pose_3d"], (80, 3, 0), value=np.nan),
        ["P3", "Walking", "pose_3d", "frame 6, joint 3"],
    ),
    "3D far away": (
        lambda a: put(a["pose_3d"], (2, 3, 2), value=-1e30),
        ["P1", "pose_3d", "frame 2, joint 3 is -1e+30", "100000"],
    ),
    "another format": (lambda a: a.update(format=np.array("hot-motion 9")), ["format", "hot-motion 9"]),
    "a field missing": (lambda a: a.pop("length"), ["field length is missing"]),
    "2D missing": (lambda a: a.pop("pose_2d_noisy"), ["'noisy'", "gt"]),
    "lengths that do not add up": (lambda a: put(a["length"], 0, value=42), ["pose_3d", "(106, 17, 3)"]),
    "a length of nothing": (lambda a: put(a["length"], 0, value=0), ["length"]),
    "16 joints": (lambda a: a.update(pose_3d=a["pose_3d"][:, :16]), ["pose_3d", "(106, 16, 3)"]),
    "no one to test on": (lambda a: put(a["split"], slice(None), value="train"), ["'test'"]),
    "objects": (lambda a: a.update(source=np.array([None, 1])), ["source"]),
    "fps in words": (lambda a: a.update(fps=np.array("fast")), ["fps"]),
    "fps of each clip": (lambda a: a.update(fps=np.full(4, 50.0)), ["fps"]),
    "sizes without height": (lambda a: a.update(size=a["size"][:, 0]), ["size"]),
    "poses in words": (lambda a: a.update(pose_3d=np.full((106, 17, 3), "x")), ["pose_3d"]),
    "lengths in fractions": (lambda a: a.update(length=a["length"] + [0.5, -0.5, 0.5, -0.5]), ["length"]),
}


@pytest.mark.parametrize("name", TINY)
def test_spoilt_motion_files(name: str, refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    with np.load(world.tiny / "data_tiny.npz") as file:
        arrays = dict(file)
    spoil, named = TINY[name]
    spoil(arrays)
    np.savez(tmp_path / "data_mine.npz", **arrays)
    error = refused(
        "--dataset", "mine", root=tmp_path, test=False
    )  # reads what is for testing, then what is for training
    assert str(tmp_path / "data_mine.npz") in error
    for words in named:
        assert words in error


@pytest.mark.parametrize("kind", ["missing", "truncated", "npy", "text"])
def test_spoilt_files_of_our_own(kind: str, refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    path, data = tmp_path / "data_mine.npz", (world.tiny / "data_tiny.npz").read_bytes()
    if kind == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "npy":
        with open(path, "wb") as out:
            np.save(out, np.zeros(3))
    elif kind == "text":
        path.write_text("motion\n")
    assert str(path) in refused("--dataset", "mine", root=tmp_path)


# Checkpoints.


def make_checkpoint(kind: str, folder: Path, world: World) -> Path:
    path = folder / "weights.pth"
    if kind == "missing":
        return path
    if kind == "empty folder":
        return folder
    if kind == "below a file":
        return world.plain / "weights.pth"
    if kind in ("empty", "truncated", "truncated a little"):
        data = world.plain.read_bytes()
        path.write_bytes(data[: {"empty": 0, "truncated": len(data) // 2, "truncated a little": len(data) - 9}[kind]])
    elif kind == "hostile":
        torch.save({"model": {"a": torch.zeros(1)}, "more": Hostile(folder / "created")}, path)
    elif kind == "text":
        path.write_text("weights\n")
    elif kind == "another model":
        torch.save(filled(create_model("mhformer.mhformer", frames=27, channel=16)).state_dict(), path)
    elif kind == "another model of ours":
        model = create_model("motionbert.motionbert", frames=9, channel=16)
        save_checkpoint(path, model, Normaliser(in_channels=3))
    elif kind == "another size":
        torch.save(filled(create_model("mixste.hot_mixste", **{**SIZES, "frames": 27})).state_dict(), path)
    elif kind == "another size of ours":
        save_checkpoint(path, create_model("mixste.hot_mixste", **{**SIZES, "frames": 27}), Normaliser())
    elif kind == "other pixels":
        save_checkpoint(path, create_model("mixste.hot_mixste", **SIZES), Normaliser("pixels"))
    elif kind == "an unknown model":
        torch.save({**torch.load(world.ours, weights_only=True), "name": "mixste.future"}, path)
    elif kind == "sizes that are none":
        torch.save({**torch.load(world.ours, weights_only=True), "sizes": 3}, path)
    elif kind == "a name that is none":
        torch.save({**torch.load(world.ours, weights_only=True), "name": 3}, path)
    elif kind == "weights that are not finite":
        torch.save({name: value * np.nan for name, value in torch.load(world.plain, weights_only=True).items()}, path)
    return path


CHECKPOINTS = {
    "missing": ["no such file"],
    "below a file": [],
    "empty folder": [".pth"],
    "empty": ["damaged"],
    "truncated": ["damaged"],
    "truncated a little": ["damaged"],
    "hostile": ["refused"],
    "text": [],
    "another model": ["mixste.hot_mixste", "it fits", "mhformer.mhformer with frames 27, channel 16"],
    "another model of ours": ["motionbert.motionbert", "mixste.hot_mixste"],
    "another size": ["mixste.hot_mixste with frames 9", "it fits", "mixste.hot_mixste with frames 27, channel 16"],
    "another size of ours": ["27", "9", "it fits"],
    "other pixels": ["--crop_uv"],
    "an unknown model": ["mixste.future"],
    "sizes that are none": ["sizes"],
    "a name that is none": ["name"],
    "weights that are not finite": ["finite"],
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_spoilt_checkpoints(kind: str, refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    path = make_checkpoint(kind, tmp_path, world)
    flags = ("--model", "mixste.hot_mixste") if kind != "an unknown model" else ()
    error = refused("--previous_dir", path, *flags)
    assert str(path) in error
    for words in CHECKPOINTS[kind]:
        assert words in error
    assert not (tmp_path / "created").exists()


def test_weights_of_another_model_do_not_start_a_training(
    refused: Callable[..., str], world: World, tmp_path: Path
) -> None:
    path = make_checkpoint("another model", tmp_path, world)
    assert "mhformer.mhformer" in refused("--previous_dir", path, "--dataset", "tiny", root=world.tiny, test=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["missing", "empty folder", "weights only", "truncated", "hostile"])
def test_runs_that_cannot_be_resumed(kind: str, refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    path = world.ours if kind == "weights only" else make_checkpoint(kind, tmp_path, world)
    error = refused("--resume", path, test=False)
    assert str(path) in error
    assert not (tmp_path / "created").exists()


# Flags.

FLAG_CASES = [
    (
        ["--model", "mixste.hot_mixst"],
        ["'mixste.hot_mixst'", "did you mean mixste.hot_mixste?", "mhformer.tpc_mhformer"],
    ),
    (["--model", "transformer"], ["'transformer'", "mixste.hot_mixste"]),
    (["--actions", "Flying"], ["Flying", "Sitting", "Walking"]),
    (["--actions", "Walking,Flying"], ["Flying"]),
    (["--actions", "SittingDown"], ["SittingDown"]),
    (["--actions", " , "], ["--actions"]),
    (["--device", "tpu"], ["--device", "tpu", "cuda"]),
    (["--precision", "fp8"], ["--precision", "fp8", "bf16"]),
    (["--precision", "tf32"], ["--precision", "tf32"]),
    (["--gpu", "first"], ["--gpu", "'first'"]),
    (["--gpu", "-1"], ["--gpu"]),
    (["--frames", "10"], ["frames is 10", "odd"]),
    (["--frames", "1"], ["--frames", "'1'", "3"]),
    (["--frames", "-9"], ["--frames", "'-9'"]),
    (["--frames", "9.5"], ["--frames", "'9.5'"]),
    (["--channel", "20"], ["channel is 20", "8"]),
    (["--channel", "0"], ["--channel", "'0'"]),
    (["--token_num", "10"], ["token_num is 10", "9"]),
    (["--token_num", "0"], ["--token_num", "'0'"]),
    (["--layer_index", "8"], ["layer_index is 8", "7"]),
    (["--layer_index", "0"], ["layer_index is 0", "1"]),
    (["--layer_index", "-1"], ["--layer_index", "'-1'"]),
    (["--prune", "1:3,2:5"], ["prune is '1:3,2:5'", "no more frames"]),
    (["--prune", "1:3"], ["token_num is 3", "prune is '1:3'"]),
    (["--prune", "three"], ["prune is 'three'", "LAYER:FRAMES"]),
    (["--select", "chance"], ["select is 'chance'", "uniform"]),
    (["--recover", "magic"], ["recover is 'magic'", "interpolation"]),
    (["--batch_size", "0"], ["--batch_size", "'0'"]),
    (["--batch_size", "four"], ["--batch_size", "'four'"]),
    (["--stride", "0"], ["--stride", "'0'"]),
    (["--lr=-1e-3"], ["--lr", "'-1e-3'"]),
    (["--lr", "nan"], ["--lr", "'nan'"]),
    (["--lr_decay", "0"], ["--lr_decay", "'0'"]),
    (["--lr_decay_epoch", "0"], ["--lr_decay_epoch", "'0'"]),
    (["--nepoch", "-1"], ["--nepoch", "'-1'"]),
    (["--workers", "-1"], ["--workers", "'-1'"]),
    (["--seed", "-1"], ["--seed", "'-1'"]),
    (["--subset", "0"], ["--subset", "'0'"]),
    (["--subset", "1.5"], ["--subset", "'1.5'"]),
    (["--downsample", "0"], ["--downsample", "'0'"]),
    (["--downsample", "1000"], ["--downsample", "1000"]),
    (["--test_augmentation", "yes"], ["--test_augmentation", "'yes'", "true"]),
    (["--reverse_augmentation", ""], ["--reverse_augmentation", "''"]),
    (["--dataset", "../data"], ["--dataset", "'../data'"]),
    (["--dataset", "/etc/data"], ["--dataset", "'/etc/data'"]),
    (["--dataset", "nowhere"], ["data_nowhere.npz", "no such file"]),
    (["--keypoints", "guess"], ["data_2d_h36m_guess.npz", "no such file"]),
    (["--root_path", "nowhere"], ["nowhere/data_3d_h36m.npz", "no such file"]),
    (["--out_channels", "2"], ["--out_channels is 2", "3"]),
    (["--n_joints", "16"], ["16", "17"]),
    (["--out_joints", "16"], ["--out_joints is 16"]),
    (["--n_joints", "17", "--out_joints", "16"], ["--out_joints is 16", "17"]),
    (["--previous_best", "low"], ["--previous_best", "'low'"]),
    (["--unknown", "3"], ["--unknown"]),
    (["--frame", "9"], ["--frame"]),
    (["extra"], ["extra"]),
    (["--lr"], ["--lr"]),
    (["--results", "."], ["folder"]),
]


@pytest.mark.parametrize(
    ("flags", "named"), FLAG_CASES, ids=lambda value: " ".join(value) if value and value[0].startswith("-") else ""
)
def test_flags(flags: list[str], named: list[str], refused: Callable[..., str]) -> None:
    error = refused(*flags)
    for words in named:
        assert words in error, error


@pytest.mark.parametrize("frames", [10, 9 * 2, 25, 351 + 2])
def test_frames_that_do_not_suit_mhformer(frames: int, refused: Callable[..., str]) -> None:
    error = refused("--frames", frames, script="main_mhformer.py", test=False, sizes=[])
    assert f"frames is {frames}" in error


@pytest.mark.parametrize("flags", [["--test"], ["--train", "0"]])
def test_testing_needs_weights(flags: list[str], refused: Callable[..., str]) -> None:
    error = refused(*flags, test=False)
    assert "--previous_dir" in error
    assert "--test" in error


@pytest.mark.parametrize("flag", ["--checkpoint", "--results"])
def test_no_permission_to_write(flag: str, refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "below"
    error = refused("--dataset", "tiny", flag, target, root=world.tiny, test=False)
    assert str(target) in error
    assert "cannot be written" in error


def test_results_are_refused_before_the_work(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "read_data", lambda *_: pytest.fail("data was read first"))
    (tmp_path / "file").touch()
    assert "cannot be written" in refused("--results", tmp_path / "file" / "results.json")


# Devices.


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_that_is_not_there(refused: Callable[..., str]) -> None:
    assert "--device is cuda" in refused("--device", "cuda")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has MPS")
def test_mps_that_is_not_there(refused: Callable[..., str]) -> None:
    assert "--device is mps" in refused("--device", "mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_gpu_0_without_cuda_falls_back_and_says_so(main: Main, world: World, capsys: pytest.CaptureFixture) -> None:
    data = ["--root_path", world.h36m, "--stride", 9, "--actions", "Sitting", *FLAGS]
    main("main_mixste.py", "--test", "--previous_dir", world.plain, "--gpu", 0, *data)
    out = capsys.readouterr().out
    assert re.search(r"no CUDA device .*CPU", out)
    assert "device: cpu" in out


# Bugs are not input.


def test_a_bug_keeps_its_traceback(world: World, main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(experiment, "make_model", bug)
    with pytest.raises(ValueError, match="a bug"):
        main("main_mixste.py", "--test", "--previous_dir", world.plain, "--root_path", world.h36m, *FLAGS)


CHILD = """
import runpy, sys
import common.experiment

def bug(*_):
    raise ValueError("a bug")

if sys.argv[1] == "bug":
    common.experiment.make_model = bug
sys.argv = [{script!r}, "--test", "--previous_dir", {weights!r}, "--root_path", "nowhere"]
runpy.run_path({script!r}, run_name="__main__")
"""


@pytest.mark.parametrize(("kind", "code"), [("input", 2), ("bug", 1)])
def test_exit_codes_of_a_process(kind: str, code: int, world: World, tmp_path: Path) -> None:
    script = str(ROOT / "main_mixste.py")
    if kind == "input":
        command = [
            sys.executable,
            script,
            "--test",
            "--previous_dir",
            str(world.ours),
            "--root_path",
            "nowhere",
            "--device",
            "cpu",
        ]
    else:
        command = [sys.executable, "-c", CHILD.format(script=script, weights=str(world.ours)), kind]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, done.stderr
    if kind == "input":
        assert done.stderr.startswith("error: nowhere/data_3d_h36m.npz: no such file")
        assert done.stderr.count("\n") == 1
    else:
        assert "Traceback" in done.stderr
        assert done.stderr.rstrip().endswith("ValueError: a bug")
