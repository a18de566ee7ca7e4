"""Training runs end to end, tiny: what they write, how they go on, and that a run that was killed ends where an
unbroken one does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from common.data.pose_dataset import PoseDataset
from tests.conftest import ROOT

Main = Callable[..., None]
Train = Callable[..., Path]
SIZES = ("--frames", 9, "--channel", 16, "--token_num", 3, "--layer_index", 1)
WINDOWS = 5 + 4  # of 43 and 31 frames


@pytest.fixture(scope="session")
def train(main: Main, tiny_root: Path) -> Train:
    """train(FOLDER, *FLAGS, script=...) trains a tiny model and returns the folder."""

    def call(folder: Path, *flags: object, script: str = "main_mixste.py", sizes: tuple = SIZES) -> Path:
        data = ("--root_path", tiny_root, "--dataset", "tiny", "--stride", 9)
        main(
            script,
            *data,
            *sizes,
            "--device",
            "cpu",
            "--nepoch",
            1,
            "--lr",
            1e-3,
            "--batch_size",
            6,
            "--checkpoint",
            folder,
            *flags,
        )
        return folder

    return call


@pytest.fixture(scope="session")
def unbroken(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs; not to be written to."""
    folder = tmp_path_factory.mktemp("unbroken")
    return train(folder / "run", "--nepoch", 2, "--results", folder / "results.json")


def last(folder: Path) -> dict:
    return torch.load(folder / "last.pt", weights_only=True)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """Those of the best epoch."""
    (path,) = folder.glob("*.pth")
    return torch.load(path, weights_only=True)["model"]


def identical(a: object, b: object) -> bool:
    """Equal to the last bit, all the way down; the names of checkpoints without their folder."""
    if isinstance(a, dict):
        return list(a) == list(b) and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(identical(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return Path(a).name == Path(b).name if isinstance(a, str) else a == b


def check_same_end(a: Path, b: Path) -> None:
    """Both runs ended with the same weights, optimizer, random numbers, history and best checkpoint."""
    for key in ("model", "optimizer", "scaler", "progress", "rng"):
        assert identical(last(a)[key], last(b)[key]), key
    assert identical(weights_of(a), weights_of(b))
    assert (a / "train.log").read_text() == (b / "train.log").read_text()


# What a run writes.


def test_files_of_a_run(unbroken: Path) -> None:
    results = json.loads((unbroken.parent / "results.json").read_text())
    history = last(unbroken)["progress"]["history"]
    best = min(history, key=lambda row: row["mpjpe"])
    name = f"model_{best['epoch']}_{int(100 * best['mpjpe'])}.pth"
    assert {path.name for path in unbroken.iterdir()} == {"configs.txt", "train.log", "curves.png", "last.pt", name}
    assert results["epoch"] == best["epoch"]
    assert results["mpjpe"] == best["mpjpe"]
    assert Path(results["checkpoint"]).name == name
    assert results["source"] == "figures moving by rule"
    content = torch.load(unbroken / name, weights_only=True)
    assert (content["epoch"], content["mpjpe"], content["name"]) == (best["epoch"], best["mpjpe"], "mixste.hot_mixste")


def test_configs_and_log(unbroken: Path) -> None:
    configs = dict(line.split(": ", 1) for line in (unbroken / "configs.txt").read_text().splitlines())
    wanted = {
        "model": "mixste.hot_mixste",
        "frames": "9",
        "channel": "16",
        "lr": "0.001",
        "seed": "1126",
        "recipe": "mixste",
        "depth": "8",
    }
    assert {key: configs.get(key) for key in wanted} == wanted
    lines = (unbroken / "train.log").read_text().splitlines()
    assert len(lines) == 2
    for line, row in zip(lines, last(unbroken)["progress"]["history"], strict=True):
        for value in (
            f"epoch {row['epoch']}",
            f"lr {row['lr']:.8f}",
            f"{row['loss']:.5f}",
            f"{row['mpjpe']:.3f}",
            f"{row['p_mpjpe']:.3f}",
        ):
            assert value in line


def test_curves_are_a_picture(unbroken: Path) -> None:
    data = (unbroken / "curves.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")
    picture = matplotlib.image.imread(unbroken / "curves.png")
    assert min(picture.shape[:2]) >= 300
    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 10


def test_the_loss_falls(unbroken: Path) -> None:
    losses = [row["loss"] for row in last(unbroken)["progress"]["history"]]
    assert losses[1] < 0.8 * losses[0]


def test_the_folder_has_time_and_frames_in_its_name(
    main: Main, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(
        "main_mixste.py",
        "--root_path",
        tiny_root,
        "--dataset",
        "tiny",
        *SIZES,
        "--device",
        "cpu",
        "--nepoch",
        1,
        "--batch_size",
        64,
    )
    (folder,) = (tmp_path / "checkpoint").iterdir()
    assert re.fullmatch(r"\d{4}_\d{4}_\d\d_9", folder.name)
    assert (folder / "last.pt").exists()


def test_learning_rates_as_published(train: Train, tmp_path: Path) -> None:
    rates = ("--lr", 1e-3, "-lrd", 0.9, "--lr_decay_large", 0.5, "--lr_decay_epoch", 2)
    run = train(tmp_path / "run", "--nepoch", 4, "--batch_size", 64, *rates)
    lr = [1e-3, 9e-4, 4.5e-4, 4.05e-4]
    assert [row["lr"] for row in last(run)["progress"]["history"]] == pytest.approx(lr)
    assert last(run)["optimizer"]["param_groups"][0]["lr"] == pytest.approx(lr[-1])


def test_only_a_strictly_better_epoch_is_saved(train: Train, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        train(tmp_path / "run", "--previous_best", 1)
    assert stop.value.code == 2
    assert not list((tmp_path / "run").glob("*.pth"))
    (tmp_path / "old.pth").touch()
    train(tmp_path / "again", "--previous_best", 1e6, "--previous_name", tmp_path / "old.pth")
    assert not (tmp_path / "old.pth").exists()  # the better one takes its place
    assert len(list((tmp_path / "again").glob("*.pth"))) == 1


# Going on.


def test_going_on_after_an_epoch(unbroken: Path, train: Train, main: Main, tmp_path: Path) -> None:
    run = train(tmp_path / "run", "--nepoch", 1)
    main("main_mixste.py", "--resume", run, "--nepoch", 2, "--results", tmp_path / "results.json")
    check_same_end(run, unbroken)
    found, expected = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path, unbroken.parent))
    assert found["actions"] == expected["actions"]


KILLED = """
import os, runpy, sys
from common.data.pose_dataset import PoseDataset
import torch

torch.set_num_threads({threads})
real, count = PoseDataset.__getitem__, 0


def get(self, items):
    global count
    count += 1
    if count == {at}:
        os.kill(os.getpid(), {number})
    return real(self, items)


PoseDataset.__getitem__ = get
sys.argv = {argv!r}
runpy.run_path({script!r}, run_name="__main__")
"""


def run_killed(train_flags: list[object], number: int, at: int, cwd: Path) -> subprocess.CompletedProcess:
    """Train in a process of its own that gets signal `number` while batch `at` is cut, counted from 1 over training and
    testing.
    """
    script = str(ROOT / "main_mixste.py")
    argv = [script, *map(str, train_flags)]
    code = KILLED.format(threads=torch.get_num_threads(), at=at, number=int(number), argv=argv, script=script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def flags_of(tiny_root: Path, folder: Path) -> list[object]:
    data = ["--root_path", tiny_root, "--dataset", "tiny", "--stride", 9, *SIZES]
    return [*data, "--device", "cpu", "--nepoch", 2, "--lr", 1e-3, "--batch_size", 6, "--checkpoint", folder]


# An epoch is three batches of training and one of testing: the 7th is the last but one of the second epoch, the 8th its
# test.


def test_terminated_in_the_middle_of_an_epoch(
    unbroken: Path, main: Main, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = tmp_path / "run"
    done = run_killed(flags_of(tiny_root, run), signal.SIGTERM, 7, tmp_path)
    assert done.returncode == 143, done.stderr
    assert "Traceback" not in done.stderr
    assert f"--resume {run}" in done.stdout
    progress = last(run)["progress"]
    assert (progress["epoch"], progress["step"]) == (2, 2)
    main("main_mixste.py", "--resume", run / "last.pt")
    assert "epoch 2, step 2" in capsys.readouterr().out
    check_same_end(run, unbroken)
    assert {path.suffix for path in run.iterdir()} == {".txt", ".log", ".png", ".pt", ".pth"}
    assert len(list(run.iterdir())) == 5


def test_interrupted_while_testing(
    unbroken: Path, train: Train, main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real, count = tmp_path / "run", PoseDataset.__getitem__, 0

    def get(self: PoseDataset, items: np.ndarray) -> object:
        nonlocal count
        count += 1
        if count == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, items)

    monkeypatch.setattr(PoseDataset, "__getitem__", get)
    with pytest.raises(SystemExit) as stop:
        train(run, "--nepoch", 2)
    assert stop.value.code == 128 + signal.SIGINT
    progress = last(run)["progress"]
    assert (progress["epoch"], progress["step"], len(progress["history"])) == (2, 3, 1)
    main("main_mixste.py", "--resume", run)
    check_same_end(run, unbroken)


def test_killed_in_the_middle_of_an_epoch(unbroken: Path, main: Main, tiny_root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = run_killed([*flags_of(tiny_root, run), "--save_every", 0], signal.SIGKILL, 7, tmp_path)
    assert done.returncode == -signal.SIGKILL
    progress = last(run)["progress"]
    assert (progress["epoch"], progress["step"]) == (2, 2)
    main("main_mixste.py", "--resume", run, "--save_every", 300)
    check_same_end(run, unbroken)


def test_a_finished_run_is_shown_again(
    unbroken: Path, main: Main, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    before = {path.name: path.read_bytes() for path in unbroken.glob("*.pt*")}
    main("main_mixste.py", "--resume", unbroken, "--results", tmp_path / "results.json")
    found, expected = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path, unbroken.parent))
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    assert "mean of actions" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in unbroken.glob("*.pt*")} == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--lr", 5e-4), "--lr is 0.0005, but the run to resume has 0.001"),
        (("--channel", 32), "--channel is 32, but the run to resume has 16"),
        (("--model", "mixste.mixste"), "--model is mixste.mixste, but the run to resume has mixste.hot_mixste"),
        (("--seed", 1), "--seed is 1, but the run to resume has 1126"),
        (("--batch_size", 8), "--batch_size is 8, but the run to resume has 6"),
        (("--dataset", "h36m"), "--dataset is h36m, but the run to resume has tiny"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_conflicting_flags_are_refused(
    flags: tuple, message: str, unbroken: Path, main: Main, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        main("main_mixste.py", "--resume", unbroken, *flags)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_run_is_not_overwritten(unbroken: Path, train: Train, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        train(unbroken)
    assert stop.value.code == 2
    assert f"--resume {unbroken}" in capsys.readouterr().err


def test_resumed_runs_are_not_tested_with_other_weights(
    unbroken: Path, train: Train, main: Main, tmp_path: Path
) -> None:
    run = train(tmp_path / "run", "--previous_dir", unbroken)
    main("main_mixste.py", "--test", "--previous_dir", unbroken, "--root_path", last(run)["arguments"]["root_path"],
         "--dataset", "tiny", "--stride", 9, "--device", "cpu", "--results", tmp_path / "a.json")  # fmt: skip
    expected = json.loads((tmp_path / "a.json").read_text())["mpjpe"]
    with contextlib.suppress(SystemExit):  # that they are refused together is as good
        main("main_mixste.py", "--resume", run, "--test", "--results", tmp_path / "b.json")
    if (tmp_path / "b.json").exists():
        own = [row["mpjpe"] for row in last(run)["progress"]["history"]]
        found = json.loads((tmp_path / "b.json").read_text())["mpjpe"]
        assert any(found == pytest.approx(value, abs=1e-3) for value in (expected, *own)), (
            "these are the scores of untrained weights"
        )


# What training does.


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int]]]:
    """(items of the data set, those of one batch) of every batch that is cut."""
    batches, real = [], PoseDataset.__getitem__

    def get(self: PoseDataset, items: np.ndarray) -> object:
        batches.append((len(self), np.atleast_1d(items).tolist()))
        return real(self, items)

    monkeypatch.setattr(PoseDataset, "__getitem__", get)
    return batches


def training(shown: list[tuple[int, list[int]]], items: int) -> list[list[int]]:
    """The batches of the data set that has so many items."""
    return [batch for total, batch in shown if total == items]


def flat(batches: list[list[int]]) -> list[int]:
    return [item for batch in batches for item in batch]


def test_every_window_plain_and_flipped_in_a_new_order_each_epoch(train: Train, shown: list, tmp_path: Path) -> None:
    train(tmp_path / "a", "--nepoch", 2, "--batch_size", 7)
    batches = training(shown, 2 * WINDOWS)
    assert [len(batch) for batch in batches] == [7, 7, 4] * 2
    first, second = flat(batches[:3]), flat(batches[3:])
    assert sorted(first) == sorted(second) == list(range(2 * WINDOWS))
    assert first != second
    assert first != list(range(2 * WINDOWS))
    shown.clear()
    train(tmp_path / "b", "--nepoch", 2, "--batch_size", 7)
    assert training(shown, 2 * WINDOWS) == batches
    assert identical(last(tmp_path / "a")["model"], last(tmp_path / "b")["model"])
    shown.clear()
    train(tmp_path / "c", "--batch_size", 7, "--seed", 3)
    assert flat(training(shown, 2 * WINDOWS)) != first
    assert last(tmp_path / "c")["arguments"]["seed"] == 3


@pytest.mark.parametrize(("flip", "reverse", "versions"), [("0", "false", 1), ("false", "1", 2), ("1", "True", 3)])
def test_augmentation_flags(flip: str, reverse: str, versions: int, train: Train, shown: list, tmp_path: Path) -> None:
    train(tmp_path / "run", "--data_augmentation", flip, "--reverse_augmentation", reverse, "--batch_size", 64)
    assert [sorted(batch) for batch in training(shown, versions * WINDOWS)] == [list(range(versions * WINDOWS))]


def test_previous_weights_are_where_training_starts(unbroken: Path, train: Train, tmp_path: Path) -> None:
    run = train(tmp_path / "run", "--previous_dir", unbroken, "--lr", 1e-12)
    start, end = weights_of(unbroken), last(run)["model"]
    assert list(start) == list(end)
    assert all(torch.allclose(start[name], end[name], atol=1e-9) for name in start)


def test_the_model_and_its_sizes_come_from_the_checkpoint(
    unbroken: Path, main: Main, tiny_root: Path, tmp_path: Path
) -> None:
    test = [
        "--test",
        "--root_path",
        tiny_root,
        "--dataset",
        "tiny",
        "--stride",
        9,
        "--device",
        "cpu",
        "--previous_dir",
        unbroken,
    ]
    scores = {}
    for name, flags in {"plain": (), "no flip": ("--test_augmentation", "false"), "centre": ("--out_all", 0)}.items():
        main("main_mixste.py", *test, *flags, "--results", tmp_path / "results.json")
        scores[name] = json.loads((tmp_path / "results.json").read_text())
    expected = json.loads((unbroken.parent / "results.json").read_text())
    assert scores["plain"]["sizes"] == expected["sizes"]
    assert scores["plain"]["actions"] == expected["actions"]
    assert scores["no flip"]["mpjpe"] != scores["plain"]["mpjpe"]
    assert scores["no flip"]["actions"].keys() == scores["plain"]["actions"].keys()
    assert scores["centre"]["scored"] == "centre frame of each window"
    assert [action["windows"] for action in scores["centre"]["actions"].values()] == [2, 3]


def test_out_all_0_trains_and_scores_the_centre(train: Train, tmp_path: Path) -> None:
    run = train(tmp_path / "run", "--out_all", 0, "--results", tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text())["scored"] == "centre frame of each window"
    other = train(tmp_path / "other")
    assert not identical(last(run)["model"], last(other)["model"])


@pytest.mark.parametrize(
    ("script", "optimizer", "model"),
    [
        ("main_mixste.py", {"weight_decay": 0.1, "amsgrad": False}, "mixste.hot_mixste"),
        ("main_mixste_tpc.py", {"weight_decay": 0.1, "amsgrad": False}, "mixste.tpc_mixste"),
        ("main_mhformer.py", {"weight_decay": 0, "amsgrad": True}, "mhformer.mhformer"),
        ("main_mhformer_tpc.py", {"weight_decay": 0, "amsgrad": True}, "mhformer.tpc_mhformer"),
    ],
)
def test_every_entry_script_trains_by_its_recipe(
    script: str, optimizer: dict, model: str, train: Train, tmp_path: Path
) -> None:
    sizes = ("--frames", 9, "--channel", 16)
    if model != "mhformer.mhformer":
        sizes += ("--token_num", 3, "--layer_index", 1)
    run = train(tmp_path / "run", "--batch_size", 6, script=script, sizes=sizes)
    content = last(run)
    assert content["name"] == model
    group = content["optimizer"]["param_groups"][0]
    assert {key: group[key] for key in optimizer} == optimizer
    assert content["arguments"]["seed"] == (1126 if "mixste" in model else 1)
    assert np.isfinite([row["loss"] for row in content["progress"]["history"]]).all()


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        ("motionbert.motionbert", ("--frames", 9, "--channel", 16)),
        ("motionbert.hot_motionbert", ("--frames", 9, "--channel", 16, "--token_num", 3)),
        ("motionagformer.motionagformer", ("--frames", 9, "--channel", 8)),
        ("motionagformer.hot_motionagformer", ("--frames", 9, "--channel", 8, "--token_num", 5)),
    ],
)
def test_other_backbones_train_by_name(model: str, sizes: tuple, train: Train, tmp_path: Path) -> None:
    run = train(tmp_path / "run", "--model", model, "--batch_size", 64, sizes=sizes)
    content = last(run)
    assert content["name"] == model
    assert content["normaliser"]["in_channels"] == 3
    assert content["progress"]["best"] < 2000
    own = {"layer_index": 1} if model == "motionbert.hot_motionbert" else {"layer_index": 7} if "hot" in model else {}
    assert {key: value for key, value in content["sizes"].items() if key == "layer_index"} == own


@pytest.mark.parametrize(
    ("script", "model", "select", "recover"),
    [
        ("main_mixste.py", "mixste.hot_mixste", "attention", "nearest"),
        ("main_mixste_tpc.py", "mixste.h2ot_mixste", "motion", "attention"),
        ("main_mhformer.py", "mhformer.mhformer", "cluster", "none"),
        ("main_mhformer_tpc.py", "motionagformer.motionagformer", "uniform", "interpolation"),
    ],
)
def test_a_plan_is_trained_and_gone_on_with(
    script: str, model: str, select: str, recover: str, train: Train, main: Main, tmp_path: Path
) -> None:
    plan = {"prune": "1:5,2:3", "select": select, "recover": recover}
    flags = [text for name, value in plan.items() for text in (f"--{name}", value)]
    sizes = ("--frames", 9, "--channel", 16, *(() if model.startswith("mhformer") else ("--depth", 3)))
    run = train(tmp_path / "run", "--batch_size", 64, "--model", model, *flags, script=script, sizes=sizes)
    main(script, "--resume", run, "--nepoch", 2)
    content = last(run)
    assert len(content["progress"]["history"]) == 2
    assert {name: content["sizes"][name] for name in plan} == plan
    assert not {"token_num", "layer_index"} & set(content["sizes"])
    with pytest.raises(SystemExit):
        main(script, "--resume", run, "--nepoch", 3, "--prune", "1:5")


def test_bf16(train: Train, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.inference.compute.cpu_has_bf16", lambda: True)
    run = train(tmp_path / "run", "--precision", "bf16")
    (row,) = last(run)["progress"]["history"]
    reference = last(unbroken)["progress"]["history"][0]
    assert row["loss"] == pytest.approx(reference["loss"], rel=0.05)
    assert row["loss"] != reference["loss"]
    assert all(value.dtype == torch.float32 for value in last(run)["model"].values())


@pytest.mark.parametrize("batch_size", [6, 64], ids=["found by the loss", "found by the test"])
def test_a_loss_that_is_not_finite_stops_the_run(
    batch_size: int, train: Train, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        train(tmp_path / "run", "--lr", 1e30, "--batch_size", batch_size)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "--lr" in error
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # the handlers are put back
