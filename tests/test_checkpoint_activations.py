"""Layers that are computed again in the backward pass: the same gradients and the same running means."""

from __future__ import annotations

import pytest
import torch

from model import PoseTransformer, create_model
from tests.test_export import tiny


def trained_once(name: str, recompute: bool, **plan: str) -> tuple[PoseTransformer, list[torch.Tensor]]:
    """A model after the backward pass of one batch in training mode, and what it holds for that pass."""
    model = tiny(name, **plan).train()
    model.checkpoint_activations = recompute
    held: list[torch.Tensor] = []
    torch.manual_seed(1)  # dropout and drop path draw the same
    pose_2d = torch.randn(3, model.frames, model.joints, model.in_channels)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: (held.append(x), x)[1], lambda x: x):
        loss = model(pose_2d).pose.square().mean()
    loss.backward()
    return model, held


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("mixste.hot_mixste", {}),
        ("mixste.mixste", {"prune": "1:5", "select": "attention"}),
        ("mhformer.hot_mhformer", {}),
        ("motionbert.motionbert", {}),
        ("motionagformer.hot_motionagformer", {}),
    ],
)
def test_gradients_and_running_means_are_the_same(name: str, plan: dict[str, str]) -> None:
    (plain, all_held), (model, held) = (trained_once(name, recompute, **plan) for recompute in (False, True))
    for (key, value), other in zip(plain.named_parameters(), model.parameters(), strict=True):
        assert value.grad is not None, key
        assert torch.equal(value.grad, other.grad), key
    assert all(torch.equal(value, model.get_buffer(key)) for key, value in plain.named_buffers())
    assert len(held) < len(all_held)


def test_without_gradients_nothing_is_computed_twice() -> None:
    model, calls = create_model("mixste.mixste", frames=9, channel=8, d_hid=8, depth=2), []
    model.checkpoint_activations = True
    model.STEblocks[0].register_forward_hook(lambda *_: calls.append(0))
    with torch.no_grad():
        model(torch.zeros(1, 9, 17, 2))
    assert calls == [0]
