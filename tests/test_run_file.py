"""last.pt: what is read from it is what was written, and it reaches nothing outside its folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from common.arguments import build_parser
from common.errors import InputError
from common.inference.checkpoint import find_checkpoint
from common.inference.compute import Compute
from common.inference.torch_file import read_torch_file
from common.training.recipes import MIXSTE
from common.training.run_file import Run, read_run
from model import create_model

Main = Callable[..., None]


@pytest.fixture(scope="module")
def run(main: Main, tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch; not to be written to."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    sizes = ("--frames", 9, "--channel", 16, "--token_num", 3, "--layer_index", 1, "--depth", 2)
    data = ("--root_path", tiny_root, "--dataset", "tiny", "--stride", 9, "--batch_size", 6, "--device", "cpu")
    main("main_mixste.py", *data, *sizes, "--nepoch", 1, "--checkpoint", folder)
    return folder


def restore(run: Run) -> None:
    """Put a run back as `experiment` does."""
    model = create_model(run.checkpoint.name, **run.checkpoint.sizes)
    optimizer = MIXSTE.optimizer(model.parameters(), 1.0)
    run.check_recipe(MIXSTE)
    run.restore(
        model, optimizer, torch.amp.GradScaler("cpu", enabled=False), None, MIXSTE, Compute(torch.device("cpu"))
    )


def changed(content: object, field: str, value: object) -> object:
    """A copy in which one value is another; "..." leaves it out."""
    key, _, rest = field.partition("/")
    if isinstance(content, list):
        return [
            changed(item, rest, value) if number == int(key) and rest else item for number, item in enumerate(content)
        ]
    key = int(key) if key.isdigit() else key
    new = {**content, key: changed(content[key], rest, value) if rest else value}
    return {name: item for name, item in new.items() if item is not ...}


NAN, BITS = float("nan"), torch.zeros(5056, dtype=torch.uint8)
WRONG = [
    *(("arguments/" + name, value) for name, value in (
        ("subset", 10**6), ("subset", "1.0"), ("lr", "fast"), ("lr", None), ("frames", 9.0), ("batch_size", True),
        ("seed", -1),
        ("device", "tpu"), ("precision", 3), ("out_all", 7), ("nepoch", 10**400), ("previous_best", NAN),
        ("root_path", ["x"]),
        ("dataset", "\x1b[31m"), ("keypoints", torch.zeros(3)), ("unknown", 1), ("help", ""), ("n_joints", 10**9),
        ("depth", 10**5),
        ("channel", 32), ("model", "mixste.mixste"), ("model", None), ("resume=x --lr", 3),
    )),
    ("arguments", None), ("arguments", [1]), ("arguments", {3: 4}),
    *(("progress/" + name, value) for name, value in (
        ("epoch", 0), ("epoch", "2"), ("epoch", True), ("epoch", 10**30), ("epoch", 2.0), ("step", -1), ("step", 3),
        ("windows", 5),
        ("lr", NAN), ("lr", -1.0), ("lr", "x"), ("loss", float("inf")), ("best", NAN), ("best", None),
        ("best", torch.zeros(2)),
        ("best_name", 3), ("history", None), ("history", [{}] * 9), ("history", [{"epoch": 1}]),
        ("history/0/mpjpe", "x"),
        ("history/0/mpjpe", 1e300), ("history/0/epoch", 1.5), ("history/0/epoch", 3), ("history/0/p_mpjpe", -1.0),
        ("history/0/loss", NAN), ("more", 1), ("lr", ...),
    )),
    ("progress", None), ("progress", []),
    ("rng", None), ("rng/cpu", ...), ("rng/cpu", torch.zeros(3)), ("rng/cpu", BITS[:9]), ("rng/cpu", BITS.long()),
    ("rng/cpu", BITS),
    ("rng/cuda", None), ("rng/cuda", [BITS]), ("rng/cuda", BITS),
    ("sizes/depth", 10**5), ("normaliser", 3), ("name", "mixste.mixste"), ("optimizer", ...), ("model", {}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda value: repr(value)[:30])
def test_a_field_that_is_not_what_we_write_is_refused(field: str, value: object, run: Path, tmp_path: Path) -> None:
    torch.save(changed(read_torch_file(run / "last.pt"), field, value), tmp_path / "last.pt")
    check_sentence(tmp_path, lambda: read_run(tmp_path, build_parser("mixste.hot_mixste")))


WRONG_STATE = [
    ("optimizer", None), ("optimizer", {}), ("optimizer/state", None), ("optimizer/state/0", None),
    ("optimizer/state/0", {}),
    ("optimizer/state/0/exp_avg", ...), ("optimizer/state/0/more", torch.zeros(())),
    ("optimizer/state/0/exp_avg", torch.zeros(3)),
    ("optimizer/state/0/exp_avg", 3.0), ("optimizer/state/0/step", torch.zeros(16)),
    ("optimizer/state/0/step", torch.tensor(NAN)),
    ("optimizer/state/0/step", torch.tensor(3)), ("optimizer/state/99999", {}), ("optimizer/state/x", {}),
    ("optimizer/param_groups", []), ("optimizer/param_groups", [3]), ("optimizer/param_groups/0/lr", "x"),
    ("optimizer/param_groups/0/lr", torch.zeros(3)), ("optimizer/param_groups/0/betas", (0.9, torch.zeros(3))),
    ("optimizer/param_groups/0/betas", (0.5, 0.5)), ("optimizer/param_groups/0/fused", None),
    ("optimizer/param_groups/0/params", []), ("optimizer/param_groups/0/params", [10**9]),
    ("recipe/name", "wild"), ("recipe/name", [[]] * 9), ("recipe/clip", torch.zeros(3)), ("recipe/last", 0),
    ("scaler", None), ("scaler", {"scale": 2.0}), ("model/head.1.bias", torch.zeros(3, dtype=torch.int64)),
    ("model/more", torch.zeros(1)),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG_STATE, ids=lambda value: repr(value)[:30])
def test_a_state_that_is_not_the_model_s_is_refused(field: str, value: object, run: Path, tmp_path: Path) -> None:
    torch.save(changed(read_torch_file(run / "last.pt"), field, value), tmp_path / "last.pt")
    check_sentence(tmp_path, lambda: restore(read_run(tmp_path, build_parser("mixste.hot_mixste"))))


def check_sentence(folder: Path, read: Callable[[], object]) -> None:
    with pytest.raises(InputError) as caught:
        read()
    text = str(caught.value)
    assert text.startswith(f"{folder / 'last.pt'}: ")
    assert text.isprintable()
    assert len(text) < 700


def test_the_run_itself_is_put_back(run: Path) -> None:
    found = read_run(run / "last.pt", build_parser("mixste.hot_mixste"))
    restore(found)
    assert torch.equal(torch.get_rng_state(), read_torch_file(run / "last.pt")["rng"]["cpu"])
    assert found.progress.epoch == 2
    assert found.progress.best_name == str(find_checkpoint(run))
    assert found.arguments["depth"] == 2


def test_what_is_written_holds_names_only(run: Path) -> None:
    content = read_torch_file(run / "last.pt")
    assert content["progress"]["best_name"] == find_checkpoint(run).name
    assert not {"results", "resume"} & content["arguments"].keys()


@pytest.mark.parametrize(
    "field", ["progress/best_name", "arguments/results", "arguments/previous_name", "arguments/resume"]
)
@pytest.mark.parametrize("name", ["outside", "above", "beside"])
def test_a_run_reaches_nothing_outside_its_folder(field: str, name: str, run: Path, main: Main, tmp_path: Path) -> None:
    folder, other = tmp_path / "run", tmp_path / "model_7_1.pth"
    shutil.copytree(run, folder)
    if name == "beside":
        other = folder / "notes.txt"
    other.write_text("precious")
    said = {"outside": str(other), "above": "../model_7_1.pth", "beside": "notes.txt"}[name]
    torch.save(changed(read_torch_file(run / "last.pt"), field, said), folder / "last.pt")
    main("main_mixste.py", "--resume", folder, "--nepoch", 2)
    assert other.read_text() == "precious"


def test_a_step_behind_the_end_of_the_epoch_is_refused(
    run: Path, main: Main, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    content = read_torch_file(run / "last.pt")
    content["progress"] |= {"step": 10**9, "windows": 10**9, "loss": 1.0}
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(SystemExit):
        main("main_mixste.py", "--resume", tmp_path, "--nepoch", 2)
    assert "give it the data that it was trained on" in capsys.readouterr().err
