"""Models in other formats: the same frames and poses for any number of windows, and bad input in one sentence."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import InputError, exit_on_input_error
from common.geometry.normalise import Normaliser
from common.inference import export
from common.inference.checkpoint import save_checkpoint
from common.inference.lifting import Lifter
from model import PoseTransformer, create_model, model_sizes
from model.export import main
from model.pruning import count_before, gather_frames, is_one_of
from tests.conftest import ROOT

SIZES = {"frames": 9, "channel": 8, "d_hid": 8, "depth": 2, "heads": 4}


def tiny(name: str, **plan: str) -> PoseTransformer:
    """A registered model at the smallest sizes, with parameters that all count, in evaluation mode."""
    own = model_sizes(name)
    sizes = {size: value for size, value in SIZES.items() if size in own}
    if "token_num" in own:
        sizes |= {"token_num": 5, "layer_index": 1}
    elif own["prune"]:
        plan = {"prune": "1:5", **plan}
    torch.manual_seed(0)
    model = create_model(name, **sizes, **plan).eval()
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.5)
    return model


def check(model: PoseTransformer, run: export.Run) -> None:
    for batch in (1, 3):
        pose_2d = torch.randn(batch, model.frames, model.joints, model.in_channels)
        with torch.no_grad():
            wanted = export.Flat(model)(pose_2d)
        given = run(pose_2d)
        assert len(given) == len(wanted) == len(export.Flat(model).names())
        torch.testing.assert_close(given[0], wanted[0], rtol=0, atol=1e-5)
        assert all(torch.equal(a, b) for a, b in zip(given[1:], wanted[1:], strict=True))


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("mixste.mixste", {"prune": "1:5", "select": "attention", "recover": "nearest"}),
        ("motionbert.motionbert", {"prune": "1:5", "select": "motion", "recover": "none"}),
        ("motionagformer.h2ot_motionagformer", {}),
    ],
)
def test_a_traced_model_takes_any_number_of_windows(name: str, plan: dict[str, str]) -> None:
    """A few, since tracing takes seconds: benchmark/backends.py --models has all of them, in every format."""
    model = tiny(name, **plan)
    module = export.traced(export.Flat(model)).module()
    check(model, lambda pose_2d: list(module(pose_2d)))


def test_a_lifter_gives_the_same_poses_by_every_backend() -> None:
    pytest.importorskip("onnxscript")
    clip = 100 * np.random.default_rng(0).random((20, 17, 2)).cumsum(axis=0)
    model = tiny("mixste.tpc_mixste")  # its mirrored pass replays the selection of the plain one
    wanted = Lifter(model, Normaliser())(clip, (1000, 1000))
    for backend in ("onnxruntime", "openvino"):
        if importlib.util.find_spec(backend):
            given = Lifter(model, Normaliser(), backend=backend, batch_size=3)(clip, (1000, 1000))
            np.testing.assert_allclose(given, wanted, atol=1e-5)
    with pytest.raises(InputError, match="backend is 'tensorrt'; it must be one of torch, onnxruntime, openvino"):
        Lifter(model, Normaliser(), backend="tensorrt")


def test_what_stands_in_for_searching_counts_as_it_does() -> None:
    frames = torch.stack([torch.randperm(30)[:9].sort().values for _ in range(4)])  # (B, N)
    wanted = torch.arange(30).expand(4, -1)
    assert torch.equal(count_before(frames, wanted), torch.searchsorted(frames, wanted.contiguous()))
    assert torch.equal(is_one_of(frames, wanted[0, :7]), torch.isin(frames, wanted[0, :7]))
    x = torch.randn(4, 30, 3, 2)
    assert torch.equal(
        gather_frames(x, frames), torch.stack([row[index] for row, index in zip(x, frames, strict=True)])
    )


def command(*argv: object) -> None:
    """`python -m model.export`, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["export", *map(str, argv)])
        exit_on_input_error(main)


def test_the_command_writes_a_file_that_it_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(tmp_path / "weights.pth", tiny("mixste.hot_mixste"), Normaliser())
    command("--checkpoint", tmp_path / "weights.pth", "--format", "torch_export", "--output", tmp_path / "m.pt2")
    assert "kept frames equal, poses within" in capsys.readouterr().out
    about = {"model": "", "normaliser": ""}
    module = torch.export.load(tmp_path / "m.pt2", extra_files=about).module()
    check(tiny("mixste.hot_mixste"), lambda pose_2d: list(module(pose_2d)))
    assert about["model"] == "mixste.hot_mixste"


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("--format", "caffe"), "invalid choice: 'caffe'"),
        (("--format", "torch_export", "--output", "model.onnx"), "ends in .pt2"),
        (("--format", "torch_export", "--checkpoint", "no/such.pth"), "no/such.pth"),
        (("--format", "torch_export", "--model", "mixste.mixste"), "no weights of mixste.mixste come along"),
        (
            ("--format", "torch_export", "--model", "mixste.mixste", "--checkpoint", "checkpoint/wild_mhformer.pth"),
            "holds mhformer.mhformer, not mixste.mixste",
        ),
    ],
)
def test_bad_input_is_one_sentence(
    argv: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match="2"):
        command(*argv)
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_place_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "traced", lambda flat: None)  # which takes long
    with pytest.raises(InputError, match="cannot be written"):
        export.write_exported(tiny("mixste.mixste"), "/proc/none/model.pt2", "torch_export", {})


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install onnx onnxscript openvino"):
        export.write_exported(tiny("mixste.mixste"), "model.xml", "openvino", {})


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_file_that_gives_something_else_is_not_written(
    wrong: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """wrong: the output that is off by one."""
    model = tiny("mixste.hot_mixste")

    def run(pose_2d: torch.Tensor) -> list[torch.Tensor]:
        outputs = list(export.Flat(model)(pose_2d))
        outputs[wrong] = outputs[wrong] + 1
        return outputs

    monkeypatch.setattr(export, "_torch_export", lambda path: run)
    with pytest.raises(InputError, match=("mm from PyTorch's", "keeps other frames")[wrong]):
        export.write_exported(model, tmp_path / "model.pt2", "torch_export", {})
    assert not list(tmp_path.iterdir())
