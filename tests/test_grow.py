"""A model that was grown says what the small one said, and the command line that grows one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from checkpoint.grow import grow
from common.errors import InputError
from common.geometry.normalise import Normaliser
from common.inference.checkpoint import load_weights, read_checkpoint, save_checkpoint
from model import PoseTransformer, create_model
from tests.conftest import ROOT
from tests.rules import filled, motion

SMALL = {
    "mhformer.h2ot_mhformer": {"frames": 27, "channel": 16, "d_hid": 8, "depth": 3, "prune": "1:9"},
    "mixste.hot_mixste": {"frames": 9, "channel": 16, "d_hid": 8, "depth": 3, "token_num": 3, "layer_index": 1},
}


def small(name: str) -> PoseTransformer:
    return filled(create_model(name, **SMALL[name])).eval()


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mhformer.h2ot_mhformer", {"depth": 5}),
        ("mhformer.h2ot_mhformer", {"depth": 4, "d_hid": 9}),
        ("mhformer.h2ot_mhformer", {}),
        ("mixste.hot_mixste", {"d_hid": 20}),
    ],
)
def test_a_grown_model_gives_the_same_poses_and_learns_with_all_it_has(name: str, sizes: dict[str, int]) -> None:
    model, x = small(name), motion(2, SMALL[name]["frames"], 2, 1)
    large = grow(model, **sizes).eval()
    assert large.sizes == {**model.sizes, **sizes}
    torch.testing.assert_close(large(x).pose, model(x).pose, rtol=0, atol=1e-6)
    large(x).pose.sum().backward()
    new = {key for key in large.state_dict() if key not in model.state_dict() and key.endswith("proj.weight")}
    assert all(large.get_parameter(key).grad.abs().max() > 0 for key in new)


@pytest.mark.parametrize("sizes", [{"depth": 2}, {"d_hid": 7}, {"channel": 32}, {"depth": 4}], ids=str)
def test_what_cannot_grow(sizes: dict[str, int]) -> None:
    """Among it more layers of MixSTE, which has a norm of all its layers after each of them."""
    with pytest.raises(InputError, match=next(iter(sizes))):
        grow(small("mixste.hot_mixste"), **sizes)


def test_the_command(tmp_path: Path) -> None:
    model = small("mixste.hot_mixste")
    save_checkpoint(tmp_path / "small.pth", model, Normaliser())
    command = [sys.executable, "checkpoint/grow.py", tmp_path / "small.pth", tmp_path / "large.pth", "--d_hid"]
    assert subprocess.run([*command, "3"], cwd=ROOT, capture_output=True).returncode == 2
    subprocess.run([*command, "12"], cwd=ROOT, check=True, capture_output=True)
    checkpoint = read_checkpoint(tmp_path / "large.pth")
    large = create_model(checkpoint.name, **checkpoint.sizes).eval()
    load_weights(large, checkpoint)
    x = motion(1, 9, 2, 1)
    torch.testing.assert_close(large(x).pose, model(x).pose, rtol=0, atol=1e-6)
