"""Training runs that are stopped, run into trouble, or are gone on with wrongly: a sentence, nothing lost, and the same
end after all.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from common import experiment
from common.data.pose_dataset import Batch, PoseDataset
from common.data.wild_file import View, write_wild_file
from common.errors import InputError
from common.files import TEMPORARY, only_run
from common.inference.compute import Compute
from common.training import trainer
from common.training.engine import train_one_epoch
from common.training.recipes import MHFORMER, MIXSTE
from model import create_model
from tests.test_training import check_same_end, flags_of, identical, last

Main = Callable[..., None]
SCRIPTS = {"mixste": "main_mixste.py", "mhformer": "main_mhformer.py"}
STEP = 5
"""The step that meets with a fault: the second of the second epoch; an epoch is three batches of training and one of
testing.
"""


def begin(main: Main, root: Path, folder: Path, *flags: object, script: str = "main_mixste.py") -> Path:
    main(script, *flags_of(root, folder), *flags)
    return folder


@pytest.fixture(scope="session")
def whole(main: Main, tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of runs of two epochs to which nothing happened, by recipe; not to be written to."""
    folder = tmp_path_factory.mktemp("whole")
    extra = {"mixste": (), "mhformer": ("--model", "mhformer.hot_mhformer", "--d_hid", 32)}
    return {
        name: begin(main, tiny_root, folder / name, *extra[name], script=script) for name, script in SCRIPTS.items()
    }


@pytest.fixture
def fails(capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """fails(CODE, FUNCTION, *ARGUMENTS, ...) returns what is said on stdout and stderr; bad input is one line on
    stderr.
    """

    def call(code: int, function: Callable, *arguments: object, **more: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            function(*arguments, **more)
        out, err = capsys.readouterr()
        assert stop.value.code == code, err
        assert "Traceback" not in err
        if code == 2:
            assert err.count("\n") == 1
            assert err.startswith("error: ")
        return out + err

    return call


def at_call(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, number: int, action: Callable[[], object]
) -> None:
    """Do something before call `number` of a function or method, counted from 1."""
    real, count = getattr(owner, name), 0

    def call(*arguments: object, **more: object) -> object:
        nonlocal count
        count += 1
        if count == number:
            action()
        return real(*arguments, **more)

    monkeypatch.setattr(owner, name, call)


def raising(error: Exception) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


# The recipe belongs to the run.


def test_a_run_is_not_gone_on_with_by_another_recipe(whole: dict, main: Main, fails: Callable, tmp_path: Path) -> None:
    run = shutil.copytree(whole["mixste"], tmp_path / "run")
    error = fails(2, main, "main_mhformer.py", "--resume", run, "--nepoch", 3)
    assert "is trained by the recipe 'mixste', not mhformer" in error
    changed = dataclasses.replace(MIXSTE, clip=1.0)
    error = fails(2, experiment.run, changed, "mixste.hot_mixste", ["--resume", str(run), "--nepoch", "3"])
    assert "clip 'None'" in error
    assert "1.0" in error
    main("main_mixste_tpc.py", "--resume", run, "--nepoch", 3)  # another model by default, but the same recipe
    assert last(run)["progress"]["epoch"] == 4


def test_older_files_do_not_say_their_recipe(
    whole: dict, main: Main, fails: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = shutil.copytree(whole["mixste"], tmp_path / "run")
    content = last(run)
    del content["recipe"]
    torch.save(content, run / "last.pt")
    assert "optimizer" in fails(2, main, "main_mhformer.py", "--resume", run)
    main("main_mixste.py", "--resume", run)
    assert "does not say its recipe" in capsys.readouterr().out


# --previous_best and --previous_name: the best so far of what is gone on from.


@pytest.mark.parametrize("name", ["x.pth", "model_x.pth", "a_b_c.bin"])
def test_the_best_so_far_may_have_any_name(name: str, whole: dict, main: Main, tiny_root: Path, tmp_path: Path) -> None:
    (best,) = whole["mixste"].glob("*.pth")
    shutil.copy(best, tmp_path / name)
    flags = (
        "--nepoch",
        1,
        "--previous_best",
        1,
        "--previous_name",
        tmp_path / name,
        "--results",
        tmp_path / "results.json",
    )
    begin(main, tiny_root, tmp_path / "run", *flags)
    results = json.loads((tmp_path / "results.json").read_text())
    row = min(last(whole["mixste"])["progress"]["history"], key=lambda row: row["mpjpe"])
    assert (results["mpjpe"], results["epoch"], results["checkpoint"]) == (row["mpjpe"], None, str(tmp_path / name))
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    "flags", [("--previous_name", "nowhere.pth"), ("--previous_best", "nan"), ("--previous_best", "-1")]
)
def test_a_best_so_far_that_is_none(flags: tuple, main: Main, tiny_root: Path, fails: Callable, tmp_path: Path) -> None:
    assert flags[0] in fails(2, begin, main, tiny_root, tmp_path / "run", *flags)
    assert not (tmp_path / "run").exists()


def test_what_a_killed_run_did_not_come_to_remove_goes(whole: dict, main: Main, tmp_path: Path) -> None:
    run = shutil.copytree(whole["mixste"], tmp_path / "run")
    progress = last(run)["progress"]
    older = {f"model_{row['epoch']}_{int(100 * row['mpjpe'])}.pth" for row in progress["history"]} - {
        progress["best_name"]
    }
    for name in older:
        shutil.copy(run / progress["best_name"], run / name)
    (run / "model_1_7.pth").touch()  # of somebody else
    (run / f"{TEMPORARY}abcdefgh").mkdir()
    (run / f"{TEMPORARY}abcdefgh" / "last.pt").touch()
    names = {path.name for path in whole["mixste"].iterdir()} | {"model_1_7.pth"}
    assert {path.name for path in run.iterdir()} == names | older | {f"{TEMPORARY}abcdefgh"}
    main("main_mixste.py", "--resume", run)
    assert {path.name for path in run.iterdir()} == names


# One run in a folder.


def test_a_folder_takes_one_run_at_a_time(
    whole: dict, main: Main, tiny_root: Path, fails: Callable, tmp_path: Path
) -> None:
    run = shutil.copytree(whole["mixste"], tmp_path / "run")
    with only_run(run), only_run(tmp_path / "new"):
        assert "another run is under way" in fails(2, main, "main_mixste.py", "--resume", run)
        assert "another run is under way" in fails(2, main, "main_mixste.py", "--resume", run / "last.pt")
        assert "another run is under way" in fails(2, begin, main, tiny_root, tmp_path / "new")


# Signals.


@pytest.fixture
def heeded() -> None:
    """Ctrl-C is heeded, also where these tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
@pytest.mark.usefixtures("heeded")
def test_a_signal_in_a_test(
    number: int, word: str, whole: dict, main: Main, tiny_root: Path, fails: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_call(monkeypatch, PoseDataset, "__getitem__", 1, lambda: os.kill(os.getpid(), number))
    data = ["--root_path", tiny_root, "--dataset", "tiny", "--stride", 9, "--device", "cpu"]
    said = fails(128 + number, main, "main_mixste.py", "--test", "--previous_dir", whole["mixste"], *data)
    assert said.splitlines()[-1] == f"stopped by {word}"


@pytest.mark.usefixtures("heeded")
def test_signals_while_it_is_saved(
    whole: dict, main: Main, tiny_root: Path, fails: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        at_call(patch, PoseDataset, "__getitem__", STEP + 1, lambda: os.kill(os.getpid(), signal.SIGINT))
        at_call(patch, trainer, "write_run", 2, lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(3)])
        assert f"--resume {run}" in fails(130, begin, main, tiny_root, run)
    main("main_mixste.py", "--resume", run)
    check_same_end(run, whole["mixste"])


@pytest.mark.usefixtures("heeded")
def test_a_signal_in_the_last_save_before_an_older_best_is_scored(
    whole: dict, main: Main, tiny_root: Path, fails: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (best,) = whole["mixste"].glob("*.pth")
    run, older = tmp_path / "run", shutil.copy(best, tmp_path / "x.pth")
    with monkeypatch.context() as patch:
        at_call(patch, trainer, "write_run", 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert f"--resume {run}" in fails(
            143, begin, main, tiny_root, run, "--previous_best", 1, "--previous_name", older
        )
    assert identical(
        last(run)["model"], last(whole["mixste"])["model"]
    )  # the trained weights, not those of the older best


# Memory.


FULL = (
    "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 9876 bytes. Error code 12"
)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "error",
    [RuntimeError(FULL), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), OSError(12, "x")],
    ids=["PyTorch on a CPU", "on CUDA", "no process can be forked"],
)
def test_out_of_memory_in_a_step(
    error: Exception,
    script: str,
    whole: dict,
    main: Main,
    tiny_root: Path,
    fails: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    extra = ("--model", "mhformer.hot_mhformer", "--d_hid", 32) if script == "mhformer" else ()
    with monkeypatch.context() as patch:  # the forward pass has changed batch norms and random numbers by then
        at_call(patch, torch.Tensor, "backward", STEP, raising(error))
        said = fails(2, begin, main, tiny_root, run, *extra, script=SCRIPTS[script])
    assert "out of memory" in said
    assert "lower --batch_size, --frames or --channel" in said
    assert ("9876 bytes" in said) == ("9876 bytes" in str(error))
    assert ("2.00 GiB" in said) == ("2.00 GiB" in str(error))
    assert f"epoch 2, step 1, go on with --resume {run}" in said
    main(SCRIPTS[script], "--resume", run)
    check_same_end(run, whole[script])


def test_out_of_memory_in_the_first_step_leaves_the_folder_free(
    whole: dict, main: Main, tiny_root: Path, fails: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        at_call(patch, torch.Tensor, "backward", 1, raising(RuntimeError(FULL)))
        assert "--resume" not in fails(2, begin, main, tiny_root, run)
    begin(main, tiny_root, run)
    check_same_end(run, whole["mixste"])


def test_a_model_that_no_memory_holds(main: Main, tiny_root: Path, fails: Callable, tmp_path: Path) -> None:
    assert "out of memory (" in fails(2, begin, main, tiny_root, tmp_path / "run", "--channel", 2**20)


def test_other_errors_of_pytorch_are_bugs(
    main: Main, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_call(monkeypatch, torch.Tensor, "backward", 1, raising(RuntimeError("shapes do not fit")))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        begin(main, tiny_root, tmp_path / "run")


# Loader processes.


def test_a_loader_process_that_is_killed(
    whole: dict, main: Main, tiny_root: Path, fails: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, own, real = tmp_path / "run", os.getpid(), PoseDataset.__getitem__

    def get(self: PoseDataset, items: np.ndarray) -> Batch:
        batch = real(self, items)
        if os.getpid() != own and len(self) == 2 * 9 and len(items) == 6 and items[0] == third[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch

    third = np.random.default_rng([1126, 2]).permutation(2 * 9)[12:]  # the last batch of the second epoch
    with monkeypatch.context() as patch:
        patch.setattr(PoseDataset, "__getitem__", get)
        said = fails(2, begin, main, tiny_root, run, "--workers", 2)
    assert "loader process" in said
    assert "was killed by SIGKILL" in said
    assert f"--resume {run}" in said
    assert last(run)["progress"]["epoch"] == 2
    main("main_mixste.py", "--resume", run)
    check_same_end(run, whole["mixste"])


def test_loader_processes_change_nothing(whole: dict, main: Main, tiny_root: Path, tmp_path: Path) -> None:
    check_same_end(begin(main, tiny_root, tmp_path / "run", "--workers", 2), whole["mixste"])
    assert "workers" not in last(tmp_path / "run")["arguments"]  # another machine may have another number of cores


# What is said is what is done.


def test_whole_clips_are_lifted_in_the_precision_that_is_asked_for(main: Main, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pose_3d = rng.normal((0, 0, 4), 0.3, (2, 30, 17, 3))
    pixels = np.concatenate([500 + 1000 * pose_3d[..., :2] / pose_3d[..., 2:], np.ones((2, 30, 17, 1))], axis=-1)
    view = View(pixels, pose_3d, np.full((2, 2), 1000), np.full(2, 1000.0))
    write_wild_file(tmp_path / "wild_test.npz", view, ["01_01", "02_01"], 25, "made up")
    found = {}
    for precision in ("fp32", "fp16"):
        data = ("--dataset", "wild", "--root_path", tmp_path, "--device", "cpu", "--model", "mhformer.h2ot_mhformer")
        main("main_mhformer.py", "--test", *data, "--precision", precision, "--results", tmp_path / "results.json")
        found[precision] = json.loads((tmp_path / "results.json").read_text())["mpjpe"]
    assert found["fp16"] != found["fp32"]
    assert found["fp16"] == pytest.approx(found["fp32"], rel=0.01)


def test_absurd_truth_is_not_blamed_on_the_learning_rate() -> None:
    model = create_model("mixste.mixste", frames=9, channel=16, depth=1)
    pose_3d = torch.zeros(3, 9, 17, 3)
    pose_3d[1, 4, 2, 0] = 1e30
    batch = Batch(torch.zeros(3, 9, 17, 2), pose_3d, torch.tensor([5, 6, 7]), torch.tensor([0, 20, 40]))
    optimizer, scaler = MHFORMER.optimizer(model.parameters(), 1e-3), torch.amp.GradScaler("cpu", enabled=False)
    with pytest.raises(
        InputError, match=r"sequence 6 that begins at frame 20 holds a 3D coordinate of 1e\+30 m"
    ) as error:
        train_one_epoch(model, [batch], MIXSTE, optimizer, Compute(torch.device("cpu")), scaler, False, lambda *_: None)
    assert "--lr" not in str(error.value)
