"""Losses, optimizers and metrics: the published training steps, examples worked out by hand, and what holds for any
pose.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from common.evaluation.metrics import ErrorTable, change_error, change_rows, mpjpe, n_mpjpe, p_mpjpe
from common.training.losses import (
    JOINT_WEIGHTS,
    joint_weights,
    mixste_loss,
    mpjpe_loss,
    smoothness_loss,
    velocity_loss,
    weighted_mpjpe_loss,
)
from common.training.recipes import MHFORMER, MIXSTE, next_learning_rate, published_mpjpe
from model import create_model
from model.pruning import gather_frames
from tests.rules import GOLDEN, filled, motion

RUNS = json.loads((GOLDEN / "training.json").read_text())
RECIPES = {"mixste": MIXSTE, "mhformer": MHFORMER}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["model"])
def test_training_steps_of_the_published_code(run: dict) -> None:
    recipe = RECIPES[run["model"].split(".")[0]]
    model = filled(create_model(run["model"], **run["config"])).eval()
    x, target = motion(2, model.frames, 2, 7), motion(2, model.frames, 3, 8)
    target[:, :, 0] = 0
    optimizer = recipe.optimizer(model.parameters(), 1e-3)
    assert run["optimizer"].startswith(type(optimizer).__name__)
    for number, expected in enumerate(run["steps"]):
        prediction = model(x)
        seen = target if prediction.frames is None else gather_frames(target, prediction.frames)
        loss = recipe.loss(prediction.pose, seen)
        optimizer.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(parameter.grad.double().pow(2).sum().item() for parameter in model.parameters()))
        optimizer.step()
        tolerance = 1e-5 if number == 0 else 1e-3
        assert loss.item() == pytest.approx(expected["loss"], rel=tolerance)
        assert norm == pytest.approx(expected["grad_norm"], rel=tolerance)


def test_optimizers_and_seeds_as_published() -> None:
    parameters = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))]
    adamw, adam = MIXSTE.optimizer(parameters, 4e-4), MHFORMER.optimizer(parameters, 1e-3)
    assert isinstance(adamw, torch.optim.AdamW)
    assert [(group["lr"], group["weight_decay"], len(group["params"])) for group in adamw.param_groups] == [
        (4e-4, 0.1, 2)
    ]
    assert isinstance(adam, torch.optim.Adam)
    assert [(group["lr"], group["weight_decay"], group["amsgrad"]) for group in adam.param_groups] == [(1e-3, 0, True)]
    assert (MIXSTE.seed, MHFORMER.seed) == (1126, 1)
    assert (MIXSTE.loss, MHFORMER.loss) == (mixste_loss, mpjpe_loss)


def straight(*offsets: tuple[float, float, float]) -> Tensor:
    """One frame for each offset, all 17 joints there: (1, F, 17, 3)."""
    return torch.tensor(offsets, dtype=torch.float32)[None, :, None].expand(1, len(offsets), 17, 3).clone()


def test_losses_by_hand() -> None:
    mean_weight = 36.5 / 17
    assert sum(JOINT_WEIGHTS) == 36.5
    prediction, target = straight((3, 4, 0), (3, 4, 0), (3, 4, 12)), straight((0, 0, 0), (0, 0, 0), (3, 4, 0))
    assert mpjpe_loss(prediction, target).item() == pytest.approx((5 + 5 + 12) / 3)
    assert weighted_mpjpe_loss(prediction, target).item() == pytest.approx(mean_weight * (5 + 5 + 12) / 3)
    assert smoothness_loss(prediction).item() == pytest.approx(
        mean_weight * (0 + 12**2 / 3) / 2
    )  # two changes, three axes
    assert velocity_loss(prediction, target).item() == pytest.approx((0 + 13) / 2)  # (0, 0, 12) - (3, 4, 0)
    whole = mean_weight * 22 / 3 + 0.5 * mean_weight * 24 + 2 * 6.5
    assert mixste_loss(prediction, target).item() == pytest.approx(whole)
    assert mixste_loss(target, target).item() == pytest.approx(
        0.5 * mean_weight * (0 + 25 / 3) / 2
    )  # smoothness ignores the target


@pytest.mark.parametrize("joint", range(17))
def test_weight_of_each_joint(joint: int) -> None:
    prediction, target = torch.zeros(2, 3, 17, 3), torch.zeros(2, 3, 17, 3)
    prediction[:, :, joint, 1] = 17.0
    weight = (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4)[joint]
    assert weighted_mpjpe_loss(prediction, target).item() == pytest.approx(weight)
    assert mixste_loss(prediction, target).item() == pytest.approx(weight)  # nothing moves


def test_weights_of_sixteen_joints_leave_the_neck_out() -> None:
    assert joint_weights(torch.zeros(1, 1, 16, 3)).tolist() == [
        1,
        1,
        2.5,
        2.5,
        1,
        2.5,
        2.5,
        1,
        1,
        1.5,
        1.5,
        4,
        4,
        1.5,
        4,
        4,
    ]


def test_a_single_frame_has_no_temporal_terms() -> None:
    prediction, target = motion(3, 1, 3, 1), motion(3, 1, 3, 2)
    loss = mixste_loss(prediction.requires_grad_(), target)
    assert loss.item() == weighted_mpjpe_loss(prediction, target).item()
    loss.backward()
    assert torch.isfinite(prediction.grad).all()


def test_temporal_terms_of_kept_frames_ignore_their_gap() -> None:
    prediction, target = motion(1, 9, 3, 1), motion(1, 9, 3, 2)
    near, far = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 4, 8]])
    for frames in (near, far):
        p, t = gather_frames(prediction, frames), gather_frames(target, frames)
        by_hand = ((p[:, 1:] - p[:, :-1]) - (t[:, 1:] - t[:, :-1])).norm(dim=-1).mean()
        assert velocity_loss(p, t).item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_learning_rate_schedule() -> None:
    lr, rates = 1e-3, []
    for epoch in range(1, 12):
        rates.append(lr)
        lr = next_learning_rate(lr, epoch, decay=0.95, decay_large=0.5, decay_epoch=5)
    assert rates[:5] == pytest.approx([1e-3 * 0.95**i for i in range(5)])  # epochs 1 to 5
    assert rates[5] == pytest.approx(1e-3 * 0.95**4 * 0.5)  # the fifth is followed by the large step
    assert rates[10] == pytest.approx(1e-3 * 0.95**8 * 0.25)
    assert next_learning_rate(0.2, 7, decay=0.99, decay_large=0.5, decay_epoch=1) == pytest.approx(0.1)


def test_published_numbers_are_found_for_the_exact_command_only() -> None:
    sizes = {"frames": 243, "channel": 512, "d_hid": 1024, "token_num": 81, "layer_index": 3, "depth": 8}
    assert published_mpjpe("mixste.hot_mixste", sizes, 243) == 41.0
    assert published_mpjpe("mixste.hot_mixste", sizes | {"token_num": 61}, 243) is None
    assert published_mpjpe("mixste.hot_mixste", sizes, 1) is None


# Metrics


def turned(pose: Tensor, seed: int) -> Tensor:
    """The pose turned by a random proper rotation."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    return pose @ torch.from_numpy(q).to(pose.dtype)


def horn(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean joint error of one frame after the best similarity transform, by Horn's quaternion: another road to
    `p_mpjpe`.
    """
    p, t = prediction - prediction.mean(0), target - target.mean(0)
    s = p.T @ t
    skew = np.array([s[1, 2] - s[2, 1], s[2, 0] - s[0, 2], s[0, 1] - s[1, 0]])
    n = np.empty((4, 4))
    n[0, 0], n[0, 1:], n[1:, 0] = np.trace(s), skew, skew
    n[1:, 1:] = s + s.T - np.trace(s) * np.eye(3)
    w, x, y, z = np.linalg.eigh(n)[1][:, -1]
    rotation = np.array(
        [
            [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
        ]
    )
    moved = p @ rotation.T
    scale = (moved * t).sum() / (p**2).sum()
    return float(np.linalg.norm(scale * moved - t, axis=-1).mean())


def test_mpjpe_by_hand() -> None:
    target = torch.zeros(2, 17, 3)
    prediction = target.clone()
    prediction[1, 5] = torch.tensor([3.0, 4.0, 12.0])
    assert mpjpe(prediction, target).tolist() == pytest.approx([0, 13 / 17])
    assert mpjpe(prediction[None, None], target).shape == (1, 1, 2)


@pytest.mark.parametrize("seed", range(5))
def test_p_mpjpe_forgives_similarity_but_no_reflection(seed: int) -> None:
    target = motion(4, 3, 3, seed).double()
    moved = 0.37 * turned(target, seed) + torch.tensor([5.0, -2.0, 0.5], dtype=torch.float64)
    assert p_mpjpe(moved, target).abs().max() < 1e-12
    assert p_mpjpe(moved.float(), target.float()).abs().max() < 1e-5
    assert p_mpjpe(moved * torch.tensor([-1.0, 1.0, 1.0]), target).min() > 1e-2
    assert p_mpjpe(-moved, target).min() > 1e-2  # a point reflection is one too


def test_p_mpjpe_agrees_with_horn() -> None:
    prediction, target = motion(2, 8, 3, 1).double(), motion(2, 8, 3, 2).double()
    prediction[0] = target[0] * torch.tensor([1.0, 1.0, -1.0]) + 0.02 * prediction[0]  # nearly reflections
    expected = [
        [horn(p, t) for p, t in zip(*pair, strict=True)]
        for pair in zip(prediction.numpy(), target.numpy(), strict=True)
    ]
    torch.testing.assert_close(
        p_mpjpe(prediction, target), torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12
    )


def test_p_mpjpe_of_flat_poses() -> None:
    target = motion(1, 6, 3, 4).double()
    target[..., 2] = 0
    moved = 2.0 * turned(target, 9) + 1.0
    assert p_mpjpe(moved, target).max() < 1e-7
    mirrored = target * torch.tensor([-1.0, 1.0, 1.0])  # of a flat pose a rotation in space does the same
    assert p_mpjpe(mirrored, target).max() < 1e-7


def test_n_mpjpe_forgives_scale_only() -> None:
    target = motion(4, 3, 3, 1)
    assert n_mpjpe(0.2 * target, target).max() < 1e-6
    assert n_mpjpe(-3 * target, target).max() < 1e-6  # the scale that fits best may be negative
    assert n_mpjpe(target + 1, target).min() > 0.05
    assert n_mpjpe(turned(target, 3), target).min() > 0.05


def test_aligned_errors_are_bounded_by_the_rms_they_minimise() -> None:
    """Alignment minimises the squared error, whose root is never below the mean error: those bounds hold for any
    poses.
    """

    def rms(p: Tensor, t: Tensor) -> Tensor:
        return (p - t).pow(2).sum(-1).mean(-1).sqrt()

    prediction, target = motion(8, 9, 3, 5).double(), motion(8, 9, 3, 6).double()
    prediction = target + 0.3 * prediction
    assert (p_mpjpe(prediction, target) <= rms(prediction, target)).all()
    assert (n_mpjpe(prediction, target) <= rms(prediction, target)).all()
    assert (n_mpjpe(prediction, target) <= rms(0 * target, target)).all()
    assert p_mpjpe(prediction, target).mean() < n_mpjpe(prediction, target).mean() < mpjpe(prediction, target).mean()
    scaled = 1.7 * prediction
    torch.testing.assert_close(p_mpjpe(scaled, target), p_mpjpe(prediction, target))
    torch.testing.assert_close(n_mpjpe(scaled, target), n_mpjpe(prediction, target))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_prediction_of_no_size_has_a_finite_error(dtype: torch.dtype) -> None:
    target = motion(1, 2, 3, 1).to(dtype)
    point = torch.zeros_like(target)
    torch.testing.assert_close(n_mpjpe(point, target), mpjpe(point, target))
    around_mean = mpjpe(target.mean(-2, keepdim=True).expand_as(target), target)
    for offset in (0.0, 1.0):
        torch.testing.assert_close(p_mpjpe(point + offset, target), around_mean)
    assert torch.isfinite(p_mpjpe(target, point)).all()
    assert p_mpjpe(target, point).abs().max() < 1e-6


def test_metrics_leave_their_input_alone() -> None:
    prediction, target = motion(1, 4, 3, 1), motion(1, 4, 3, 2)
    before = prediction.clone(), target.clone()
    for metric in (mpjpe, n_mpjpe, p_mpjpe):
        assert metric(prediction, target).shape == (1, 4)
    assert torch.equal(prediction, before[0])
    assert torch.equal(target, before[1])


def test_change_error_of_straight_motion() -> None:
    time = torch.arange(6.0)[:, None, None]
    target = motion(1, 1, 3, 3)[0] + time * torch.tensor([0.1, 0.0, 0.0])  # (6, 17, 3)
    prediction = target + 0.5  # always as far off
    rows = torch.ones(5, dtype=torch.bool)
    assert change_error(prediction, target, change_rows(rows, 1), 1).abs().max() < 1e-6
    faster = target + time * torch.tensor([0.0, 0.3, 0.4])
    torch.testing.assert_close(
        change_error(faster, target, change_rows(rows, 1), 1), torch.full((5,), 0.5), atol=1e-6, rtol=0
    )
    assert change_error(faster, target, change_rows(rows, 2), 2).abs().max() < 1e-6
    bent = target + time**2 * torch.tensor([0.0, 0.3, 0.4])
    torch.testing.assert_close(
        change_error(bent, target, change_rows(rows, 2), 2), torch.full((4,), 1.0), atol=1e-5, rtol=0
    )


def test_changes_do_not_cross_a_gap() -> None:
    consecutive = torch.tensor([True, True, False, True, True, True])  # frames 0 1 2 | 3 4 5 6
    assert change_rows(consecutive, 1).tolist() == consecutive.tolist()
    assert change_rows(consecutive, 2).tolist() == [True, False, False, True, True]
    target = torch.zeros(7, 17, 3)
    prediction = target.clone()
    prediction[3:] = 100.0  # a new sequence starts elsewhere
    for order, count in ((1, 5), (2, 3)):
        assert change_error(prediction, target, change_rows(consecutive, order), order).tolist() == [0.0] * count


def test_error_table_means_over_actions_not_samples() -> None:
    table = ErrorTable(["Walk", "Sit", "Eat"])
    assert table.mean is None
    assert table.actions == {}
    table.add(torch.tensor([0, 0, 0]), torch.tensor([0.010, 0.020, 0.030]))
    table.add(torch.tensor([2, 0]), torch.tensor([0.100, 0.040]))
    assert table.counts == {"Walk": 4, "Eat": 1}
    assert table.actions == pytest.approx({"Walk": 25.0, "Eat": 100.0})
    assert list(table.actions) == ["Walk", "Eat"]
    assert table.mean == pytest.approx(62.5)
    table.add(torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    assert table.mean == pytest.approx(62.5)
