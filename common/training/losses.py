"""Training losses: pure functions of prediction and target, (B, F, J, 3) metres, root-relative target; each returns a
scalar.
"""

from __future__ import annotations

import torch
from torch import Tensor

from common.evaluation.metrics import best_rotation

# The weight of each joint in the losses of the MixSTE family.
JOINT_WEIGHTS = (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4)


def joint_weights(like: Tensor) -> Tensor:
    """The weights (J,) for 17 joints, or for the 16 of a skeleton without Neck/Nose."""
    weights = JOINT_WEIGHTS if like.shape[-2] == 17 else JOINT_WEIGHTS[:9] + JOINT_WEIGHTS[10:]
    return torch.tensor(weights, dtype=like.dtype, device=like.device)


def mpjpe_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean distance of predicted and true joints."""
    return (prediction - target).norm(dim=-1).mean()


def weighted_mpjpe_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over frames and joints of the joint's weight times its distance (not divided by the sum of the weights)."""
    return ((prediction - target).norm(dim=-1) * joint_weights(target)).mean()


def smoothness_loss(prediction: Tensor) -> Tensor:
    """Weighted mean square of the prediction's own frame-to-frame change; it does not look at the target."""
    change = prediction.diff(dim=1)  # (B, F - 1, J, 3)
    return (change**2 * joint_weights(change)[:, None]).mean()


def velocity_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean distance between the frame-to-frame changes of prediction and target."""
    return (prediction.diff(dim=1) - target.diff(dim=1)).norm(dim=-1).mean()


def mixste_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Weighted MPJPE + 0.5 smoothness + 2 velocity (MixSTE, section 3.3); a single frame has the first term only."""
    loss = weighted_mpjpe_loss(prediction, target)
    if prediction.shape[1] > 1:
        loss = loss + 0.5 * smoothness_loss(prediction) + 2.0 * velocity_loss(prediction, target)
    return loss


def turned_mpjpe_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """MPJPE after each frame is moved to its mean joint and turned onto the target; the turn has no gradient."""
    prediction, target = (pose - pose.mean(dim=-2, keepdim=True) for pose in (prediction, target))
    with torch.no_grad():
        turn = best_rotation(prediction, target)  # (B, F, 3, 3)
    return mpjpe_loss(prediction @ turn, target)


def wild_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """MPJPE + MPJPE after turning + 2 velocity.

    Most of the plain error is the direction of the whole person; the second term weighs the pose itself.
    """
    loss = mpjpe_loss(prediction, target) + turned_mpjpe_loss(prediction, target)
    return loss + (2.0 * velocity_loss(prediction, target) if prediction.shape[1] > 1 else 0.0)
