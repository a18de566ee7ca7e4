"""One training epoch: the same for every model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from common.data.pose_dataset import Batch
from common.data.schema import MOST_METRES
from common.errors import InputError
from common.inference.compute import Compute
from common.inference.predict import all_frames, centre_rows, root_relative
from common.training.recipes import Recipe
from model import PoseTransformer
from model.pruning import gather_frames

if TYPE_CHECKING:
    from common.wild.dataset import WildBatch


def train_one_epoch(
    model: PoseTransformer,
    batches: Iterable[Batch | WildBatch],
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    compute: Compute,
    scaler: torch.amp.GradScaler,
    centre_only: bool,
    after_step: Callable[[float, int], None],
    before_step: Callable[[], None] = lambda: None,
) -> None:
    """Train on every batch. after_step(loss, windows) is called when a batch is done and the weights are consistent,
    before_step() before the weights of a batch are touched.

    Raises InputError where the loss is not finite, before the weights are touched.
    """
    model.train()
    if not recipe.batch_norm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval()
    whole = None
    for batch in batches:
        whole = whole or len(batch.pose_2d)
        # An uneven last batch is not worth compiling for.
        forward = model if len(batch.pose_2d) == whole else model.forward
        target = root_relative(batch.pose_3d).to(compute.device, non_blocking=True)
        with compute.autocast():
            prediction = forward(batch.pose_2d.to(compute.device, non_blocking=True))
        pose = prediction.pose.float()
        frames = all_frames(prediction, target.shape[1])
        if centre_only:
            rows = centre_rows(frames, target.shape[1] // 2)
            pose, frames = gather_frames(pose, rows), frames.gather(1, rows)  # (B, 1, J, 3), (B, 1)
        loss = recipe.loss(pose, gather_frames(target, frames))
        value = loss.item()
        if not np.isfinite(value):
            raise InputError(_why_not_finite(value, batch))
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        if recipe.clip is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        before_step()
        scaler.step(optimizer)
        scaler.update()
        after_step(value, len(pose))


def _why_not_finite(loss: float, batch: Batch | WildBatch) -> str:
    largest = batch.pose_3d.abs().amax(dim=(1, 2, 3))  # (B,)
    absurd = torch.nonzero(~(largest <= MOST_METRES))  # (number of absurd windows, 1); NaN is absurd too
    if not len(absurd):
        return (
            f"the loss became {loss}; lower --lr, or use --precision fp32, and go on from the last checkpoint with "
            "--resume"
        )
    window = int(absurd[0])
    return (
        f"the loss became {loss}: the window of sequence {int(batch.sequence[window])} that begins at frame "
        f"{int(batch.start[window])} holds a 3D coordinate of {largest[window]:.3g} m; repair the training data"
    )
