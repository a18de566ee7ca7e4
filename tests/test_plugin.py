"""The example of model/README.md: a transformer that is not ours becomes an hourglass."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from common.checkpoint import load_weights, read_checkpoint, save_checkpoint
from common.engine import predict
from common.normalise import Normaliser
from common.skeleton import H36M
from model import Hourglass, create_model, registry
from model.recovering import RECOVERERS
from tests.conftest import ROOT
from tests.rules import motion

EXAMPLE = re.search(r"```python\n(from model import Hourglass.*?)```", (ROOT / "model/README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
SELECTORS = ("cluster", "motion", "uniform")  # the example gives no attention received


class OverTime(nn.Module):
    """One of PyTorch's layers over the frames of each joint: (B, K, J, C) -> the same."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(channel, 4, 2 * channel, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        x = x.transpose(1, 2).flatten(0, 1)  # (B * J, K, C)
        return self.layer(x).unflatten(0, (batch, -1)).transpose(1, 2)


class YourTransformer(nn.Module):
    """What someone else may have written: it knows nothing of frames that are left out."""

    def __init__(self, frames: int, channel: int, depth: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2, channel)
        self.position = nn.Parameter(0.1 * torch.randn(frames, 17, channel))
        self.blocks = nn.ModuleList(OverTime(channel) for _ in range(depth))
        self.head = nn.Linear(channel, 3)

    def embed(self, pose_2d: Tensor) -> Tensor:
        return self.linear(pose_2d) + self.position

    def forward(self, pose_2d: Tensor) -> Tensor:
        x = self.embed(pose_2d)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    torch.manual_seed(0)
    exec(EXAMPLE, {"__name__": "example", "YourTransformer": YourTransformer})


def test_about_twenty_lines() -> None:
    assert sum(bool(line.strip()) for line in EXAMPLE.splitlines()) <= 22


@pytest.mark.parametrize(("select", "recover"), list(itertools.product(SELECTORS, RECOVERERS)))
def test_every_plan(select: str, recover: str) -> None:
    model = create_model("your.hourglass", select=select, recover=recover)
    x = motion(2, 27, 2, 1)
    prediction = model(x)
    assert [numbers.shape for numbers in prediction.kept] == [(2, 13), (2, 7)]
    assert prediction.pose.shape == (2, 7 if recover == "none" else 27, 17, 3)
    assert torch.equal(model(x, prediction.kept).pose, prediction.pose)
    prediction.pose.square().mean().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []
    assert predict(model, x, H36M.mirrored).pose.shape == prediction.pose.shape


@torch.no_grad()
def test_without_a_plan_it_is_the_transformer_itself() -> None:
    model = create_model("your.hourglass", prune="1:27", select="uniform", recover="interpolation").eval()
    x = motion(2, 27, 2, 1)
    torch.testing.assert_close(model(x).pose, model.yours.eval()(x))


def test_it_is_saved_with_its_plan(tmp_path: Path) -> None:
    model = create_model("your.hourglass", prune="1:9", recover="nearest")
    save_checkpoint(tmp_path / "a.pth", model, Normaliser())
    found = read_checkpoint(tmp_path / "a.pth")
    rebuilt = create_model(found.name, **found.sizes)
    load_weights(rebuilt, found)
    assert rebuilt.plan == Hourglass(((1, 9),), "cluster", "nearest")
