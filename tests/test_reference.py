"""The plain models of the benchmark give the poses and the gradients of ours, from the same weights."""

from __future__ import annotations

import pytest
import torch

from benchmark.reference import plain_model
from model import create_model
from tests.rules import filled, motion

SIZES: list[tuple[str, dict]] = [
    ("mixste.mixste", {"frames": 9, "channel": 16, "d_hid": 24, "depth": 2}),
    ("mixste.hot_mixste", {"frames": 9, "channel": 16, "depth": 3, "token_num": 4, "layer_index": 1}),
    ("mhformer.mhformer", {"frames": 45, "channel": 16, "d_hid": 24}),
]


@pytest.mark.parametrize(("name", "sizes"), SIZES)
def test_plain_model_is_ours(name: str, sizes: dict) -> None:
    ours = filled(create_model(name, **sizes)).double().eval()
    plain = plain_model(ours)
    assert plain is not None
    plain.double()
    x = motion(2, ours.frames, ours.in_channels, 3).double()
    first, second = ours(x).pose, plain(x).pose
    torch.testing.assert_close(first, second)
    first.square().mean().backward()
    second.square().mean().backward()
    theirs = dict(plain.named_parameters())
    for key, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[key].grad)


def test_where_there_is_no_plain_model() -> None:
    assert plain_model(create_model("mixste.tpc_mixste", frames=9, channel=16, token_num=3, layer_index=1)) is None
