"""The parts of the recipe `wild`: its schedule, the mean of the weights, and how it starts a model."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from common.evaluation.metrics import p_mpjpe
from common.training.losses import mpjpe_loss, turned_mpjpe_loss, velocity_loss, wild_loss
from common.training.recipes import MIXSTE, WILD, cosine, prepare, running_mean, sinusoids
from model import create_model
from model.layers import DropPath
from tests.rules import SMALL, motion


@pytest.mark.parametrize(("steps", "warm_up"), [(1000, 0.03), (40, 0.1), (3, 0.03), (1, 0.5)])
def test_the_rate_rises_then_falls_to_nothing(steps: int, warm_up: float) -> None:
    rate = [cosine(step, steps, warm_up) for step in range(steps)]
    top = rate.index(max(rate))
    assert top <= warm_up * steps + 1
    assert rate[: top + 1] == sorted(rate[: top + 1])
    assert rate[top:] == sorted(rate[top:], reverse=True)
    assert all(0 < factor <= 1 for factor in rate)
    if steps > 1:
        assert cosine(steps, steps, warm_up) == pytest.approx(0, abs=1e-12)
    if steps == 1000:
        assert max(rate) == pytest.approx(1, abs=0.05)
        assert rate[515] == pytest.approx(0.5, abs=0.01)  # the middle of the fall


def test_the_running_mean_forgets_faster_at_the_beginning() -> None:
    layer = nn.Linear(1, 1, bias=False)
    mean = AveragedModel(layer, multi_avg_fn=running_mean(0.9))
    expected = None
    for step in range(200):
        nn.init.constant_(layer.weight, float(step % 7))
        mean.update_parameters(layer)
        keep = min(0.9, (1 + step) / (10 + step))
        expected = float(step % 7) if expected is None else keep * expected + (1 - keep) * (step % 7)
        assert mean.module.weight.item() == pytest.approx(expected, abs=1e-5)


def test_the_running_mean_copies_counters() -> None:
    layer = nn.BatchNorm1d(2)
    mean = AveragedModel(layer, multi_avg_fn=running_mean(0.5), use_buffers=True)
    for _ in range(3):
        layer(torch.randn(4, 2))
        mean.update_parameters(layer)
    assert mean.module.num_batches_tracked == layer.num_batches_tracked == 3


def test_sinusoids_tell_positions_apart() -> None:
    waves = sinusoids(45, 64)
    assert waves.shape == (45, 64)
    apart = torch.cdist(waves, waves)
    assert apart[~torch.eye(45, dtype=torch.bool)].min() > 0.5
    near, far = apart.diagonal(1).mean(), apart.diagonal(20).mean()
    assert near < far  # neighbours are alike


@pytest.mark.parametrize("name", SMALL)
def test_how_a_model_starts(name: str) -> None:
    model, fresh, further = (create_model(name, **SMALL[name]) for _ in range(3))
    for copy in (fresh, further):
        copy.load_state_dict(model.state_dict())
    prepare(fresh, WILD, fresh=True)
    prepare(further, WILD, fresh=False)
    changed = {key for key, value in fresh.state_dict().items() if not torch.equal(value, model.state_dict()[key])}
    assert all("embed" in key or key == "x_token" for key in changed)
    assert bool(changed) == (
        not name.startswith("motionagformer") or "hot" in name or "pos_embed" in model.state_dict()
    )
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in further.state_dict().items())
    for copy in (fresh, further):
        assert all(module.p == 0 for module in copy.modules() if isinstance(module, nn.Dropout))
        assert all(module.rate == 0 for module in copy.modules() if isinstance(module, DropPath))
    before = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    prepare(model, MIXSTE, fresh=True)
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == before


def test_the_loss_by_hand() -> None:
    prediction, target = motion(2, 5, 3, 1), motion(2, 5, 3, 2)
    still = mpjpe_loss(prediction, target) + turned_mpjpe_loss(prediction, target)
    assert wild_loss(prediction, target) == still + 2 * velocity_loss(prediction, target)
    one = prediction[:, :1], target[:, :1]
    assert wild_loss(*one) == mpjpe_loss(*one) + turned_mpjpe_loss(*one)


def test_the_turned_error_does_not_see_where_a_pose_faces_but_sees_a_mirrored_one() -> None:
    target = motion(2, 5, 3, 2)
    turned = target @ rotation_matrix([0.3, -0.5, 0.8]) + torch.tensor([1.0, 2.0, 3.0])
    assert turned_mpjpe_loss(turned, target).item() == pytest.approx(0, abs=1e-6)
    assert turned_mpjpe_loss(turned * torch.tensor([-1.0, 1.0, 1.0]), target) > 0.02
    prediction = motion(2, 5, 3, 1).requires_grad_()
    loss = turned_mpjpe_loss(prediction, target)
    assert p_mpjpe(prediction, target).mean() <= loss  # which may change the scale as well
    loss.backward()
    closer = prediction.detach() - 0.01 * prediction.grad / prediction.grad.abs().max()
    assert turned_mpjpe_loss(closer, target) < loss


def rotation_matrix(vector: list[float]) -> torch.Tensor:
    """The rotation (3, 3) about a vector by its length in radians."""
    x, y, z = vector
    return torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
